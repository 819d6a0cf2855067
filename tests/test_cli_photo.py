"""The main job as a user does it: encode, decode and info on a real photograph, with the embedded weights."""

import io
import json
import os
import resource
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow


def osdc(
    *arguments, cwd: Path, standard_input: bytes | None = None, largest_file: int | None = None
) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "osdcodec", *map(str, arguments)]
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path, "NO_COLOR": "1"}
    limit = largest_file and partial(resource.setrlimit, resource.RLIMIT_FSIZE, (largest_file, largest_file))
    options = {"input": standard_input, "preexec_fn": limit, "capture_output": True, "timeout": 120}
    return subprocess.run(command, cwd=cwd, env=environment, **options)


@pytest.fixture
def folder(tmp_path, photo) -> Path:
    photo.save(tmp_path / "photo.png")
    return tmp_path


def test_there_and_back(folder, photo):
    done = osdc("encode", "photo.png", "-o", "photo.osd", "--lambda", "1", cwd=folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert (folder / "photo.osd").stat().st_size < 2000
    assert osdc("decode", "photo.osd", "-o", "out.png", cwd=folder).returncode == 0
    with Image.open(folder / "out.png") as decoded:
        assert (decoded.format, decoded.mode, decoded.size) == ("PNG", "RGB", photo.size)


def test_outputs_land_beside_the_input(folder):
    original = (folder / "photo.png").read_bytes()
    assert osdc("encode", "photo.png", cwd=folder).returncode == 0
    done = osdc("decode", "photo.osd", cwd=folder)
    assert done.returncode == 5 and b"--overwrite" in done.stderr
    assert (folder / "photo.png").read_bytes() == original
    (folder / "photo.png").unlink()
    assert osdc("decode", "photo.osd", cwd=folder).returncode == 0
    assert sorted(path.name for path in folder.iterdir()) == ["photo.osd", "photo.png"]


def test_through_pipes(folder, photo):
    coded = osdc(
        "encode", "-", "-o", "-", "--lambda", "2", cwd=folder, standard_input=(folder / "photo.png").read_bytes()
    )
    assert coded.returncode == 0 and coded.stdout[:4] == b"\x8fOSD"
    decoded = osdc("decode", "-", "-o", "-", cwd=folder, standard_input=coded.stdout)
    assert decoded.returncode == 0
    assert Image.open(io.BytesIO(decoded.stdout)).size == photo.size
    told = osdc("info", "-", "--json", cwd=folder, standard_input=coded.stdout)
    assert json.loads(told.stdout)["bytes"] == len(coded.stdout)


def test_info_with_parts_adds_up(folder):
    osdc("encode", "photo.png", cwd=folder)
    told = json.loads(osdc("info", "photo.osd", "--parts", "--json", cwd=folder).stdout)
    assert told["profile"] == "small"
    bits = told["token_bits"] + told["hyper_bits"] + told["latent_bits"]
    assert bits == pytest.approx(8 * told["payload_bytes"], rel=0.005, abs=48)
    sizes = ("header_bytes", "payload_bytes", "section_bytes", "checksum_bytes")
    assert sum(told[key] for key in sizes) == told["bytes"] == (folder / "photo.osd").stat().st_size
    table = osdc("info", "photo.osd", "--parts", cwd=folder).stdout.decode()
    assert "bits per pixel" in table and "latent" in table


@pytest.mark.parametrize("suffix", ["jpg", "webp", "bmp", "tiff"])
def test_formats_in_and_out(folder, photo, suffix):
    photo.crop((0, 0, 64, 48)).save(folder / f"in.{suffix}")
    os.rename(folder / f"in.{suffix}", folder / "in.dat")  # the content tells, not the name
    assert osdc("encode", "in.dat", "-o", "x.osd", cwd=folder).returncode == 0
    assert osdc("decode", "x.osd", "-o", f"out.{suffix}", cwd=folder).returncode == 0
    assert Image.open(folder / f"out.{suffix}").size == (64, 48)


def test_alpha_profile_and_metadata(folder, photo):
    picture, exif = photo.crop((0, 0, 64, 48)).convert("RGBA"), Image.Exif()
    picture.putalpha(photo.crop((0, 0, 64, 48)).getchannel("B"))
    exif[0x010F] = "maker"
    picture.save(folder / "rgba.png", exif=exif)
    assert osdc("encode", "rgba.png", "-o", "plain.osd", cwd=folder).stderr == b""
    plain = json.loads(osdc("info", "plain.osd", "--json", cwd=folder).stdout)
    assert plain["sections"] == {}
    done = osdc("encode", "rgba.png", "-o", "all.osd", "--alpha", "keep", "--keep-metadata", "--no-verify", cwd=folder)
    assert (done.returncode, done.stderr) == (0, b"")
    told = json.loads(osdc("info", "all.osd", "--json", cwd=folder).stdout)
    assert told["sections"].keys() == {"A", "e"} and sum(told["sections"].values()) == told["section_bytes"]
    rows = dict(line.split(maxsplit=1) for line in osdc("info", "all.osd", cwd=folder).stdout.decode().splitlines())
    assert rows["alpha"].strip() == f"{told['sections']['A']:,} bytes" and "EXIF" in rows

    done = osdc("decode", "all.osd", "-o", "out.png", cwd=folder)
    assert (done.returncode, done.stderr) == (0, b"")
    with Image.open(folder / "out.png") as decoded:
        assert decoded.getchannel("A").tobytes() == picture.getchannel("A").tobytes()
        assert decoded.getexif()[0x010F] == "maker"
        assert "generative codec, lambda 1" in decoded.text["Comment"]
    done = osdc("decode", "all.osd", "-o", "out.jpg", cwd=folder)
    assert done.returncode == 0 and done.stderr.count(b"\n") == 1 and b"JPEG holds no alpha" in done.stderr
    with Image.open(folder / "out.jpg") as decoded:
        assert decoded.mode == "RGB" and "generative" in decoded.getexif()[0x0131]


def test_an_animation_gives_its_first_frame_and_one_line(folder, photo):
    frames = [photo.crop((0, 0, 64, 48)), photo.crop((20, 20, 84, 68))]
    frames[0].save(folder / "many.gif", save_all=True, append_images=frames[1:])
    done = osdc("encode", "many.gif", cwd=folder)
    assert done.returncode == 0
    assert done.stderr == b"osdc: many.gif: an animation or several pages; only the first is taken\n"


def test_seed_and_detail_change_the_picture_not_the_file(folder):
    osdc("encode", "photo.png", "-o", "a.osd", "--lambda", "2", cwd=folder)
    osdc("encode", "photo.png", "-o", "b.osd", "--lambda", "2", cwd=folder)
    assert (folder / "a.osd").read_bytes() == (folder / "b.osd").read_bytes()
    pictures = {}
    for name, options in {
        "plain": (),
        "again": ("--seed", "0"),
        "seed": ("--seed", "5"),
        "coarse": ("--detail", "0"),
    }.items():
        assert osdc("decode", "a.osd", "-o", f"{name}.bmp", *options, cwd=folder).returncode == 0
        pictures[name] = np.asarray(Image.open(folder / f"{name}.bmp"))
    assert np.array_equal(pictures["plain"], pictures["again"])
    assert not np.array_equal(pictures["plain"], pictures["seed"])
    assert not np.array_equal(pictures["plain"], pictures["coarse"])


def test_an_output_that_cannot_be_written_is_one_line_and_no_file(folder):
    (folder / "photo.osd").write_bytes(b"precious")
    for target in ("photo.osd", "new.osd"):
        done = osdc("encode", "photo.png", "-o", target, cwd=folder, largest_file=20)
        assert (done.returncode, done.stdout) == (5, b"")
        assert done.stderr.decode() == f"osdc: {target}: cannot be written (File too large); name another with -o\n"
    assert (folder / "photo.osd").read_bytes() == b"precious"
    assert sorted(path.name for path in folder.iterdir()) == ["photo.osd", "photo.png"]


def test_a_folder_goes_past_a_bad_picture(folder, photo):
    pictures = folder / "pictures"
    pictures.mkdir()
    for name in ("a", "c"):
        photo.crop((0, 0, 40, 30)).save(pictures / f"{name}.png")
    (pictures / "b.png").write_bytes(b"not a picture")
    done = osdc("encode", "pictures", "-o", "coded", "--quiet", cwd=folder)
    assert done.returncode == 3 and done.stderr.count(b"\n") == 1 and b"b.png" in done.stderr
    assert sorted(path.name for path in (folder / "coded").iterdir()) == ["a.osd", "c.osd"]
    assert osdc("decode", "coded", "-o", "back", cwd=folder).returncode == 0
    assert sorted(path.name for path in (folder / "back").iterdir()) == ["a.png", "c.png"]


def test_a_damaged_payload_is_refused_whatever_the_checksum_says(folder):
    import zlib

    osdc("encode", "photo.png", cwd=folder)
    data = bytearray((folder / "photo.osd").read_bytes())
    data[60] ^= 1
    data[-4:] = zlib.crc32(data[:-4]).to_bytes(4, "little")
    (folder / "bad.osd").write_bytes(data)
    done = osdc("decode", "bad.osd", "-o", "bad.png", cwd=folder)
    assert done.returncode == 3 and b"payload" in done.stderr and done.stderr.count(b"\n") == 1
    assert not (folder / "bad.png").exists()


def test_cuda_without_a_gpu_is_one_line(folder):
    if Path("/dev/nvidiactl").exists():
        pytest.skip("a GPU may be available")
    done = osdc("encode", "photo.png", "--device", "cuda", cwd=folder)
    assert done.returncode == 4 and done.stderr.count(b"\n") == 1 and not (folder / "photo.osd").exists()
