"""The .osd file, version 1: bytes <-> fields. Pure Python; spec/osd-1.md is the normative text.

    .- byte 0 ----.- byte 1 ----.- byte 2 ----.- byte 3 ----.
    |     8F      |    4F 'O'   |    53 'S'   |    44 'D'   |  magic
    |-------------+-------------+-------------+-------------|
    | 0 0 0 1 0 g p s |                          version 1; g: grey; p: progressive; s: sections follow the payload
    |-----------------+---------------------------------------|
    |                     model id                          |  4 bytes, names the tensors that fix the symbols
    |-------------------------------------------------------|
    |  width  LEB128            |  height  LEB128           |  1 .. 65535 each
    |---------------------------+---------------------------|
    |  quality    |                                            q, lambda = 0.1 * 20^(q / 255)
    |-------------+---------------------------|
    |  payload length  LEB128                 |                only if s
    |-----------------------------------------+-------------|
    |  payload: one rANS stack, does not end in a zero byte |
    |-------------------------------------------------------|
    |  type 'a'..'z' 'A'..'Z'   |  length  LEB128           |  only if s: one or more sections,
    |  bytes                                                |  each type at most once
    |-------------------------------------------------------|
    |              CRC-32 of all that precedes              |  little-endian
    '-------------------------------------------------------'

A progressive file can be cut: it has what a reader must know before the payload, under a checksum of its own, and the
payload in decoding order. From the quality on:

    |  quality    |
    |-------------+---------------------------|
    |  payload length  LEB128                 |
    |-----------------------------------------|
    |  bytes of upper-case sections  LEB128   |                only if s
    |-----------------------------------------+-------------|
    |  upper-case sections                                  |  only if s
    |-------------------------------------------------------|
    |  CRC-16 of all that precedes  |                          little-endian
    |-------------------------------+-----------------------|
    |  payload, last byte first: begins with no zero byte   |
    |-------------------------------------------------------|
    |  lower-case sections                                  |  only if s
    |-------------------------------------------------------|
    |              CRC-32 of all that precedes              |
    '-------------------------------------------------------'

18 bytes around the payload of a photo with sides of 128 to 16383 pixels, 21 to 23 of a progressive one. A reader skips a
lower-case section that it does not know and refuses an upper-case one; sections.py has the table of those that are known.
Every file has exactly one form: what this module reads it would write.
"""

import zlib
from binascii import crc_hqx
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..errors import FormatError
from . import sections
from .flat_colours import Colour
from .leb128 import leb128, read_leb128
from .regions import Box, Regions, units
from .sections import alpha_size

__all__ = [
    "MAGIC", "MAX_PIXELS", "MAX_SIDE", "VERSION", "Box", "Osd", "Regions", "alpha_size", "layout", "leb128", "pack",
    "read_leb128", "read_start", "sections", "units", "unpack", "unpack_prefix",
]  # fmt: skip
MAGIC = b"\x8fOSD"
VERSION = 1
SECTIONS = 0x01  # flag: sections follow the payload
PROGRESSIVE = 0x02  # flag: the payload stands in decoding order, behind what must be understood and a checksum of that
GREY = 0x04  # flag: red, green and blue of every pixel are equal
MAX_SIDE = sections.MAX_SIDE
MAX_PIXELS = 2**28  # default limit of a reader: a file of 30 bytes can ask for a picture of 12 GB
_CHECKSUM = 4
_HEAD_CHECKSUM = 2  # CRC-16/IBM-3740: polynomial 0x1021, begins with 0xFFFF
_FRAME = 4 + 1 + 4 + 1 + 1 + 1 + _CHECKSUM  # the least around a payload
_SMALLEST = _FRAME + 3  # no symbols are in fewer bytes than those of the state 2**16


