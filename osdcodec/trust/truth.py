"""The true errors of a decoded picture, which only who has the original can measure: what the map is trained on and judged by."""

import numpy as np
from PIL import Image

from .maps import CELL, TrustMap, block_means

# BT.601, full range, as in JPEG, without offsets: rows are luma, Cb and Cr of red, green and blue.
TO_YCC = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32)
BLUR = 4.0  # pixels, standard deviation of the Gaussian whose difference to luma is texture
FLOOR = 1.0  # squared levels: texture fainter than this counts as none


def measure(original: Image.Image, shown: Image.Image) -> TrustMap:
    """An original and what came back of it, of one size -> the true map: errors of each place, and correlation of texture.

    Correlations below 0 stay as they are, -1 .. 1.
    """
    ours, theirs = (np.asarray(picture.convert("RGB"), np.float32) @ TO_YCC.T for picture in (shown, original))
    squares = np.square(ours - theirs)
    luma, chroma = block_means(squares[..., 0]), block_means(squares[..., 1:].mean(2))
    texture = correlation(ours[..., 0], theirs[..., 0])
    luma, chroma = (np.sqrt(part).astype(np.float32) for part in (luma, chroma))
    return TrustMap(luma, chroma, texture, shown.width, shown.height)


def correlation(shown: np.ndarray, original: np.ndarray, side: int = CELL) -> np.ndarray:
    """Of the texture of two luma planes (H, W), in levels, for each block -> float32, -1 .. 1."""
    ours, theirs = shown - blurred(shown), original - blurred(original)
    products = (block_means(a * b, side) for a, b in ((ours, theirs), (ours, ours), (theirs, theirs)))
    both, own, other = products
    return (both / np.sqrt((own + FLOOR) * (other + FLOOR))).astype(np.float32)


def blurred(plane: np.ndarray, deviation: float = BLUR) -> np.ndarray:
    """A plane (H, W) behind a Gaussian, which sees it mirrored at its edges."""
    reach = round(4 * deviation)
    kernel = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) / deviation)).astype(np.float32)
    kernel /= kernel.sum()
    for _ in range(2):
        padded = np.pad(plane, ((reach, reach), (0, 0)), "symmetric")
        plane = sum(weight * padded[at : at + len(plane)] for at, weight in enumerate(kernel))
        plane = plane.T
    return plane
