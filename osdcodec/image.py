"""Picture files and PIL images <-> arrays in [-1, 1]: orientation, colour, alpha, padding."""

import io
import struct
import threading
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from .arrays import is_array, to_picture
from .container import MAX_PIXELS, MAX_SIDE
from .errors import InputError, OutputError
from .files import STREAM, read_input, write_output

# Found by content, whatever the file is called. Formats that need other programs (EPS) or hold no pixels stay out.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")  # taken from a folder
QUALITY = 95  # of the output formats that lose something

# What Pillow raises on broken files.
_DEFECTS = (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, ArithmeticError, struct.error)
_pillow_limit = threading.Lock()


def open_image(
    source: str | Path | bytes | BinaryIO | Image.Image | np.ndarray, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """Path, bytes, binary file, image, array or tensor (see `arrays.to_picture`) -> RGB picture, upright, first frame, alpha over white, colours in sRGB.

    Grey, palette, CMYK and 16-bit pictures are converted. InputError if the file is missing or empty, not a picture,
    damaged, or has more than max_pixels (found out before any pixel is decoded); FileError if it cannot be read.
    """
    name = str(source) if isinstance(source, str | Path) else "the picture"
    if isinstance(source, str | Path):
        source = read_input(source)
    elif is_array(source):
        source = to_picture(source)
    elif not isinstance(source, bytes | Image.Image):
        source = source.read()
    if source == b"":
        raise InputError(f"{name}: empty; give a JPEG, PNG, WebP or BMP picture")
    try:
        return _upright_rgb(_open_lazily(source) if isinstance(source, bytes) else source, name, max_pixels)
    except Image.UnidentifiedImageError as error:
        raise InputError(f"{name}: not a picture that osdc reads; give a JPEG, PNG, WebP or BMP") from error
    except _DEFECTS as error:
        raise InputError(f"{name}: a damaged or unusual picture ({error}); save it anew as PNG or JPEG") from error


def _open_lazily(data: bytes) -> Image.Image:
    """Image.open without Pillow's own limit on pixels, which is lower than ours and would print or raise first."""
    with _pillow_limit:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(io.BytesIO(data), formats=FORMATS)
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _upright_rgb(image: Image.Image, name: str, max_pixels: int) -> Image.Image:
    if image.width * image.height > max_pixels:
        raise InputError(f"{name}: {image.width}x{image.height} is more than {max_pixels} pixels; raise --max-pixels")
    if max(image.size) > MAX_SIDE:
        raise InputError(f"{name}: {image.width}x{image.height} has a side above {MAX_SIDE} pixels; resize it first")
    image.load()
    return _to_rgb(_upright(image))


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a broken EXIF block raises almost anything; the pixels are good all the same
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits, in 16- or 32-bit integers
        image = Image.fromarray((np.asarray(image).clip(0, 65535) / 257).round().astype(np.uint8))
    elif image.mode == "F":
        raise ValueError("floating-point pixels")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        white.info = image.info
        white.alpha_composite(image)
        image = white
    return _to_srgb(image) if image.info.get("icc_profile") else image.convert("RGB")


def _to_srgb(image: Image.Image) -> Image.Image:
    """The file keeps no colour profile, so the colours are brought to sRGB; a useless profile counts as sRGB."""
    from PIL import ImageCms

    if image.mode not in ("L", "CMYK"):  # those have profiles of their own kind
        image = image.convert("RGB")
    try:
        embedded = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        return ImageCms.profileToProfile(image, embedded, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, KeyError):
        return image.convert("RGB")


def to_array(image: Image.Image, stride: int) -> np.ndarray:
    """RGB picture -> float32 (1, 3, H', W') in [-1, 1], reflected right and below to multiples of stride."""
    pixels = np.asarray(image, np.float32) / np.float32(127.5) - 1  # (H, W, 3)
    rows, columns = -image.height % stride, -image.width % stride
    pixels = np.pad(pixels, ((0, rows), (0, columns), (0, 0)), "reflect")  # sides shorter than the padding are fine
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))[None]


def thumbnail(image: Image.Image, size: int) -> np.ndarray:
    """RGB picture -> float32 (1, 3, size, size) in [-1, 1], shrunk by Pillow's antialiased bicubic filter."""
    return to_array(image.resize((size, size), Image.Resampling.BICUBIC), 1)


def to_image(x: np.ndarray, width: int, height: int) -> Image.Image:
    """float (1, 3, H', W') in [-1, 1], clipped to that -> RGB picture, the upper left width x height pixels."""
    pixels = x[0, :, :height, :width].transpose(1, 2, 0)
    return Image.fromarray((pixels * 127.5 + 127.5).round().clip(0, 255).astype(np.uint8))


def output_format(target: str | Path) -> str:
    """Pillow's name of the format that the suffix means, PNG for '-'. OutputError if Pillow cannot write it."""
    if str(target) == STREAM:
        return "PNG"
    suffix = Path(target).suffix.lower()
    name = Image.registered_extensions().get(suffix)
    try:
        if name is None:
            raise KeyError(suffix)
        encode_image(Image.new("RGB", (1, 1)), name)  # formats for other kinds of pictures show themselves only here
    except (KeyError, OSError, ValueError, OutputError) as error:
        what = suffix or "a name without suffix"
        raise OutputError(f"{target}: {what} is no format to write; use .png, .jpg, .webp, .tiff …") from error
    return name


def encode_image(image: Image.Image, name: str) -> bytes:
    """RGB picture -> the bytes of a file in the format that Pillow calls `name`."""
    buffer = io.BytesIO()
    try:
        image.save(buffer, name, quality=QUALITY)
    except (OSError, ValueError, KeyError) as error:
        raise OutputError(f"the picture cannot be written as {name} ({error}); use .png") from error
    return buffer.getvalue()


def save_image(image: Image.Image, target: str | Path, overwrite: bool = True) -> None:
    """RGB picture -> a file in the format of its suffix, or PNG on stdout for '-'. OutputError."""
    write_output(target, encode_image(image, output_format(target)), overwrite)
