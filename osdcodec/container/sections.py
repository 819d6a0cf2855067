"""The sections of an .osd file in one table: what each letter is called and how its bytes are read. Pure Python, no pixels.

A reader that does not know an upper-case letter refuses the file; it skips a lower-case one. spec/osd-1.md lists them too, and
image/attachments.py says what of a picture each of them holds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import flat_colours
from .leb128 import leb128, read_leb128
from .regions import Regions

Size = tuple[int, int]  # width and height of the picture
_PNG = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"
MAX_SIDE = 65535
_GREY = b"\x08\0\0\0\0"  # eight bits, one channel, not interlaced


@dataclass(frozen=True)
class Section:
    """One letter.

    name: for people. read(content, quality, size) -> what the bytes say; ValueError says what is wrong with them.
    """

    letter: str
    name: str
    read: Callable[[bytes, int, Size], Any] = lambda content, quality, size: content


def alpha_size(content: bytes) -> Size | None:
    """Width and height of a section A, by its own header: a lossless WebP or a grey PNG; None if it is neither."""
    if content[:4] == b"RIFF" and content[8:16] == b"WEBPVP8L" and content[20:21] == b"\x2f" and len(content) >= 25:
        file, chunk, sizes = (int.from_bytes(content[at : at + 4], "little") for at in (4, 16, 21))
        # The sizes have 14 bits a side; the flags behind them are 0.
        if len(content) == 8 + file == 20 + chunk + chunk % 2 and sizes < 2**28:
            return (sizes & 0x3FFF) + 1, (sizes >> 14) + 1
    if content[:16] == _PNG and content[24:29] == _GREY:
        return int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")
    return None


def _read_alpha(content: bytes, quality: int, size: Size) -> bytes:
    """Its own header must give the size of the picture, so that what it unpacks to is known before it is unpacked."""
    own = alpha_size(content)
    if own is None:
        raise ValueError("neither a lossless WebP without alpha of its own nor a grey PNG of 8 bits")
    if own != size:
        raise ValueError(f"alpha of {own[0]}x{own[1]} for a picture of {size[0]}x{size[1]}")
    return content


def original_size(width: int, height: int) -> bytes:
    """The bytes of a section `o`: the size of the picture before it was shrunk, in pixels."""
    return leb128(width) + leb128(height)


def _read_original_size(content: bytes, quality: int, size: Size) -> Size:
    """Width and height, at most 65535; on no side less than the picture that is coded, and on one more."""
    width, after = read_leb128(content, 0, len(content), "section o")
    height, end = read_leb128(content, after, len(content), "section o")
    original = width, height
    if end != len(content):
        raise ValueError(f"{len(content) - end} bytes behind the height")
    if original == size or min(width - size[0], height - size[1]) < 0 or max(original) > MAX_SIDE:
        raise ValueError(f"an original of {width}x{height} for a picture that was shrunk to {size[0]}x{size[1]}")
    return original


def _read_told(content: bytes, quality: int, size: Size) -> bytes:
    """A stack of entropy-coded steps, which trust/told.py reads."""
    if not content or content.endswith(b"\0"):
        raise ValueError("ends in a zero byte, which a writer strips" if content else "holds nothing")
    return content


KINDS = {
    section.letter: section
    for section in (  # in the order in which files have them
        Section("G", "regions", Regions.from_bytes),
        Section("A", "alpha", _read_alpha),
        Section("p", "flat background", flat_colours.read),
        Section("o", "original size", _read_original_size),
        Section("t", "told errors", _read_told),
        Section("i", "ICC"),
        Section("e", "EXIF"),
        Section("x", "XMP"),
    )
}


def is_letter(kind: str) -> bool:
    """Returns True for one ASCII letter."""
    return len(kind) == 1 and kind.isascii() and kind.isalpha()


def may_stand(kind: str) -> bool:
    """Returns True if a file may have such a section: a known letter, or one that readers may skip."""
    return is_letter(kind) and (kind.islower() or kind in KINDS)


def read(kind: str, content: bytes, quality: int, size: Size) -> Any:
    """What a section says; an unknown one its bytes. ValueError if a writer would not write it so."""
    return KINDS[kind].read(content, quality, size) if kind in KINDS else content
