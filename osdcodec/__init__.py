"""osdc: photographs at 0.02 to 0.12 bits per pixel, brought back by one diffusion step.

>>> import osdcodec
>>> data = osdcodec.encode(picture, lmbda=1.0)  # a PIL image or a path -> bytes of an .osd file
>>> picture = osdcodec.decode(data)
>>> osdcodec.info(data)["bpp"]
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import telemetry
from .errors import (
    FileError,
    FormatError,
    InputError,
    OsdError,
    OsdWarning,
    OutputError,
    PackageError,
    TargetError,
    WeightsError,
)

__all__ = [
    "Decoder", "Encoder", "FileError", "FormatError", "InputError", "OsdError", "OsdWarning", "OutputError",
    "PackageError", "Target", "TargetError", "WeightsError", "decode", "encode", "info",
]  # fmt: skip

telemetry.switch_off()  # every entry point imports this module first

if TYPE_CHECKING:
    from .codec import Decoder, Encoder, info
    from .rate_control import Target
    from .shortcuts import decode, encode

    __version__: str


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


def __getattr__(name: str) -> Any:
    """encode, decode, info, Encoder, Decoder, Target and __version__ are found when first used: `osdc info` must start at once."""
    if name == "__version__":
        from .version import version

        return version()
    if name in __all__:
        home = ".shortcuts" if name in ("encode", "decode") else ".codec"
        return getattr(import_module(home, __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
