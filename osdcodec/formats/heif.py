"""HEIC and AVIF: the package that reads the one, and what both say of their colours and of what is to be shown."""

import io
import struct
from collections.abc import Callable, Iterator
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

from PIL import Image

from ..errors import InputError, PackageError
from ..extras import available, install

SUFFIXES = (".heic", ".heif", ".hif")
_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1", b"heif")
_AVIF = (b"avif", b"avis")


def is_heic(data: bytes) -> bool:
    if data[4:8] != b"ftyp":
        return False
    brands = data[8 : min(int.from_bytes(data[:4], "big"), 256)]
    named = {brands[i : i + 4] for i in range(0, len(brands), 4) if i != 4}
    return not named & set(_AVIF) and bool(named & set(_BRANDS))


def open_heic(data: bytes, name: str, judge: Callable) -> Image.Image:
    """The picture, its info as Pillow has them; its rotation is done. PackageError without the package, InputError if it is damaged."""
    if not available("pillow_heif"):
        raise PackageError(f"{name}: HEIC needs the package pillow-heif: {install('pillow_heif')}, or save it as JPEG")
    import pillow_heif

    try:
        file = pillow_heif.open_heif(io.BytesIO(data))  # decodes nothing yet
        (width, height), several = file.size, len(file) > 1
        judge(SimpleNamespace(width=width, height=height, size=file.size, format="HEIF", is_animated=several))
        return file.to_pillow()
    except (ValueError, RuntimeError, OSError, EOFError, SyntaxError) as error:
        raise InputError(f"{name}: a damaged or unusual HEIC picture ({error}); save it anew as JPEG") from error


def encoded(picture: Image.Image, quality: int, tags: dict[str, Any]) -> bytes:
    """RGB, RGBA, L or LA picture -> HEIC, with its exif, xmp and icc_profile. OSError if the package has no encoder."""
    import pillow_heif

    kept: dict[str, Any] = {key: tags[key] for key in ("xmp", "icc_profile") if key in tags}
    if exif := tags.get("exif"):
        kept["exif"] = exif.tobytes() if isinstance(exif, Image.Exif) else exif
    buffer, bare = io.BytesIO(), picture.copy()
    bare.info = {}
    try:
        pillow_heif.from_pillow(bare).save(buffer, quality=quality, **kept)
    except RuntimeError as error:
        raise OSError(f"HEIC cannot be encoded here: {error}") from error
    return buffer.getvalue()


def colour_code(data: bytes) -> bytes | None:
    """Primaries, transfer and matrix of the main picture, a byte each as in PNG's cICP; None if there are none."""
    try:
        return _colour_code(data)
    except (IndexError, KeyError, StopIteration):  # whether the file is damaged is not judged here
        return None


def clean_aperture(data: bytes, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """The part of an AVIF's main picture that is to be shown (left, top, right, bottom); None for all of it.

    libavif, by which Pillow reads AVIF, leaves it to its callers.
    """
    try:
        body = next(body for kind, body in _properties(data) if kind == b"clap")
        parts = struct.unpack(">IIIIiIiI", body[:32])
        width, height, right, down = (Fraction(parts[i], parts[i + 1]) for i in range(0, 8, 2))
    except (IndexError, KeyError, StopIteration, ZeroDivisionError, struct.error):
        return None
    left = round(right + (size[0] - width) / 2)
    top = round(down + (size[1] - height) / 2)
    box = left, top, left + round(width), top + round(height)
    inside = 0 <= box[0] < box[2] <= size[0] and 0 <= box[1] < box[3] <= size[1]
    return box if inside and box != (0, 0, *size) else None


def has_gain_map(data: bytes) -> bool:
    """Whether a derived picture of a high dynamic range (tmap), or Apple's gain map, lies in the file."""
    return b"tmap" in data[8 : min(int.from_bytes(data[:4], "big"), 256)] or b"hdrgainmap" in data


def _colour_code(data: bytes) -> bytes | None:
    for kind, body in _properties(data):
        if kind == b"colr" and body[:4] == b"nclx" and len(body) >= 10:
            return bytes([body[5], body[7], body[9]])
    return None


def _properties(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Those of the main picture, (kind, content)."""
    meta = dict(_boxes(data))[b"meta"][4:]
    inside = dict(_boxes(meta))
    version, rest = inside[b"pitm"][0], inside[b"pitm"][4:]
    main = int.from_bytes(rest[: 4 if version else 2], "big")
    properties = dict(_boxes(inside.get(b"iprp", b"")))
    known = [(kind, body) for kind, body in _boxes(properties.get(b"ipco", b""))]
    for index in _associated(properties.get(b"ipma", b""), main):
        if 0 < index <= len(known):
            yield known[index - 1]


def _associated(body: bytes, item: int) -> Iterator[int]:
    """Indices of the properties of an item, from 1."""
    version, flags, count, at = body[0], body[3], int.from_bytes(body[4:8], "big"), 8
    for _ in range(count):
        width = 4 if version else 2
        this, at = int.from_bytes(body[at : at + width], "big"), at + width
        number, at = body[at], at + 1
        for _ in range(number):
            size = 2 if flags & 1 else 1
            index, at = int.from_bytes(body[at : at + size], "big") & (0x7FFF if flags & 1 else 0x7F), at + size
            if this == item:
                yield index


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(data):
        size, kind, head = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        end = len(data) if size == 0 else at + size
        if end < at + head:
            return
        yield kind, data[at + head : end]
        at = end
