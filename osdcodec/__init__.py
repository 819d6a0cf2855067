"""osdc: photographs at 0.02 to 0.12 bits per pixel, brought back by one diffusion step.

>>> import osdcodec
>>> data = osdcodec.encode(picture, lmbda=1.0)  # a PIL image or a path -> bytes of an .osd file
>>> picture = osdcodec.decode(data)
>>> osdcodec.info(data)["bpp"]
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from .errors import FormatError, InputError, OsdError, OutputError, TargetError, WeightsError

__all__ = [
    "Decoder", "Encoder", "FormatError", "InputError", "OsdError", "OutputError", "TargetError", "WeightsError",
    "decode", "encode", "info",
]  # fmt: skip

try:
    __version__ = version("osdc")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"


def __getattr__(name: str):
    """encode, decode, info, Encoder and Decoder are imported when first used: `osdc info` must start at once."""
    if name in __all__:
        return getattr(import_module(".codec", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
