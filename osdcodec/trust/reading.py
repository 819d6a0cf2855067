"""What a decoder knows when it has decoded a picture, and the arrays that the map's network asks for."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..entropy.prior import UNSEEN, Prior, Symbols

OPEN = 0.35  # standard deviation, in steps, of what a coded symbol leaves open at most: half a step and the dead zone


@dataclass(frozen=True, eq=False)
class Reading:
    """A decoded picture with what it was made from.

    picture: as it is shown, RGB; a preview has half the width and height. width, height: of the full picture. symbols: of the file;
    qualities: (h, w) quality byte of each position of y. coarse: (1, C_z, 2h, 2w), the latent of the coarse picture (`--detail 0`);
    denoised: that of the denoised one (`--detail 1`), or again the coarse one where the denoiser did not run. detail: 0 .. 1.5.
    """

    picture: Image.Image
    width: int
    height: int
    symbols: Symbols
    qualities: np.ndarray
    coarse: np.ndarray
    denoised: np.ndarray
    detail: float = 1.0
    preview: bool = False
    grey: bool = False  # red, green and blue of every pixel are equal, here and in the original


def deviations(prior: Prior) -> np.ndarray:
    """Standard deviation of the symbols that each table of the prior expects, in steps."""
    values = np.arange(prior.tables.shape[1]) - prior.limit
    return np.sqrt((prior.tables * np.square(values, dtype=np.int64)).sum(1) / prior.tables.sum(1, dtype=np.int64))


def facts(
    prior: Prior, rows: np.ndarray, latent: np.ndarray, qualities: np.ndarray, detail: float, preview: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """spread (1, C_y, h, w), activity (1, C_y, h, w) and setting (1, 3, 2h, 2w), float32, of what a `Reading` holds.

    spread: log2 of the deviation, in units of y, that the file leaves open: what the prior expects, less where a symbol was read.
    activity: log2 of 1 + |symbol|. setting: quality / 255, detail and whether it is a preview, at each position of z.
    """
    expected = deviations(prior)[rows & (UNSEEN - 1)]
    known = 1 / np.sqrt(1 / np.square(expected) + 1 / OPEN**2)
    inverse = np.empty((prior.profile.latent_channels, *qualities.shape))
    for quality in np.unique(qualities):
        inverse[:, qualities == quality] = prior.gains(int(quality)).inverse[:, None]
    spread = np.log2(np.where(rows & UNSEEN, expected, known) * inverse)
    activity = np.log2(1 + np.abs(latent.astype(np.float32)))
    fine = prior.profile.z_per_y
    quality = np.repeat(np.repeat(qualities / 255, fine, 0), fine, 1)
    setting = np.stack([quality, np.full_like(quality, 0 if preview else detail), np.full_like(quality, preview)])
    return spread.astype(np.float32)[None], activity.astype(np.float32)[None], setting.astype(np.float32)[None]
