"""The map of trust: what it is computed from, what it says, how it is drawn, and what an encoder may tell."""

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import osdcodec
from osdcodec import container, image, weights
from osdcodec.checks.trust import calibration, rank_correlation
from osdcodec.codec import Decoder, Encoder
from osdcodec.container import sections
from osdcodec.errors import FormatError, TargetError, WeightsError
from osdcodec.families import open_decoder
from osdcodec.rate_control import Target
from osdcodec.runtime import Machine
from osdcodec.trust import drawing, network, told
from osdcodec.trust.maps import TrustMap, block_means, grid
from osdcodec.trust.truth import measure

pytestmark = pytest.mark.slow

EXAMPLES, SPEC = Path(__file__).parents[1] / "examples", Path(__file__).parents[1] / "spec"
VECTORS = json.loads((SPEC / "vectors/told/sections.json").read_text())


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return Image.open(EXAMPLES / "coffee.png").convert("RGB").crop((60, 60, 316, 241))  # 256x181


@pytest.fixture(scope="module")
def model():
    return open_decoder(weights.load("small"), Machine("cpu", threads=1))


@pytest.fixture(scope="module")
def coded(photo) -> bytes:
    return osdcodec.encode(photo, 0.5, tell_errors=True, effort=0)


@pytest.fixture(scope="module")
def mapped(coded) -> tuple[Image.Image, TrustMap]:
    return osdcodec.decode(bare(coded), trust=True)


def bare(data: bytes) -> bytes:
    return container.pack(replace(container.unpack(data), sections=()))


def test_block_means_of_whole_and_cut_blocks():
    plane = np.arange(5.0 * 7).reshape(5, 7)
    means = block_means(plane, 4)
    assert means.shape == grid(7, 5, 4) == (2, 2)
    assert means[0, 0] == plane[:4, :4].mean() and means[1, 1] == plane[4:, 4:].mean()


def test_the_truth_is_what_it_says(photo):
    shown = Image.fromarray(np.asarray(photo) // 2 + 60)
    true, same = measure(photo, shown), measure(photo, photo)
    assert true.luma.shape == true.chroma.shape == true.texture.shape == grid(*photo.size) == (12, 16)
    first = [np.asarray(p, float)[:16, :16] @ [0.299, 0.587, 0.114] for p in (photo, shown)]
    assert true.luma[0, 0] == pytest.approx(np.sqrt(np.square(first[0] - first[1]).mean()), rel=1e-4)
    assert same.luma.max() == same.chroma.max() == 0
    assert true.texture.max() > 0.95  # half the contrast, but every line in its place
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (181, 256, 3), np.uint8))
    assert np.abs(measure(photo, noise).texture).mean() < 0.15


def test_the_map_tells_where_the_error_is(photo, mapped):
    shown, trust = mapped
    true = measure(photo, shown)
    assert trust.luma.shape == grid(*photo.size) and (trust.width, trust.height) == photo.size and not trust.told
    assert trust.to_array().shape == (3, 12, 16) and trust.to_array().dtype == np.float32
    assert (trust.luma > 0).all() and 0 <= trust.texture.min() <= trust.texture.max() <= 1
    assert rank_correlation(trust.luma, true.luma) > 0.7
    assert 0.6 < np.sqrt(np.square(true.luma).mean() / np.square(trust.luma).mean()) < 1.7


def test_asking_for_the_map_changes_no_pixel(coded, mapped):
    assert osdcodec.decode(bare(coded)).tobytes() == mapped[0].tobytes()


