"""MS-SSIM in NumPy, for where there is no torch: Wang, Simoncelli, Bovik, 2003, as pytorch_msssim computes it."""

from collections.abc import Iterator

import numpy as np
from PIL import Image

SMALLEST = 161  # side from which on five scales have room for the window
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, finest first
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_WINDOW = np.exp(-(np.arange(-5, 6, dtype=np.float32) ** 2) / (2 * 1.5**2))
_WINDOW /= _WINDOW.sum()
_ROWS = 256  # worked on at once, so that memory stays that of the pictures


def ms_ssim(original: Image.Image, decoded: Image.Image) -> float:
    """Multi-scale structural similarity of two RGB pictures of one size, 0 .. 1. ValueError below 161 pixels on a side."""
    if min(original.size) < SMALLEST or original.size != decoded.size:
        raise ValueError(f"MS-SSIM needs two pictures of one size with sides of {SMALLEST} pixels or more")
    bands = zip(original.split(), decoded.split(), strict=True)
    return float(np.mean([_channel(np.asarray(a), np.asarray(b)) for a, b in bands]))


def _channel(a: np.ndarray, b: np.ndarray) -> float:
    product = 1.0
    for scale, weight in enumerate(WEIGHTS):
        if scale:
            a, b = _halved(a), _halved(b)
        whole, contrast = _means(a, b)
        product *= max(whole if scale == len(WEIGHTS) - 1 else contrast, 0.0) ** weight
    return product


def _means(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """(H, W) twice -> means of SSIM and of its contrast and structure term."""
    sums, count = np.zeros(2), 0
    for x, y in _blocks(a, b):
        mean_x, mean_y = _blurred(x), _blurred(y)
        var_x, var_y = _blurred(x * x) - mean_x**2, _blurred(y * y) - mean_y**2
        contrast = (2 * (_blurred(x * y) - mean_x * mean_y) + _C2) / (var_x + var_y + _C2)
        whole = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1) * contrast
        sums += whole.sum(dtype=np.float64), contrast.sum(dtype=np.float64)
        count += whole.size
    return float(sums[0] / count), float(sums[1] / count)


def _blocks(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    edge = len(_WINDOW) - 1  # rows that a window needs beside its own
    for top in range(0, len(a) - edge, _ROWS):
        rows = slice(top, top + _ROWS + edge)
        yield a[rows].astype(np.float32), b[rows].astype(np.float32)


def _blurred(x: np.ndarray) -> np.ndarray:
    """(H, W) -> (H - 10, W - 10), under a Gaussian window."""
    for axis in (0, 1):
        size = x.shape[axis] - len(_WINDOW) + 1
        x = sum(weight * x.take(range(i, i + size), axis) for i, weight in enumerate(_WINDOW))
    return x


def _halved(x: np.ndarray) -> np.ndarray:
    """(H, W) -> means of 2x2; a side of odd length gets a zero at its front, as in pytorch_msssim."""
    x = np.pad(x, [(side % 2, side % 2) for side in x.shape])
    rows, columns = x.shape[0] // 2, x.shape[1] // 2
    cells = x[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2)
    return cells.sum((1, 3), dtype=np.float32) / 4
