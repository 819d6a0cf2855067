"""Flat background: which colours a picture has of it, what a decoder lays where, and the files that carry it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers.pictures import screen, without_flat_background
from PIL import Image, ImageDraw, ImageFilter

import osdcodec
from osdcodec import Decoder, Encoder
from osdcodec.checks.conformance import VECTORS, distance
from osdcodec.container import pack, unpack
from osdcodec.image import flat_background
from osdcodec.integrations.pillow import register
from osdcodec.rate_control import ANCHORS

pytestmark = pytest.mark.slow

WHITE, BAR, BUTTON = (16, 255, 255, 255), (24, 36, 41, 47), (24, 9, 105, 218)


@pytest.fixture(scope="module")
def coders() -> tuple[Encoder, Decoder]:
    return Encoder(device="cpu"), Decoder("cpu")


def example() -> np.ndarray:
    """28 rows of 40 pixels: up to four levels off 200, 210, 220, one 20 off, and a dark square. The reader for browsers is held to it too."""
    rows, columns = np.mgrid[:28, :40]
    pixels = (rows * 7 + columns * 13)[..., None] % 9 - 4 + np.array((200, 210, 220))
    pixels[5, 5] += 20
    pixels[10:12, 30:32] = 20
    return pixels.astype(np.uint8)


@pytest.mark.parametrize("side", [1, 8, 15, 16])
def test_a_vector_tells_windows_of_sixteen_pixels_from_others(side, monkeypatch):
    folder = VECTORS / "flat-background"
    listed, data = json.loads((folder / "vectors.json").read_text("utf-8")), (folder / "windows.osd").read_bytes()
    plain = Decoder("cpu", VECTORS / "conformance").decode(pack(replace(unpack(data), sections=())))
    monkeypatch.setattr(flat_background, "SIDE", side)
    restored = Image.fromarray(flat_background.restore(np.asarray(plain), unpack(data).flat_background))
    rmse, peak = distance(restored, Image.open(folder / "windows.png"))
    assert (rmse <= listed["rmse"] and peak <= listed["peak"]) == (side == 16)


def test_windows_that_are_near_to_the_last_pixel_get_the_colour():
    laid = flat_background.restore(example(), [(8, 200, 210, 220)])
    kept = np.zeros((28, 40), bool)
    kept[:6, :6] = kept[:12, 30:] = True  # wherever a window of 16 pixels would take in what is far off
    expected = np.where(kept[..., None], example(), np.array((200, 210, 220), np.uint8))
    assert np.array_equal(laid, expected)
    assert np.array_equal(
        flat_background.restore(example(), [(3, 200, 210, 220)]), example()
    )  # some are four levels off, everywhere


def test_grounds_meet_where_one_ends():
    pixels = np.where(np.arange(40)[:, None] < 17, np.array((30, 40, 50)), np.array((90, 80, 70))) + np.zeros(
        (20, 1, 1), int
    )
    noise = np.random.default_rng(0).integers(-5, 6, pixels.shape)
    laid = flat_background.restore((pixels + noise).astype(np.uint8), [(9, 30, 40, 50), (9, 90, 80, 70)])
    assert np.array_equal(laid, pixels)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (5, 9), (15, 17)])
def test_of_pictures_smaller_than_a_window_all_or_a_part_is_one(size):
    pixels = np.full((*size[::-1], 3), 7, np.uint8)
    assert (flat_background.restore(pixels, [(4, 9, 8, 7)]) == np.array((9, 8, 7))).all()
    assert flat_background.find(pixels, 8) == []  # not worth its bytes


def test_strips_are_as_the_whole(monkeypatch):
    random = np.random.default_rng(1)
    pixels = np.asarray(Image.fromarray(random.integers(0, 2, (5, 4, 3), np.uint8) * 30).resize((101, 143), 0)) + 100
    pixels[random.random(pixels.shape[:2]) < 0.002] = 0
    colours = [(10, 104, 100, 100), (14, 130, 124, 130), (2, 100, 131, 100)]
    whole, found = flat_background.restore(pixels, colours), flat_background.find(pixels, 8)
    assert 0.3 < (whole == pixels).all(2).mean() < 0.9
    for strip in (1, 1616, 3232, 5000):
        monkeypatch.setattr(flat_background, "STRIP", strip)
        assert (
            np.array_equal(flat_background.restore(pixels, colours), whole) and flat_background.find(pixels, 8) == found
        )


def test_screens_have_ground_and_photographs_have_none(photo):
    assert flat_background.find(np.asarray(screen()), 8) == [WHITE, BAR, BUTTON]
    assert flat_background.find(np.asarray(screen()), 2) == [WHITE, BAR]
    assert flat_background.find(np.asarray(photo), 8) == []
    sky = np.asarray(photo).copy()
    shade = np.arange(len(sky)) // 8  # blown out above, and then darker from eight rows to the next
    sky[: len(sky) // 2] = (255 - (shade - len(sky) // 32).clip(0))[: len(sky) // 2, None, None]
    assert (sky == 255).all(2).mean() > 0.2
    assert all(colour != [255, 255, 255] for _, *colour in flat_background.find(sky, 8))


def test_what_the_picture_itself_would_lose_bounds_the_tolerance():
    def found(draw_on) -> list[flat_background.Colour]:
        picture = Image.new("RGB", (400, 300), (250, 250, 250))
        draw_on(ImageDraw.Draw(picture))
        return flat_background.find(np.asarray(picture), 8)

    assert found(lambda draw: None) == [(24, 250, 250, 250)]
    # A line of one pixel, which a decoder may spread over five: nearer than its own contrast.
    for level, tolerance in ((120, 24), (150, 16), (200, 8), (220, 4)):
        assert found(lambda draw, level=level: draw.line((0, 150, 399, 150), (level,) * 3)) == [
            (tolerance, 250, 250, 250)
        ]
    assert found(lambda draw: draw.line((0, 150, 399, 150), (247, 247, 247))) == []
    # A thing that is small, but all of what is in its place.
    assert found(lambda draw: draw.rectangle((100, 100, 109, 109), (230, 230, 230))) == [(8, 250, 250, 250)]
    # Another background: what a decoder shows between the two might be either. Where they are too near, the larger one is named.
    beside = found(lambda draw: draw.rectangle((0, 0, 199, 299), (230, 230, 230)))
    assert sorted(beside) == [(8, 230, 230, 230), (8, 250, 250, 250)]
    assert found(lambda draw: draw.rectangle((0, 0, 99, 299), (248, 248, 248))) == [(24, 250, 250, 250)]


@pytest.mark.parametrize("lmbda", ANCHORS)
def test_the_plain_ground_of_a_screen_comes_back_without_ghosts(coders, lmbda):
    """Words are lost at these rates; 16 pixels and more from anything the picture is nearly unchanged."""
    encoder, decoder = coders
    picture = screen()
    highest, lowest = (np.asarray(picture.filter(of(33))) for of in (ImageFilter.MaxFilter, ImageFilter.MinFilter))
    plain = (highest == lowest).all(2)
    assert plain.mean() > 0.5
    decoded = decoder.decode(encoder.encode(picture, lmbda))
    found = np.abs(np.asarray(decoded, int) - np.asarray(picture, int)).max(2)[plain]
    assert found.max() <= 10 and (found == 0).mean() > 0.99


def test_files_carry_it(coders):
    encoder, decoder = coders
    data = encoder.encode(screen(), 1.0)
    osd = unpack(data)
    assert osd.sections == (("p", bytes((*WHITE, *BAR, *BUTTON))),) and osd.contents["p"] == [WHITE, BAR, BUTTON]
    assert osdcodec.info(data)["sections"] == {"p": 14}
    bare, shown = decoder.decode(without_flat_background(data)), decoder.decode(data)
    assert np.array_equal(shown, flat_background.restore(np.asarray(bare), osd.contents["p"])) and not np.array_equal(
        shown, bare
    )
    assert encoder.coder.reconstruct(osd, encoder.coder.symbols(osd)).tobytes() == shown.tobytes()  # as targets see it
    small = decoder.decode(data, preview=True)
    assert small.size == (400, 300) and small.getpixel((390, 290)) == (255, 255, 255)
    progressive = unpack(encoder.encode(screen(), 1.0, progressive=True))
    assert progressive.sections == osd.sections


def test_pillow_decodes_no_sooner_for_it(coders, tmp_path):
    picture = screen().convert("L")
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    (tmp_path / "x.osd").write_bytes(data := coders[0].encode(picture, 1.0, alpha="keep"))
    register()
    with Image.open(tmp_path / "x.osd") as opened:
        assert opened.data is not None and opened.mode == "LA"
        assert opened.tobytes() == osdcodec.decode(data).tobytes() and opened.data is None


def test_grey_pictures_stay_grey_and_alpha_stays(coders):
    encoder, decoder = coders
    grey = encoder.encode(screen().convert("L"), 1.0)
    shown = decoder.decode(grey)
    assert shown.mode == "L" and shown.getpixel((790, 590)) == 255
    coloured = pack(replace(unpack(grey), sections=(("p", bytes((32, 255, 250, 220))),)))
    assert decoder.decode(coloured).mode == "L"  # whatever a file says of itself
    picture = screen()
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    shown = decoder.decode(encoder.encode(picture, 1.0, alpha="keep"))
    assert shown.mode == "RGBA" and shown.getchannel("A").tobytes() == picture.getchannel("A").tobytes()
    assert shown.getpixel((790, 590))[:3] == (255, 255, 255)
    picture = picture.convert("LA")
    shown = decoder.decode(encoder.encode(picture, 1.0, alpha="keep"))
    assert shown.mode == "LA" and shown.getchannel("A").tobytes() == picture.getchannel("A").tobytes()


@pytest.mark.parametrize(
    "content",
    [b"", bytes(5), bytes(36), bytes((8, 9, 9, 9, 16, 9, 33, 9)), bytes((0, 1, 2, 3, 0, 1, 2, 3))],
    ids=["none", "cut short", "nine", "too near", "twice"],
)
def test_what_is_no_ground_is_refused(content, coders):
    osd = unpack(coders[0].encode(screen().resize((64, 48)), 1.0))
    with pytest.raises(ValueError, match="colours"):
        pack(replace(osd, sections=(("p", content),)))