def test_previews_details_grey_and_beginnings_have_maps(photo):
    data = osdcodec.encode(photo.convert("L"), 0.5, progressive=True, effort=0)
    whole, trust = osdcodec.decode(data, trust=True)
    assert whole.mode == "L" and trust.chroma.max() == 0
    beginning = osdcodec.decode(data[: len(data) * 3 // 5], partial=True, trust=True)[1]
    assert np.square(beginning.luma).mean() > 1.1 * np.square(trust.luma).mean()  # what has not arrived counts
    preview, coarse = osdcodec.decode(data, preview=True, trust=True)
    assert preview.size == (128, 91) and coarse.luma.shape == trust.luma.shape
    assert osdcodec.decode(data, detail=0, trust=True)[1].luma.shape == trust.luma.shape


def test_a_region_of_interest_is_trusted_more(photo):
    box = (0, 0, 128, 181)
    plain = osdcodec.decode(osdcodec.encode(photo, 2, effort=0), trust=True)[1]
    better = osdcodec.decode(osdcodec.encode(photo, 2, roi=[box], effort=0), trust=True)[1]
    assert better.luma[:, :8].mean() < 0.95 * plain.luma[:, :8].mean()


def test_tiles_fit_together(model, coded, monkeypatch):
    """A tile holds the same numbers as the whole: no output depends on what is farther than the margin."""
    osd = container.unpack(coded)
    reading = model.read(osd, model.symbols(osd))
    whole = network.expect(reading, model.weights, 1).to_array()
    far = replace(reading, picture=reading.picture.copy(), coarse=reading.coarse.copy())
    far.picture.paste((255, 0, 255), (0, 0, 32, 181))
    far.coarse[..., :2] += 9
    monkeypatch.setattr(network, "CORE", 3)
    assert np.allclose(network.expect(reading, model.weights, 1).to_array(), whole, atol=2e-3, rtol=2e-3)
    monkeypatch.setattr(network, "MARGIN", 0)
    assert not np.allclose(network.expect(reading, model.weights, 1).to_array(), whole, atol=2e-3, rtol=2e-3)
    reach = 2 * 8 + 2  # in places: MARGIN positions of y beyond the two columns that were changed
    monkeypatch.undo()
    assert np.allclose(network.expect(far, model.weights, 1).to_array()[..., reach:], whole[..., reach:])


@pytest.mark.parametrize("folder", ["conformance", "cod-lite"])
def test_weights_without_a_map_are_refused_and_the_picture_is_written(tmp_path, folder):
    vector = SPEC / "vectors" / folder / "grey.osd"
    out, trust = tmp_path / "out.png", tmp_path / "trust.png"
    command = [sys.executable, "-m", "osdcodec", "decode", str(vector), "-o", str(out), "--trust", str(trust)]
    command += ["--weights-dir", str(vector.parent)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 4 and done.stderr.count("\n") == 1 and "no map of trust" in done.stderr
    assert out.exists() and not trust.exists()
    with pytest.raises(WeightsError, match="no map of trust"):
        Decoder(device="cpu", weights_dir=vector.parent).decode(vector, trust=True)


def test_a_map_that_is_not_the_one_listed_is_refused(model, tmp_path):
    listed, source = (tmp_path / "weights.toml"), model.weights.path
    text = Path(weights.registry.installed()).read_text("utf-8")
    listed.write_text(text)
    (tmp_path / "small.safetensors").symlink_to(source)
    (tmp_path / "trust.onnx").write_bytes(b"no graph")
    with pytest.raises(WeightsError, match="not the file listed"):
        weights.trust_graph(weights.load("small", tmp_path))
    (tmp_path / "trust.onnx").unlink()  # the package has it too
    assert weights.trust_graph(weights.load("small", tmp_path)) == (source.parent / "trust.onnx").read_bytes()


def test_pictures_and_numbers_of_the_map(mapped):
    picture, trust = mapped
    drawn, lines = drawing.over_grey(picture, trust), drawing.hatched(picture, trust)
    assert drawn.width == lines.width == picture.width and drawn.height > picture.height < lines.height
    assert np.array_equal(np.load(io.BytesIO(drawing.numbers(trust))), trust.to_array())
    assert drawing.over_grey(picture.resize((64, 45)), trust).width == 64
    steps = drawing.coloured(np.linspace(0, 1, 9)).astype(float) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(steps) > 0).all()  # ever lighter, for all eyes
    certain = replace(trust, texture=np.ones_like(trust.texture))
    assert np.array_equal(np.asarray(drawing.hatched(picture, certain))[: picture.height], np.asarray(picture))


@pytest.mark.parametrize("case", VECTORS["good"], ids=lambda case: f"{case['width']}x{case['height']}")
def test_told_errors_of_the_vectors(case):
    steps, content = np.array(case["steps"]), bytes.fromhex(case["content"])
    assert told.encode(steps) == content
    assert told.decode(content, case["width"], case["height"]).tolist() == case["steps"]


def test_told_errors_are_the_bytes_of_the_specification():
    assert "`00 00 00 ef 19 57 07`" in (SPEC / "osd-1.md").read_text("utf-8")
    assert told.encode(np.array([[0, 1, 2], [3, 4, 7]])) == bytes.fromhex("000000ef195707")
    assert (told.FREQUENCIES.sum(1) == 256).all() and (told.FREQUENCIES > 0).all()


@pytest.mark.parametrize("case", VECTORS["bad"], ids=lambda case: case["why"])
def test_bad_told_errors_are_refused(case):
    content, size = bytes.fromhex(case["content"]), (case["width"], case["height"])
    with pytest.raises((FormatError, ValueError)):
        told.decode(sections.read(told.LETTER, content, 0, size), *size)


def test_a_told_map_is_true(photo, coded):
    shown, trust = osdcodec.decode(coded, trust=True)
    (kind, content) = container.unpack(coded).sections[-1]
    assert kind == "t" and trust.told
    steps = told.decode(content, *photo.size)
    assert np.array_equal(steps, told.steps_of(photo, shown))
    means = np.sqrt(block_means(np.square(trust.luma.astype(float)), 2))
    assert (means >= np.array([0, *told.LIMITS])[steps] * 0.999).all()
    assert (means[steps < 7] <= np.array(told.LIMITS)[steps[steps < 7]] * 1.001).all()
    assert not osdcodec.decode(coded, seed=3, trust=True)[1].told  # that is another picture


def test_a_size_holds_with_told_errors(photo):
    limit = 900
    encoder = Encoder(device="cpu")
    data = encoder.encode(photo, target=Target(max_bytes=limit), tell_errors=True, effort=0)
    assert 0.8 * limit < len(data) <= limit and container.unpack(data).sections
    smallest = len(encoder.encode(photo, 2.0, effort=0))
    with pytest.raises(TargetError):
        encoder.encode(photo, target=Target(max_bytes=smallest), tell_errors=True, effort=0)


def test_decoded_pictures_are_marked_unless_asked_not_to(coded):
    marked, unmarked = osdcodec.decode(coded), osdcodec.decode(coded, mark=False)
    assert (
        f"decoded from {len(coded)} bytes by osdc" in marked.info["comment"]
        and b"DigitalSourceType" in marked.info["xmp"]
    )
    assert not unmarked.info.keys() & {"xmp", "comment"} and unmarked.tobytes() == marked.tobytes()
    for name in ("PNG", "JPEG", "WEBP", "TIFF"):
        again = Image.open(io.BytesIO(image.encode_image(marked, name)))
        again.load()
        assert b"compositeWithTrainedAlgorithmicMedia" in again.info["xmp"]


def test_our_own_mark_is_not_kept_as_metadata(coded):
    picture = osdcodec.decode(coded)
    again = osdcodec.encode(picture, keep_metadata=True, effort=0)
    assert "x" not in dict(container.unpack(again).sections)


def test_no_warning_where_a_format_has_no_place_for_the_mark(coded, recwarn):
    image.encode_image(osdcodec.decode(coded), "BMP")
    assert not recwarn


def test_expected_errors_can_be_recalibrated(model):
    """Here e levels become 2 * 8 * (e / 8) ** 0.5; chroma and texture stay."""
    torch = pytest.importorskip("torch")
    from osdcodec.training.trust.fit import recalibrate
    from osdcodec.training.trust.network import TrustNetwork

    torch.manual_seed(0)
    fitted = TrustNetwork(model.profile, model.weights.tensors).eval()
    sizes = [(3, 64, 64), (48, 4, 4), (48, 4, 4), (160, 2, 2), (160, 2, 2), (3, 4, 4)]
    inputs = [torch.randn(1, *size) for size in sizes]
    with torch.no_grad():
        before = fitted(*inputs)
        recalibrate(fitted, 2.0, 0.5)
        after = fitted(*inputs)
    levels = torch.exp2(before[:, 0] / 2)
    assert torch.allclose(torch.exp2(after[:, 0] / 2), 16 * (levels / 8) ** 0.5, rtol=1e-4)
    assert torch.equal(after[:, 1:], before[:, 1:])


def test_the_fit_values_the_order_of_places():
    torch = pytest.importorskip("torch")
    from osdcodec.training.trust.fit import order_loss

    true = torch.from_numpy(np.random.default_rng(2).exponential(size=(3, 24, 24)).astype(np.float32))
    right, level = torch.log2(true), torch.tensor([-3.0, 0, 5])[:, None, None]
    assert float(order_loss(right, true)) < 0.1 < 1.9 < float(order_loss(-right, true))
    assert float(order_loss(right + level, true)) == pytest.approx(float(order_loss(right, true)), abs=1e-4)
    assert float(order_loss(torch.zeros_like(true), true)) == pytest.approx(1)  # no order at all


def test_windows_of_photographs_have_one_size_and_half_of_them_grain():
    pytest.importorskip("torch")
    from osdcodec.training.trust.samples import SIDE, _window

    plain = np.full((400, 500, 3), 128, np.uint8)
    windows = [_window(plain, np.random.default_rng(seed)) for seed in range(40)]
    assert {window.size for window in windows if window} == {(SIDE, SIDE)} and None not in windows
    grained = sum(np.asarray(window).std() > 0.3 for window in windows if window)
    assert 10 <= grained <= 30
    assert _window(plain[: SIDE - 1], np.random.default_rng(0)) is None


def test_rank_correlation_and_calibration():
    random = np.random.default_rng(1)
    a = random.normal(size=1000)
    assert rank_correlation(a, np.exp(a)) == pytest.approx(1) and rank_correlation(a, -a) == pytest.approx(-1)
    assert rank_correlation(np.array([1, 1, 2, 3]), np.array([1, 2, 3, 4])) == pytest.approx(0.9486833)
    expected = np.exp(a)
    true = expected * np.sqrt(random.exponential(size=1000))
    assert np.abs(calibration(expected, true, 5) - 1).max() < 0.15
