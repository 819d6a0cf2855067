"""Targets are met from below where the quality steps allow it; else the best is taken, or the smallest is named. Whole folders too."""

import json

import numpy as np
import pytest
from helpers.commands import osdc
from PIL import Image

from osdcodec import Decoder, Encoder, InputError, Target, TargetError, info
from osdcodec.metrics.ms_ssim import ms_ssim
from osdcodec.rate_control import _QUALITIES, _size_at, largest_below, shares, smallest_above, stages

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(device="cpu")


def size(quality: int) -> int:
    return round(12000 * 5 ** (-quality / 255))


@pytest.mark.parametrize("limit", [2400, 2401, 3000, 5000, 7777, 11900, 11999])
def test_the_best_file_that_fits(limit):
    made: list[int] = []
    found = largest_below(limit, lambda quality: made.append(quality) or quality, size)
    assert size(found) <= limit and (found == 0 or size(found - 1) > limit)
    assert len(made) <= 10 and len(set(made)) == len(made)


def test_sizes_that_are_no_smooth_function_are_searched_too():
    steps = [9000 if quality < 77 else 500 for quality in range(256)]
    assert largest_below(600, lambda quality: quality, steps.__getitem__) == 77


def test_sizes_out_of_reach():
    assert largest_below(12000, lambda quality: quality, size) == 0
    with pytest.raises(TargetError, match="2,400"):
        largest_below(2399, lambda quality: quality, size)


def test_the_smallest_file_that_is_similar_enough():
    likeness = [1 - quality / 500 for quality in range(256)]
    assert smallest_above(0.8, lambda quality: quality, likeness.__getitem__) == 100
    assert smallest_above(0.1, lambda quality: quality, likeness.__getitem__) == 255
    assert smallest_above(1.0, lambda quality: quality, likeness.__getitem__) == 0
    assert smallest_above(1.1, lambda quality: quality, likeness.__getitem__) == 0
    assert "MS-SSIM 0.99" in Target(ms_ssim=0.99).note({"quality_byte": 0, "bytes": 9})


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_photo_of_so_many_bytes(encoder, photo, share):
    largest, smallest = (len(encoder.encode(photo, lmbda)) for lmbda in (0.1, 2.0))
    limit = round(smallest + share * (largest - smallest))
    data = encoder.encode(photo, target=Target(max_bytes=limit))
    assert len(data) <= limit
    # A quality step is 0.6 % of the size; of small files a byte is more than that.
    larger = encoder.encode(photo, info(data)["lambda"] * 20 ** (-1 / 255))
    assert len(data) >= 0.98 * limit or len(larger) > limit
    bpp = 8 * limit / photo.width / photo.height
    assert encoder.encode(photo, target=Target(bpp=bpp + 1e-9)) == data


def test_the_picture_is_analysed_once(encoder, photo, monkeypatch):
    calls, analyse = [], encoder.coder.runtime.analyse
    monkeypatch.setattr(encoder.coder.runtime, "analyse", lambda *inputs: calls.append(1) or analyse(*inputs))
    encoder.encode(photo, target=Target(max_bytes=len(encoder.encode(photo, 0.7))))
    assert len(calls) == 2


def test_similarity_is_that_of_the_reconstruction(encoder, photo):
    decoder = Decoder(device="cpu")
    best, worst = (ms_ssim(photo, decoder.decode(encoder.encode(photo, lmbda))) for lmbda in (0.1, 2.0))
    least = (best + worst) / 2
    data = encoder.encode(photo, target=Target(ms_ssim=least))
    assert ms_ssim(photo, decoder.decode(data)) >= least
    smaller = encoder.encode(photo, info(data)["lambda"] * 20 ** (2 / 255))
    assert len(smaller) < len(data) and ms_ssim(photo, decoder.decode(smaller)) < least + 0.002
    with pytest.raises(InputError, match="161"):
        encoder.encode(photo.resize((160, 200)), target=Target(ms_ssim=0.5))


@pytest.mark.parametrize("shape", [(161, 161), (200, 333), (400, 577)])
def test_similarity_is_that_of_pytorch_msssim(photo, shape):
    reference = pytest.importorskip("osdcodec.metrics.meter").ms_ssim
    original = photo.resize(shape)
    noise = np.random.default_rng(1).normal(0, 30, (*shape[::-1], 3))
    decoded = Image.fromarray((np.asarray(original) + noise).clip(0, 255).astype(np.uint8))
    assert ms_ssim(original, decoded) == pytest.approx(reference(original, decoded), abs=1e-4)
    assert ms_ssim(original, original) == pytest.approx(1)


@pytest.mark.parametrize("bad", [{}, {"bpp": 0.0}, {"bpp": 0.1, "max_bytes": 5}, {"ms_ssim": 1.1}, {"max_bytes": -1}])
def test_targets_that_are_none(bad):
    with pytest.raises(ValueError, match="one of"):
        Target(**bad)


@pytest.mark.parametrize("bad", [{"bpp": "0.1"}, {"max_bytes": "20k"}, {"ms_ssim": b"1"}])
def test_targets_are_numbers(bad):
    with pytest.raises(TypeError, match="a target is a number"):
        Target(**bad)


