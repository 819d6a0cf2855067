"""The map itself: three numbers for each place of a picture, and the blocks that they stand for."""

from dataclasses import dataclass

import numpy as np

CELL = 16  # pixels of a side of a place


@dataclass(frozen=True, eq=False)
class TrustMap:
    """How far a decoded picture can be trusted, for each place of 16x16 pixels of the full-size picture.

    luma, chroma: (rows, columns) float32, expected error, root mean square in levels of 255: of luma, and of Cb and Cr together
    (BT.601, full range, as in JPEG). Where expectations are right, the squared errors of many places with the same number
    have its square as their mean.
    texture: (rows, columns) float32, expected correlation of the visible fine structure with that of the original, 0 .. 1: 1 where all
    lines and grains are where they were, 0 where they are invented, or where there are none.
    width, height: of the picture in pixels. Places at the right and the lower edge may be smaller.
    told: luma is not expected but true, as the encoder measured it (`--tell-errors`), in blocks of 32x32 pixels and eight steps.
    """

    luma: np.ndarray
    chroma: np.ndarray
    texture: np.ndarray
    width: int
    height: int
    told: bool = False
    cell: int = CELL

    def to_array(self) -> np.ndarray:
        """float32 (3, rows, columns): luma, chroma and texture, as the .npy files of the command line hold them."""
        return np.stack([self.luma, self.chroma, self.texture]).astype(np.float32)


def grid(width: int, height: int, side: int = CELL) -> tuple[int, int]:
    """Rows and columns of blocks with this side in a picture of width x height pixels."""
    return -(-height // side), -(-width // side)


def block_means(plane: np.ndarray, side: int = CELL) -> np.ndarray:
    """Means of a plane (H, W) over its blocks; those at the edges may be smaller -> (rows, columns) float64."""
    rows, columns = (range(0, length, side) for length in plane.shape)
    sums = np.add.reduceat(np.add.reduceat(plane, rows, 0, np.float64), columns, 1)
    sizes = [np.minimum(side, length - np.arange(0, length, side)) for length in plane.shape]
    return sums / np.outer(*sizes)
