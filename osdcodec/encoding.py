"""From an open picture to the fields of its file: within a size where one is asked for, and with its errors where they are told."""

from dataclasses import replace
from typing import Any

from PIL import Image

from . import container
from .container import Osd
from .errors import FormatError, OsdError, TargetError
from .families import Encoded, PictureEncoder
from .fitting import COARSE, TIGHT, Fitting
from .image.resizing import shrunk
from .options import EncodeOptions
from .rate_control import LAMBDA_MAX, Progress, Target


def code(
    coder: PictureEncoder, picture: Image.Image, options: EncodeOptions, limit: int | None, progress: Progress | None
) -> Osd:
    """The fields of the file of a picture.

    Args:
        coder: An open model.
        picture: As `image.open_image` gives it, cropped and shrunk as the options say.
        options: Those of the encoding, with regions of interest in pixels of `picture`.
        limit: Bytes that the file may have; None if no size is the target.
        progress: Hears which share of the work is done.

    Raises:
        TargetError: The target is out of reach.
        OsdError: The file would not decode to its symbols.
    """
    if limit is None:
        osd, symbols = coder.code(picture, options, progress)
        if options.tell_errors:
            osd = _with_errors(coder, picture, osd, symbols)
    elif options.tell_errors:
        osd, symbols = _with_errors_within(coder, picture, options, limit, progress)
    else:
        osd, symbols = _within(coder, picture, options, limit, progress)
    if options.verify and not _decodes(coder, osd, symbols):
        raise OsdError("the file would not decode to what was encoded, so there is none: please report this picture")
    return osd


def _within(
    coder: PictureEncoder, picture: Image.Image, options: EncodeOptions, limit: int, progress: Progress | None
) -> Encoded:
    """The best file of at most so many bytes."""
    pixels = picture.width * picture.height
    if limit < TIGHT * pixels / 8 and (options.shrink or pixels > COARSE):
        fitting = Fitting(coder, picture, limit, options)
        if options.shrink:
            return fitting.made(progress)
        fitting.refuse()
    chosen = replace(options, lmbda=LAMBDA_MAX, quality=None, target=Target(max_bytes=max(1, limit)))
    return coder.code(picture, chosen, progress)


def _with_errors(coder: PictureEncoder, picture: Image.Image, osd: Osd, symbols: Any) -> Osd:
    """The fields of a file with the section that tells the errors of what a decoder will show of it."""
    from .trust import told

    size = osd.width, osd.height
    original = picture if picture.size == size else shrunk(picture, size)
    steps = told.steps_of(original, coder.reconstruct(osd, symbols))
    return replace(osd, sections=(*osd.sections, (told.LETTER, told.encode(steps))))


def _with_errors_within(
    coder: PictureEncoder, picture: Image.Image, options: EncodeOptions, limit: int, progress: Progress | None
) -> Encoded:
    """As `_within`, with that section, which counts."""
    room, excess = limit, 0
    while (room := room - excess) > 0:
        osd, symbols = _within(coder, picture, options, room, progress)
        coded = _with_errors(coder, picture, osd, symbols)
        excess = len(container.pack(coded)) - limit
        if excess <= 0:
            return coded, symbols
    raise TargetError(f"{limit:,} bytes are too few for a file that tells its errors; give more")


def _decodes(coder: PictureEncoder, osd: Osd, symbols: Any) -> bool:
    try:
        return bool(coder.symbols(osd) == symbols)
    except FormatError:
        return False
