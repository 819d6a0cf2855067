"""PNG: chunks that Pillow stumbles over or does not heed."""

import zlib

import numpy as np
from PIL import Image

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MOST = 2**24  # bytes that a compressed chunk may become
_XMP = b"XML:com.adobe.xmp"
_PIXELS = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT")


def is_png(data: bytes) -> bool:
    return data[:8] == _SIGNATURE


class Facts:
    """What the chunks say of the pixels, and the file without those that are of no use, damaged, or read here.

    data: the file for Pillow; rest: what stands behind its end; info: icc_profile and xmp, if it has them; depth, kind: bits
    of a sample, colour type; transparent, gamma, chromaticities, code: tRNS, gAMA, cHRM and cICP, None without.
    """

    def __init__(self, data: bytes) -> None:
        self.transparent: bytes | None = None
        self.gamma: float | None = None
        self.chromaticities: tuple[float, ...] | None = None
        self.code: bytes | None = None
        self.srgb = False
        self.info: dict[str, bytes] = {}
        self.rest = b""
        self.depth, self.kind = data[24], data[25] if len(data) > 25 else 0
        kept, at = [_SIGNATURE], 8
        while at + 12 <= len(data):
            length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
            content, end = data[at + 8 : at + 8 + length], at + 12 + length
            whole = end <= len(data) and zlib.crc32(kind + content) == int.from_bytes(data[end - 4 : end], "big")
            if kind in _PIXELS or (whole and self._heed(kind, content)):
                kept.append(data[at:end])
            at = end
            if kind == b"IEND":
                self.rest = data[end:]
                break
        self.data = b"".join(kept)

    def _heed(self, kind: bytes, content: bytes) -> bool:
        """Takes from a chunk what is needed here; whether Pillow is to see it as well."""
        if kind == b"tRNS":
            self.transparent = content
            return True
        if kind == b"gAMA" and len(content) == 4:
            self.gamma = int.from_bytes(content, "big") / 100000
        elif kind == b"cHRM" and len(content) == 32:
            self.chromaticities = tuple(int.from_bytes(content[i : i + 4], "big") / 100000 for i in range(0, 32, 4))
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