def test_on_the_command_line(tmp_path, photo):
    photo.save(tmp_path / "photo.png")
    done = osdc("encode", "photo.png", "--max-bytes", "1000000000", cwd=tmp_path)
    assert done.returncode == 0 and b"photo.png: lambda 0.1, the best there is, was taken" in done.stderr
    largest = (tmp_path / "photo.osd").stat().st_size
    done = osdc("encode", "photo.png", "--max-bytes", str(largest - 1), "--json", "--overwrite", cwd=tmp_path)
    told = json.loads(done.stdout)
    assert told["bytes"] < largest and told["quality"] > 0 and "note" not in told
    assert json.loads(osdc("info", "photo.osd", "--json", cwd=tmp_path).stdout)["quality"] == told["quality"]
    (tmp_path / "photo.osd").unlink()
    done = osdc("encode", "photo.png", "--target-bpp", "0.00001", cwd=tmp_path)
    assert done.returncode == 3 and b"0 bytes are out of reach: of this picture the least is" in done.stderr
    assert not (tmp_path / "photo.osd").exists()


@pytest.mark.parametrize(
    "options",
    [
        ("--target-bpp", "0.1", "--lambda", "1"),
        ("--target-bpp", "0.1", "--max-bytes", "9"),
        ("--target-bpp", "-1"),
        ("--target-bpp", "nan"),
        ("--target-ms-ssim", "1.2"),
        ("--max-bytes", "0"),
    ],
)
def test_wrong_targets_are_wrong_usage(tmp_path, options):
    done = osdc("encode", "photo.png", *options, cwd=tmp_path)
    assert done.returncode == 2 and b"Usage" in done.stderr and b"Traceback" not in done.stderr


SIZES = [[100, 200, 300, 400, 500], [1000, 1500, 2500, 3500, 5000]]


def test_shares_use_the_bytes_at_one_quality():
    for total in (1100, 1101, 2000, 3333, 5499):
        found = shares(SIZES, total)
        assert total - 30 <= sum(found) <= total
        assert all(sizes[0] <= share <= sizes[-1] for sizes, share in zip(SIZES, found, strict=True))
    assert shares(SIZES, 10**9) == [500, 5000]
    assert shares([], 5) == []
    with pytest.raises(TargetError, match="at lambda 2 the 2 files take 1,100"):
        shares(SIZES, 1099)


def test_sizes_between_anchors():
    assert [_size_at(SIZES[0], quality) for quality in _QUALITIES] == pytest.approx(SIZES[0])
    assert 100 < _size_at(SIZES[0], 230) < 200


def test_a_folder_within_so_many_bytes(tmp_path, photo):
    (tmp_path / "in").mkdir()
    for name, width in (("a", 64), ("b", 128), ("c", 200)):
        photo.resize((width, 96)).save(tmp_path / "in" / f"{name}.png")
    (tmp_path / "in" / "bad.png").write_bytes(b"no picture")
    done = osdc("encode", "in", "-o", "out", "--total-bytes", "1.2k", cwd=tmp_path)
    assert done.returncode == 3 and done.stderr.count(b"bad.png") == 1
    total = sum(path.stat().st_size for path in (tmp_path / "out").iterdir())
    assert 1050 <= total <= 1200 and len(list((tmp_path / "out").iterdir())) == 3
    (tmp_path / "in" / "bad.png").unlink()
    done = osdc("encode", "in", "-o", "new", "--total-bytes", "90", cwd=tmp_path)
    assert done.returncode == 3 and b"90 bytes are out of reach" in done.stderr and done.stderr.count(b"\n") == 1
    done = osdc("encode", "in", "-o", "new", "--total-bytes", "9k", "--lambda", "1", cwd=tmp_path)
    assert done.returncode == 2
    (tmp_path / "out" / "c.osd").unlink()
    taken = sum(path.stat().st_size for path in (tmp_path / "out").iterdir())
    for total, words in (
        (taken, f"already take {taken:,}"),
        (taken + 9, f"{taken:,} are taken by files that are there"),
    ):
        done = osdc("encode", "in", "-o", "out", "--total-bytes", str(total), "--skip-existing", cwd=tmp_path)
        assert done.returncode == 3 and words.encode() in done.stderr and done.stderr.count(b"\n") == 1
    done = osdc(
        "encode", "-", "-o", "-", "--total-bytes", "500", cwd=tmp_path, input=(tmp_path / "in" / "c.png").read_bytes()
    )
    assert done.returncode == 0 and 350 < len(done.stdout) <= 500  # a stream can be read once only


def test_parts_of_the_work_tell_of_the_whole():
    heard: list[float] = []
    first, none, last = stages(heard.append, 1, 0, 3)
    for tell in (first, none, last):
        tell(0.5)
        tell(1)
    assert heard == [0.125, 0.25, 0.25, 0.25, 0.625, 1.0] and stages(None, 1, 2) == [None, None]


def test_a_search_says_how_far_it_is():
    heard: list[float] = []
    largest_below(4000, lambda quality: quality, lambda quality: 10000 - 30 * quality, heard.append)
    assert heard == sorted(heard) and heard[-1] == 1 and len(heard) > 2
    heard.clear()
    smallest_above(0.5, lambda quality: quality, lambda quality: 1 - quality / 255, heard.append)
    assert heard == sorted(heard) and heard[-1] == 1
