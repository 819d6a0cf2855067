"""The table of sections: alpha to the last bit, a section more by one entry, and each read once."""

import dataclasses

import numpy as np
import pytest
from helpers.pictures import gradient
from PIL import Image

import osdcodec
from osdcodec import Decoder, Encoder, container
from osdcodec.cli.info import _table
from osdcodec.container import Regions, alpha_size
from osdcodec.container.sections import KINDS, Section
from osdcodec.errors import FormatError
from osdcodec.image import attachments
from osdcodec.image.attachments import ATTACHMENTS, Attachment
from osdcodec.options import EncodeOptions


@pytest.mark.parametrize("size", [(1, 1), (33, 20), (16383, 1), (16384, 2)])
def test_alpha_section_is_lossless(size):
    picture = gradient(*size)
    plane = Image.fromarray(np.random.default_rng(3).integers(0, 256, size[::-1], np.uint8))
    picture.putalpha(plane)
    ((kind, content),) = attachments.collect(picture)
    assert kind == "A" and alpha_size(content) == size
    assert content.startswith(b"RIFF" if max(size) <= 16383 else b"\x89PNG")
    decoded = attachments.decode_alpha(content, size)
    assert decoded.mode == "L" and decoded.tobytes() == plane.tobytes()
    with pytest.raises(FormatError, match=r"section A: .*size"):
        attachments.decode_alpha(content, (size[0] + 1, size[1]))


def test_damaged_alpha_is_a_format_error_or_some_alpha():
    random = np.random.default_rng(4)
    for size in ((40, 30), (16384, 1)):
        picture = gradient(*size)
        picture.putalpha(Image.fromarray(random.integers(0, 256, size[::-1], np.uint8)))
        ((_, good),) = attachments.collect(picture)
        with pytest.raises(FormatError):
            attachments.decode_alpha(good[: len(good) // 2], size)
        for _ in range(100):
            data = bytearray(good)
            for at in random.integers(0, min(len(data), 200), 3):
                data[at] = random.integers(256)
            try:
                assert attachments.decode_alpha(bytes(data), size).size == size
            except FormatError as error:
                assert error.field == "section A" and "\n" not in str(error)


@pytest.fixture
def rating(monkeypatch) -> None:
    """A section that readers may skip: one entry in the table of sections, one in that of attachments."""

    def read(content: bytes, quality: int, size: tuple[int, int]) -> int:
        if len(content) != 1 or content[0] > 5:
            raise ValueError("not a number of stars, 0 to 5")
        return content[0]

    def take(picture: Image.Image) -> bytes | None:
        return bytes([picture.info["stars"]]) if "stars" in picture.info else None

    def give(picture: Image.Image, content: bytes) -> None:
        picture.info["stars"] = content[0]

    monkeypatch.setitem(KINDS, "s", Section("s", "stars", read))
    monkeypatch.setitem(ATTACHMENTS, "s", Attachment(take, give=give))


def test_a_new_section_takes_one_entry_in_each_table(rating, photo, monkeypatch):
    picture = photo.resize((64, 48))
    plain = Encoder(device="cpu").coder.code(picture, EncodeOptions(lmbda=1.0, effort=0))[0]
    picture.info["stars"] = 4
    osd, _ = Encoder(device="cpu").coder.code(picture, EncodeOptions(lmbda=1.0, effort=0))
    data = container.pack(osd)
    assert osd.sections == (*plain.sections, ("s", b"\4")) and container.unpack(data).contents["s"] == 4
    assert Decoder("cpu").decode(data).info["stars"] == 4
    assert "stars" in _table(osdcodec.info(data)) and "3 bytes" in _table(osdcodec.info(data))
    with pytest.raises(ValueError, match="stars"):
        container.pack(dataclasses.replace(osd, sections=(("s", b"\6"),)))
    monkeypatch.delitem(KINDS, "s")  # a reader of today
    monkeypatch.delitem(ATTACHMENTS, "s")
    assert container.unpack(data).sections == osd.sections and "stars" not in Decoder("cpu").decode(data).info


def test_regions_are_read_once_in_a_decode(photo, monkeypatch):
    data = Encoder(device="cpu").encode(photo.resize((96, 64)), roi=[(0, 0, 32, 32)])
    read, calls = Regions.from_bytes, []
    counted = dataclasses.replace(KINDS["G"], read=lambda *told: calls.append(told) or read(*told))
    monkeypatch.setitem(KINDS, "G", counted)
    assert Decoder("cpu").decode(data).size == (96, 64)
    assert len(calls) == 1
