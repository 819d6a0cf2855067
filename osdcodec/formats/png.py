"""PNG: chunks that Pillow stumbles over or does not heed."""

import zlib
from typing import Any

import numpy as np
from PIL import Image

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MOST = 2**24  # bytes that a compressed chunk may become
_XMP = b"XML:com.adobe.xmp"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_PIXELS = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT")


def is_png(data: bytes) -> bool:
    return data[:8] == _SIGNATURE


class Facts:
    """What the chunks say of the pixels, and the file without those that are of no use, damaged, or read here.

    data: the file for Pillow; ended: whether its end is there; rest: what stands behind it; info: icc_profile, xmp and dpi, if
    it has them; frames: of an animation; frame: where its first frame lies, if data hold that in place of the default image; depth, kind: bits
    of a sample, colour type; transparent, gamma, chromaticities, code: tRNS, gAMA, cHRM and cICP, None without.
    """

    def __init__(self, data: bytes) -> None:
        self.transparent: bytes | None = None
        self.gamma: float | None = None
        self.chromaticities: tuple[float, ...] | None = None
        self.code: bytes | None = None
        self.srgb = False
        self.info: dict[str, Any] = {}
        self.rest = b""
        self.ended = False
        self.frames = 1
        self.frame: tuple[int, int] | None = None
        self.size = self.width, self.height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
        self.depth, self.kind = data[24], data[25] if len(data) > 25 else 0
        kept, at = [_SIGNATURE], 8
        while at + 12 <= len(data):
            length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
            content, end = data[at + 8 : at + 8 + length], at + 12 + length
            whole = end <= len(data) and zlib.crc32(kind + content) == int.from_bytes(data[end - 4 : end], "big")
            if kind == b"acTL" and whole:
                self.frames = int.from_bytes(content[:4], "big")
            if kind in _PIXELS or (whole and self._heed(kind, content)):
                kept.append(data[at:end])
            at = end
            if kind == b"IEND":
                self.rest, self.ended = data[end:], True
                break
        self.data = b"".join(kept)
        if self.frames and len(kept) > 2:
            self._show_first_frame(kept[1:])

    format = "PNG"

    @property
    def is_animated(self) -> bool:
        return self.frames > 1

    def tell(self) -> int:
        return 0

    def _show_first_frame(self, chunks: list[bytes]) -> None:
        """Of an animation whose default image is none of its frames, which only viewers of still pictures show."""
        kinds = [piece[4:8] for piece in chunks]
        if b"acTL" not in kinds or b"IDAT" not in kinds or b"fcTL" not in kinds:
            return
        first = kinds.index(b"fcTL")
        if first < kinds.index(b"IDAT") or len(chunks[first]) < 38:
            return
        until = next((i for i in range(first + 1, len(kinds)) if kinds[i] == b"fcTL"), len(kinds))
        control, pieces = chunks[first][8:-4], [p[12:-4] for p in chunks[first:until] if p[4:8] == b"fdAT"]
        place = int.from_bytes(control[12:16], "big"), int.from_bytes(control[16:20], "big")
        width, height = int.from_bytes(control[4:8], "big"), int.from_bytes(control[8:12], "big")
        if not pieces or not (width and height and place[0] + width <= self.width and place[1] + height <= self.height):
            return
        head = chunk(b"IHDR", control[4:12] + chunks[0][16:21])
        between = [
            p for p, kind in zip(chunks, kinds, strict=True) if kind not in (*_PIXELS, b"IHDR") or kind == b"PLTE"
        ]
        self.frame = place
        self.data = b"".join([_SIGNATURE, head, *between, chunk(b"IDAT", b"".join(pieces)), chunk(b"IEND", b"")])

    def _heed(self, kind: bytes, content: bytes) -> bool:
        """Takes from a chunk what is needed here; whether Pillow is to see it as well."""
        if kind == b"tRNS":
            self.transparent = content
            return True
        if kind == b"gAMA" and len(content) == 4:
            self.gamma = int.from_bytes(content, "big") / 100000
        elif kind == b"cHRM" and len(content) == 32:
            self.chromaticities = tuple(int.from_bytes(content[i : i + 4], "big") / 100000 for i in range(0, 32, 4))
        elif kind == b"pHYs" and content[8:9] == b"\1":
            across, down = (int.from_bytes(content[i : i + 4], "big") for i in (0, 4))
            self.info["dpi"] = across * 0.0254, down * 0.0254
        elif kind == b"sRGB":
            self.srgb = True
        elif kind == b"cICP" and len(content) == 4:
            self.code = content
        elif kind == b"iCCP":
            self.info.setdefault("icc_profile", inflated(content.partition(b"\0")[2][1:]) or b"damaged")
        elif kind == b"iTXt" and content.startswith(_XMP + b"\0"):
            packed, text = content[len(_XMP) + 1 :][:1] == b"\1", content[len(_XMP) + 3 :].split(b"\0", 2)[-1]
            if text := inflated(text) if packed else text:
                self.info.setdefault("xmp", text)
        return kind == b"eXIf" or (kind in (b"zTXt", b"tEXt") and self._is_raw_profile(kind, content))

    def _is_raw_profile(self, kind: bytes, content: bytes) -> bool:
        """EXIF as ImageMagick writes them, short enough for Pillow."""
        keyword, _, text = content.partition(b"\0")
        size = len(inflated(text[1:])) if kind == b"zTXt" else len(text)
        return keyword.startswith(b"Raw profile type exif") and 0 < size < 2**20


