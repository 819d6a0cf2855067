"""What an .osd file holds of a picture beside its colours: alpha, flat background, original size, ICC profile, EXIF and XMP.

Each is one section of the file; container/sections.py has their letters and how their bytes are read.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from ..container import flat_colours
from ..container.sections import KINDS, Size, alpha_size, original_size
from ..errors import FormatError
from ..formats import DEFECTS, open_lazily
from . import flat_background
from .marks import is_bare
from .resizing import ORIGINAL

_EXIF_HEADER = b"Exif\0\0"
_WEBP_SIDE = 16383  # the largest of WebP


@dataclass(frozen=True)
class Attachment:
    """One kind of section, from a picture and back.

    take(picture) -> the section's bytes for a picture as `image.open_image` gives it; None if it has nothing of the kind.
    decode(content, size) -> what `give` puts into a decoded picture; FormatError if the bytes are damaged.
    give(picture, value) changes a decoded picture in place.
    """

    take: Callable[[Image.Image], bytes | None]
    decode: Callable[[bytes, Size], Any] = lambda content, size: content
    give: Callable[[Image.Image, Any], None] = lambda picture, value: None


def _take_alpha(picture: Image.Image) -> bytes | None:
    if picture.mode != "RGBA":
        return None
    plane, buffer = picture.getchannel("A"), io.BytesIO()
    if max(plane.size) <= _WEBP_SIDE:
        plane.save(buffer, "WEBP", lossless=True, quality=100)
    else:
        plane.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def decode_alpha(content: bytes, size: Size) -> Image.Image:
    """Section A -> alpha, L, of this size. FormatError if it is damaged, before any pixel if its size is another."""
    try:
        plane = open_lazily(content, ("WEBP", "PNG"))
        if alpha_size(content) != size or plane.size != size:
            raise ValueError("its size is not that of the picture")
        plane.load()
        return plane.getchannel("G") if plane.mode == "RGB" else plane.convert("L")
    except DEFECTS as error:
        raise FormatError(f"damaged ({error})", "section A") from error


def _give_alpha(picture: Image.Image, plane: Image.Image) -> None:
    """RGB becomes RGBA, L becomes LA; a preview is smaller than the picture, and so is its alpha."""
    if plane.size != picture.size:
        plane = plane.resize(picture.size, Image.Resampling.BOX)
    picture.putalpha(plane)


def _take_flat_background(picture: Image.Image) -> bytes:
    found = flat_background.find(np.asarray(picture)[..., :3], flat_colours.MOST)
    return bytes(value for colour in found for value in colour)


def _take_original_size(picture: Image.Image) -> bytes | None:
    size = picture.info.get(ORIGINAL)
    return original_size(*size) if size else None


def _give_original_size(picture: Image.Image, size: Size) -> None:
    picture.info[ORIGINAL] = size


def _take_xmp(picture: Image.Image) -> bytes | None:
    """All but the mark of an earlier decoding, which the next one makes anew."""
    packet = picture.info.get("xmp", b"")
    return None if is_bare(packet) else packet


def _in_info(key: str, header: bytes = b"") -> Attachment:
    """What Pillow keeps as bytes in a picture's info, there behind a header."""

    def give(picture: Image.Image, content: bytes) -> None:
        picture.info[key] = header + content

    return Attachment(lambda picture: picture.info.get(key, b"").removeprefix(header), give=give)


ATTACHMENTS = {
    "A": Attachment(_take_alpha, decode_alpha, _give_alpha),
    "p": Attachment(_take_flat_background),  # the decoder restores it when it makes the pixels
    "o": Attachment(
        _take_original_size, lambda content, size: KINDS["o"].read(content, 0, size), give=_give_original_size
    ),
    "i": _in_info("icc_profile"),
    "e": _in_info("exif", _EXIF_HEADER),
    "x": replace(_in_info("xmp"), take=_take_xmp),
}


def collect(picture: Image.Image) -> tuple[tuple[str, bytes], ...]:
    """A picture as `image.open_image` gives it -> the sections (letter, bytes) that a file keeps of it, in file order."""
    taken = ((kind, ATTACHMENTS[kind].take(picture)) for kind in KINDS if kind in ATTACHMENTS)
    return tuple((kind, content) for kind, content in taken if content)


def decode(sections: tuple[tuple[str, bytes], ...], size: Size) -> dict[str, Any]:
    """Sections of a file -> what `attach` puts into a picture of this (width, height). FormatError if one is damaged."""
    return {kind: ATTACHMENTS[kind].decode(content, size) for kind, content in sections if kind in ATTACHMENTS}


def attach(picture: Image.Image, decoded: dict[str, Any]) -> None:
    """Gives a decoded picture, RGB or L, its alpha, and its info the entries icc_profile, exif and xmp, in place."""
    for kind, value in decoded.items():
        ATTACHMENTS[kind].give(picture, value)
