"""Pictures into files: the format of a suffix, alpha and metadata as far as the format has a place for them."""

import io
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin

from .. import formats
from ..errors import OsdWarning, OutputError, OutputFormatError, PackageError
from ..extras import available, install
from ..files import is_stream
from ..formats import DEFECTS
from .marks import is_bare
from .reading import to_rgb

QUALITY = 95  # of the formats that lose something
_WITH_ALPHA = ("AVIF", "HEIF", "JPEG2000", "PNG", "TGA", "TIFF", "WEBP")
_WITH_METADATA = ("AVIF", "HEIF", "JPEG", "PNG", "TIFF", "WEBP")
_METADATA = ("icc_profile", "exif", "xmp")  # as Pillow calls them in a picture's info
_OF_OTHER_SIZES = ("ICNS", "ICO")  # icons, which Pillow shrinks or distorts to sizes of theirs
_WITH_RESOLUTION = ("JPEG", "PNG", "TIFF")  # in a place of their own beside EXIF
_X, _Y, _UNIT = 0x011A, 0x011B, 0x0128  # resolution in EXIF
_SOFTWARE, _XMP = 0x0131, 0x02BC  # tags of EXIF and TIFF


def output_format(target: str | Path, wanted: str | None = None) -> str:
    """Returns Pillow's name of the format that a file's suffix means.

    Args:
        target: A file; "-" and pipes have no suffix.
        wanted: Suffix of the format that is asked for; PNG if neither says one.

    Raises:
        OutputFormatError: The format cannot be written, or is another than the wanted one.
    """
    suffix, known = Path(target).suffix.lower(), _formats()
    name = known.get(suffix)
    if name is None and is_stream(target):
        suffix = wanted or ".png"
        name = known.get(suffix)
    if wanted and name and name != known.get(wanted):
        raise OutputFormatError(
            f"{target}: {suffix} and format {wanted[1:]} contradict each other; leave one of them out"
        )
    if suffix in formats.heif.SUFFIXES and not available("pillow_heif"):
        raise PackageError(f"{target}: HEIC needs the package pillow-heif: {install('pillow_heif')}, or use .avif")
    try:
        if name is None or name in _OF_OTHER_SIZES:
            raise KeyError(suffix)
        encode_image(Image.new("RGB", (1, 1)), name)  # formats for other kinds of pictures show themselves only here
    except (KeyError, OSError, ValueError, OutputError) as error:
        what = suffix or "a name without suffix"
        raise OutputFormatError(f"{target}: {what} is no format to write; use .png, .jpg, .webp, .tiff …") from error
    return name


def _formats() -> dict[str, str]:
    """Suffixes and Pillow's names of their formats; HEIC, where its package is there."""
    heic = formats.heif.SUFFIXES if available("pillow_heif") else ()
    known = Image.registered_extensions() | dict.fromkeys(heic, "HEIF")
    known.pop(".osd", None)  # which is there once our own plugin is registered, and is no format to decode into
    return known


def encode_image(image: Image.Image, name: str) -> bytes:
    """RGB, RGBA, L or LA picture -> the bytes of a file in the format that Pillow calls `name`, with what its info holds.

    That is icc_profile, exif, xmp and comment, as far as the format carries them; the comment is also named as the
    software, but in PNG, whose texts have a name for it. Alpha lies over white where the format has none, and colours become sRGB where it has no profile. OsdWarning if that or
    metadata had to go, OutputError.
    """
    if name not in _WITH_METADATA and any(key in image.info for key in _METADATA):
        image = _without_metadata(image, name)
    if image.mode in ("RGBA", "LA") and name not in _WITH_ALPHA:
        warnings.warn(
            f"{name} holds no alpha: the picture lies over white; use .png to keep it", OsdWarning, stacklevel=2
        )
        colours, plane, info = image.convert(image.mode[:-1]), image.getchannel("A"), image.info
        image = Image.composite(colours, Image.new(colours.mode, image.size, "white"), plane)
        image.info = info
    try:
        return _save(image, name)
    except DEFECTS as error:
        if not {"exif", "xmp"} & image.info.keys():
            raise OutputError(f"the picture cannot be written as {name} ({error}); use .png") from error
        text = f"EXIF and XMP cannot be written as {name} ({error}) and are left out"
    warnings.warn(text, OsdWarning, stacklevel=2)  # they are the user's own: broken, or too long for the format
    image = image.copy()
    for key in ("exif", "xmp"):
        image.info.pop(key, None)
    return encode_image(image, name)


def _without_metadata(image: Image.Image, name: str) -> Image.Image:
    """For a format that has no place for it: the colours in sRGB, and neither EXIF nor XMP."""
    told, plane = image.info, image.getchannel("A") if image.mode.endswith("A") else None
    if profile := told.get("icc_profile"):
        text = f"{name} holds no colour profile: the colours become sRGB; use .png to keep them"
        warnings.warn(text, OsdWarning, stacklevel=3)
        image, _ = to_rgb(image.convert("RGB"), profile, "srgb", "the picture")
        if plane:
            image.putalpha(plane)
    if "exif" in told or ("xmp" in told and not is_bare(told["xmp"])):  # our own mark goes without a word
        text = f"{name} holds no EXIF and XMP: they are left out; use .png to keep them"
        warnings.warn(text, OsdWarning, stacklevel=3)
    image = image.copy()
    image.info = {key: value for key, value in told.items() if key not in _METADATA}
    return image


def _resolution(exif: bytes) -> tuple[float, float] | None:
    """Dots per inch that EXIF tells."""
    with suppress(Exception):  # a broken EXIF block raises almost anything
        tags = Image.Exif()
        tags.load(exif)
        across, down = (float(tags[tag]) * (2.54 if tags.get(_UNIT) == 3 else 1) for tag in (_X, _Y))
        if tags.get(_UNIT, 2) in (2, 3) and 0 < across < 65536 and 0 < down < 65536:
            return across, down
    return None


def _save(image: Image.Image, name: str) -> bytes:
    info, note = image.info, image.info.get("comment")
    tags: dict[str, Any] = {key: info[key] for key in (*_METADATA, "comment") if key in info}
    if name in _WITH_RESOLUTION and (resolution := _resolution(info.get("exif", b""))):
        tags["dpi"] = resolution
    if name == "PNG":  # it has texts of its own
        # Photographs hold nothing for deflate to find but runs: in a quarter of the time, within two percent as small.
        tags["compress_type"] = Image.RLE
        tags["pnginfo"] = texts = PngImagePlugin.PngInfo()
        if note:
            texts.add_text("Comment", note)
        if "xmp" in tags:
            texts.add_itxt("XML:com.adobe.xmp", tags["xmp"].decode("utf-8"))
    elif note or "exif" in tags:
        tags["exif"] = exif = Image.Exif()
        exif.load(info.get("exif", b""))
        if note:
            exif[_SOFTWARE] = note
        if name == "TIFF" and "xmp" in tags:
            exif[_XMP] = tags["xmp"]
    if name == "HEIF":
        return formats.heif.encoded(image, QUALITY, tags)
    buffer = io.BytesIO()
    image.save(buffer, name, quality=QUALITY, **tags)
    return buffer.getvalue()
