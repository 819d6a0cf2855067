"""Picture files and PIL images <-> arrays in [-1, 1]: orientation, colour, alpha, metadata, padding."""

import io
import re
import warnings
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image, ImageChops, ImageColor, ImageOps, PngImagePlugin, UnidentifiedImageError

from . import formats
from .arrays import is_array, to_picture
from .container import MAX_PIXELS, MAX_SIDE
from .errors import InputError, OsdWarning, OutputError, label
from .extras import available
from .files import Source, bytes_of, is_stream, write_output

SUFFIXES = (  # taken in a folder
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pgm", ".pbm",
    ".pnm",
)  # fmt: skip
QUALITY = 95  # of the output formats that lose something
_WITH_ALPHA = ("AVIF", "JPEG2000", "PNG", "TGA", "TIFF", "WEBP")
_ORIENTATION, _SOFTWARE, _XMP = 0x0112, 0x0131, 0x02BC
# Tags of a TIFF file that say how its pixels lie there, what has a section of its own, and padding.
_STRUCTURE = (
    *range(0x00FE, 0x0108), 0x010A, 0x0111, *range(0x0115, 0x011A), 0x011C, *range(0x0120, 0x0126), 0x012D, 0x013D,
    *range(0x0140, 0x0160), *range(0x0200, 0x0215), _XMP, 0x83BB, 0x8649, 0x8773, 0xEA1C,
)  # fmt: skip


def open_image(
    source: Source | Image.Image | np.ndarray,
    max_pixels: int = MAX_PIXELS,
    alpha: str = "white",
    icc: str = "srgb",
    keep_metadata: bool = False,
    name: str | None = None,
) -> Image.Image:
    """Path, bytes, binary file, image, array or tensor -> picture of 8 bits, upright, the first of several: RGB or RGBA.

    alpha: "keep" gives RGBA unless all is opaque; "drop" the colours as they lie under it; a colour by name or #hex, the
    picture laid over it. icc: "srgb" converts by the embedded profile; "keep" leaves a profile of RGB colours and puts
    it into info["icc_profile"]. keep_metadata: EXIF and XMP, if any, go to info["exif"] and info["xmp"], else nowhere.
    name: what messages call the picture.
    Grey, palette, CMYK and 16-bit pictures are converted. OsdWarning if pictures or a broken profile are left out.

    InputError if the file is missing or empty, not a picture, damaged, or has more than max_pixels (found out before any
    pixel is decoded); FileError if it cannot be read; ValueError for options that there are not.
    """
    if icc not in ("srgb", "keep"):
        raise ValueError(f"icc must be srgb or keep, not {icc}")
    backdrop = None if alpha in ("keep", "drop") else ImageColor.getcolor(alpha, "RGB")
    name = name or (label(source) if isinstance(source, str | Path) else "the picture")
    given: bytes | Image.Image
    if is_array(source):
        given = to_picture(source)
    else:
        given = source if isinstance(source, Image.Image) else bytes_of(cast(Source, source))
    if given == b"":
        raise InputError(f"{name}: empty; give a JPEG, PNG, WebP, AVIF, TIFF or BMP picture")
    try:
        if isinstance(given, bytes):
            image = formats.read(given, name, lambda opened: _judge(opened, name, max_pixels))
        else:
            _judge(image := given, name, max_pixels)
            image.load()
        upright = _upright(image)
        colours, plane = _split(_to_8_bits(upright))
        profile = upright.info.get("icc_profile")
        picture, kept = _to_rgb(colours, profile, icc, name) if profile else (colours.convert("RGB"), None)
        info: dict[Any, Any] = {"icc_profile": kept} if kept else {}
        if keep_metadata:
            info |= _metadata(image, upright, name)
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
    heic = dict.fromkeys(formats.heif.SUFFIXES, "pip install 'osdc[heic]'")
    return heic | dict.fromkeys(formats.tiff.SUFFIXES, "camera raw")


