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

18 bytes around the payload of a photo with sides of 128 to 16383 pixels, 22 of a progressive one. A reader skips a
lower-case section that it does not know and refuses an upper-case one; A, alpha, and G, regions of interest, are known.
Every file has exactly one form: what this module reads it would write.
"""

import zlib
from binascii import crc_hqx
from dataclasses import dataclass
from typing import Any

from .errors import FormatError

MAGIC = b"\x8fOSD"
VERSION = 1
SECTIONS = 0x01  # flag: sections follow the payload
PROGRESSIVE = (
    0x02  # flag: the payload stands in decoding order, behind all that must be understood and a checksum of that
)
GREY = 0x04  # flag: red, green and blue of every pixel are equal
MAX_SIDE = 65535
MAX_PIXELS = 2**28  # default limit of a reader: a file of 30 bytes can ask for a picture of 12 GB
_CHECKSUM = 4
_HEAD_CHECKSUM = 2  # CRC-16/IBM-3740: polynomial 0x1021, begins with 0xFFFF
_SMALLEST = 4 + 1 + 4 + 1 + 1 + 1 + _CHECKSUM
_LEB128_BYTES = 5
_PNG = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"
_GREY = b"\x08\0\0\0\0"  # eight bits, one channel, not interlaced


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


Box = tuple[int, int, int, int]  # left, top, width, height


@dataclass(frozen=True)
class Regions:
    """Section G: boxes, in units of 32 pixels, whose quality is better than that of the picture."""

    quality: int
    boxes: tuple[Box, ...]

    UNIT, MOST = 32, 255

    def to_bytes(self) -> bytes:
        return bytes([self.quality]) + b"".join(leb128(number) for box in sorted(set(self.boxes)) for number in box)

    @classmethod
    def from_bytes(cls, content: bytes, quality: int, size: tuple[int, int]) -> "Regions":
        """quality and size of the picture. ValueError, which says what, unless to_bytes would write it so."""
        if not content or content[0] >= quality:
            raise ValueError("the quality of its regions is missing, or no better than that of the picture")
        numbers, at = [], 1
        while at < len(content):
            number, at = read_leb128(content, at, len(content), "section G")
            numbers.append(number)
        boxes = tuple(zip(*(numbers[i::4] for i in range(4)), strict=False))
        if not 1 <= len(boxes) <= cls.MOST or len(numbers) % 4 or list(boxes) != sorted(set(boxes)):
            raise ValueError("its boxes are missing, cut short, too many, or not in ascending order")
        columns, rows = (-(-side // cls.UNIT) for side in size)
        for left, top, width, height in boxes:
            if not (width and height and left + width <= columns and top + height <= rows):
                raise ValueError(f"a box {left},{top},{width},{height} is not in the picture")
        return cls(content[0], boxes)

    def qualities(self, quality: int, stride: int, rows: int, columns: int) -> list[list[int]]:
        """The quality of each position of a grid of `stride` pixels; a position is in a box if any pixel of it is."""
        grid = [[quality] * columns for _ in range(rows)]
        for left, top, width, height in self.boxes:
            edges = (left * self.UNIT // stride, -(-(left + width) * self.UNIT // stride))
            for row in grid[top * self.UNIT // stride : -(-(top + height) * self.UNIT // stride)]:
                last = min(edges[1], columns)
                row[edges[0] : last] = [self.quality] * (last - edges[0])
        return grid


def regions(osd: Osd) -> Regions | None:
    """What section G of a file says."""
    content = dict(osd.sections).get("G")
    return Regions.from_bytes(content, osd.quality, (osd.width, osd.height)) if content else None


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
    is at hand is not asked here.
    """
    end = len(data) - _CHECKSUM
    flags, size, at = _read_start(data, max_pixels)
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
        if error.field != "checksum" or not data[4] & PROGRESSIVE:
            raise
    flags, size, at = _read_start(data, max_pixels)
    return _read_rest(data, at, len(data), flags, size, cut=True)


def _read_start(data: bytes, max_pixels: int) -> tuple[int, tuple[int, int], int]:
    """Flags, width and height, offset of the quality."""
    if data[:4] != MAGIC:
        raise FormatError("empty file" if not data else "not an .osd file", "magic", 0)
    if len(data) < _SMALLEST:
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
        raise FormatError(f"{width}x{height} is more than {max_pixels} pixels: raise --max-pixels", "size", 9)
    return flags, (width, height), at


