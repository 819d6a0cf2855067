"""encode and decode as functions, with the embedded weights; models stay loaded."""

from collections.abc import Callable
from functools import cache, wraps
from inspect import signature
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, overload

from PIL import Image

from .codec import Decoder, Encoder
from .files import Source

if TYPE_CHECKING:
    from .trust.maps import TrustMap


P = ParamSpec("P")


def _with_kept_encoder(method: Callable[Concatenate[Encoder, P], bytes]) -> Callable[P, bytes]:
    """A method of the encoder that stays loaded, as a function with the same arguments."""

    @wraps(method)
    def function(*args: P.args, **kwargs: P.kwargs) -> bytes:
        return method(_encoder(), *args, **kwargs)

    _, *parameters = signature(method).parameters.values()
    function.__signature__ = signature(method).replace(parameters=parameters)  # type: ignore[attr-defined]
    return function


encode = _with_kept_encoder(Encoder.encode)


@overload
def decode(
    data: Source,
    seed: int = ...,
    detail: float = ...,
    preview: bool = ...,
    partial: bool = ...,
    steps: int | None = ...,
    original_size: bool = ...,
    salvage: bool = ...,
    trust: Literal[False] = ...,
    mark: bool = ...,
) -> Image.Image: ...
@overload
def decode(
    data: Source,
    seed: int = ...,
    detail: float = ...,
    preview: bool = ...,
    partial: bool = ...,
    steps: int | None = ...,
    original_size: bool = ...,
    salvage: bool = ...,
    *,
    trust: Literal[True],
    mark: bool = ...,
) -> tuple[Image.Image, "TrustMap"]: ...


def decode(
    data: Source,
    seed: int = 0,
    detail: float = 1.0,
    preview: bool = False,
    partial: bool = False,
    steps: int | None = None,
    original_size: bool = False,
    salvage: bool = False,
    trust: bool = False,
    mark: bool = True,
) -> "Image.Image | tuple[Image.Image, TrustMap]":
    """Decodes an .osd file into an RGB picture, or L if it is grey; RGBA or LA if the file holds alpha.

    The arguments are those of `Decoder.decode`, which describes the picture's info and more. Models stay loaded.

    Args:
        data: Bytes of a file, a path, or a binary file.
        seed: Draws the noise that the diffusion starts from, 0 .. 2**64 - 1.
        detail: 0 .. 1.5, from the coarse picture (0) through the denoised one (1) and beyond.
        preview: A coarse picture of half the size, much sooner.
        partial: The beginning of a progressive file will do, for as much of the picture as has arrived, unverified.
        steps: Of the diffusion: refused unless the model was trained for so many.
        original_size: A picture that was shrunk before it was coded is enlarged again.
        salvage: A damaged file will do, for what can be read of it.
        trust: The result is (picture, TrustMap), which says where the picture is likely to be true.
        mark: XMP and a comment tell that the picture is partly synthetic.

    Raises:
        FormatError: The file is damaged.
        WeightsError: Its model is not available, or lacks what was asked for.
        ValueError: An argument is out of range.
    """
    options: dict[str, Any] = {
        "preview": preview,
        "partial": partial,
        "steps": steps,
        "original_size": original_size,
        "salvage": salvage,
    }
    if trust:
        return _decoder().decode(data, seed, detail, **options, trust=True, mark=mark)
    return _decoder().decode(data, seed, detail, **options, mark=mark)


@cache
def _encoder() -> Encoder:
    return Encoder()


@cache
def _decoder() -> Decoder:
    return Decoder()
