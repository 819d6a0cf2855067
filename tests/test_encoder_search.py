"""The encoder's search for better symbols, its gradients, and effort as people give it."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from osdcodec import Decoder, Encoder, Target, info, weights
from osdcodec.effort import LEVELS, VARIABLE, Plan, plan_for
from osdcodec.entropy.price import Price
from osdcodec.errors import InputError, WeightsError
from osdcodec.latent import encoder_search
from osdcodec.latent.descent import Adam, priced_step
from osdcodec.latent.encoder_search import EncoderSearch, prices_at
from osdcodec.profile import SMALL
from osdcodec.rate_control import quality_byte
from osdcodec.runtime import Machine, search
from osdcodec.runtime.torch import load_model
from osdcodec.runtime.torch_search import TorchNetworks
from osdcodec.weights.search import with_search

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(device="cpu")


@pytest.fixture(scope="module")
def opened() -> EncoderSearch:
    return EncoderSearch(weights.load(), Machine("cpu", threads=1))


def inputs(opened: EncoderSearch, picture: Image.Image, encoder: Encoder) -> dict[str, np.ndarray]:
    """Of the graph `distance`, for a picture at λ = 1."""
    analysed, quality = encoder.coder.analyse(picture), quality_byte(1.0)
    _, symbols = analysed(quality)
    x = encoder_search.image.to_array(picture, SMALL.stride)
    noise = encoder_search.standard_normals(0, (1, 48, *(2 * side for side in symbols.y16.shape[1:])))
    gains = opened.prior.gain_maps(quality)
    prices = {f"{name}_price": np.array([p], np.float32) for name, p in prices_at(quality).items() if name != "bits"}
    known = opened._known(x, noise, analysed.tokens, quality)
    place = np.array([8, 16, 72, 80])
    return known | prices | {"values": (symbols.y16 / 16 * gains.inverse)[None].astype(np.float32), "place": place}


def test_the_gradient_is_that_of_torch(opened, photo, encoder):
    given = inputs(opened, photo.crop((40, 20, 168, 116)), encoder)
    plain = TorchNetworks(weights.load(), opened.weights.tensors)
    ours, theirs = (networks.run("distance", **given) for networks in (opened.networks, plain))
    for a, b in zip(ours[:4], theirs[:4], strict=True):
        assert a == pytest.approx(b, rel=1e-3) and b > 0
    a, b = ours[4].ravel(), theirs[4].ravel()
    assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.9999
    for a, b in zip(opened.networks.run("look", x=given["x"]), plain.run("look", x=given["x"]), strict=True):
        assert np.abs(a - b).max() < 1e-3


@pytest.mark.parametrize("device", ["cpu", "openvino-bf16"])
def test_the_gradient_is_that_of_finite_differences(opened, device):
    if device != "cpu":
        pytest.importorskip("openvino")
    assert search.slope_ratio(
        search._networks(weights.load(), opened.weights, search.choose(device), 1), opened.weights
    ) == pytest.approx(1, abs=0.3)


def test_a_runtime_with_a_wrong_gradient_is_not_used(opened, monkeypatch, caplog):
    class Wrong:
        def preload(self, *verbs: str) -> None: ...

        def run(self, verb: str, **given: np.ndarray) -> list[np.ndarray]:
            *parts, gradient = opened.networks.run(verb, **given)
            return [*parts, gradient if verb == "look" else np.roll(gradient, 1, 1)]

    monkeypatch.setenv("OSDC_CACHE", "")
    monkeypatch.setattr(search, "_networks", lambda *told: Wrong())
    with caplog.at_level(logging.INFO, "osdcodec.search"), pytest.raises(WeightsError, match="no runtime here"):
        search.open_search(weights.load(), Machine("cpu"))
    assert "the gradient of ONNX Runtime is wrong" in caplog.text


def test_bits_and_their_gradient_are_those_of_the_twin_in_torch(opened):
    random, quality = np.random.default_rng(1), 130
    latent = random.laplace(0, 1, (160, 5, 6)).astype(np.float32)
    hyper = random.normal(0, 2, (32, 2, 2)).astype(np.float32)
    found = Price(opened.prior, opened.weights.tensors, quality, (5, 6))((latent, hyper))
    twin = load_model(weights.load()).prior
    twin.price(opened.weights.tensors["prior.tables"])
    places = [torch.from_numpy(part[None]).requires_grad_() for part in (latent, hyper)]
    values, bits, _ = twin(*places, torch.tensor([float(quality)]))
    assert np.array_equal(found.values, values[0].detach().numpy())
    assert found.bits == pytest.approx(float(bits.detach().sum()), rel=1e-5)
    for ours, place in zip(found.gradients, torch.autograd.grad(bits.sum(), places), strict=True):
        theirs = place[0].numpy()
        assert np.sum(ours * theirs) / np.linalg.norm(ours) / np.linalg.norm(theirs) > 0.999


def test_a_step_has_the_bits_it_may_have():
    """With bits that are the sum of squares, and a distortion that asks for more of them."""

    def bits(places: tuple[np.ndarray, ...]) -> float:
        return float(np.square(places[0]).sum())

    start = (np.ones(50, np.float32),)
    wanted = bits(start)
    gradients = (-np.linspace(0.5, 2, 50, dtype=np.float32),), (2 * start[0],)
    descent, place, count, _ = priced_step(Adam(0.1, 2), start, *gradients, 0.5, bits, wanted)
    assert 0.98 * wanted < count <= wanted and descent.step == 1
    assert place[0][-1] > 1 > place[0][0]


@pytest.mark.parametrize("lmbda", [1.0, 0.1])
def test_the_picture_is_nearer_and_the_file_no_larger(opened, encoder, photo, lmbda):
    plain, searched = (encoder.encode(photo, lmbda, effort=effort) for effort in (0, 3))
    assert searched != plain and len(searched) <= len(plain) + 4  # a word of the range coder
    assert info(searched)["lambda"] == info(plain)["lambda"]

    def lpips(data: bytes, seed: int = 0) -> float:
        shown = Decoder("cpu").decode(data, seed)
        a, b = (opened.networks.run("look", x=encoder_search.image.to_array(p, 32)) for p in (shown, photo))
        return sum(float(np.square(u - v).sum(1).mean()) for u, v in zip(a, b, strict=True))

    assert lpips(searched) < 0.93 * lpips(plain)
    # It is the decoder that is searched through, and not the noise that it draws.
    assert lpips(searched, 9) < 0.95 * lpips(plain, 9)


def test_the_default_searches_and_finds_the_same_again(encoder, photo, monkeypatch):
    monkeypatch.delenv(VARIABLE)
    data = encoder.encode(photo)
    assert data == Encoder(device="cpu").encode(photo) == encoder.encode(photo, effort=2)
    assert data != encoder.encode(photo, effort=0)


def test_windows_meet_and_progress_is_told(opened, encoder, photo, monkeypatch):
    monkeypatch.setattr(encoder_search, "CORE", 4)
    heard: list[float] = []
    picture = photo.resize((260, 140))
    analysed = encoder.coder.analyse(picture)
    latents = analysed.y, analysed.hyper, analysed.tokens
    y, hyper = opened(picture, *latents, 196, Plan(1, 64), None, heard.append)
    assert y.shape == analysed.y.shape and hyper.shape == analysed.hyper.shape
    assert np.abs(y - analysed.y).reshape(-1, 5, 9).max(0).min() > 0  # every position was looked at
    assert len(heard) == 2 * 3 and heard == sorted(heard) and heard[-1] == 1


@pytest.mark.parametrize("length", [1, 4, 5, 24, 25, 38, 49, 63, 95, 126])
def test_windows_see_parts_of_one_size_with_margins(length):
    spans = encoder_search.windows(length, 4)
    assert [span.start for span in spans] == [0, *(span.stop for span in spans[:-1])] and spans[-1].stop == length
    assert len({span.high - span.low for span in spans}) == 1 and not any(span.low % 4 for span in spans)
    for span in spans:
        assert max(0, span.start - 4) >= span.low >= 0 and min(length, span.stop + 4) <= span.high <= length


@pytest.mark.parametrize(("factor", "higher"), [(1.1, True), (0.9, False)])
def test_a_size_is_kept_whatever_the_search_finds(encoder, photo, monkeypatch, factor, higher):
    monkeypatch.setattr(EncoderSearch, "__call__", lambda self, rgb, y, hyper, *others: (factor * y, hyper))
    limit = Target(max_bytes=len(encoder.encode(photo, 0.8, effort=0)))
    plain, searched = (encoder.encode(photo, target=limit, effort=effort) for effort in (0, 2))
    assert len(searched) <= limit.max_bytes
    assert (info(searched)["lambda"] > info(plain)["lambda"]) == higher
    least = len(encoder.encode(photo, 2.0, effort=0))  # which the larger latents cannot have
    assert len(encoder.encode(photo, target=Target(max_bytes=least), effort=2)) <= least


def test_a_single_pixel_progressive_files_regions_and_a_similarity(encoder, photo):
    data = encoder.encode(Image.new("RGB", (1, 1), "red"), effort=1)
    assert Decoder("cpu").decode(data).size == (1, 1)
    assert info(encoder.encode(photo, effort=1, progressive=True))["progressive"]
    plain, searched = (encoder.encode(photo, roi=[(0, 0, 64, 64)], effort=effort) for effort in (0, 1))
    assert plain != searched and len(searched) <= len(plain) + 4
    assert encoder.encode(photo, target=Target(ms_ssim=0.7), effort=1)


def test_where_it_cannot_serve_it_is_left_out(encoder, photo, monkeypatch, caplog):
    model = weights.load()
    other = replace(model, profile=replace(SMALL, base_codes=8))
    with pytest.raises(WeightsError, match="no search file for models like small"):
        with_search(other)
    monkeypatch.setattr("osdcodec.weights.registry.search", dict)
    with caplog.at_level(logging.INFO, "osdcodec.search"):
        left = Encoder(device="cpu").encode(photo, effort=1)
    assert left == encoder.encode(photo, effort=0) and "the encoder did not search" in caplog.text


def test_effort_is_a_level_or_found_by_the_size(monkeypatch):
    assert plan_for("auto", 768, 512) is None  # the tests' OSDC_EFFORT is 0
    monkeypatch.setenv(VARIABLE, "11")
    with pytest.raises(InputError, match="OSDC_EFFORT must be a whole number from 0 to 10, not 11"):
        plan_for("auto", 768, 512)
    monkeypatch.delenv(VARIABLE)
    assert plan_for(0, 9, 9) is None and plan_for(10, 9, 9) == LEVELS[9] and len(LEVELS) == 10
    assert [plan_for("auto", *size) for size in ((768, 512), (1024, 1024), (4000, 3000))] == [*LEVELS[1::-1], None]
    with pytest.raises(ValueError, match="effort must be auto or a whole number from 0 to 10"):
        Encoder(device="cpu").encode(Image.new("RGB", (9, 9)), effort=11)


def test_inputs_of_many_bytes_are_searched_too(photo, monkeypatch):
    """They make ONNX Runtime give memory back, which a gradient's session cannot."""
    monkeypatch.setattr("osdcodec.runtime.onnx.LARGE", 1)
    picture = photo.resize((96, 64))
    encoder = Encoder(device="cpu")
    assert encoder.encode(picture, effort=1) != encoder.encode(picture, effort=0)
