"""What can be read of a damaged file. Pure Python.

Checksums, sections and ends that are wrong are passed over; magic, version and size must be right. Whoever shows what comes of it says
so: `Osd.fault` tells what is wrong.
"""

import zlib
from contextlib import suppress
from dataclasses import replace

from ..errors import FormatError
from . import GREY, MAX_PIXELS, PROGRESSIVE, SECTIONS, Osd, read_leb128, read_start, sections, unpack, unpack_prefix

LONGEST = 2**20  # bytes of a file in which its end is looked for: a file of a picture of 2^28 pixels has as many


def salvage(data: bytes, max_pixels: int = MAX_PIXELS) -> Osd:
    """Reads a file as far as that goes.

    Args:
        data: The bytes of the file, or of what is left of it.
        max_pixels: Pixels of the largest picture.

    Returns:
        The fields of the file. Its `fault` is empty if nothing is wrong with it.

    Raises:
        FormatError: The header cannot be read, or the picture is too large.
    """
    try:
        return unpack(data, max_pixels)
    except FormatError as error:
        fault = error
    with suppress(FormatError):
        if (end := end_of(data)) is not None:
            extra = len(data) - end
            return replace(unpack(data[:end], max_pixels), fault=f"{extra} byte{'s' * (extra > 1)} behind the end")
    with suppress(FormatError):
        return replace(unpack_prefix(data, max_pixels), fault=str(fault))
    return replace(_read(data, max_pixels), fault=str(fault))


def end_of(data: bytes) -> int | None:
    """The length of a file that has bytes behind its end: where the four bytes after it are the checksum of all before them."""
    checksum = 0
    for at in range(min(len(data), LONGEST) - 4):
        if checksum == int.from_bytes(data[at : at + 4], "little") and at > 8:
            return at + 4
        checksum = zlib.crc32(data[at : at + 1], checksum)
    return None


def _read(data: bytes, max_pixels: int) -> Osd:
    """The fields of a file whose checksum is wrong."""
    flags, size, at = read_start(data, max_pixels)
    if at >= len(data):
        raise FormatError("missing", "quality", at)
    quality, progressive, missing = data[at], bool(flags & PROGRESSIVE), 0
    at, end = at + 1, len(data) - 4
    found: list[tuple[str, bytes]] = []
    if progressive or flags & SECTIONS:
        length, at = read_leb128(data, at, len(data), "payload length")
    else:
        length = max(0, end - at)
    if progressive:
        if flags & SECTIONS:
            needed, at = read_leb128(data, at, len(data), "length of the upper-case sections")
            found, at = _read_sections(data, at, min(at + needed, len(data)), size, quality), at + needed
        at += 2  # the checksum of the head
        missing = max(0, at + length - len(data))
    payload = data[at : at + length]
    if progressive:
        payload = payload[::-1]
    if flags & SECTIONS and at + length < end:
        found += _read_sections(data, at + length, end, size, quality)
    once = dict(reversed(found))  # the first of each kind
    return Osd(
        data[5:9], *size, quality, payload.rstrip(b"\0"), tuple(once.items())[::-1], grey=bool(flags & GREY),
        progressive=progressive, missing=missing, verified=False,
    )  # fmt: skip


def _read_sections(data: bytes, at: int, end: int, size: tuple[int, int], quality: int) -> list[tuple[str, bytes]]:
    """The sections that are as they must be; what stands behind one that has no right end is lost."""
    found: list[tuple[str, bytes]] = []
    while at < end:
        try:
            length, start = read_leb128(data, at + 1, end, "length of a section")
        except FormatError:
            break
        kind, content = chr(data[at]), data[start : start + length]
        if start + length > end:
            break
        with suppress(ValueError):
            if sections.may_stand(kind):
                sections.read(kind, content, quality, size)
                found.append((kind, content))
        at = start + length
    return found
