"""Tiles fit together as if they were the whole picture."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from osdcodec import image, weights
from osdcodec.profile import PROFILES, SMALL
from osdcodec.runtime import tiles
from osdcodec.runtime.tiles import SHARES, TiledRuntime, spans

pytestmark = pytest.mark.slow

MARGINS = tiles.MARGINS["small"]
torch = pytest.importorskip("torch")
from osdcodec.models import CodecModel  # noqa: E402
from osdcodec.runtime.torch import TorchRuntime  # noqa: E402
from osdcodec.training.export import reach  # noqa: E402
from osdcodec.weights import loading  # noqa: E402


@pytest.fixture(scope="module")
def runtime() -> TorchRuntime:
    """The embedded networks, and random numbers wherever they hold zeros: every layer says something."""
    runtime = TorchRuntime(weights.load("small"))
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in runtime.model.parameters():
            if not parameter.any():
                parameter.normal_(0, 0.03)
    return runtime


def gradient(width: int, height: int) -> Image.Image:
    across, down = np.linspace(60, 200, width), np.linspace(0, 40, height)[:, None]
    return Image.fromarray(
        np.stack([across + down, across - down, 250 - across + down], 2).clip(0, 255).astype(np.uint8)
    )


def texture(width: int, height: int) -> Image.Image:
    random = np.random.default_rng(4)
    return Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8))


def test_spans_cover_everything_once():
    for length in (1, 3, 4, 5, 63, 64, 65, 129, 375):
        parts = spans(length, margin=6)
        assert [place for span in parts for place in range(span.start, span.stop)] == list(range(length))
        for span in parts:
            assert span.start % 4 == 0 and span.stop - span.start <= 64
            assert span.low == max(0, span.start - 6) and span.high == min(length, span.stop + 6)


def test_no_receptive_field_is_wider_than_its_margin(runtime):
    """What is measured at export: weights that tell nothing are taken to have as much, and one position more of the denoiser."""
    assert reach.margins(runtime.model) == MARGINS | {"denoise": MARGINS["denoise"] - 1}


def test_one_more_block_reaches_farther(runtime):
    """So a recipe that adds one needs margins of its own: 16.9 positions in place of 15.9."""
    layers = list(SMALL.decoder_layers)
    layers[-1] += 1
    made = CodecModel(replace(SMALL, decoder_layers=tuple(layers))).eval()
    assert (
        reach._reach(made, "render", reach.SIDE)
        > MARGINS["render"]
        >= reach._reach(runtime.model, "render", reach.SIDE)
    )


def test_margins_of_the_weights_go_before_those_of_the_profile(runtime):
    own = {"analyse": 4, "synthesise": 1, "denoise": 2, "render": 3}
    (first, *_) = TiledRuntime(runtime, SMALL, core=8, margins=own)._tiles("render", 64, 8)
    assert first.rows.high - first.rows.stop == 3
    (first, *_) = TiledRuntime(runtime, SMALL, core=8)._tiles("render", 64, 8)
    assert first.rows.high - first.rows.stop == MARGINS["render"]
    assert tiles.margins_of(replace(SMALL, decoder_semantics=True))["denoise"] == MARGINS["denoise"] + 1
    assert tiles.margins_of(PROFILES["turbo"]) is None
    deeper = replace(SMALL, decoder_layers=(*SMALL.decoder_layers[:-1], SMALL.decoder_layers[-1] + 1))
    assert tiles.margins_of(deeper) is None, "nobody knows how far it reaches"


def test_weights_tell_their_margins():
    told = weights.metadata_for(SMALL, MARGINS)["margins"]
    assert loading.read_margins(told, SMALL) == MARGINS and loading.read_margins(None, SMALL) is None
    for wrong in ("{}", "[]", "{", told.replace("28", "27"), told.replace("16", "-1"), told.replace("16", "16.5")):
        with pytest.raises(ValueError):
            loading.read_margins(wrong, SMALL)


@pytest.mark.parametrize("make", [gradient, texture])
@pytest.mark.parametrize("size", [(1900, 70), (70, 1900), (500, 500)])
def test_tiles_make_the_whole(runtime, make, size):
    profile, picture = runtime.profile, make(*size)
    heard: list[float] = []
    whole = TiledRuntime(runtime, profile, core=100)
    tiled = TiledRuntime(runtime, profile, progress=heard.append, core=12)
    (y, hyper, tokens), (y2, hyper2, tokens2) = whole.analyse(picture), tiled.analyse(picture)
    assert np.array_equal(tokens, tokens2)
    assert np.allclose(y, y2, atol=1e-3) and np.allclose(hyper, hyper2, atol=1e-3)
    assert np.std(y) > 0.01 and heard[-1] == pytest.approx(SHARES["analyse"])

    tiled.done = 0.0
    (z_c, condition), (z_c2, condition2) = (verbs.synthesise(np.round(4 * y), tokens) for verbs in (whole, tiled))
    assert np.allclose(z_c, z_c2, atol=1e-3) and np.allclose(condition, condition2, atol=1e-3)
    noise = np.random.default_rng(3).standard_normal(z_c.shape, np.float32)
    z, z2 = (verbs.denoise(z_c, condition, tokens, noise, 200) for verbs in (whole, tiled))
    assert np.allclose(z, z2, atol=1e-3) and not np.allclose(z, z_c, atol=1e-2)
    out, out2 = (np.asarray(verbs.render(z, *size), int) for verbs in (whole, tiled))
    assert out.shape == (size[1], size[0], 3)
    assert np.abs(out - out2).max() <= 1  # a value on the edge between two integers may fall to either side
    assert len(heard) > 12 and heard[-1] == pytest.approx(1) and max(heard) <= 1


def test_a_picture_of_one_tile_is_not_cut(runtime):
    picture, profile = texture(70, 33), runtime.profile
    y, _, _ = TiledRuntime(runtime, profile).analyse(picture)
    assert np.array_equal(
        y, runtime.analyse(image.to_array(picture, profile.stride), image.thumbnail(picture, profile.thumb))[0]
    )


def test_short_of_memory_the_tiles_become_smaller(runtime, monkeypatch):
    z = np.random.default_rng(3).standard_normal((1, runtime.profile.autoencoder_channels, 80, 96), np.float32)
    whole, render, seen = TiledRuntime(runtime, runtime.profile), runtime.render, []

    def limited(part: np.ndarray) -> np.ndarray:
        if max(part.shape[2:]) > 80:
            raise MemoryError
        seen.append(part.shape)
        return render(part)

    expected = np.asarray(whole.render(z, 1530, 1280), int)
    monkeypatch.setattr(runtime, "render", limited)
    tiled = TiledRuntime(runtime, runtime.profile)
    assert np.abs(np.asarray(tiled.render(z, 1530, 1280), int) - expected).max() <= 1
    assert len(seen) > 1 and tiled.done == pytest.approx(SHARES["render"])
    monkeypatch.setattr(runtime, "render", lambda part: limited(np.zeros((1, 1, 99, 99))))
    with pytest.raises(MemoryError):
        TiledRuntime(runtime, runtime.profile).render(z, 1530, 1280)
