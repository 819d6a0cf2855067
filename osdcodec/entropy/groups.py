"""The four groups of the latent's symbols: in every 2x2 cell of a channel, each position is in another one.

It is the quadtree partition of DCVC-DC (Li et al., 2023).
"""

from itertools import pairwise

import numpy as np

from . import Array

PHASES = (0, 3, 1, 2)  # order of the four positions of a 2x2 cell, diagonal first


def quarters(channels: int) -> list[slice]:
    """The channels that have their positions in common, in four parts."""
    starts = [-(-channels * n // 4) for n in range(5)]
    return [slice(*ends) for ends in pairwise(starts)]


def masks(channels: int, h: int, w: int) -> list[Array]:
    """Four boolean arrays (C_y, h, w), one per group: every symbol is in one, every 2x2 cell of a channel in all."""
    quarter = (np.arange(channels) * 4 // channels)[:, None, None]
    phase = 2 * (np.arange(h) % 2)[:, None] + np.arange(w) % 2
    return [phase == (place ^ quarter) for place in PHASES]


def best_of_cells(qualities: Array, factor: int) -> Array:
    """(h, w) -> (ceil(h / factor), ceil(w / factor)): the least quality byte, which is the best quality, of each cell."""
    h, w = qualities.shape
    padded = np.pad(qualities, ((0, -h % factor), (0, -w % factor)), constant_values=255)
    return np.asarray(padded.reshape(padded.shape[0] // factor, factor, -1, factor).min((1, 3)))
