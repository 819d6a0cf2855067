"""The bytes of a picture file -> the picture that they mean, where Pillow alone would take them for another, or for none."""

import io
import re
import struct
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin

from ..errors import InputError, OsdWarning
from . import colour, heif, jpeg, png, tiff

# Found by content, whatever the file is called. Formats that need other programs (EPS) or hold no pixels stay out.
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "PPM")
_PPM = re.compile(rb"P([456])" + 2 * rb"(?:\s|#[^\n]*\n)+(\d+)" + rb"(?:(?:\s|#[^\n]*\n)+(\d+))?\s")
# What Pillow raises on broken files.
DEFECTS = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, ArithmeticError, RuntimeError, AttributeError,
    AssertionError, struct.error,
)  # fmt: skip
_pillow_limit = threading.Lock()


def open_lazily(data: bytes, formats: tuple[str, ...] = FORMATS) -> ImageFile.ImageFile:
    """Image.open without Pillow's own limit on pixels, which is not ours and would print or raise first."""
    with _pillow_limit:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(io.BytesIO(data), formats=formats)
        finally:
            Image.MAX_IMAGE_PIXELS = before


def read(data: bytes, name: str, judge: Callable[[Image.Image], None]) -> Image.Image:
    """A picture file -> its first picture, loaded: 8 bits in mode 1, L, LA, P, RGB, RGBA or CMYK, not yet turned upright.

    judge(image) is asked before any pixel is decoded. What its file says of its colours is done, but for an ICC profile,
    which stays in info. InputError for camera raw, HDR, and HEIC without its package; whatever Pillow raises otherwise.
    """
    if maker := tiff.raw_maker(data):
        raise InputError(f"{name}: camera raw ({maker}), which osdc does not develop; export it as TIFF or JPEG first")
    if heif.is_heic(data):
        image = heif.open_heic(data, name, judge)
        return _put(image, colour.from_code(image, heif.colour_code(data), name))
    if png.is_png(data):
        return _read_png(data, name, judge)
    if data[:4] == b"RIFF" and data[8:16] == b"WEBPVP8X" and data[20] & 0x02:
        data = data[:20] + bytes([data[20] | 0x10]) + data[21:]  # a frame smaller than the canvas leaves it clear
    turned = tiff.counted_from_black(data) if data[:4] in (b"II*\0", b"MM\0*") else None
    image = open_lazily(turned or data)
    judge(image)
    if image.format in ("JPEG", "MPO"):
        data, image = _read_jpeg(data, image, name)
    frame = image.tile[0][1] if image.format == "GIF" and image.tile else None
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        _read_tiff(image, turned or data, turned is not None)
    else:
        image.load()
    _warn_of_more(data, image, name)
    if image.format == "BMP" and image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0):
        _put(image, image.convert("RGB"))  # many programs leave the fourth byte at 0 and mean nothing by it
    if frame and frame != (0, 0, *image.size):
        _clear_around(image, frame)
    if image.format == "AVIF":
        _put(image, colour.from_code(image, heif.colour_code(data), name))
    return image


def _read_png(data: bytes, name: str, judge: Callable[[Image.Image], None]) -> Image.Image:
    """tRNS at the depth of the samples, colours by cICP or gAMA and cHRM; text chunks cannot do harm."""
    facts = png.Facts(data)
    image = open_lazily(facts.data, ("PNG",))
    judge(image)
    curve, matrix = colour.of_png(facts, name)
    deep = _deep(image, facts.data) if facts.depth == 16 else None
    if deep is None:
        image.load()
    clear = png.clear(facts, image, deep)
    image.info.pop("transparency", None) if clear is not None else None
    if deep is not None or curve is not None:
        samples = deep if deep is not None else _samples(image)
        _put(image, colour.to_srgb(samples, curve, matrix))
    if clear is not None:
        whole = image.convert("L" if image.mode in ("1", "L") else "RGB")
        whole.putalpha(Image.fromarray(np.where(clear, 0, 255).astype(np.uint8)))
        _put(image, whole)
    image.info.update(facts.info)
    _warn_of_rest(facts.rest, b"\x89PNG", name)
    return image


def _read_jpeg(data: bytes, image: ImageFile.ImageFile, name: str) -> tuple[bytes, ImageFile.ImageFile]:
    """A file that ends with its last sample, and lacks the mark that says so, is whole; one that ends earlier is not."""
    if jpeg.end(data) is not None:
        image.load()
        return data, image
    mended = jpeg.completed(data, lambda d: open_lazily(d, ("JPEG",)))
    if mended is None:
        image.load()  # raises what Pillow has to say
        return data, image
    warnings.warn(f"{name}: ends without the mark of its end; all of the picture is there", OsdWarning, stacklevel=2)
    return data, mended


