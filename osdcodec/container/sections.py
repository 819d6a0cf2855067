"""The sections of an .osd file in one table: what each letter is, how its bytes are read, and how pictures give and take it.

A reader that does not know an upper-case letter refuses the file; a lower-case one it skips. spec/osd-1.md lists them too.
PIL and NumPy are imported only where there are pixels.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import FormatError
from . import colours
from .regions import Regions

if TYPE_CHECKING:
    from PIL.Image import Image

Size = tuple[int, int]  # width and height of the picture
_EXIF_HEADER = b"Exif\0\0"
_WEBP_SIDE = 16383  # the largest of WebP
_PNG = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"
_GREY = b"\x08\0\0\0\0"  # eight bits, one channel, not interlaced


@dataclass(frozen=True)
class Section:
    """One letter.

    name: for people. read(content, quality, size) -> what the bytes say; ValueError says what is wrong with them.
    take(picture) -> the bytes for a picture as `image.open_image` gives it, None if it has nothing of the kind.
    open(content, size) -> what a decoded picture is to be given: slow work, done before the payload is decoded. FormatError.
    give(picture, opened) puts that into a decoded picture.
    """

    letter: str
    name: str
    read: Callable[[bytes, int, Size], Any] = lambda content, quality, size: content
    take: Callable[["Image"], bytes | None] = lambda picture: None
    open: Callable[[bytes, Size], Any] = lambda content, size: content
    give: Callable[["Image", Any], None] = lambda picture, opened: None


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


def _take_alpha(picture: "Image") -> bytes | None:
    if picture.mode != "RGBA":
        return None
    plane, buffer = picture.getchannel("A"), io.BytesIO()
    if max(plane.size) <= _WEBP_SIDE:
        plane.save(buffer, "WEBP", lossless=True, quality=100)
    else:
        plane.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def decode_alpha(content: bytes, size: Size) -> "Image":
    """Section A -> alpha, L, of this size. FormatError if it is damaged, before any pixel if its size is another."""
    from ..formats import DEFECTS, open_lazily

    try:
        plane = open_lazily(content, ("WEBP", "PNG"))
        if alpha_size(content) != size or plane.size != size:
            raise ValueError("its size is not that of the picture")
        plane.load()
        return plane.getchannel("G") if plane.mode == "RGB" else plane.convert("L")
    except DEFECTS as error:
        raise FormatError(f"damaged ({error})", "section A") from error


def _give_alpha(picture: "Image", plane: "Image") -> None:
    """RGB becomes RGBA, L becomes LA; a preview is smaller than the picture, and so is its alpha."""
    from PIL import Image

    if plane.size != picture.size:
        plane = plane.resize(picture.size, Image.Resampling.BOX)
    picture.putalpha(plane)


def _take_ground(picture: "Image") -> bytes:
    import numpy as np

    from .ground import find

    found = find(np.asarray(picture)[..., :3], colours.MOST)
    return bytes(value for colour in found for value in colour)


def _in_info(letter: str, name: str, key: str, header: bytes = b"") -> Section:
    """What Pillow keeps as bytes in a picture's info, there behind a header."""

    def give(picture: "Image", content: bytes) -> None:
        picture.info[key] = header + content

    return Section(letter, name, take=lambda picture: picture.info.get(key, b"").removeprefix(header), give=give)


KINDS = {
    section.letter: section
    for section in (  # in the order in which files have them
        Section("G", "regions", read=Regions.from_bytes),  # they come from an option, and the prior asks for them
        Section("A", "alpha", read=_read_alpha, take=_take_alpha, open=decode_alpha, give=_give_alpha),
        Section("p", "plain ground", read=colours.read, take=_take_ground),  # who makes the pixels lays it
        _in_info("i", "ICC", "icc_profile"),
        _in_info("e", "EXIF", "exif", _EXIF_HEADER),
        _in_info("x", "XMP", "xmp"),
    )
}


def is_letter(kind: str) -> bool:
    return len(kind) == 1 and kind.isascii() and kind.isalpha()


def may_stand(kind: str) -> bool:
    """Whether a file may have such a section: a letter that is known here, or that may be skipped."""
    return is_letter(kind) and (kind.islower() or kind in KINDS)


def read(kind: str, content: bytes, quality: int, size: Size) -> Any:
    """What a section says; an unknown one its bytes. ValueError if a writer would not write it so."""
    return KINDS[kind].read(content, quality, size) if kind in KINDS else content


def taken_from(picture: "Image") -> tuple[tuple[str, bytes], ...]:
    """What a file keeps of a picture, as `image.open_image` gives it, beside its colours."""
    taken = ((kind, section.take(picture)) for kind, section in KINDS.items())
    return tuple((kind, content) for kind, content in taken if content)


def opened(sections: tuple[tuple[str, bytes], ...], size: Size) -> dict[str, Any]:
    """What `give_to` puts into a picture of this size. FormatError if a section is damaged."""
    return {kind: KINDS[kind].open(content, size) for kind, content in sections if kind in KINDS}


def give_to(picture: "Image", opened: dict[str, Any]) -> None:
    """Gives a decoded picture, RGB or L, its alpha, and its info what Pillow calls icc_profile, exif and xmp."""
    for kind, value in opened.items():
        KINDS[kind].give(picture, value)
