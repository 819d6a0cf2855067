"""From the fields of an .osd file to its picture: damaged files as far as they can be read, and what a picture says of itself."""

from dataclasses import replace
from typing import Any

from PIL import Image

from .container import Osd
from .errors import FormatError
from .families import PictureDecoder
from .file_info import NOTE
from .image import attachments, marks
from .rate_control import lambda_of_byte
from .version import version


def symbols_of(model: PictureDecoder, osd: Osd) -> tuple[Osd, Any, dict[str, Any]]:
    """The fields of a whole file, its symbols, and what its sections hold. FormatError if one is damaged."""
    opened = attachments.decode(osd.sections, (osd.width, osd.height))
    return osd, model.symbols(osd), opened


def salvaged(model: PictureDecoder, osd: Osd) -> tuple[Osd, Any, dict[str, Any]]:
    """As `symbols_of`, of a damaged file: its fields tell the faults, and sections that are damaged are left out."""
    opened: dict[str, Any] = {}
    for section in osd.sections:
        try:
            opened |= attachments.decode((section,), (osd.width, osd.height))
        except FormatError as error:
            osd = replace(osd, fault=osd.fault or str(error))
    try:
        return osd, model.symbols(osd), opened
    except FormatError as error:
        if osd.fault:
            raise
        osd = replace(osd, fault=str(error))
    return osd, model.symbols(osd), opened


def finished(colours: Image.Image, osd: Osd, opened: dict[str, Any]) -> Image.Image:
    """The decoded colours, RGB, with what the file holds beside them: grey, alpha, profile, metadata, and its fault."""
    picture = colours
    if osd.grey:  # a colour profile is of RGB colours
        picture = picture.convert("L").convert("RGB" if "i" in opened else "L")
    attachments.attach(picture, opened)
    if osd.fault:
        picture.info["fault"] = osd.fault
    return picture


def mark(picture: Image.Image, osd: Osd, size: int) -> None:
    """XMP and a comment that tell that the picture is partly synthetic. size: bytes of its file."""
    name = f"osdc {version()}"
    picture.info["xmp"] = marks.packet(name, picture.info.get("xmp"))
    picture.info["comment"] = marks.comment(name, size, _note(osd))


def _note(osd: Osd) -> str:
    shown = f", from the first {len(osd.payload)} of {len(osd.payload) + osd.missing} bytes" if osd.missing else ""
    damage = f", of a damaged file ({osd.fault})" if osd.fault else ""
    return f"{NOTE}, lambda {lambda_of_byte(osd.quality):.3g}{shown}{damage}"
