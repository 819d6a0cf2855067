"""The bytes of a picture file -> the picture that they mean, where Pillow alone would take them for another, or for none."""

import io
import re
import struct
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin, UnidentifiedImageError

from ..errors import InputError, OsdWarning
from . import colour, heif, icc, jpeg, orientation, png, tiff, tiff_samples, truncated, webp

# Found by content, whatever the file is called. Formats that need other programs (EPS) or hold no pixels stay out.
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "PPM")
_PPM = re.compile(rb"P([456])" + 2 * rb"(?:\s|#[^\n]*\n)+(\d+)" + rb"(?:(?:\s|#[^\n]*\n)+(\d+))?\s")
# What Pillow raises on broken files.
DEFECTS = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, ArithmeticError, RuntimeError, AttributeError,
    AssertionError, struct.error,
)  # fmt: skip
_pillow_limit = threading.Lock()
_GAIN_MAP = "its gain map (HDR) is left out; the picture is the one that other screens show"


def open_lazily(data: bytes, formats: tuple[str, ...] = FORMATS) -> ImageFile.ImageFile:
    """Image.open without Pillow's own limit on pixels, which is not ours and would print or raise first."""
    with _pillow_limit:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(io.BytesIO(data), formats=formats)
        finally:
            Image.MAX_IMAGE_PIXELS = before


@dataclass(frozen=True)
class Request:
    """How a file is to be read.

    name: what messages call it. judge(image) is asked before any pixel is decoded. keep_profile: colours stay in an RGB
    profile of the file. strict: a file that ends early is refused.
    """

    name: str
    judge: Callable[[Any], None]
    keep_profile: bool = False
    strict: bool = False

    def warn(self, text: str) -> None:
        warnings.warn(f"{self.name}: {text}", OsdWarning, stacklevel=3)

    def take_part(self, rows: int, height: int, what: str = "") -> None:
        """Say that a file ends early, or refuse it."""
        if rows == height:
            text = what or "ends without the mark of its end; all of the picture is there"
        else:
            text = truncated.warning(rows, height)
        if self.strict:
            raise InputError(f"{self.name}: {text}; leave out strict to take it as it is")
        self.warn(text)


def read(data: bytes, asked: Request) -> Image.Image:
    """A picture file -> its first picture, loaded: 8 bits in mode 1, L, LA, P, RGB, RGBA or CMYK, not yet turned upright.

    What its file says of its colours is done, but for an ICC profile of 8 bits, which stays in info. InputError for camera
    raw, HDR, and HEIC without its package; whatever Pillow raises otherwise.
    """
    name = asked.name
    if maker := tiff.raw_maker(data):
        raise InputError(f"{name}: camera raw ({maker}), which osdc does not develop; export it as TIFF or JPEG first")
    if heif.is_heic(data):
        image = heif.open_heic(data, name, asked.judge)
        if heif.has_gain_map(data):
            asked.warn(_GAIN_MAP)
        return _put(image, colour.from_code(image, heif.colour_code(data), name))
    if png.is_png(data):
        return _read_png(data, asked)
    if data[:4] in tiff_samples.MAGICS:
        return _read_tiff(data, asked)
    if webp.ends_early(data):
        return _read_part_of_webp(data, asked)
    if data[:4] == b"RIFF" and data[8:16] == b"WEBPVP8X" and data[20] & 0x02:
        data = data[:20] + bytes([data[20] | 0x10]) + data[21:]  # a frame smaller than the canvas leaves it clear
    image = open_lazily(data)
    asked.judge(image)
    if image.format in ("JPEG", "MPO"):
        if jpeg.has_gain_map(data):
            asked.warn(_GAIN_MAP)
        data, image = _read_jpeg(data, image, asked)
    frame = image.tile[0][1] if image.format == "GIF" and image.tile else None
    image.load()
    _warn_of_more(data, image, name)
    if image.format == "BMP" and image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0):
        _put(image, image.convert("RGB"))  # many programs leave the fourth byte at 0 and mean nothing by it
    if frame and frame != (0, 0, *image.size):
        _clear_around(image, frame)
    if image.format == "AVIF":
        if heif.has_gain_map(data):
            asked.warn(_GAIN_MAP)
        if box := heif.clean_aperture(data, image.size):
            _put(image, image.crop(box))
        _put(image, colour.from_code(image, heif.colour_code(data), name))
    return image


