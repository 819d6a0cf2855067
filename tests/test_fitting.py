"""Any picture in any number of bytes: size and lambda together, cropping, shrinking, and the original's size in the file."""

import json

import numpy as np
import pytest
from helpers.commands import osdc
from helpers.pictures import EXAMPLES
from PIL import Image

from osdcodec import Decoder, Encoder, InputError, Target, TargetError, decode, info
from osdcodec.container import Osd, pack, unpack
from osdcodec.errors import FormatError
from osdcodec.fitting import COARSE, Fitting, sizes_of
from osdcodec.image.resizing import Sizing, enlarged, scaled_boxes, shrunk, within

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(device="cpu")


@pytest.fixture(scope="module")
def large() -> Image.Image:
    """1.5 megapixels: larger than what is looked at first."""
    return Image.open(EXAMPLES / "coffee.png").convert("RGB").resize((1500, 1000), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("limit", [70, 150, 340, 1000])
def test_any_photo_in_any_number_of_bytes(encoder, photo, limit):
    data = encoder.encode(photo, target=Target(max_bytes=limit), shrink=True)
    told = info(data)
    assert 0.8 * limit <= len(data) <= limit
    if limit < 500:
        assert (told["original_width"], told["original_height"]) == photo.size
        assert told["width"] < photo.width and (told["lambda"] > 1 or limit < 100)
        assert told["width"] / told["height"] == pytest.approx(photo.width / photo.height, rel=0.05)
    else:
        assert (told["width"], told["height"]) == photo.size and "original_width" not in told


def test_a_large_photo_is_looked_at_in_small_versions_first(encoder, large, monkeypatch):
    looked, code = [], encoder.coder.code
    sizes = encoder.coder.sizes
    monkeypatch.setattr(
        encoder.coder, "sizes", lambda picture, *rest: looked.append(picture.size) or sizes(picture, *rest)
    )
    coded = []
    monkeypatch.setattr(
        encoder.coder, "code", lambda picture, *rest, **more: coded.append(picture.size) or code(picture, *rest, **more)
    )
    heard: list[float] = []
    data = encoder.encode(large, target=Target(max_bytes=1500), shrink=True, progress=heard.append)
    told = info(data)
    assert len(data) <= 1500 and (told["original_width"], told["original_height"]) == (1500, 1000)
    assert heard == sorted(heard) and len(heard) > 2 and 0.4 < heard[-1] <= 1
    assert looked and all(width * height <= COARSE for width, height in looked) and len(looked) <= 8
    assert len(coded) <= 3 and coded[-1] == (told["width"], told["height"])


def test_decoders_give_the_coded_size_or_the_original_one(encoder, photo):
    data = encoder.encode(photo, target=Target(max_bytes=200), shrink=True)
    told, small = info(data), decode(data)
    assert small.size == (told["width"], told["height"]) and small.info["original_size"] == photo.size
    large = Decoder("cpu").decode(data, original_size=True)
    assert large.size == photo.size and "generative" in large.info["comment"]
    assert Decoder("cpu").decode(encoder.encode(photo), original_size=True).size == photo.size
    assert Decoder("cpu").decode(data, preview=True, original_size=True).size == photo.size


def test_alpha_is_shrunk_and_enlarged_with_its_picture(encoder, photo):
    picture = photo.copy()
    picture.putalpha(Image.linear_gradient("L").resize(photo.size))
    data = encoder.encode(picture, alpha="keep", resize=128)
    assert decode(data).size == (128, 96) and decode(data).mode == "RGBA"
    large = decode(data, original_size=True)
    assert large.size == photo.size
    difference = np.asarray(large.getchannel("A"), int) - np.asarray(picture.getchannel("A"), int)
    assert np.abs(difference).mean() < 4


def test_out_of_reach_even_so(encoder, photo):
    with pytest.raises(
        TargetError, match=r"20 bytes are out of reach: of this picture the least is \d\d, as 32x24"
    ) as raised:
        encoder.encode(photo, target=Target(max_bytes=20), shrink=True)
    data = encoder.encode(photo, target=Target(max_bytes=raised.value.least), shrink=True)
    assert len(data) <= raised.value.least and (info(data)["width"], info(data)["height"]) == (32, 24)
    for bad in (Target(max_bytes=raised.value.least - 1), Target(bpp=1e-9)):
        with pytest.raises(TargetError, match="the least is"):
            encoder.encode(photo, target=bad, shrink=True)
    with pytest.raises(TargetError, match="out of reach"):
        encoder.encode(photo, target=Target(bpp=1e-9))


def test_a_picture_that_must_not_be_shrunk_is_refused_before_it_is_coded(encoder, large, monkeypatch):
    monkeypatch.setattr(encoder.coder, "code", lambda *_, **__: pytest.fail("coded"))
    with pytest.raises(TargetError, match=r"1500x1000 takes about [\d,]+ at lambda 2; \d+x\d+ would fit"):
        encoder.encode(large, target=Target(max_bytes=500))


def test_what_is_shown_small_is_coded_small(encoder, large):
    told = info(encoder.encode(large, target=Target(max_bytes=3000), shrink=True, show=480))
    assert (told["width"], told["height"]) == (480, 320) and (told["original_width"], told["original_height"]) == (
        1500,
        1000,
    )
    assert told["lambda"] < 1


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"resize": 128}, (128, 96)),
        ({"resize": (500, 48)}, (64, 48)),
        ({"resize": 1000}, (256, 192)),
        ({"scale": 0.5}, (128, 96)),
        ({"scale": 0.5, "resize": 64}, (64, 48)),
        ({"crop": (100, 100, 96, 400)}, (96, 92)),
        ({"crop": (0, 0, 128, 128), "scale": 0.25}, (32, 32)),
    ],
)
def test_by_themselves(encoder, photo, options, size):
    told = info(encoder.encode(photo, 2.0, **options))
    assert (told["width"], told["height"]) == size
    before = (128, 128) if options.get("crop") == (0, 0, 128, 128) else photo.size
    shrunken = size != photo.size and ("crop" not in options or "scale" in options)
    assert (told.get("original_width"), told.get("original_height")) == (before if shrunken else (None, None))