def _judge(image: Image.Image, name: str, max_pixels: int) -> None:
    if image.width * image.height > max_pixels:
        raise InputError(f"{name}: {image.width}x{image.height} is more than {max_pixels} pixels; raise --max-pixels")
    if max(image.size) > MAX_SIDE:
        raise InputError(f"{name}: {image.width}x{image.height} has a side above {MAX_SIDE} pixels; resize it first")
    if _several(image):
        warnings.warn(f"{name}: an animation or several pages; only the first is taken", OsdWarning, stacklevel=3)


def _several(image: Image.Image) -> bool:
    if image.format == "MPO":  # a photo of a phone: what follows it are a preview, a depth or a gain map
        return False
    try:
        return getattr(image, "is_animated", False)
    except Exception:  # the second is broken; the first may be good all the same
        return True


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a broken EXIF block raises almost anything; the pixels are good all the same
        return image


def _to_8_bits(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("floating-point pixels")
    if not image.mode.startswith("I"):
        return image
    pixels = np.asarray(image)  # 16 bits, in integers of 16 or 32
    if pixels.size and not 0 <= pixels.min() <= pixels.max() <= 65535:
        raise ValueError("integer pixels of more than 16 bits")
    scaled = Image.fromarray((pixels / 257).round().astype(np.uint8))
    if "transparency" in image.info:  # one value that is meant to be clear
        clear = pixels == image.info["transparency"]
        scaled = Image.merge("LA", (scaled, Image.fromarray(np.where(clear, 0, 255).astype(np.uint8))))
    return scaled


def _split(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Colours, L, RGB or CMYK, and alpha, None if all is opaque."""
    if not image.has_transparency_data:
        return (
            image if image.mode in ("L", "RGB", "CMYK") else image.convert("L" if image.mode == "1" else "RGB")
        ), None
    whole = image.convert("RGBA")
    plane = whole.getchannel("A")
    return whole.convert("L" if image.mode in ("1", "L", "LA") else "RGB"), None if plane.getextrema()[
        0
    ] == 255 else plane


def _with_hidden_filled(picture: Image.Image, plane: Image.Image) -> Image.Image:
    """The colours of clear places, which nobody sees, from the visible ones around them.

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


def _to_rgb(colours: Image.Image, profile: bytes, icc: str, name: str) -> tuple[Image.Image, bytes | None]:
    """RGB in sRGB and None, or in the colours of a profile and that. A useless profile counts as sRGB."""
    from PIL import ImageCms

    try:
        embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if embedded.profile.xcolor_space.strip() == "RGB":
            colours = colours.convert("RGB")  # grey pictures may have profiles of either kind
            if icc == "keep":
                return colours, profile
        srgb = ImageCms.createProfile("sRGB")
        return cast(Image.Image, ImageCms.profileToProfile(colours, embedded, srgb, outputMode="RGB")), None
    except (ImageCms.PyCMSError, OSError, KeyError, ValueError) as error:
        warnings.warn(f"{name}: its colour profile is not usable ({error}); taken as sRGB", OsdWarning, stacklevel=3)
        return colours.convert("RGB"), None


def _metadata(image: Image.Image, upright: Image.Image, name: str) -> dict[str, bytes]:
    """EXIF without what concerns pixels in a file, its orientation reset, and XMP without its padding."""
    kept = {}
    try:
        exif = image.getexif()
        for tag in _STRUCTURE:
            if tag in exif:
                del exif[tag]
        if exif:
            exif[_ORIENTATION] = 1
            kept["exif"] = exif.tobytes()
    except Exception:  # a broken EXIF block raises almost anything
        warnings.warn(f"{name}: its EXIF data are damaged and left out", OsdWarning, stacklevel=3)
    xmp = upright.info.get("xmp")
    if xmp:
        kept["xmp"] = re.sub(rb"\s+(?=<\?xpacket end)", b"\n", xmp.encode() if isinstance(xmp, str) else xmp)
    return kept


def is_grey(picture: Image.Image) -> bool:
    """Whether red, green and blue of every pixel are equal."""
    red, green, blue = picture.split()[:3]
    return all(ImageChops.difference(red, other).getbbox() is None for other in (green, blue))


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


def output_format(target: str | Path, wanted: str | None = None) -> str:
    """Pillow's name of the format that the suffix means; that of `wanted`, else PNG, for what has none: '-', a pipe.

    OutputError if Pillow cannot write it, or it is another than the wanted one.
    """
    suffix = Path(target).suffix.lower()
    name = Image.registered_extensions().get(suffix)
    if name is None and is_stream(target):
        suffix = wanted or ".png"
        name = Image.registered_extensions()[suffix]
    if wanted and name and name != Image.registered_extensions()[wanted]:
        raise OutputError(f"{target}: {suffix} and --format {wanted[1:]} contradict each other; leave one of them out")
    try:
        if name is None:
            raise KeyError(suffix)
        encode_image(Image.new("RGB", (1, 1)), name)  # formats for other kinds of pictures show themselves only here
    except (KeyError, OSError, ValueError, OutputError) as error:
        what = suffix or "a name without suffix"
        raise OutputError(f"{target}: {what} is no format to write; use .png, .jpg, .webp, .tiff …") from error
    return name


def encode_image(image: Image.Image, name: str) -> bytes:
    """RGB, RGBA, L or LA picture -> the bytes of a file in the format that Pillow calls `name`, with what its info holds.

    That is icc_profile, exif, xmp and comment, as far as the format carries them; the comment is also named as the
    software. Alpha lies over white where the format has none. OsdWarning if that or metadata had to go, OutputError.
    """
    if image.mode in ("RGBA", "LA") and name not in _WITH_ALPHA:
        warnings.warn(
            f"{name} holds no alpha: the picture lies over white; use .png to keep it", OsdWarning, stacklevel=2
        )
        colours, plane, info = image.convert(image.mode[:-1]), image.getchannel("A"), image.info
        image = Image.composite(colours, Image.new(colours.mode, image.size, "white"), plane)
        image.info = info
    try:
        return _save(image, name)
    except formats.DEFECTS as error:
        if not {"exif", "xmp"} & image.info.keys():
            raise OutputError(f"the picture cannot be written as {name} ({error}); use .png") from error
        text = f"EXIF and XMP cannot be written as {name} ({error}) and are left out"
    warnings.warn(text, OsdWarning, stacklevel=2)  # they are the user's own: broken, or too long for the format
    image = image.copy()
    for key in ("exif", "xmp"):
        image.info.pop(key, None)
    return encode_image(image, name)


def _save(image: Image.Image, name: str) -> bytes:
    info, note = image.info, image.info.get("comment")
    tags: dict[str, Any] = {key: info[key] for key in ("icc_profile", "exif", "xmp", "comment") if key in info}
    if name == "PNG":  # it has texts of its own
        tags["pnginfo"] = texts = PngImagePlugin.PngInfo()
        if note:
            texts.add_text("Software", note)
        if "xmp" in tags:
            texts.add_itxt("XML:com.adobe.xmp", tags["xmp"].decode("utf-8"))
    elif note or "exif" in tags:
        tags["exif"] = exif = Image.Exif()
        exif.load(info.get("exif", b""))
        if note:
            exif[_SOFTWARE] = note
        if name == "TIFF" and "xmp" in tags:
            exif[_XMP] = tags["xmp"]
    buffer = io.BytesIO()
    image.save(buffer, name, quality=QUALITY, **tags)
    return buffer.getvalue()


def save_image(image: Image.Image, target: str | Path, overwrite: bool = True) -> None:
    """Picture, as `encode_image` takes it -> a file in the format of its suffix, or PNG on stdout for '-'. OutputError."""
    write_output(target, encode_image(image, output_format(target)), overwrite)
