"""NumPy arrays and torch tensors as pictures, and pictures as the arrays that networks see.

torch is asked for only where it has been imported already.
"""

import sys
from typing import Any

import numpy as np
from PIL import Image, ImageChops

from ..profile import Profile

_ROUNDING = 1e-3  # what computing in single or half precision may add to 0 .. 1


def is_array(source: object) -> bool:
    return isinstance(source, np.ndarray) or _is_tensor(source)


def to_picture(array: Any) -> Image.Image:
    """Array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), or tensor (H, W), (C, H, W) or (1, C, H, W) -> picture.

    Values: uint8, bool, or floats in [0, 1]. ValueError for any other.
    """
    if _is_tensor(array):
        tensor = array.detach().cpu()
        tensor = tensor.float() if tensor.is_floating_point() else tensor  # NumPy knows no bfloat16
        tensor = tensor[0] if tensor.ndim == 4 and len(tensor) == 1 else tensor
        array = tensor.movedim(0, -1).numpy() if tensor.ndim == 3 else tensor.numpy()
    if array.dtype == bool:
        array = array * np.uint8(255)
    elif np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all():
            raise ValueError("the array holds values that are not finite")
        if array.size and not -_ROUNDING <= array.min() <= array.max() <= 1 + _ROUNDING:
            raise ValueError(
                f"the array holds floats from {array.min():g} to {array.max():g}; give them in 0 .. 1, or uint8"
            )
        array = (array.clip(0, 1) * 255).round().astype(np.uint8)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise ValueError(f"an array of {array.dtype} {array.shape} is no picture; give uint8, or floats in 0 .. 1")
    if array.size == 0:
        raise ValueError(f"an array of {array.shape} holds no pixels")
    return Image.fromarray(np.ascontiguousarray(array))


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
