"""Regions of interest: section G, from the option to the pixels, and in the reference of spec/."""

import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from helpers import tiny
from helpers.commands import osdc
from PIL import Image
from safetensors.numpy import save

from osdcodec import Decoder, Encoder, InputError, Target, container
from osdcodec.codec import info
from osdcodec.container import Osd, Regions, units
from osdcodec.entropy.prior import Prior, model_id
from osdcodec.errors import FormatError
from osdcodec.latent.coder import decode_symbols, qualities_of

sys.path.append(str(Path(__file__).parents[1] / "spec"))
import reference

pytestmark = pytest.mark.slow

BOX = (64, 32, 96, 96)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(device="cpu")


def error(photo: Image.Image, decoded: Image.Image, inside: bool) -> float:
    """Mean squared error inside or outside of BOX."""
    x, y, w, h = BOX
    mask = np.zeros((photo.height, photo.width), bool)
    mask[y : y + h, x : x + w] = True
    return float(((np.asarray(photo, float) - np.asarray(decoded, float)) ** 2)[mask == inside].mean())


def test_at_equal_bytes_the_region_is_better_and_the_rest_pays(encoder, photo):
    decoder = Decoder(device="cpu")
    plain = encoder.encode(photo, 0.7)
    given = encoder.encode(photo, target=Target(max_bytes=len(plain)), roi=[BOX])
    assert 0.95 * len(plain) <= len(given) <= len(plain)
    before, after = (decoder.decode(data, detail=0.0) for data in (plain, given))
    assert error(photo, after, inside=True) < 0.97 * error(photo, before, inside=True)
    assert error(photo, after, inside=False) > error(photo, before, inside=False)


def test_a_region_costs_a_few_bytes_to_name(encoder, photo):
    osd = container.unpack(encoder.encode(photo, 1.0, roi=[BOX]))
    ((kind, content),) = osd.sections
    assert kind == "G" and len(content) == 5
    found = osd.regions
    assert found.boxes == ((2, 1, 3, 3),) and found.quality < osd.quality
    told = info(container.pack(osd), parts=True)
    bits = told["token_bits"] + told["hyper_bits"] + told["latent_bits"]
    assert bits == pytest.approx(8 * told["payload_bytes"], rel=0.005, abs=48)


def test_the_best_quality_cannot_be_bettered(encoder, photo):
    assert encoder.encode(photo, 0.1, roi=[BOX]) == encoder.encode(photo, 0.1)


def test_boxes_in_pixels_become_units():
    assert units([(0, 0, 1, 1), (31, 32, 2, 32)], 100, 100) == ((0, 0, 1, 1), (0, 1, 2, 1))
    assert units([(90, 90, 1000, 1000), (-5, -5, 10, 200)], 100, 100) == ((2, 2, 2, 2), (0, 0, 1, 4))
    for outside in ((100, 0, 5, 5), (0, 0, 0, 5), (-9, 0, 9, 9)):
        with pytest.raises(InputError, match="outside of the picture"):
            units([outside], 100, 100)
    for unusable in ((1, 2, 3), (1, 2, 3, 4.5), "1,2,3,4", 7):
        with pytest.raises(TypeError, match="a region is four whole numbers"):
            units([unusable], 100, 100)
    with pytest.raises(InputError, match="too many"):
        units([(0, 0, 1, 1)] * 256, 100, 100)


def test_bytes_and_back():
    regions = Regions(7, ((2, 1, 3, 3), (0, 0, 1, 200)))
    assert regions.to_bytes() == bytes([7, 0, 0, 1, 0xC8, 1, 2, 1, 3, 3])
    again = Regions.from_bytes(regions.to_bytes(), 8, (160, 6400))
    assert set(again.boxes) == set(regions.boxes) and again.to_bytes() == regions.to_bytes()
    assert again.qualities(8, 32, 3, 5) == [[7, 8, 8, 8, 8], [7, 8, 7, 7, 7], [7, 8, 7, 7, 7]]
    assert Regions(1, ((1, 1, 1, 1),)).qualities(9, 64, 2, 2) == [[1, 9], [9, 9]]


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\x07", b"\x07\0\0\1", b"\x08\0\0\1\1", b"\x07\0\0\0\1", b"\x07\0\0\1\0", b"\x07\4\0\1\1", b"\x07\0\1\1\4",
        b"\x07\0\0\1\1\0\0\1\1", b"\x07\1\0\1\1\0\0\1\1", b"\x07\0\0\1\x81\0", b"\x07\0\0\1\x81",
        bytes([7, *(number for top in range(64) for width in (1, 2, 3, 4) for number in (0, top, width, 1))]),
    ],
)  # fmt: skip
def test_defects_are_refused_by_both(content):
    size = (128, 128 if len(content) < 99 else 9999)
    good = container.pack(Osd(b"abcd", *size, 8, b"\1", (("G", b"\x07\0\0\1\1"),)))
    assert container.unpack(good).sections and reference.unpack(good)
    with pytest.raises(ValueError):
        container.pack(Osd(b"abcd", *size, 8, b"\1", (("G", content),)))
    body = good[:-4].replace(b"G\x05\x07\0\0\1\1", b"G" + container.leb128(len(content)) + content)
    bad = body + zlib.crc32(body).to_bytes(4, "little")
    with pytest.raises(FormatError, match="section G"):
        container.unpack(bad)
    with pytest.raises(ValueError):
        reference.unpack(bad)


def test_symbols_agree_with_the_reference():
    prior, tensors = Prior(tiny.tensors(), tiny.TINY), reference.read_safetensors(save(tiny.tensors()))
    rows, columns = 9, 11
    section = Regions(60, ((1, 2, 4, 3), (3, 3, 8, 1))).to_bytes()
    osd = Osd(model_id(tiny.tensors()), 32 * columns - 5, 32 * rows - 31, 200, b"", (("G", section),))
    qualities = qualities_of(osd, tiny.TINY)
    payload, symbols = prior.encode(*tiny.latents("regions", rows, columns), 200, qualities)
    file = container.pack(Osd(osd.model_id, osd.width, osd.height, 200, payload, osd.sections))
    assert decode_symbols(container.unpack(file), prior) == symbols
    assert reference.digest(reference.decode(tensors, file)) == symbols.digest()
    without = prior.encode(*tiny.latents("regions", rows, columns), 200)[0]
    assert without != payload


def test_on_the_command_line(tmp_path, photo):
    photo.save(tmp_path / "photo.png")
    assert osdc("encode", "photo.png", "--roi", "64,32,96,96", "--roi", "0,0,10,10", cwd=tmp_path).returncode == 0
    assert len(container.unpack((tmp_path / "photo.osd").read_bytes()).regions.boxes) == 2
    assert osdc("decode", "photo.osd", "-o", "out.png", cwd=tmp_path).returncode == 0
    done = osdc("encode", "photo.png", "--roi", "9999,0,9,9", "-o", "x.osd", cwd=tmp_path)
    assert done.returncode == 3 and b"outside of the picture" in done.stderr
    for wrong in ("1,2,3", "a,b,c,d", "1,2,3,-4"):
        assert osdc("encode", "photo.png", "--roi", wrong, cwd=tmp_path).returncode == 2
