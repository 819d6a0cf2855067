"""What can be read of damaged files: their fields, the symbols before the damage, and what osdc says of them."""

import random

import numpy as np
import pytest
from helpers.commands import osdc, refused
from PIL import Image

from osdcodec import Decoder, container, weights
from osdcodec.checks.conformance import VECTORS
from osdcodec.container.salvage import end_of, salvage
from osdcodec.errors import FormatError, OsdWarning
from osdcodec.latent.coder import decode_symbols

FOLDER = VECTORS / "conformance"
PLAIN = (FOLDER / "sides-127-128.osd").read_bytes()
STAGED = (VECTORS / "progressive" / "whole-sections.osd").read_bytes()


def flipped(data: bytes, at: int, bit: int = 4) -> bytes:
    return data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return Decoder("cpu", FOLDER)


@pytest.mark.parametrize("data", [PLAIN, STAGED])
def test_bytes_behind_the_end_are_passed_over(data):
    for tail in (b"\n", b"\r\n-- \r\n", bytes(40)):
        assert end_of(data + tail) == len(data)
        osd = salvage(data + tail)
        assert osd.fault.endswith("behind the end") and osd.payload == container.unpack(data).payload and osd.verified
    assert salvage(data) == container.unpack(data) and not salvage(data).fault


def test_a_wrong_checksum_is_passed_over():
    osd, plain = salvage(flipped(PLAIN, len(PLAIN) - 1)), container.unpack(PLAIN)
    assert "checksum" in osd.fault and not osd.verified
    assert (osd.width, osd.height, osd.quality, osd.payload) == (127, 128, plain.quality, plain.payload)
    with pytest.raises(ValueError, match="only whole"):
        container.pack(osd)


@pytest.mark.parametrize("name", ["metadata", "alpha", "regions"])
def test_sections_that_are_right_are_kept(name):
    data = (FOLDER / f"{name}.osd").read_bytes()
    whole = container.unpack(data).sections
    assert salvage(flipped(data, len(data) - 1)).sections == whole
    cut = salvage(data[:-8]).sections
    assert cut == whole[: len(cut)] and len(cut) == len(whole) - 1


def test_a_head_that_is_damaged_is_read():
    at = 20  # in section G, before the payload: only the checksum of the head finds it
    osd = salvage(flipped(STAGED, at))
    assert osd.progressive and osd.payload == container.unpack(STAGED).payload and "checksum" in osd.fault


def test_what_no_header_can_be_read_of_is_refused():
    for data in (b"", b"what is this?", flipped(PLAIN, 4, 0x20), PLAIN[:10]):
        with pytest.raises(FormatError):
            salvage(data)


def test_symbols_before_the_damage_are_those_of_the_file():
    """A bit at the bottom of the stack changes the last symbols only, in either order."""
    prior = weights.load("conformance", FOLDER).prior
    for data in (PLAIN, STAGED):
        osd = container.unpack(data)
        true, at = decode_symbols(osd, prior), data.index(osd.payload[::-1] if osd.progressive else osd.payload)
        bottom = at + len(osd.payload) - 3 if osd.progressive else at + 2
        found = decode_symbols(salvage(flipped(data, bottom)), prior)
        assert np.array_equal(found.tokens, true.tokens) and np.array_equal(found.hyper, true.hyper)
        assert 0.5 < (found.latent == true.latent).mean() < 1


def test_any_damage_gives_a_picture_or_one_error(decoder):
    draw, shown = random.Random(3), 0
    for _ in range(40):
        data = bytearray(draw.choice((PLAIN[:300], STAGED)))
        for _ in range(draw.randrange(1, 3)):
            data[draw.randrange(9, len(data))] ^= 1 << draw.randrange(8)
        try:
            picture = decoder.decode(bytes(data), salvage=True, preview=True, max_pixels=2**18)
        except FormatError:
            continue
        shown += 1
        assert picture.info["fault"] and "damaged" in picture.info["comment"]
    assert shown > 15


def test_a_code_of_indices_is_salvaged():
    folder = VECTORS / "cod-lite"
    data = (folder / "odd.osd").read_bytes()
    picture = Decoder("cpu", folder).decode(flipped(data, 14), salvage=True)
    assert picture.size == (101, 67) and "checksum" in picture.info["fault"]


def test_salvaging_a_whole_file_changes_nothing(decoder):
    picture = decoder.decode(PLAIN, salvage=True)
    assert np.array_equal(picture, decoder.decode(PLAIN)) and "fault" not in picture.info


def test_partial_says_where_a_file_is_not_progressive(decoder):
    with pytest.warns(OsdWarning, match="not progressive"):
        decoder.decode(PLAIN, partial=True)
    with pytest.raises(FormatError, match=r"not progressive.*`salvage`"):
        decoder.decode(PLAIN[:-4], partial=True)


def test_the_command_shows_what_can_be_read_and_ends_with_3(tmp_path):
    (tmp_path / "mail.osd").write_bytes(PLAIN + b"\n")
    told = osdc("info", "mail.osd", cwd=tmp_path, encoding="utf-8")
    assert told.returncode == 3 and "127 x 128" in told.stdout and "1 byte behind the end" in told.stdout
    assert told.stderr.count("\n") == 1 and "--salvage" in told.stderr
    weights_dir = ("--weights-dir", FOLDER)
    refused(osdc("decode", "mail.osd", *weights_dir, cwd=tmp_path), 3, "checksum")
    assert not (tmp_path / "mail.png").exists()
    shown = osdc("decode", "mail.osd", "--salvage", *weights_dir, cwd=tmp_path)
    refused(shown, 3, "1 byte behind the end", "mail.png")
    with Image.open(tmp_path / "mail.png") as picture:
        assert picture.size == (127, 128) and "damaged" in str(picture.info)