def chunk(kind: bytes, content: bytes) -> bytes:
    """The bytes of a chunk."""
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


def completed(facts: Facts) -> tuple[bytes, int] | None:
    """A file that ends early -> the same with zeros for what is missing, and the number of its rows that are there.

    None if no row is, or they come interlaced and are not all there.
    """
    data, at, before, packed = facts.data, 8, [_SIGNATURE], b""
    while at + 8 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if kind == b"IDAT":
            packed += data[at + 8 : at + 8 + length]
        elif not packed:
            before.append(data[at : at + 12 + length])
        at += 12 + length
    line = 1 + -(-facts.width * _CHANNELS.get(facts.kind, 1) * facts.depth // 8)
    stream = zlib.decompressobj()
    try:
        lines = stream.decompress(packed, line * facts.height + 9)
    except zlib.error:
        return None
    if data[28:29] != b"\0":  # of interlaced ones the first rows are spread over all of the picture
        return (b"".join([*before, chunk(b"IDAT", packed), chunk(b"IEND", b"")]), facts.height) if stream.eof else None
    rows = min(len(lines) // line, facts.height)
    filled = zlib.compress(lines[: rows * line] + bytes(line * (facts.height - rows)), 1)
    return (b"".join([*before, chunk(b"IDAT", filled), chunk(b"IEND", b"")]), rows) if rows else None


def inflated(content: bytes) -> bytes:
    """Compressed bytes, or none if they are damaged or would become too many."""
    stream = zlib.decompressobj()
    try:
        found = stream.decompress(content, _MOST)
    except zlib.error:
        return b""
    return found if stream.eof else b""


def clear(facts: Facts, image: Image.Image, deep: np.ndarray | None) -> np.ndarray | None:
    """(H, W) where the samples are those that tRNS names as clear; None without, and for palettes, which Pillow does."""
    names = facts.transparent
    if names is None or facts.kind not in (0, 2):
        return None
    bits = facts.depth
    values = [int.from_bytes(names[i : i + 2], "big") & (2**bits - 1) for i in range(0, len(names) - 1, 2)]
    if len(values) != (1 if facts.kind == 0 else 3):
        return None
    if deep is not None:
        found = deep == (values if facts.kind == 2 else values[0])
    elif facts.kind == 0:
        found = np.asarray(image.convert("L")) == values[0] * 255 // (2**bits - 1)
    else:
        found = np.asarray(image) == values
    return found.all(2) if found.ndim == 3 else found