def _read_tiff(image: TiffImagePlugin.TiffImageFile, data: bytes, turned: bool) -> None:
    """16 bits are scaled by what the file says is white. turned: 0 is white."""
    tiff.refuse_signed(image)
    turned = turned or tiff.counts_from_white(image)
    deep = tiff.deep_planes(image, data)
    if deep is None and image.mode in ("RGB", "RGBA"):
        deep = _deep(image, data)
    image.load()
    if image.mode.startswith("I"):
        deep = _integers(image)
    if deep is None:
        return
    white = tiff.white(image, deep)
    scaled = (np.minimum(deep, white) * np.float32(255 / white)).round()
    _put(image, Image.fromarray((255 - scaled if turned else scaled).astype(np.uint8)))


def _integers(image: Image.Image) -> np.ndarray:
    pixels = np.asarray(image)  # 16 bits, in integers of 16 or 32
    if pixels.size and not 0 <= pixels.min() <= pixels.max() <= 65535:
        raise ValueError("integer pixels of more than 16 bits")
    return pixels


def _deep(image: ImageFile.ImageFile, data: bytes) -> np.ndarray | None:
    """(H, W, C) 16-bit samples of a picture that is not loaded yet; None if Pillow has no way to them.

    Pillow keeps the high bytes of colours only. Read in the other byte order, the low ones are what it keeps.
    """
    if image.mode.startswith("I"):
        image.load()
        return _integers(image)
    if image.tile and image.tile[0].args == "LA;16B":
        wide = open_lazily(data)
        wide._mode, wide.tile = "RGBA", [tile._replace(args="RGBA") for tile in image.tile]  # as many bytes
        image.load()
        wide.load()
        parts = np.asarray(wide).astype(np.uint16)
        return parts[..., ::2] << 8 | parts[..., 1::2]
    other = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}
    tiles = []
    for tile in image.tile:
        mode, *rest = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        colours, _, order = str(mode).partition(";")
        if colours not in ("RGB", "RGBA") or order not in other:
            return None
        swapped = f"{colours};{other[order]}"
        args: Any = (swapped, *rest) if isinstance(tile.args, tuple) else swapped
        tiles.append(tile._replace(args=args))
    if not tiles:
        return None
    low = open_lazily(data)
    low.tile = tiles
    image.load()
    low.load()
    return np.asarray(image).astype(np.uint16) << 8 | np.asarray(low)


def _samples(image: Image.Image) -> np.ndarray:
    """8-bit samples, (H, W) or (H, W, C), of a loaded picture."""
    if image.mode in ("1", "L", "LA", "RGB", "RGBA"):
        return np.asarray(image.convert("L") if image.mode == "1" else image)
    return np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))


def _put(image: Image.Image, pixels: Image.Image) -> Image.Image:
    """Other pixels for a picture that keeps all that Pillow knows of its file."""
    if pixels is not image:
        image.im, image._mode = pixels.im, pixels.mode
        image.info.pop("transparency", None)
    return image


def _clear_around(image: Image.Image, frame: tuple[int, int, int, int]) -> None:
    """Nothing was drawn outside of the first frame of an animation."""
    whole, drawn = image.convert("RGBA"), Image.new("L", image.size)
    drawn.paste(whole.crop(frame).getchannel("A"), frame)
    whole.putalpha(drawn)
    _put(image, whole)


def _warn_of_more(data: bytes, image: Image.Image, name: str) -> None:
    """What stands behind the end of a picture, where its format tells where that is."""
    if image.format == "JPEG" and (end := jpeg.end(data)) is not None:
        _warn_of_rest(data[end:], b"\xff\xd8\xff", name)
    elif image.format == "WEBP":
        _warn_of_rest(data[8 + int.from_bytes(data[4:8], "little") :], b"RIFF", name)
    elif image.format == "PPM" and (found := _PPM.match(data)):
        kind, width, height, most = (int(group or 1) for group in found.groups())
        row = -(-width // 8) if kind == 4 else width * (3 if kind == 6 else 1) * (2 if most > 255 else 1)
        head = found.end(3) + 1 if kind == 4 else found.end()
        _warn_of_rest(data[head + row * height :], b"P", name)


def _warn_of_rest(rest: bytes, magic: bytes, name: str) -> None:
    rest = rest.lstrip(b"\0\r\n\t ")
    if rest.startswith(magic):
        warnings.warn(f"{name}: another picture follows in it; only the first is taken", OsdWarning, stacklevel=2)
    elif rest:
        what = f"{len(rest):,} bytes behind the end of the picture are left out (a video of a phone's, perhaps)"
        warnings.warn(f"{name}: {what}", OsdWarning, stacklevel=2)