@dataclass(frozen=True)
class Osd:
    """What an .osd file says.

    model_id: 4 bytes; width, height: pixels, 1 .. 65535; quality: 0 .. 255; payload: the entropy-coded symbols;
    sections: (one ASCII letter, bytes) each, in file order; grey: red, green and blue of every pixel are equal.
    progressive: the payload holds its symbols in the progressive order, and the file can be cut. missing: bytes of the
    payload that have not arrived, which are those before `payload`; verified: the checksum of the whole file was right.
    """

    model_id: bytes
    width: int
    height: int
    quality: int
    payload: bytes
    sections: tuple[tuple[str, bytes], ...] = ()
    version: int = VERSION
    grey: bool = False
    progressive: bool = False
    missing: int = 0
    verified: bool = True
    fault: str = ""  # what is wrong with a file that was salvaged

    @cached_property
    def contents(self) -> dict[str, Any]:
        """What the sections say, by letter, as sections.py reads them. ValueError if one says nothing that a writer would write."""
        size = self.width, self.height
        return {kind: sections.read(kind, content, self.quality, size) for kind, content in self.sections}

    @property
    def regions(self) -> Regions | None:
        return self.contents.get("G")

    @property
    def original_size(self) -> tuple[int, int] | None:
        """Of the picture before it was shrunk to be coded; None if it was not."""
        return self.contents.get("o")

    @property
    def flat_background(self) -> list[Colour]:
        return self.contents.get("p", [])


def pack(osd: Osd) -> bytes:
    """Fields -> the bytes of the file. ValueError if a field lies outside its range."""
    _check(osd)
    flags = bool(osd.sections) * SECTIONS | osd.progressive * PROGRESSIVE | osd.grey * GREY
    body = MAGIC + bytes([osd.version << 4 | flags]) + osd.model_id
    body += leb128(osd.width) + leb128(osd.height) + bytes([osd.quality])
    if osd.sections or osd.progressive:
        body += leb128(len(osd.payload))
    if osd.progressive:
        if osd.sections:
            needed = _section_bytes(osd, upper=True)
            body += leb128(len(needed)) + needed
        body += _head_checksum(body) + osd.payload[::-1] + _section_bytes(osd, upper=False)
    else:
        body += osd.payload + _section_bytes(osd)
    return body + zlib.crc32(body).to_bytes(_CHECKSUM, "little")


def _section_bytes(osd: Osd, upper: bool | None = None) -> bytes:
    """All sections, or those of upper or of lower case."""
    chosen = [section for section in osd.sections if upper in (None, section[0].isupper())]
    return b"".join(kind.encode("ascii") + leb128(len(content)) + content for kind, content in chosen)


def _head_checksum(data: bytes) -> bytes:
    return crc_hqx(data, 0xFFFF).to_bytes(_HEAD_CHECKSUM, "little")


def unpack(data: bytes, max_pixels: int = MAX_PIXELS) -> Osd:
    """The bytes of a file -> its fields. FormatError, with field and offset, at the first defect.

    The size is judged as soon as it is read, then the checksum, then all that lies behind the header. Whether the model
    is available is not asked here.
    """
    end = len(data) - _CHECKSUM
    flags, size, at = read_start(data, max_pixels)
    if int.from_bytes(data[end:], "little") != zlib.crc32(data[:end]):
        raise FormatError(_what_is_there(data, flags, size, at), "checksum", end)
    return _read_rest(data, at, end, flags, size)


def unpack_prefix(data: bytes, max_pixels: int = MAX_PIXELS) -> Osd:
    """The first bytes of a progressive file -> its fields as far as they have arrived; any whole file, as `unpack`.

    What stands before the payload must be there, and its checksum right; of what stands behind it nothing is taken.
    FormatError if the file is not a progressive one, or what is there of it does not suffice.
    """
    try:
        return unpack(data, max_pixels)
    except FormatError as error:
        if error.field != "checksum":
            raise
        if not data[4] & PROGRESSIVE:
            told = f"{error.message}; `partial` shows nothing of it, for it is not progressive: try `salvage`"
            raise FormatError(told, error.field, error.offset) from error
    flags, size, at = read_start(data, max_pixels)
    return _read_rest(data, at, len(data), flags, size, cut=True)


