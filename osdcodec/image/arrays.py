"""NumPy arrays and torch tensors as pictures, and pictures as the arrays that networks see.

torch is asked for only where it has been imported already.
"""

import sys
from typing import Any, Protocol

import numpy as np
from PIL import Image, ImageChops

from ..profile import Profile

_ROUNDING = 1e-3  # what computing in single or half precision may add to 0 .. 1


class Tensor(Protocol):
    """A torch tensor, as far as it is looked at here; this package does not import torch to say so."""

    @property
    def ndim(self) -> int: ...
    def detach(self) -> Any: ...
    def is_floating_point(self) -> bool: ...
    def movedim(self, source: Any, destination: Any, /) -> Any: ...


def is_array(source: object) -> bool:
    return isinstance(source, np.ndarray) or _is_tensor(source)


def to_picture(array: np.ndarray | Tensor) -> Image.Image:
    """Array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), or tensor (H, W), (C, H, W) or (1, C, H, W) -> picture of 8 bits.

    Values: uint8, uint16 (0 .. 65535), bool, or floats in [0, 1]. ValueError for any other.
    """
    pixels = levels(of_tensor(array) if _is_tensor(array) else np.asarray(array))
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (3, 4)):
        raise ValueError(f"an array of {pixels.shape} is no picture; give (H, W), (H, W, 3) or (H, W, 4)")
    if pixels.size == 0:
        raise ValueError(f"an array of {pixels.shape} holds no pixels")
    return Image.fromarray(np.ascontiguousarray(pixels))


def of_tensor(tensor: Any) -> np.ndarray:
    """Tensor (H, W), (C, H, W) or (1, C, H, W) -> array (H, W) or (H, W, C)."""
    tensor = tensor.detach().cpu()
    tensor = tensor.float() if tensor.is_floating_point() else tensor  # NumPy knows no bfloat16
    tensor = tensor[0] if tensor.ndim == 4 and len(tensor) == 1 else tensor
    return np.asarray(tensor.movedim(0, -1).numpy() if tensor.ndim == 3 else tensor.numpy())


def levels(array: np.ndarray) -> np.ndarray:
    """An array of any shape in 0 .. 255, rounded to the nearest level. ValueError as `to_picture`."""
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16:
        return np.rint(array / 257).astype(np.uint8)
    if array.dtype == bool:
        return array * np.uint8(255)
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"an array of {array.dtype} is no picture; give uint8, uint16, or floats in 0 .. 1")
    if not np.isfinite(array).all():
        raise ValueError("the array holds values that are not finite")
    if array.size and not -_ROUNDING <= array.min() <= array.max() <= 1 + _ROUNDING:
        raise ValueError(
            f"the array holds floats from {array.min():g} to {array.max():g}; give them in 0 .. 1, or uint8, or uint16"
        )
    return (array.clip(0, 1) * 255).round().astype(np.uint8)


def _is_tensor(source: object) -> bool:
    kind = getattr(sys.modules.get("torch"), "Tensor", None)  # another thread may be at importing it
    return kind is not None and isinstance(source, kind)


def is_grey(picture: Image.Image) -> bool:
    """Whether red and blue of every pixel are its green, within the one level by which lossy WebP rounds greys."""
    red, green, blue = picture.split()[:3]
    farther = [ImageChops.difference(green, other).point(lambda levels: 255 * (levels > 1)) for other in (red, blue)]
    return all(each.getbbox() is None for each in farther)


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
    levels = x[0, :, :height, :width] * np.float32(127.5)
    levels += np.float32(127.5)
    np.rint(levels, out=levels)
    planes = np.clip(levels, 0, 255, out=levels).astype(np.uint8)  # plane by plane, which takes half the time
    return Image.merge("RGB", [Image.fromarray(plane) for plane in planes])


def network_inputs(image: Image.Image, profile: Profile) -> tuple[np.ndarray, np.ndarray]:
    """RGB picture -> x (1, 3, H, W) and thumbnail (1, 3, t, t), in [-1, 1]: what the analysis of a profile asks for."""
    return to_array(image, profile.stride), thumbnail(image, profile.thumb)