def _read_rest(data: bytes, at: int, end: int, flags: int, size: tuple[int, int], cut: bool = False) -> Osd:
    """All fields from the quality at offset `at` on; cut: the file may end anywhere behind the checksum of its head."""
    if at >= end:
        raise FormatError("missing", "quality", at)
    quality, at = data[at], at + 1
    sections: tuple[tuple[str, bytes], ...] = ()
    missing = 0
    if flags & PROGRESSIVE:
        length, at, sections = _read_head(data, at, end, flags, size, quality)
        missing = max(0, length - (end - at)) if cut else 0
        payload = _take(data, at, length - missing, end, "payload")[::-1]
        if flags & SECTIONS and not cut:
            sections += _read_sections(data, at + length, end, size, quality, upper=False)
            if not sections:
                raise FormatError("sections are announced, none is there", "flags", 4)
        elif not cut and at + length < end:
            raise FormatError(f"{end - at - length} bytes more than its length says", "payload", at + length)
    elif flags & SECTIONS:
        length, at = read_leb128(data, at, end, "payload length")
        payload = _take(data, at, length, end, "payload")
        if at + length == end:
            raise FormatError("sections are announced, none is there", "flags", 4)
        sections = _read_sections(data, at + length, end, size, quality)
    else:
        payload = data[at:end]
    if payload.endswith(b"\0"):  # the top of the stack, which a progressive file has in front
        place, last = ("begins with", at) if flags & PROGRESSIVE else ("ends in", at + len(payload) - 1)
        raise FormatError(f"{place} a zero byte, which a writer strips", "payload", last)
    return Osd(
        data[5:9], *size, quality, payload, sections,
        grey=bool(flags & GREY), progressive=bool(flags & PROGRESSIVE), missing=missing, verified=not cut,
    )  # fmt: skip


def _read_head(
    data: bytes, at: int, end: int, flags: int, size: tuple[int, int], quality: int
) -> tuple[int, int, tuple[tuple[str, bytes], ...]]:
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
    sections = _read_sections(data, at, behind, size, quality, upper=True)
    return length, behind + _HEAD_CHECKSUM, sections


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
                f"cut short: {len(osd.payload):,} of {whole:,} bytes of the payload are there; --partial decodes them"
            )
        return "does not match: damaged, or cut short behind the payload; --partial decodes what is there"
    return "does not match: the file is damaged or cut short"


def layout(data: bytes, max_pixels: int = MAX_PIXELS, partial: bool = False) -> dict[str, Any]:
    """Bytes of each part: header, payload, sections {type: n, its type and length included}, checksum. FormatError.

    partial: of the beginning of a progressive file; what there is behind its payload counts as checksum.
    """
    osd = (unpack_prefix if partial else unpack)(data, max_pixels)
    sections = {kind: 1 + len(leb128(len(content))) + len(content) for kind, content in osd.sections}
    if osd.progressive:  # whose upper-case sections stand within the header
        flags, size, at = _read_start(data, max_pixels)
        _, at, needed = _read_head(data, at + 1, len(data), flags, size, osd.quality)
        header = at - sum(sections[kind] for kind, _ in needed)
    else:
        header = len(data) - len(osd.payload) - sum(sections.values()) - _CHECKSUM
    checksum = len(data) - header - len(osd.payload) - sum(sections.values())
    return {"header": header, "payload": len(osd.payload), "sections": sections, "checksum": checksum}


def alpha_size(content: bytes) -> tuple[int, int] | None:
    """Width and height of a section A, by its own header: a lossless WebP or a grey PNG; None if it is neither."""
    if content[:4] == b"RIFF" and content[8:16] == b"WEBPVP8L" and content[20:21] == b"\x2f" and len(content) >= 25:
        file, chunk, sizes = (int.from_bytes(content[at : at + 4], "little") for at in (4, 16, 21))
        if (
            len(content) == 8 + file == 20 + chunk + chunk % 2 and sizes < 2**28
        ):  # 14 bits a side, then flags, which are 0
            return (sizes & 0x3FFF) + 1, (sizes >> 14) + 1
    if content[:16] == _PNG and content[24:29] == _GREY:
        return int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")
    return None


