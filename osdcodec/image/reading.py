"""Picture files, PIL images and arrays as upright pictures of 8 bits in sRGB, with the alpha and the metadata that are asked for."""

import re
import warnings
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image, ImageColor, UnidentifiedImageError

from .. import formats
from ..console import label
from ..container import MAX_PIXELS, MAX_SIDE
from ..errors import InputError, OsdWarning
from ..extras import available, install
from ..files import Source, bytes_of
from ..formats import orientation
from .arrays import Tensor, is_array, to_picture

SUFFIXES = (  # taken in a folder
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pgm", ".pbm",
    ".pnm",
)  # fmt: skip
_XMP = 0x02BC
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 0x011A, 0x011B, 0x0128
# Tags of a TIFF file that say how its pixels lie there, what has a section of its own, and padding.
_STRUCTURE = (
    *range(0x00FE, 0x0108), 0x010A, 0x0111, *range(0x0115, 0x011A), 0x011C, *range(0x0120, 0x0126), 0x012D, 0x013D,
    *range(0x0140, 0x0160), *range(0x0200, 0x0215), _XMP, 0x83BB, 0x8649, 0x8773, 0xEA1C,
)  # fmt: skip


def open_image(
    source: Source | Image.Image | np.ndarray | Tensor,
    max_pixels: int = MAX_PIXELS,
    alpha: str = "white",
    icc: str = "srgb",
    keep_metadata: bool = False,
    name: str | None = None,
    strict: bool = False,
) -> Image.Image:
    """Opens a picture: 8 bits, upright, the first of several, RGB or RGBA.

    Grey, palette, CMYK and 16-bit pictures are converted. OsdWarning if pictures or a broken profile are left out.

    Args:
        source: A path, the bytes of a file, a binary file, a PIL image, an array (H, W) or (H, W, C), or a tensor (C, H, W).
        max_pixels: Larger pictures are refused before any pixel is decoded.
        alpha: "keep" gives RGBA unless all is opaque; "drop" the colours under it; a colour by name or #hex puts the
            picture over that colour.
        icc: "srgb" converts by the embedded profile; "keep" leaves a profile of RGB colours in info["icc_profile"].
        keep_metadata: EXIF, with the resolution, and XMP go to info["exif"] and info["xmp"], else nowhere.
        name: What messages call the picture.
        strict: Refuses a file that ends early. Otherwise as much is taken as is there, with an OsdWarning.

    Raises:
        InputError: The file is missing, empty, no picture, damaged, or has more than max_pixels.
        FileError: It cannot be read.
        ValueError: An option is unknown.
    """
    if icc not in ("srgb", "keep"):
        raise ValueError(f"icc must be srgb or keep, not {icc}")
    if not isinstance(alpha, str):
        raise TypeError(f"alpha is keep, drop, or a colour by name or as #rrggbb, not {type(alpha).__name__}")
    backdrop = None if alpha in ("keep", "drop") else ImageColor.getcolor(alpha, "RGB")
    name = name or (label(source) if isinstance(source, str | Path) else "the picture")
    given: bytes | Image.Image
    if is_array(source):
        given = to_picture(cast(np.ndarray, source))
    else:
        given = source if isinstance(source, Image.Image) else bytes_of(cast(Source, source))
    if given == b"":
        raise InputError(f"{name}: empty; give a JPEG, PNG, WebP, AVIF, TIFF or BMP picture")
    try:
        if isinstance(given, bytes):
            judge = partial(_judge, name=name, max_pixels=max_pixels)
            image = formats.read(given, formats.Request(name, judge, icc == "keep", strict))
        else:
            _judge(image := given, name, max_pixels)
            orientation.load(image)
        upright = orientation.upright(image) if image.format != "HEIF" else image  # libheif has turned it
        shown = _to_8_bits(upright, icc == "keep")
        colours, plane = _split(shown)
        profile = shown.info.get("icc_profile")
        picture, kept = to_rgb(colours, profile, icc, name) if profile else (colours.convert("RGB"), None)
        info: dict[Any, Any] = {"icc_profile": kept} if kept else {}
        if keep_metadata:
            info |= _metadata(image, name)
    except UnidentifiedImageError as error:
        raise InputError(f"{name}: not a picture that osdc reads; give a JPEG, PNG, WebP, AVIF, TIFF or BMP") from error
    except formats.DEFECTS as error:
        raise InputError(f"{name}: a damaged or unusual picture ({error}); save it anew as PNG or JPEG") from error
    if plane is not None and alpha == "keep":
        picture = _with_hidden_filled(picture, plane)
        picture.putalpha(plane)
    elif plane is not None and backdrop is not None:
        picture = Image.composite(picture, Image.new("RGB", picture.size, backdrop), plane)
    picture.info = info
    return picture


def suffixes() -> tuple[str, ...]:
    """What is taken in a folder."""
    return SUFFIXES + (formats.heif.SUFFIXES if available("pillow_heif") else ())


def why_left_out() -> dict[str, str]:
    """Suffixes of pictures that are not taken, and why."""
    heic = dict.fromkeys(formats.heif.SUFFIXES, install("pillow_heif"))
    return heic | dict.fromkeys(formats.tiff.SUFFIXES, "camera raw")


def _judge(image: Image.Image, name: str, max_pixels: int) -> None:
    if not image.width * image.height:
        raise InputError(f"{name}: {image.width}x{image.height} holds no pixels")
    if image.width * image.height > max_pixels:
        raise InputError(f"{name}: {image.width}x{image.height} is more than {max_pixels} pixels; raise `max_pixels`")
    if max(image.size) > MAX_SIDE:
        raise InputError(f"{name}: {image.width}x{image.height} has a side above {MAX_SIDE} pixels; resize it first")
    if _several(image):
        warnings.warn(f"{name}: an animation or several pages; only the first is taken", OsdWarning, stacklevel=3)


