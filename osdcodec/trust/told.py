"""Section t: the true error of each block of 32x32 pixels, in eight steps, as the encoder measured it. spec/osd-1.md, "Told errors".

A step is coded with a table that its neighbours to the left and above choose, so blocks are coded by diagonals: those of one
diagonal depend on earlier ones only.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from PIL import Image

from ..entropy.rans import TOTAL, Reader, Writer
from ..errors import FormatError
from .maps import CELL, TrustMap, block_means, grid
from .truth import TO_YCC

LETTER = "t"
BLOCK = 32  # pixels of a side
LIMITS = (
    1,
    2,
    4,
    8,
    16,
    32,
    64,
)  # step s holds root mean squares of luma from LIMITS[s - 1] to below LIMITS[s], in levels of 255
MIDDLE = 3  # what stands for a neighbour of the first block
# Rows: sum of the steps to the left and above, 0 .. 14; 256ths. Fitted on 123 decoded training photographs.
FREQUENCIES = np.array(
    [
        (238, 10, 2, 2, 1, 1, 1, 1),
        (98, 124, 17, 13, 1, 1, 1, 1),
        (25, 133, 75, 12, 7, 2, 1, 1),
        (6, 97, 122, 21, 7, 1, 1, 1),
        (2, 36, 149, 51, 12, 4, 1, 1),
        (1, 16, 96, 106, 29, 6, 1, 1),
        (1, 6, 43, 132, 63, 9, 1, 1),
        (1, 3, 17, 89, 121, 23, 1, 1),
        (1, 1, 5, 30, 173, 44, 1, 1),
        (1, 1, 1, 8, 115, 127, 2, 1),
        (1, 1, 1, 2, 31, 206, 13, 1),
        (1, 1, 1, 1, 4, 146, 101, 1),
        (1, 1, 1, 1, 1, 58, 192, 1),
        (1, 1, 1, 3, 10, 32, 103, 105),
        (1, 1, 1, 1, 5, 16, 54, 177),
    ],
    np.int32,
)
TABLES = FREQUENCIES * (TOTAL // 256)


def steps_of(original: Image.Image, shown: Image.Image) -> np.ndarray:
    """An original and what came back of it, of one size -> (rows, columns) int32, the step of each block."""
    ours, theirs = (np.asarray(picture.convert("RGB"), np.float32) @ TO_YCC[0] for picture in (shown, original))
    errors = np.sqrt(block_means(np.square(ours - theirs), BLOCK))
    return np.searchsorted(LIMITS, errors, "right").astype(np.int32)


def encode(steps: np.ndarray) -> bytes:
    """(rows, columns) of steps 0 .. 7 -> the bytes of the section."""
    writer = Writer()

    def code(contexts: np.ndarray, places: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        writer.push(steps[places], TABLES, contexts)
        return steps[places]

    rows, columns = steps.shape
    _walk(rows, columns, code)
    return writer.to_bytes()


def decode(content: bytes, width: int, height: int) -> np.ndarray:
    """The bytes of the section of a picture of this size -> (rows, columns) int32, 0 .. 7. FormatError if they are damaged."""
    try:
        reader = Reader(content)
        found = _walk(*grid(width, height, BLOCK), lambda contexts, places: reader.pop(TABLES, contexts))
        reader.finish()
    except FormatError as error:
        raise FormatError(error.message, f"section {LETTER}") from error
    return found


def applied(expected: TrustMap, steps: np.ndarray) -> TrustMap:
    """The map with the luma errors of each block scaled until their root mean square lies in the step that was told."""
    edges = np.array([0, *LIMITS, 255], np.float64)
    low, high = edges[steps], edges[steps + 1]
    squares = np.square(expected.luma.astype(np.float64))
    means = block_means(squares, BLOCK // CELL)
    found = np.sqrt(np.maximum(means, 1e-12))
    factor = np.clip(found, low, high) / found
    each = np.repeat(np.repeat(factor, BLOCK // CELL, 0), BLOCK // CELL, 1)[: squares.shape[0], : squares.shape[1]]
    return replace(expected, luma=(expected.luma * each).astype(np.float32), told=True)


def _walk(
    rows: int, columns: int, code: Callable[[np.ndarray, tuple[np.ndarray, np.ndarray]], np.ndarray]
) -> np.ndarray:
    """Visits the blocks by diagonals; code(tables, places) writes or reads their steps."""
    found = np.zeros((rows, columns), np.int32)
    for places in _diagonals(rows, columns):
        row, column = places
        left = found[row, np.maximum(column - 1, 0)]
        above = found[np.maximum(row - 1, 0), column]
        left = np.where(column > 0, left, np.where(row > 0, above, MIDDLE))
        above = np.where(row > 0, above, left)
        found[places] = code(left + above, places)
    return found


def _diagonals(rows: int, columns: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Places whose row and column have the same sum, by that sum, each from the top down."""
    for both in range(rows + columns - 1):
        row = np.arange(max(0, both - columns + 1), min(rows, both + 1))
        yield row, both - row
