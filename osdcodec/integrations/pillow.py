"""Pillow reads and writes .osd files once this is registered.

>>> import osdcodec.integrations.pillow as osd
>>> osd.register()
>>> picture = Image.open("x.osd")  # size and info at once; decoded when its pixels are first wanted
>>> picture.save("y.osd", quality=60)  # takes the options of osdcodec.encode, ignores others
>>> picture.thumbnail((320, 320))  # decodes the preview where half the size will do

Pillow empties the file that `save` names before it asks a format. So that a refused picture leaves that file whole, `register` puts
a `save` in front of Pillow's that makes .osd files in memory first; pictures of other formats go straight to Pillow's.
"""

import difflib
import os
import warnings
from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from io import BytesIO
from typing import IO, Any

from PIL import Image, ImageFile

from ..container import MAGIC, unpack
from ..errors import FormatError, OsdError, OsdWarning
from ..image import attachments
from ..rate_control import lambda_of_byte

FORMAT, SUFFIX, MIME = "OSD", ".osd", "image/x-osd"


class OsdImageFile(ImageFile.ImageFile):
    """An .osd file that Pillow opened: size, mode and info at once, pixels when they are first wanted."""

    format = FORMAT
    format_description = "Extreme image codec with one-step diffusion"
    data: bytes | None = None  # of the file, until its pixels are wanted; a copy, or what was pickled, has pixels
    preview = False  # half the size will do

    def _open(self) -> None:
        if self.fp is None:
            raise SyntaxError("no file to read from")
        self.data = self.fp.read()
        try:
            osd = unpack(self.data)
        except FormatError as error:
            raise SyntaxError(str(error)) from error  # how Pillow wants to hear that it is not a file of this format
        self._size = osd.width, osd.height
        kinds = dict(osd.sections).keys()
        self._mode = ("L" if osd.grey and "i" not in kinds else "RGB") + ("A" if "A" in kinds else "")
        metadata = tuple((kind, content) for kind, content in osd.sections if kind.islower())
        attachments.attach(self, attachments.decode(metadata, self._size))
        self.info |= {"lmbda": lambda_of_byte(osd.quality), "model_id": osd.model_id.hex()}
        self.tile = []

    def draft(self, mode: str | None, size: tuple[int, int] | None) -> tuple[str, tuple[int, int, float, float]] | None:
        """Takes the preview, of half the size, where that is at least `size`: what `thumbnail` asks for. As Pillow's own."""
        half = -(-self.width // 2), -(-self.height // 2)
        if self.data is None or self.preview or not size or size[0] > half[0] or size[1] > half[1]:
            return None
        box = 0, 0, self.width / 2, self.height / 2  # of the whole picture, in pixels of the preview
        self.preview, self._size = True, half
        return self.mode, box

    def load(self) -> Any:
        """Decodes the pixels, if that was not done before. OSError if the file or its weights cannot be used."""
        if self.data is not None:
            from ..shortcuts import decode

            try:
                picture = decode(self.data, preview=self.preview)
            except OsdError as error:
                raise OSError(str(error)) from error
            self.data = None
            self.im, self._mode = picture.im, picture.mode
            self.info = (
                picture.info | self.info | {"xmp": picture.info["xmp"]}
            )  # which has our mark beside what was kept
            if self._exclusive_fp and self.fp:  # opened for this picture, and read to its end
                self.fp.close()
            self.fp = None
        return super().load()


def _save(picture: Image.Image, file: IO[bytes], name: str | bytes) -> None:
    from ..options import EncodeOptions
    from ..shortcuts import encode

    known = [each.name for each in fields(EncodeOptions)]
    for option in picture.encoderinfo.keys() - known:  # Pillow's formats ignore options that are not theirs
        if near := difflib.get_close_matches(option, known, 1, 0.75):
            warnings.warn(f"{option} is no option of .osd files; {near[0]} is", OsdWarning, stacklevel=3)
    options = {name: value for name, value in picture.encoderinfo.items() if name in known}
    if isinstance(options.get("quality"), str):  # "keep" and "web_low" are of JPEG
        del options["quality"]
    try:
        file.write(encode(picture, **options))
    except OsdError as error:
        raise OSError(str(error)) from error


def _in_memory_first(save: Callable[..., None]) -> Callable[..., None]:
    """Image.save, but that an .osd file is whole before the file of its name is opened."""

    @wraps(save)
    def saved(self: Image.Image, fp: Any, format: str | None = None, **params: Any) -> None:
        if not isinstance(fp, str | bytes | os.PathLike) or not _is_ours(os.fsdecode(fp), format):
            return save(self, fp, format, **params)
        whole = BytesIO()
        save(self, whole, FORMAT, **params)
        with open(fp, "wb") as file:
            file.write(whole.getvalue())

    saved.in_memory_first = True  # type: ignore[attr-defined]
    return saved


def _is_ours(name: str, format: str | None) -> bool:
    return format.upper() == FORMAT if format else os.path.splitext(name)[1].lower() == SUFFIX


def register() -> None:
    """Image.open and Image.save know .osd files from now on, with the embedded weights."""
    Image.register_open(FORMAT, OsdImageFile, lambda start: start.startswith(MAGIC))
    Image.register_save(FORMAT, _save)
    Image.register_extension(FORMAT, SUFFIX)
    Image.register_mime(FORMAT, MIME)
    if not hasattr(Image.Image.save, "in_memory_first"):
        Image.Image.save = _in_memory_first(Image.Image.save)  # type: ignore[method-assign]