def read_start(data: bytes, max_pixels: int) -> tuple[int, tuple[int, int], int]:
    """Flags, width and height, offset of the quality."""
    if data[:4] != MAGIC:
        raise FormatError("empty file" if not data else "not an .osd file", "magic", 0)
    if len(data) < _FRAME:
        raise FormatError(f"cut short: {len(data)} bytes, the smallest file has {_SMALLEST}", "file", len(data))
    version, flags = data[4] >> 4, data[4] & 0x0F
    if version != VERSION:
        raise FormatError(f"version {version} is not known here, only {VERSION}: update osdc", "version", 4)
    if flags & ~(SECTIONS | PROGRESSIVE | GREY):
        raise FormatError(f"reserved bits are set ({flags:#x}): damaged, or made by a newer osdc", "flags", 4)
    end = len(data) - (0 if flags & PROGRESSIVE else _CHECKSUM)  # which may not have arrived
    width, after_width = read_leb128(data, 9, end, "width")
    height, at = read_leb128(data, after_width, end, "height")
    for name, side, offset in (("width", width, 9), ("height", height, after_width)):
        if not 1 <= side <= MAX_SIDE:
            raise FormatError(f"{side} is not between 1 and {MAX_SIDE}", name, offset)
    if width * height > max_pixels:
        raise FormatError(f"{width}x{height} is more than {max_pixels} pixels: raise `max_pixels`", "size", 9)
    return flags, (width, height), at


def _read_rest(data: bytes, at: int, end: int, flags: int, size: tuple[int, int], cut: bool = False) -> Osd:
    """All fields from the quality at offset `at` on; cut: the file may end anywhere behind the checksum of its head."""
    if at >= end:
        raise FormatError("missing", "quality", at)
    quality, at = data[at], at + 1
    read: list[tuple[str, bytes, Any]] = []
    missing = 0
    if flags & PROGRESSIVE:
        length, at, read = _read_head(data, at, end, flags, size, quality)
        missing = max(0, length - (end - at)) if cut else 0
        payload = _take(data, at, length - missing, end, "payload")[::-1]
        if flags & SECTIONS and not cut:
            read += _read_sections(data, at + length, end, size, quality, upper=False)
            if not read:
                raise FormatError("sections are announced, none is there", "flags", 4)
        elif not cut and at + length < end:
            raise FormatError(f"{end - at - length} bytes more than its length says", "payload", at + length)
    elif flags & SECTIONS:
        length, at = read_leb128(data, at, end, "payload length")
        payload = _take(data, at, length, end, "payload")
        if at + length == end:
            raise FormatError("sections are announced, none is there", "flags", 4)
        read = _read_sections(data, at + length, end, size, quality)
    else:
        payload = data[at:end]
    if payload.endswith(b"\0"):  # the top of the stack, which a progressive file has in front
        place, last = ("begins with", at) if flags & PROGRESSIVE else ("ends in", at + len(payload) - 1)
        raise FormatError(f"{place} a zero byte, which a writer strips", "payload", last)
    osd = Osd(
        data[5:9], *size, quality, payload, tuple((kind, content) for kind, content, _ in read),
        grey=bool(flags & GREY), progressive=bool(flags & PROGRESSIVE), missing=missing, verified=not cut,
    )  # fmt: skip
    vars(osd)["contents"] = {kind: said for kind, _, said in read}  # which need not be read again
    return osd


def _read_head(
    data: bytes, at: int, end: int, flags: int, size: tuple[int, int], quality: int
) -> tuple[int, int, list[tuple[str, bytes, Any]]]:
    """From the payload length of a progressive file on -> that length, offset of the payload, upper-case sections."""
    length, at = read_leb128(data, at, end, "payload length")
    needed = 0
    if flags & SECTIONS:
        needed, at = read_leb128(data, at, end, "length of the upper-case sections")
    behind = at + needed
    if end - behind < _HEAD_CHECKSUM:
        raise FormatError("cut short before the payload begins", "head", end)
    if data[behind : behind + _HEAD_CHECKSUM] != _head_checksum(data[:behind]):
        raise FormatError("does not match: the head of the file is damaged", "head checksum", behind)
    return length, behind + _HEAD_CHECKSUM, _read_sections(data, at, behind, size, quality, upper=True)