def test_regions_of_interest_move_along(encoder, photo):
    assert scaled_boxes([(60, 30, 60, 60)], (200, 100), (100, 50)) == [(30, 15, 30, 30)]
    picture, boxes = Sizing(crop=(50, 20, 100, 100), scale=0.5).prepare(photo, [(60, 30, 40, 40)])
    assert picture.size == (50, 50) and boxes == [(5, 5, 20, 20)]
    data = encoder.encode(photo, roi=[(200, 150, 40, 30)], resize=128)
    assert unpack(data).regions.boxes == ((3, 2, 1, 1),)
    with pytest.raises(InputError, match="outside of the picture of 256x192"):
        encoder.encode(photo, crop=(256, 0, 10, 10))


def test_sizes_are_in_proportion_and_whole_squares():
    for width, height in ((4000, 3000), (33, 1000), (1, 1), (640, 480), (65535, 3)):
        sizes = sizes_of(width, height)
        assert sizes[-1] == (width, height) and len(set(sizes)) == len(sizes)
        assert all(w % 32 == 0 or h % 32 == 0 for w, h in sizes[:-1])
        assert all(w <= width and h <= height for w, h in sizes)
        assert [w * h for w, h in sizes] == sorted(w * h for w, h in sizes)


def test_the_search_finds_the_largest_size_that_fits(photo):
    class Coder:
        asked = 0

        def sizes(self, picture, lambdas, roi, progressive):
            self.asked += 1
            return [26 + round((picture.width * picture.height) ** 0.8 / 20)]

    for limit in (60, 150, 300):
        fitting = Fitting(coder := Coder(), photo.resize((500, 375)), limit)
        place = fitting.expected()
        assert fitting.least(place) <= limit < fitting.least(place + 1) and coder.asked <= 10


@pytest.mark.parametrize("size", [(0, 5), (5, -1)])
def test_sizings_that_are_none(size):
    for bad in ({"resize": size}, {"show": 0}, {"scale": 0.0}, {"scale": 1.5}):
        with pytest.raises(ValueError):
            Sizing(**bad)


def test_proportions():
    assert within((4000, 3000), 1024) == (1024, 768) and within((400, 300), 1024) == (400, 300)
    assert within((10000, 3), 100) == (100, 1) and within((100, 200), (50, 50)) == (25, 50)
    picture = Image.new("RGB", (64, 48))
    assert shrunk(picture, (64, 48)) is picture
    twice = shrunk(shrunk(picture, (32, 24)), (16, 12))
    assert twice.info["original_size"] == (64, 48) and enlarged(twice, (64, 48)).size == (64, 48)


def test_the_section_of_the_original_size():
    plain = Osd(b"abcd", 320, 240, 255, b"\1", (("o", b"\xa0\x1f\xf8\x17"),))
    assert unpack(pack(plain)).original_size == (4000, 3064) and len(pack(plain)) - len(b"\1") == 18 + 1 + 6
    for content in (
        b"",
        b"\xa0\x1f",
        b"\xa0\x1f\xf8\x17\0",
        b"\xc0\x02\xf0\x01",
        b"\xbf\x02\xf8\x17",
        b"\x80\x80\x04\xf8\x17",
    ):
        with pytest.raises((ValueError, FormatError)):
            pack(Osd(b"abcd", 320, 240, 255, b"\1", (("o", content),)))


def test_on_the_command_line(tmp_path, photo):
    photo.save(tmp_path / "photo.png")
    done = osdc("encode", "photo.png", "--max-bytes", "200", cwd=tmp_path)
    assert done.returncode == 0 and b"coded as" in done.stderr and b"--original-size" in done.stderr
    assert "shrunk from 256 x 192" in osdc("info", "photo.osd", cwd=tmp_path).stdout.decode()
    assert osdc("decode", "photo.osd", "-o", "large.png", "--original-size", cwd=tmp_path).returncode == 0
    assert Image.open(tmp_path / "large.png").size == photo.size
    done = osdc("encode", "photo.png", "--max-bytes", "200", "--no-shrink", "-o", "no.osd", cwd=tmp_path)
    assert done.returncode == 3 and b"200 bytes are out of reach: the smallest file" in done.stderr
    done = osdc("encode", "photo.png", "--target-bpp", "0.02", "-o", "bpp.osd", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["bytes"] <= 0.02 * 256 * 192 / 8
    for wrong in (("--scale", "0"), ("--scale", "150%"), ("--crop", "1,2,3"), ("--resize", "wide"), ("--show", "0")):
        assert osdc("encode", "photo.png", *wrong, cwd=tmp_path).returncode == 2
