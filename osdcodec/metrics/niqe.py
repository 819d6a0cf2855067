"""NIQE (Mittal, Soundararajan and Bovik, 2013): how unlike photographs a picture looks, without its original.

Its model of photographs, a mean and a covariance of 36 features, is not ours to ship. A package of the public index carries the
published one and is read as data, never run: `pip install --no-deps mmagic` (Apache-2.0).
"""

import io
import math

import numpy as np
from PIL import Image

from .perceptual import located, verified

INSTALL = "pip install --no-deps mmagic"
PACKAGE, FILE = "mmagic", "evaluation/metrics/niqe_pris_params.npz"
SHA256 = "2a7c182a68c9e7f1b2e2e5ec723279d6f65d912b6fcaf37eb2bf03d7367c4296"

BLOCK = 96  # side of a block, which gives 36 features
SMALLEST = 2 * BLOCK  # side of the smallest picture with several blocks, which a covariance needs
SHAPES = np.arange(0.2, 10.001, 0.001)  # of the generalised Gaussian distributions that are tried


def _gamma(x: np.ndarray) -> np.ndarray:
    return np.array([math.gamma(value) for value in x])


RATIOS = _gamma(2 / SHAPES) ** 2 / (_gamma(1 / SHAPES) * _gamma(3 / SHAPES))  # rises with the shape


class Niqe:
    """RGB picture with both sides of 192 pixels or more -> NIQE, less is better; NaN where it is flat.

    As the published program computes it: luma of BT.601, rounded; whole blocks of 96x96 pixels and, at half size, of 48x48.
    WeightsError if the model of photographs is not available.
    """

    def __init__(self) -> None:
        data = verified(located(PACKAGE, FILE), SHA256, "the model of photographs of NIQE", INSTALL)
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            self.mean, self.covariance = arrays["mu_pris_param"][0], arrays["cov_pris_param"]

    def __call__(self, picture: Image.Image) -> float:
        found = features(picture)
        whole = found[~np.isnan(found).any(1)]
        if len(whole) < 2:
            return math.nan
        away = self.mean - np.nanmean(found, 0)
        return float(np.sqrt(away @ np.linalg.pinv((self.covariance + np.cov(whole, rowvar=False)) / 2) @ away))


def features(picture: Image.Image) -> np.ndarray:
    """RGB picture -> (blocks, 36); what a block without contrast does not have is NaN."""
    luma = np.asarray(picture.convert("L"), np.float64)
    rows, columns = (side // BLOCK for side in luma.shape)
    luma, scales = luma[: rows * BLOCK, : columns * BLOCK], []
    for side in (BLOCK, BLOCK // 2):
        blocks = _normalised(luma).reshape(rows, side, columns, side).swapaxes(1, 2).reshape(-1, side, side)
        scales.append(_statistics(blocks))
        luma = _halved(luma)
    return np.concatenate(scales, 1)


def _statistics(blocks: np.ndarray) -> np.ndarray:
    """Blocks (N, s, s) -> (N, 18): the distribution of the values, and of the products of neighbours in four directions."""
    shape, left, right = _distribution(blocks)
    found = [shape, (left + right) / 2]
    for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):
        shape, left, right = _distribution(blocks * np.roll(blocks, shift, (1, 2)))
        mean = (right - left) * _gamma(2 / shape) / _gamma(1 / shape)
        found += [shape, mean, left, right]
    return np.stack(found, 1)


def _distribution(blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shape and both widths of the asymmetric generalised Gaussian distribution of each block, by its moments; NaN if it has none."""
    values = blocks.reshape(len(blocks), -1)
    with np.errstate(invalid="ignore", divide="ignore"):
        left, right = (np.sqrt((values**2 * side).sum(1) / side.sum(1)) for side in ((values < 0), (values > 0)))
        skew = left / right
        ratio = np.abs(values).mean(1) ** 2 / (values**2).mean(1)
        ratio = ratio * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    upper = np.searchsorted(RATIOS, ratio).clip(1, len(RATIOS) - 1)  # NaN sorts last
    shape = SHAPES[upper - (ratio - RATIOS[upper - 1] <= RATIOS[upper] - ratio)]
    shape = np.where(np.isfinite(ratio), shape, math.nan)
    width = np.sqrt(_gamma(1 / shape) / _gamma(3 / shape))
    return shape, left * width, right * width


def _normalised(luma: np.ndarray) -> np.ndarray:
    """Less the local mean, over the local deviation and one: both under a Gaussian window of 7x7."""
    mean = _blurred(luma)
    return (luma - mean) / (np.sqrt(np.abs(_blurred(luma**2) - mean**2)) + 1)


def _blurred(luma: np.ndarray) -> np.ndarray:
    """Under a Gaussian of deviation 7/6 pixels, cut to 7x7; borders are repeated."""
    window = np.exp(-(np.arange(-3, 4) ** 2) / (2 * (7 / 6) ** 2))
    window /= window.sum()
    for axis in (0, 1):
        padded = np.pad(luma, [(3, 3) if axis == each else (0, 0) for each in (0, 1)], "edge")
        views = np.lib.stride_tricks.sliding_window_view(padded, 7, axis)
        luma = views @ window
    return luma


def _halved(luma: np.ndarray) -> np.ndarray:
    """Half the size by a bicubic filter of twice the width; borders are mirrored, as in MATLAB, where Pillow would cut the filter."""
    edge = 8
    padded = Image.fromarray(np.pad(luma, edge, "symmetric").astype(np.float32))
    small = padded.resize((padded.width // 2, padded.height // 2), Image.Resampling.BICUBIC)
    return np.asarray(small, np.float64)[edge // 2 : -edge // 2, edge // 2 : -edge // 2]
