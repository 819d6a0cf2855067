"""Pillow reads and writes .osd files once this is registered.

>>> import osdcodec.integrations.pillow as osd
>>> osd.register()
>>> picture = Image.open("x.osd")  # size and info at once; decoded when its pixels are first wanted
>>> picture.save("y.osd", lmbda=0.5)  # takes the options of osdcodec.encode, ignores others

Pillow empties the file that `save` names before any format is asked, so one that cannot be written is lost, as with all formats.
"""

import difflib
import inspect
import warnings
from typing import IO, Any

from PIL import Image, ImageFile

from ..container import MAGIC, unpack
from ..errors import FormatError, OsdError, OsdWarning
from ..image import attachments
from ..rate_control import lambda_of

FORMAT, SUFFIX, MIME = "OSD", ".osd", "image/x-osd"


class OsdImageFile(ImageFile.ImageFile):
    format = FORMAT
    format_description = "Extreme image codec with one-step diffusion"
    data: bytes | None = None  # of the file, until its pixels are wanted; a copy, or what was pickled, has pixels

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
        self.info |= {"lmbda": lambda_of(osd.quality), "model_id": osd.model_id.hex()}
        self.tile = []

    def load(self) -> Any:
        if self.data is not None:
            from ..shortcuts import decode

            try:
                picture = decode(self.data)
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
    from ..shortcuts import encode

    known = [name for name in inspect.signature(encode).parameters if name != "picture"]
    for option in picture.encoderinfo.keys() - known:  # Pillow's formats ignore options that are not theirs
        if near := difflib.get_close_matches(option, known, 1, 0.75):
            warnings.warn(f"{option} is no option of .osd files; {near[0]} is", OsdWarning, stacklevel=3)
    try:
        file.write(encode(picture, **{key: value for key, value in picture.encoderinfo.items() if key in known}))
    except OsdError as error:
        raise OSError(str(error)) from error


def register() -> None:
    """Image.open and Image.save know .osd files from now on, with the embedded weights."""
    Image.register_open(FORMAT, OsdImageFile, lambda start: start.startswith(MAGIC))
    Image.register_save(FORMAT, _save)
    Image.register_extension(FORMAT, SUFFIX)
    Image.register_mime(FORMAT, MIME)