def _several(image: Image.Image) -> bool:
    if image.format == "MPO":  # a photo of a phone: what follows it are a preview, a depth or a gain map
        return False
    try:  # of an image that is given, another one than the first was chosen
        return getattr(image, "is_animated", False) and image.tell() == 0
    except Exception:  # the second is broken; the first may be good all the same
        return True


def _to_8_bits(image: Image.Image, keep_profile: bool) -> Image.Image:
    if image.mode == "F":
        raise ValueError("floating-point pixels")
    if not image.mode.startswith("I"):
        return image
    pixels = np.asarray(image)  # 16 bits, in integers of 16 or 32
    if pixels.size and not 0 <= pixels.min() <= pixels.max() <= 65535:
        raise ValueError("integer pixels of more than 16 bits")
    samples = pixels.astype(np.uint16)
    if "transparency" in image.info:  # one value that is meant to be clear
        samples = np.stack([samples, np.where(pixels == image.info["transparency"], 0, 65535).astype(np.uint16)], 2)
    return formats.to_8_bits(image.copy(), samples, keep_profile)


def _split(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Colours, L, RGB or CMYK, and alpha, None if all is opaque."""
    if image.mode == "La":  # which converts to nothing else
        image = image.convert("LA")
    if not image.has_transparency_data:
        if image.mode not in ("L", "RGB", "CMYK"):
            image = image.convert("L" if image.mode == "1" else "RGB")
        return image, None
    whole = image.convert("RGBA")
    plane = whole.getchannel("A")
    return whole.convert("L" if image.mode in ("1", "L", "LA") else "RGB"), None if plane.getextrema()[
        0
    ] == 255 else plane


def _with_hidden_filled(picture: Image.Image, plane: Image.Image) -> Image.Image:
    """Fills invisible places with the visible colours around them.

    A codec mixes neighbours: black under a white logo would darken its edges, and takes bytes. Means of visible colours are
    pulled up a pyramid of halves, and pushed down again into what is clear.
    """
    weight = np.asarray(plane, np.float32)[..., None] / 255  # (H, W, 1)
    shown = weight > 0
    if shown.all():
        return picture
    colours = np.asarray(picture, np.float32)
    levels = [(colours * weight, weight)]
    while max(levels[-1][1].shape) > 1:
        sums, weights = levels[-1]
        levels.append((_halved(sums), _halved(weights)))
    fill = np.zeros_like(levels[-1][0])
    for sums, weights in reversed(levels):
        fill = fill.repeat(2, 0)[: len(sums)].repeat(2, 1)[:, : sums.shape[1]] if fill.shape != sums.shape else fill
        fill = np.where(weights > 0, sums / np.maximum(weights, 1e-6), fill)
    return Image.fromarray(np.where(shown, colours, fill).round().clip(0, 255).astype(np.uint8))


def _halved(array: np.ndarray) -> np.ndarray:
    """(H, W, C) -> (ceil(H/2), ceil(W/2), C), sums of 2x2."""
    rows, columns = (-(-side // 2) for side in array.shape[:2])
    padded = np.pad(array, ((0, 2 * rows - array.shape[0]), (0, 2 * columns - array.shape[1]), (0, 0)))
    return padded.reshape(rows, 2, columns, 2, -1).sum((1, 3))


def to_rgb(colours: Image.Image, profile: bytes, icc: str, name: str) -> tuple[Image.Image, bytes | None]:
    """RGB in sRGB and None, or in the colours of a profile and that. A useless profile counts as sRGB."""
    try:
        embedded = formats.icc.Profile(profile)
        if embedded.of_rgb:
            colours = colours.convert("RGB")  # grey pictures may have profiles of either kind
            if icc == "keep":
                return colours, profile
        return embedded.to_srgb(colours), None
    except ValueError as error:
        warnings.warn(f"{name}: its colour profile is not usable ({error}); taken as sRGB", OsdWarning, stacklevel=3)
        return colours.convert("RGB"), None


def _metadata(image: Image.Image, name: str) -> dict[str, bytes]:
    """EXIF without what concerns pixels in a file, with the resolution, its orientation reset; XMP without orientation and padding."""
    kept = {}
    try:
        exif = image.getexif()
        for tag in (*_STRUCTURE, orientation.TAG):
            if tag in exif:
                del exif[tag]
        if resolution := _resolution(image):
            exif[_X_RESOLUTION], exif[_Y_RESOLUTION] = resolution
            exif[_RESOLUTION_UNIT] = 2  # dots per inch
        if exif:
            exif[orientation.TAG] = 1
            kept["exif"] = exif.tobytes()
    except Exception:  # a broken EXIF block raises almost anything
        warnings.warn(f"{name}: its EXIF data are damaged and left out", OsdWarning, stacklevel=3)
    if xmp := image.info.get("xmp"):
        whole = orientation.without_orientation(xmp.encode() if isinstance(xmp, str) else xmp)
        kept["xmp"] = re.sub(rb"\s+(?=<\?xpacket end)", b"\n", whole)
    return kept


def _resolution(image: Image.Image) -> tuple[float, float] | None:
    """Dots per inch that the file itself tells: JFIF, pHYs, TIFF; None without, and if they make no sense."""
    try:
        across, down = (float(value) for value in image.info.get("dpi", ()))
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (across, down) if 0 < across < 1e6 and 0 < down < 1e6 else None