def to_8_bits(image: Image.Image, samples: np.ndarray, keep_profile: bool) -> Image.Image:
    """Gives a picture its samples of 16 bits, grey or RGB, alpha last, 65535 the most. Its profile comes first, then 8 bits."""
    alpha = samples.ndim == 3 and samples.shape[2] % 2 == 0
    colours = samples[..., :-1] if alpha else samples
    colours = colours[..., 0] if colours.ndim == 3 and colours.shape[2] == 1 else colours
    made = None
    if "icc_profile" in image.info:
        with suppress(ValueError):  # a useless profile counts as sRGB, which is said where it is met again
            profile = icc.Profile(image.info["icc_profile"])
            if not (keep_profile and profile.of_rgb):
                made = profile.deep_to_srgb(colours)
                del image.info["icc_profile"]
    made = colour.to_srgb(colours, None, None) if made is None else made
    if alpha:
        made.putalpha(colour.to_srgb(samples[..., -1], None, None))
    return _put(image, made)


def _read_png(data: bytes, asked: Request) -> Image.Image:
    """tRNS at the depth of the samples, colours by cICP or gAMA and cHRM; text chunks cannot do harm."""
    facts = png.Facts(data)
    image = open_lazily(facts.data, ("PNG",))
    asked.judge(facts if facts.frame else image)
    if not facts.ended and (part := png.completed(facts)):
        content, rows = part
        asked.take_part(rows, image.height)
        image = open_lazily(content, ("PNG",))
    else:
        content = facts.data
    curve, matrix = colour.of_png(facts, asked.name)
    deep = _deep(image, content) if facts.depth == 16 else None
    if deep is None:
        image.load()
    clear = png.clear(facts, image, deep)
    if clear is not None:
        image.info.pop("transparency", None)
    image.info.update(facts.info)
    if curve is not None:
        _put(image, colour.to_srgb(deep if deep is not None else _samples(image), curve, matrix))
    elif deep is not None:
        to_8_bits(image, deep, asked.keep_profile)
    if clear is not None:
        whole = image.convert("L" if image.mode in ("1", "L") else "RGB")
        whole.putalpha(Image.fromarray(np.where(clear, 0, 255).astype(np.uint8)))
        _put(image, whole)
    if facts.frame:
        canvas = Image.new("RGBA", facts.size)
        canvas.paste(image.convert("RGBA"), facts.frame)
        _put(image, canvas)
    _warn_of_rest(facts.rest, b"\x89PNG", asked.name)
    return image


def _read_jpeg(data: bytes, image: ImageFile.ImageFile, asked: Request) -> tuple[bytes, ImageFile.ImageFile]:
    """A file that ends with its last sample, and lacks the mark that says so, is whole; of one that ends earlier a part is there."""
    if jpeg.end(data) is not None:
        return data, image
    found = jpeg.completed(data, lambda d: open_lazily(d, ("JPEG",)))
    if found is None:
        image.load()  # raises what Pillow has to say
        return data, image
    mended, rows, coarse = found
    finer = f"ends early: all of the picture is there, {coarse} of {image.height} rows in less detail"
    asked.take_part(rows, image.height, finer if coarse else "")
    return data, mended


def _read_part_of_webp(data: bytes, asked: Request) -> Image.Image:
    image = open_lazily(webp.padded(data), ("WEBP",))
    asked.judge(image)
    if not (part := webp.completed(data, lambda d: open_lazily(d, ("WEBP",)))):
        raise ValueError("the file ends early, and none of the picture can be told")
    picture, rows = part
    asked.take_part(rows, picture.height)
    image.load()
    return _put(image, picture if rows == picture.height else truncated.greyed(picture, rows))


