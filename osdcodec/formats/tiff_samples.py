"""Samples of TIFF files that Pillow has no mode for: 16-bit grey with alpha, CMYK with alpha, 16-bit palettes and planes.

libtiff, which Pillow holds, unpacks any bytes. So the file is shown to it as grey of 8 bits, as many times as wide as a
pixel has bytes, and what the bytes mean is worked out here.
"""

import io
import struct
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin

from .tiff import white

Tags = TiffImagePlugin.ImageFileDirectory_v2
MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_COMPRESSIONS = (1, 5, 8, 32773, 32946, 34925, 50000)  # those that know of no pixels: none, LZW, deflate, PackBits, …
_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4}  # photometric interpretation -> samples of a colour
_KINDS = {2: "signed", 3: "floating-point", 5: "complex", 6: "complex"}
_LAB = (8, 9, 10)


def tags_of(data: bytes) -> Tags:
    """The tags of the first picture. Raises what Pillow raises on broken files."""
    big = data[2:4] in (b"+\0", b"\0+")
    tags = Tags(data[:2] + (b"*\0" if data[:2] == b"II" else b"\0*") + data[4:8])
    if big:  # which Pillow knows in one byte order only
        tags._bigtiff, tags.next = True, int.from_bytes(data[8:16], "little" if data[:2] == b"II" else "big")
    file = io.BytesIO(data)
    file.seek(tags.next)
    tags.load(file)
    return tags


def unusual(tags: Tags) -> str:
    """What osdc cannot read of a file, "" for nothing."""
    bits, kinds = _bits(tags), _tuple(tags, 339)
    photometric, compression = tags.get(262, 0), tags.get(259, 1)
    kind = next((_KINDS[kind] for kind in kinds if kind in _KINDS), "")
    if kind:
        return f"{kind} samples of {max(bits)} bits"
    if photometric in _LAB:
        return f"Lab colours of {max(bits)} bits"
    if photometric not in _COLOURS:
        return f"colours of kind {photometric} with {max(bits)} bits"
    if set(bits) not in ({8}, {16}):
        return f"samples of {' and '.join(map(str, sorted(set(bits))))} bits"
    if compression not in _COMPRESSIONS:
        return f"compression {compression} of {len(bits)} samples of {bits[0]} bits"
    if len(bits) < _COLOURS[photometric]:
        return f"{len(bits)} samples for colours of {_COLOURS[photometric]}"
    return ""


def read(data: bytes, tags: Tags, judge: Callable[[Any], None]) -> tuple[Image.Image, np.ndarray, np.ndarray | None]:
    """A picture with what its file holds beside pixels, its colours, and its alpha, None if it has none.

    The picture has no pixels yet. Colours: (H, W), or (H, W, 3), or (H, W, 4) of CMYK, uint8 or uint16 where 65535 is the
    most; alpha: (H, W) of the same type. judge hears the size before any pixel is decoded. ValueError for what `unusual` names.
    """
    if said := unusual(tags):
        raise ValueError(said)
    size = width, height = int(tags[256]), int(tags[257])
    judge(SimpleNamespace(
        width=width, height=height, size=size, format="TIFF", is_animated=bool(tags.next), tell=lambda: 0
    ))  # fmt: skip
    photometric, extras = tags[262], _tuple(tags, 338)
    samples = _samples(data, tags)
    count = _COLOURS[photometric]
    colours = samples[..., :count] if count > 1 else samples[..., 0]
    alpha = samples[..., count] if samples.shape[2] > count and (not extras or extras[0] in (1, 2)) else None
    most = np.iinfo(samples.dtype).max
    if photometric == 3:
        palette = np.array(tags[320], np.uint16).reshape(3, -1).T
        colours = palette[colours]
    elif most > 255 and count < 4 and (top := white(tags, colours)) < most:
        colours = (np.minimum(colours, top) * np.float32(most / top)).round().astype(np.uint16)
    if photometric == 0:
        colours = most - colours
    if alpha is not None and extras and extras[0] == 1:
        colours = _divided(colours, alpha)
    return _with_info(data, tags, size), colours, alpha


def _bits(tags: Tags) -> tuple[int, ...]:
    found = _tuple(tags, 258) or (1,)
    count = int(tags.get(277, 1))
    return found * count if len(found) == 1 else found


def _tuple(tags: Tags, tag: int) -> tuple:
    value = tags.get(tag, ())
    return value if isinstance(value, tuple) else (value,)