def leb128(value: int) -> bytes:
    """value >= 0 in the shortest form: 7 bits a byte, lowest first, the high bit says that more follow."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_leb128(data: bytes, at: int, end: int, field: str) -> tuple[int, int]:
    """Value at offset `at` and the offset behind it."""
    value = 0
    for i in range(_LEB128_BYTES):
        if at + i >= end:
            raise FormatError("cut short", field, at)
        byte = data[at + i]
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            if byte == 0 and i > 0:
                raise FormatError("not in the shortest form", field, at)
            return value, at + i + 1
    raise FormatError(f"longer than {_LEB128_BYTES} bytes", field, at)


def _take(data: bytes, at: int, length: int, end: int, field: str) -> bytes:
    if length > end - at:
        raise FormatError(f"{length} bytes announced, {end - at} left", field, at)
    return data[at : at + length]


def _read_sections(
    data: bytes, at: int, end: int, size: tuple[int, int], quality: int, upper: bool | None = None
) -> tuple[tuple[str, bytes], ...]:
    """Sections from offset `at` to `end`; upper: those of upper case only, or of lower case only, may stand there."""
    sections: dict[str, bytes] = {}
    while at < end:
        kind = chr(data[at])
        if not _is_letter(kind):
            raise FormatError(f"{data[at]:#04x} is not a letter", "section type", at)
        if upper not in (None, kind.isupper()):
            raise FormatError(f"section {kind} stands on the wrong side of the payload", "section type", at)
        if kind.isupper() and kind not in "AG":
            raise FormatError(f"section {kind} must be understood and is not: update osdc", "section type", at)
        if kind in sections:
            raise FormatError(f"a second section {kind}", "section type", at)
        length, start = read_leb128(data, at + 1, end, f"length of section {kind}")
        sections[kind] = _take(data, start, length, end, f"section {kind}")
        if defect := _defect(kind, sections[kind], size, quality):
            raise FormatError(defect, f"section {kind}", start)
        at = start + length
    return tuple(sections.items())


def _defect(kind: str, content: bytes, size: tuple[int, int], quality: int) -> str | None:
    if kind == "G":
        try:
            Regions.from_bytes(content, quality, size)
        except FormatError as error:
            return error.message
        except ValueError as error:
            return str(error)
    return _defect_of_alpha(content, size) if kind == "A" else None


def _defect_of_alpha(content: bytes, size: tuple[int, int]) -> str | None:
    """Its own header must give the size of the picture, so that what it unpacks to is known before it is unpacked."""
    found = alpha_size(content)
    if found is None:
        return "neither a lossless WebP without alpha of its own nor a grey PNG of 8 bits"
    return None if found == size else f"alpha of {found[0]}x{found[1]} for a picture of {size[0]}x{size[1]}"


def _is_letter(kind: str) -> bool:
    return len(kind) == 1 and kind.isascii() and kind.isalpha()


def _check(osd: Osd) -> None:
    kinds = [kind for kind, _ in osd.sections]
    if osd.version != VERSION or len(osd.model_id) != 4:
        raise ValueError(f"version must be {VERSION} and the model id have 4 bytes")
    if not (1 <= osd.width <= MAX_SIDE and 1 <= osd.height <= MAX_SIDE and 0 <= osd.quality <= 255):
        raise ValueError(f"width {osd.width}, height {osd.height} or quality {osd.quality} is out of range")
    if osd.payload.endswith(b"\0"):
        raise ValueError("the payload ends in a zero byte: strip it")
    if osd.missing or not osd.verified:
        raise ValueError("only whole files are written")
    if osd.progressive and kinds != sorted(kinds, key=str.islower):
        raise ValueError("upper-case sections of a progressive file come first")
    if not all(_is_letter(kind) and (kind.islower() or kind in "AG") for kind in kinds) or len(set(kinds)) < len(kinds):
        raise ValueError(f"section types must be A, G or lower-case letters, each at most once, not {kinds}")
    for kind, content in osd.sections:
        if defect := _defect(kind, content, (osd.width, osd.height), osd.quality):
            raise ValueError(defect)
