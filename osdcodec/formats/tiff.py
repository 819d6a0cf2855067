"""TIFF: which numbers are white, and which files hold a camera's raw data beside a small picture."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from PIL import TiffImagePlugin

PLANAR, BITS, _SAMPLE_FORMAT = 284, 258, 339
_PHOTOMETRIC, _MAKE, _SUB_IFDS, _MAX_SAMPLE, _DNG = 262, 271, 330, 281, 50706
_RAW_PHOTOMETRICS = (32803, 34892)  # colour filter array, linear raw
_MAGICS = {
    b"FUJIFILMCCD-RAW": "Fujifilm RAF",
    b"IIU\0": "Panasonic RW2",
    b"IIRO": "Olympus ORF",
    b"IIRS": "Olympus ORF",
    b"MMOR": "Olympus ORF",
    b"\0MRM": "Minolta MRW",
    b"FOVb": "Sigma X3F",
    b"II\x1a\0\0\0HEAPCCDR": "Canon CRW",
}
SUFFIXES = (
    ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".raf", ".rw2", ".orf", ".pef", ".srw", ".x3f",
    ".mrw", ".3fr", ".iiq", ".erf", ".kdc", ".dcr", ".rwl",
)  # fmt: skip


Entry = tuple[str, int, bytes]


def raw_maker(data: bytes) -> str | None:
    """Who made a file of camera raw data, None for any other file."""
    for magic, maker in _MAGICS.items():
        if data.startswith(magic):
            return maker
    if data[4:12] == b"ftypcrx ":
        return "Canon CR3"
    if data[:4] not in (b"II*\0", b"MM\0*"):
        return None
    if data[8:10] == b"CR":
        return "Canon CR2"
    raw, maker = False, ""
    for tags in _directories(data):
        maker = maker or _text(tags.get(_MAKE))
        if _DNG in tags:
            return "DNG"
        raw |= _number(tags.get(_PHOTOMETRIC)) in _RAW_PHOTOMETRICS
    return (maker or "unknown camera") if raw else None


def white(tags: TiffImagePlugin.ImageFileDirectory_v2, samples: np.ndarray) -> int:
    """The number that means the most light: that of the bits, or of MaxSampleValue if no sample is above it."""
    bits = tags.get(BITS, (16,))[0]
    said = tags.get(_MAX_SAMPLE)
    said = said[0] if isinstance(said, tuple) else said
    most = 2**bits - 1 if bits <= 16 else 65535
    if isinstance(said, int) and 255 <= said < most and samples.size and samples.max() <= said:
        return said
    return most


def counts_from_white(image: TiffImagePlugin.TiffImageFile) -> bool:
    """Whether 0 is white in more than 8 bits of grey, which Pillow leaves as they are."""
    return image.mode.startswith("I") and image.tag_v2.get(_PHOTOMETRIC) == 0


def refuse_unreadable(image: TiffImagePlugin.TiffImageFile) -> None:
    """ValueError for floating-point and Lab pixels, and for signed samples of up to 16 bits, whose white is unknown.

    In 32 bits Pillow writes unsigned samples as signed ones.
    """
    kinds, bits = image.tag_v2.get(_SAMPLE_FORMAT, 1), image.tag_v2.get(BITS, (1,))
    if image.mode == "F":
        raise ValueError(f"floating-point pixels of {max(bits)} bits")
    if image.mode == "LAB":
        raise ValueError(f"Lab colours of {max(bits)} bits")
    if 2 in (kinds if isinstance(kinds, tuple) else (kinds,)) and max(bits) <= 16:
        raise ValueError("signed samples")


def counted_from_black(data: bytes) -> bytes | None:
    """A file of grey of more than 8 bits that counts from white, as if it counted from black; None for any other.

    Pillow does not turn such samples round, and does not open all of them.
    """
    order, at = "<" if data[:2] == b"II" else ">", int.from_bytes(data[4:8], "little" if data[:2] == b"II" else "big")
    tags = next(_directories(data), {})
    if _number(tags.get(_PHOTOMETRIC)) != 0 or _number(tags.get(BITS)) not in (12, 16):
        return None
    for entry in range(at + 2, len(data) - 12, 12):
        tag, kind = struct.unpack_from(order + "HH", data, entry)
        if tag == _PHOTOMETRIC:
            return (
                data[: entry + 8]
                + struct.pack(order + ("H" if kind == 3 else "I"), 1)
                + data[entry + (10 if kind == 3 else 12) :]
            )
    return None


def _directories(data: bytes) -> Iterator[dict[int, Entry]]:
    """Tags of the directories of a TIFF file and of those below them: tag -> (byte order, type, value). What is damaged ends it."""
    order = "<" if data[:2] == b"II" else ">"
    waiting, seen = [struct.unpack_from(order + "I", data, 4)[0] if len(data) >= 8 else 0], set[int]()
    while waiting and len(seen) < 64:
        at = waiting.pop(0)
        if at in seen or at < 8 or at + 2 > len(data):
            continue
        seen.add(at)
        count, tags = struct.unpack_from(order + "H", data, at)[0], {}
        for entry in range(at + 2, at + 2 + 12 * count, 12):
            if entry + 12 > len(data):
                break
            tag, kind, number, offset = struct.unpack_from(order + "HHII", data, entry)
            size = number * {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 13: 4}.get(kind, 1)
            start = entry + 8 if size <= 4 else offset
            tags[tag] = order, kind, data[start : start + min(size, 4096)]
            if tag == _SUB_IFDS and kind in (4, 13):
                waiting += [v for (v,) in struct.iter_unpack(order + "I", tags[tag][2][: size // 4 * 4]) if v]
        following = at + 2 + 12 * count
        if following + 4 <= len(data):
            waiting.append(struct.unpack_from(order + "I", data, following)[0])
        yield tags


def _number(entry: Entry | None) -> int | None:
    if entry is None or len(entry[2]) < 2:
        return None
    order, kind, value = entry
    return struct.unpack_from(order + ("H" if kind == 3 or len(value) < 4 else "I"), value)[0]


def _text(entry: Entry | None) -> str:
    return entry[2].split(b"\0")[0].decode("ascii", "replace").strip() if entry else ""
