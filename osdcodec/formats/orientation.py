"""Which way up a picture is shown: by its EXIF, and for AVIF and HEIC by the properties of its file. XMP is not obeyed.

Pillow also obeys `tiff:Orientation` in XMP, which browsers and libvips do not: editors leave it there after they have
turned the pixels.
"""

import re
from contextlib import suppress
from typing import Any

from PIL import Image

TAG = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_XMP = "xmp", "XML:com.adobe.xmp"  # as Pillow calls it in a picture's info
_EXIF = "exif", "Raw profile type exif"
_PREFIX = re.compile(rb"xmlns:([\w.-]+)\s*=\s*[\"']http://ns\.adobe\.com/tiff/1\.0/[\"']")


def load(image: Image.Image) -> None:
    """Load the pixels without a look at XMP, by which Pillow turns a TIFF."""
    hidden: dict[Any, Any] = {key: image.info.pop(key) for key in _XMP if key in image.info}
    try:
        image.load()
    finally:
        image.info |= hidden


def of(image: Image.Image) -> int:
    """The orientation of a loaded picture, 1 .. 8, by its EXIF alone; 1 if there is none or it is broken."""
    stored = Image.new("1", (1, 1))
    stored.info = {key: image.info[key] for key in _EXIF if key in image.info}
    with suppress(Exception):  # a broken EXIF block raises almost anything; the pixels are good all the same
        if any(key in image.info for key in _XMP) and TAG not in stored.getexif():
            return 1
        if (found := image.getexif().get(TAG)) in _TURNS:
            return int(found)
    return 1


def upright(image: Image.Image) -> Image.Image:
    """The picture as it is to be shown."""
    turn = _TURNS.get(of(image))
    return image if turn is None else image.transpose(turn)


def without_orientation(xmp: bytes) -> bytes:
    """XMP without its orientation, which would turn pixels that are upright already."""
    for prefix in {b"tiff", *_PREFIX.findall(xmp)}:
        name = re.escape(prefix) + b":Orientation"
        xmp = re.sub(rb"\s+" + name + rb"\s*=\s*(\"[^\"]*\"|'[^']*')", b"", xmp)
        xmp = re.sub(rb"<" + name + rb"\b[^>]*?(/>|>[^<]*</" + name + rb"\s*>)", b"", xmp)
    return xmp
