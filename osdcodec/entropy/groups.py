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
