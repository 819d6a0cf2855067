"""What the embedded networks make of plain pictures by themselves, before a flat background is restored: flat ones at every size, and grey ones."""

import numpy as np
import pytest
from helpers.pictures import EXAMPLES, screen, without_flat_background
from PIL import Image, ImageFilter

from osdcodec.codec import Decoder, Encoder
from osdcodec.rate_control import ANCHORS

pytestmark = pytest.mark.slow

SIZES = [(200 + 21 * k, 200 + 23 * k) for k in range(31)] + [(800, 600), (1440, 900), (640, 480), (1920, 1080)]


@pytest.fixture(scope="module")
def coders() -> tuple[Encoder, Decoder]:
    """In single precision: half precision strays by two levels more."""
    return Encoder(device="cpu"), Decoder("cpu")


def errors(coders: tuple[Encoder, Decoder], picture: Image.Image, lmbda: float) -> np.ndarray:
    """Largest error of a channel at each pixel, in levels (H, W)."""
    encoder, decoder = coders
    decoded = decoder.decode(without_flat_background(encoder.encode(picture, lmbda))).convert("RGB")
    return np.abs(np.asarray(decoded, int) - np.asarray(picture, int)).max(2)


@pytest.mark.parametrize("number", range(len(SIZES)))
def test_flat_pictures_stay_flat_up_to_their_borders(coders, number):
    """Every count of rows and columns beyond whole blocks comes up: where padding begins is where smudges were."""
    level, lmbda = (255, 128, 0)[number % 3], (1.0, 0.1, 2.0)[number // 3 % 3]
    found = errors(coders, Image.new("RGB", SIZES[number], (level,) * 3), lmbda)
    assert found.max() <= 10 and found.max() <= found[16:-16, 16:-16].max() + 3


@pytest.mark.parametrize("level", [0, 128, 200, 255])
@pytest.mark.parametrize("size", [(96, 64), (33, 150)])
def test_small_plain_pictures_keep_their_level(coders, size, level):
    """They are of a few blocks, each of them beside a border, and a step of a block's mean is ten levels at lambda 1."""
    encoder, decoder = coders
    decoded = np.asarray(
        decoder.decode(without_flat_background(encoder.encode(Image.new("L", size, level), 1.0))), float
    )
    assert abs(decoded.mean() - level) <= 3


@pytest.mark.parametrize("turns", range(4))
def test_small_gradients_reach_both_ends(coders, turns):
    """From black to white over three blocks, upright or across, either way."""
    encoder, decoder = coders
    slope = np.rot90(np.tile(np.linspace(0, 255, 96).round().astype(np.uint8), (64, 1)), turns)
    decoded = np.asarray(decoder.decode(encoder.encode(np.ascontiguousarray(slope), 1.0)), float)
    first, last = (np.rot90(decoded, -turns)[:, side].mean() for side in (0, -1))
    assert first <= 16 and last >= 240


@pytest.mark.parametrize("lmbda", ANCHORS)
def test_the_plain_ground_of_a_screen_has_no_ghosts(coders, lmbda):
    """Words are lost at these rates; what is 24 pixels and more from anything stays as it is. At lambda 2 the bar's upper edge strays."""
    picture = screen()
    highest, lowest = (np.asarray(picture.filter(of(49))) for of in (ImageFilter.MaxFilter, ImageFilter.MinFilter))
    background = (highest == lowest).all(2)
    assert 0.3 < background.mean() < 0.7
    assert errors(coders, picture, lmbda)[background].max() <= (14 if lmbda == 2 else 10)


@pytest.mark.parametrize("lmbda", [2.0, 1.0, 0.1])
@pytest.mark.parametrize("name", ["astronaut", "coffee"])
def test_grey_photographs_have_hardly_any_colour_before_their_flag_is_heeded(coders, name, lmbda):
    """R = G = B but for one pixel, so that the file does not say that the picture is grey."""
    encoder, decoder = coders
    with Image.open(EXAMPLES / f"{name}.png") as photo:
        picture = np.asarray(photo.convert("L").convert("RGB")).copy()
    picture[0, 0, 0] ^= 2
    decoded = decoder.decode(encoder.encode(Image.fromarray(picture), lmbda))
    colours = np.abs(np.asarray(decoded.convert("YCbCr"), int)[..., 1:] - 128).max(2)
    assert decoded.mode == "RGB" and colours.mean() <= 2 and np.quantile(colours, 0.99) <= 4


@pytest.mark.parametrize("lmbda", [2.0, 1.0, 0.1])
def test_grey_drawings_have_little_colour_before_their_flag_is_heeded(coders, lmbda):
    """R = G = B; one pixel is not, so that the file does not say that the picture is grey."""
    encoder, decoder = coders
    side = np.linspace(-3, 3, 320)
    grey = (127 + 60 * np.sin(side * 4)[:, None] + 60 * np.sin(side**2)[None]).astype(np.uint8)
    picture = np.repeat(grey[..., None], 3, 2)
    picture[0, 0] += np.array((2, 0, 0), np.uint8)
    decoded = np.asarray(decoder.decode(encoder.encode(Image.fromarray(picture), lmbda)), int)
    chroma = decoded.max(2) - decoded.min(2)
    assert decoded.shape == picture.shape and np.quantile(chroma, 0.99) <= 16 and chroma.mean() <= 7