def _read_tiff(data: bytes, asked: Request) -> Image.Image:
    """16 bits are scaled by what the file says is white. What Pillow has no mode for is read by its samples."""
    turned = tiff.counted_from_black(data) if data[:4] in (b"II*\0", b"MM\0*") else None
    try:
        image = open_lazily(turned or data)
    except UnidentifiedImageError:
        return _read_samples(data, tiff_samples.tags_of(data), asked)
    assert isinstance(image, TiffImagePlugin.TiffImageFile)
    if image.tag_v2.get(tiff.PLANAR, 1) == 2 and set(image.tag_v2.get(tiff.BITS, ())) == {
        16
    }:  # Pillow takes these for 8
        return _read_samples(data, tiff_samples.tags_of(data), asked)
    asked.judge(image)
    tiff.refuse_unreadable(image)
    counts_down = turned is not None or tiff.counts_from_white(image)
    deep = _deep(image, turned or data) if image.mode in ("RGB", "RGBA") else None
    orientation.load(image)
    if image.mode.startswith("I"):
        deep = _integers(image)
    if deep is None:
        return image
    white = tiff.white(image.tag_v2, deep)
    scaled = (np.minimum(deep, white) * np.float32(65535 / white)).round().astype(np.uint16)
    return to_8_bits(image, 65535 - scaled if counts_down else scaled, asked.keep_profile)


def _read_samples(data: bytes, tags: TiffImagePlugin.ImageFileDirectory_v2, asked: Request) -> Image.Image:
    if said := tiff_samples.unusual(tags):
        raise InputError(
            f"{asked.name}: a TIFF with {said}, which osdc does not read; save it with 8 or 16 bits in RGB"
        )
    image, colours, alpha = tiff_samples.read(data, tags, asked.judge)
    if colours.shape[2:] == (4,):
        inks = Image.fromarray((colours >> 8).astype(np.uint8) if colours.dtype == np.uint16 else colours, "CMYK")
        _put(image, _by_profile(image, inks))
    elif colours.dtype == np.uint16:
        to_8_bits(image, colours, asked.keep_profile)
    else:
        _put(image, Image.fromarray(colours))
    if alpha is not None:
        plane = Image.fromarray(colour.rounded(alpha * np.float32(255 / np.iinfo(alpha.dtype).max)))
        whole = Image.merge(image.mode, image.split())
        whole.putalpha(plane)
        _put(image, whole)
    return image


def _by_profile(image: Image.Image, inks: Image.Image) -> Image.Image:
    """CMYK -> RGB, in which alpha has a place: by the profile, which goes, if it is of use."""
    if "icc_profile" in image.info:
        with suppress(ValueError):
            shown = icc.Profile(image.info["icc_profile"]).to_srgb(inks)
            del image.info["icc_profile"]
            return shown
    return inks.convert("RGB")


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
        orientation.load(image)
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
    orientation.load(image)
    orientation.load(low)
    return np.asarray(image).astype(np.uint16) << 8 | np.asarray(low)


def _samples(image: Image.Image) -> np.ndarray:
    """8-bit samples, (H, W) or (H, W, C), of a loaded picture."""
    if image.mode in ("1", "L", "LA", "RGB", "RGBA"):
        return np.asarray(image.convert("L") if image.mode == "1" else image)
    return np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))


def _put(image: Image.Image, pixels: Image.Image) -> Image.Image:
    """Other pixels for a picture that keeps all that Pillow knows of its file."""
    if pixels is not image:
        image.im, image._mode, image._size = pixels.im, pixels.mode, pixels.size
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
        if kind == 4:  # a bit for each pixel, and no largest value in the header
            row, head = -(-width // 8), found.end(3) + 1
        else:
            channels, depth = 3 if kind == 6 else 1, 2 if most > 255 else 1
            row, head = width * channels * depth, found.end()
        _warn_of_rest(data[head + row * height :], b"P", name)


def _warn_of_rest(rest: bytes, magic: bytes, name: str) -> None:
    rest = rest.lstrip(b"\0\r\n\t ")
    if rest.startswith(magic):
        warnings.warn(f"{name}: another picture follows in it; only the first is taken", OsdWarning, stacklevel=2)
    elif rest:
        what = f"{len(rest):,} bytes behind the end of the picture are left out (a video of a phone's, perhaps)"
        warnings.warn(f"{name}: {what}", OsdWarning, stacklevel=2)
