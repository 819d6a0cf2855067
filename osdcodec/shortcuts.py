"""encode and decode as functions, with the embedded weights; models stay loaded."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, overload

from PIL import Image

from .codec import Decoder, Encoder, Picture
from .container import Box
from .effort import Effort
from .files import Source
from .rate_control import Target

if TYPE_CHECKING:
    from .trust.maps import TrustMap


def encode(
    picture: Picture,
    lmbda: float = 1.0,
    *,
    target: Target | None = None,
    roi: Sequence[Box] = (),
    alpha: str = "white",
    icc: str = "srgb",
    keep_metadata: bool = False,
    progressive: bool = False,
    effort: Effort = "auto",
    tell_errors: bool = False,
    crop: Box | None = None,
    resize: int | tuple[int, int] | None = None,
    scale: float = 1.0,
    show: int | None = None,
    shrink: bool = False,
    strict: bool = False,
) -> bytes:
    """A picture -> the bytes of an .osd file, as `Encoder.encode`, with the embedded weights, which stay loaded."""
    return _encoder().encode(
        picture,
        lmbda,
        target=target,
        roi=roi,
        alpha=alpha,
        icc=icc,
        keep_metadata=keep_metadata,
        progressive=progressive,
        effort=effort,
        tell_errors=tell_errors,
        crop=crop,
        resize=resize,
        scale=scale,
        show=show,
        shrink=shrink,
        strict=strict,
    )


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
    """An .osd file (bytes, a path, a binary file) -> picture, or (picture, map), as `Decoder.decode`; models stay loaded."""
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