def _divided(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colours that were multiplied by alpha, as they were before."""
    most = np.iinfo(colours.dtype).max
    share = np.maximum(alpha, 1).astype(np.float32) / most
    whole = colours / (share if colours.ndim == 2 else share[..., None])
    return whole.round().clip(0, most).astype(colours.dtype)


def _samples(data: bytes, tags: Tags) -> np.ndarray:
    """(H, W, C) as the file has them."""
    bits, width, height = _bits(tags), int(tags[256]), int(tags[257])
    places = {name: _tuple(tags, tag) for name, tag in (("starts", 324 if 324 in tags else 273), ("counts", 325 if 325 in tags else 279))}  # fmt: skip
    planes = len(bits) if tags.get(284, 1) == 2 else 1
    each, depth = len(bits) // planes, bits[0] // 8
    row_bytes = width * each * depth
    found = []
    for plane in range(planes):
        of_plane = slice(plane * len(places["starts"]) // planes, (plane + 1) * len(places["starts"]) // planes)
        shown = _as_bytes(data, tags, each * depth, places["starts"][of_plane], places["counts"][of_plane])
        with Image.open(io.BytesIO(shown), formats=("TIFF",)) as image:
            content = np.asarray(image)
        if content.shape != (height, row_bytes):
            raise ValueError("rows of another length than its tags say")
        order = "<" if data[:2] == b"II" else ">"
        samples = np.ascontiguousarray(content).view(f"{order}u{depth}").reshape(height, width, each)
        samples = samples.astype(np.uint8 if depth == 1 else np.uint16)
        if tags.get(317, 1) == 2 and tags.get(259, 1) not in (1, 32773):
            step = int(tags.get(322, width))
            for left in range(0, width, step):  # differences begin anew with each tile
                part = samples[:, left : left + step]
                np.add.accumulate(part, axis=1, dtype=samples.dtype, out=part)
        found.append(samples)
    return np.concatenate(found, 2)


def _as_bytes(data: bytes, tags: Tags, pixel: int, starts: tuple, counts: tuple) -> bytes:
    """The file with one more directory, that describes these strips or tiles as grey pixels of 8 bits."""
    width, height = int(tags[256]), int(tags[257])
    fields: dict[int, tuple[int, ...]] = {
        256: (width * pixel,), 257: (height,), 258: (8,), 259: (tags.get(259, 1),), 262: (1,),
        266: (tags.get(266, 1),), 277: (1,),
    }  # fmt: skip
    if 324 in tags:
        fields |= {322: (int(tags[322]) * pixel,), 323: (int(tags[323]),), 324: starts, 325: counts}
    else:
        fields |= {273: starts, 278: (min(int(tags.get(278, height)), height),), 279: counts}
    order = "<" if data[:2] == b"II" else ">"
    at = len(data) + len(data) % 2
    behind, entries = at + 2 + 12 * len(fields) + 4, b""
    arrays = b""
    for tag, values in sorted(fields.items()):
        content = struct.pack(f"{order}{len(values)}I", *values)
        if len(values) > 1:
            offset, arrays = behind + len(arrays), arrays + content
            content = struct.pack(order + "I", offset)
        entries += struct.pack(order + "HHI", tag, 4, len(values)) + content
    head = struct.pack(order + "2sHI", data[:2], 42, at)
    directory = struct.pack(order + "H", len(fields)) + entries + bytes(4)
    return head + data[8:] + bytes(len(data) % 2) + directory + arrays


def _with_info(data: bytes, tags: Tags, size: tuple[int, int]) -> Image.Image:
    """A picture without pixels, its info as Pillow's."""
    image, exif = Image.Image(), Image.Exif()
    image._size, image.format = size, "TIFF"
    exif.bigtiff, exif.endian = tags._bigtiff, tags._endian
    with suppress(Exception):  # broken EXIF raises almost anything; the pixels are good all the same
        exif.load_from_fp(io.BytesIO(data), tags._offset)
        exif.bigtiff = False
        for tag in (273, 279, 320, 324, 325, 34675, 700):
            if tag in exif:
                del exif[tag]
        image.info["exif"] = exif.tobytes()
    for key, tag in (("icc_profile", 34675), ("xmp", 700)):
        if tag in tags:
            image.info[key] = bytes(tags[tag])
    return image