def _what_is_there(data: bytes, flags: int, size: tuple[int, int], at: int) -> str:
    """Why the checksum of a file may be wrong."""
    if flags & PROGRESSIVE:
        try:
            osd = _read_rest(data, at, len(data), flags, size, cut=True)
        except FormatError:
            return "does not match: the file is damaged or cut short"
        whole = osd.missing + len(osd.payload)
        if osd.missing:
            return (
                f"cut short: {len(osd.payload):,} of {whole:,} bytes of the payload are there; `partial` decodes them"
            )
        return "does not match: damaged, or cut short behind the payload; `partial` decodes what is there"
    return "does not match: the file is damaged or cut short"


def layout(data: bytes, osd: Osd) -> dict[str, Any]:
    """Bytes of each part of a file that was read as `osd`: header, payload, sections {type: n, its type and length included}, checksum.

    Of the beginning of a progressive file, what there is behind its payload counts as checksum.
    """
    counts = {kind: 1 + len(leb128(len(content))) + len(content) for kind, content in osd.sections}
    at, numbers = 10 + len(leb128(osd.width)) + len(leb128(osd.height)), []
    if osd.progressive or data[4] & SECTIONS:
        numbers.append("payload length")
    if osd.progressive and data[4] & SECTIONS:  # whose upper-case sections stand within the header
        numbers.append("length of the upper-case sections")
    for number in numbers:
        _, at = read_leb128(data, at, len(data), number)
    header = at + (_HEAD_CHECKSUM if osd.progressive else 0)
    checksum = len(data) - header - len(osd.payload) - sum(counts.values())
    return {"header": header, "payload": len(osd.payload), "sections": counts, "checksum": checksum}


def _take(data: bytes, at: int, length: int, end: int, field: str) -> bytes:
    if length > end - at:
        raise FormatError(f"{length} bytes announced, {end - at} left", field, at)
    return data[at : at + length]


def _read_sections(
    data: bytes, at: int, end: int, size: tuple[int, int], quality: int, upper: bool | None = None
) -> list[tuple[str, bytes, Any]]:
    """Type, bytes and contents of the sections from offset `at` to `end`; upper: only those of upper case, or of lower case, may stand there."""
    known: dict[str, tuple[str, bytes, Any]] = {}
    while at < end:
        kind = chr(data[at])
        if not sections.is_letter(kind):
            raise FormatError(f"{data[at]:#04x} is not a letter", "section type", at)
        if upper not in (None, kind.isupper()):
            raise FormatError(f"section {kind} stands on the wrong side of the payload", "section type", at)
        if not sections.may_stand(kind):
            raise FormatError(f"section {kind} must be understood and is not: update osdc", "section type", at)
        if kind in known:
            raise FormatError(f"a second section {kind}", "section type", at)
        length, start = read_leb128(data, at + 1, end, f"length of section {kind}")
        content = _take(data, start, length, end, f"section {kind}")
        try:
            known[kind] = kind, content, sections.read(kind, content, quality, size)
        except ValueError as error:
            raise FormatError(str(error), f"section {kind}", start) from error
        at = start + length
    return list(known.values())


def _check(osd: Osd) -> None:
    kinds = [kind for kind, _ in osd.sections]
    if osd.version != VERSION or len(osd.model_id) != 4:
        raise ValueError(f"version must be {VERSION} and the model id have 4 bytes")
    if not (1 <= osd.width <= MAX_SIDE and 1 <= osd.height <= MAX_SIDE and 0 <= osd.quality <= 255):
        raise ValueError(f"width {osd.width}, height {osd.height} or quality {osd.quality} is out of range")
    if osd.payload.endswith(b"\0"):
        raise ValueError("the payload ends in a zero byte: strip it")
    if osd.missing or osd.fault or not osd.verified:
        raise ValueError("only whole files are written")
    if osd.progressive and kinds != sorted(kinds, key=str.islower):
        raise ValueError("upper-case sections of a progressive file come first")
    if not all(map(sections.may_stand, kinds)) or len(osd.contents) < len(kinds):
        known = ", ".join(filter(str.isupper, sections.KINDS))
        raise ValueError(f"section types must be {known} or lower-case letters, each at most once, not {kinds}")
