"""Section p: the colours of a flat background, which the decoder restores where its output is close to them.

Beside words and edges a decoder at these rates leaves ghosts: shadows of up to twenty levels on what was one colour. Three bytes name that
colour, a fourth how far from it a ghost may be; spec/osd-1.md says what is restored where. A photograph hardly ever has a flat background,
and so no such section.
Imported only where pixels are.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageFilter

from ..container.flat_colours import Colour, apart

SIDE = 16  # of the windows that have to be plain as a whole, in pixels
TOLERANCES = 24, 16, 8, 4  # those that are tried
# The least share of a picture's windows that is flat background: of all colours together, and of each.
ALL, EACH = 1 / 16, 1 / 256
# A background must change next to nothing of the original itself: pixels that are more than so many levels off, as a share of all, and
# in any square of SIDE pixels. The original is blurred for this test, as a decoder blurs thin lines until they are close to the background.
LEVELS, SHARE, PLACE = 2, 1 / 1000, 32
BLUR = 5  # pixels
STRIP = 2**20  # pixels that are worked on at once


def find(pixels: np.ndarray, most: int) -> list[Colour]:
    """Returns the colours of the flat background of a picture (H, W, 3) uint8, at most so many.

    Each tolerance is the largest at which nothing else of the picture counts as background, and no two colours overlap.
    """
    plain: list[tuple[int, int, int]] = []
    for colour in _plain(pixels):  # the most frequent first: colours too near to it cannot stand beside it
        if all(apart(colour, other) > 2 * min(TOLERANCES) for other in plain):
            plain.append(colour)
    found: list[Colour] = []
    blurred = np.asarray(Image.fromarray(pixels).filter(ImageFilter.BoxBlur(BLUR // 2))) if plain else pixels
    for colour in plain[:most]:
        room = min((apart(colour, other) for other in plain if other != colour), default=256)
        for tolerance in TOLERANCES:
            if 2 * tolerance < room and _bears(pixels, blurred, (tolerance, *colour)):
                found.append((tolerance, *colour))
                break
    return found


def restore(pixels: np.ndarray, colours: Sequence[Colour]) -> np.ndarray:
    """A decoded picture (H, W, 3) uint8 -> the same with its flat background restored."""
    laid = pixels.copy()
    for own, reached, inner in _strips(pixels):
        for colour in colours:
            laid[own][_covered(pixels[reached], colour)[inner]] = colour[1:]
    return laid


def restore_flat_background(picture: Image.Image, colours: Sequence[Colour]) -> Image.Image:
    """A decoded RGB picture with its flat background restored; the windows of a preview are as many of its own pixels."""
    return Image.fromarray(restore(np.asarray(picture), colours)) if colours else picture


def _strips(pixels: np.ndarray) -> Iterator[tuple[slice, slice, slice]]:
    """The rows of a strip, those that its windows reach, and its rows among them."""
    rows = max(STRIP // pixels.shape[1] // SIDE, 1) * SIDE
    for top in range(0, len(pixels), rows):
        start = max(top - SIDE + 1, 0)
        yield slice(top, top + rows), slice(start, top + rows + SIDE - 1), slice(top - start, top - start + rows)


def _covered(pixels: np.ndarray, colour: Colour) -> np.ndarray:
    """uint8 (H, W, 3) -> bool (H, W): what lies in windows that are near the colour to the last pixel."""
    side, (tolerance, *values) = min(SIDE, *pixels.shape[:2]), colour
    near = np.ones(pixels.shape[:2], bool)
    for channel, value in enumerate(values):
        near &= (pixels[..., channel] >= value - tolerance) & (pixels[..., channel] <= value + tolerance)
    return _windows(np.pad(_windows(near, side, np.logical_and), side - 1), side, np.logical_or)


def _bears(pixels: np.ndarray, blurred: np.ndarray, colour: Colour) -> bool:
    """Whether the picture itself loses next to nothing by this background."""
    left = SHARE * pixels.shape[0] * pixels.shape[1]
    for own, reached, inner in _strips(pixels):
        taken = _covered(blurred[reached], colour)[inner]
        taken[taken] = (np.abs(pixels[own][taken] - np.array(colour[1:], np.int16)) > LEVELS).any(1)
        squares = np.add.reduceat(
            np.add.reduceat(taken, range(0, taken.shape[0], SIDE), 0, int), range(0, taken.shape[1], SIDE), 1
        )
        left -= squares.sum()
        if left < 0 or squares.max() > PLACE:
            return False
    return True


def _plain(pixels: np.ndarray) -> list[tuple[int, int, int]]:
    """The colours that fill enough windows to the last pixel, most frequent first."""
    counts = Counter[int]()
    if min(pixels.shape[:2]) < SIDE:  # an icon: the section would be a third of its file
        return []
    for own, reached, _ in _strips(pixels):
        below = slice(own.start, reached.stop)  # the windows that begin in these rows
        if len(pixels[below]) < SIDE:
            break
        red, green, blue = np.moveaxis(pixels[below].astype(np.int32), 2, 0)
        codes = red << 16 | green << 8 | blue
        across = _windows(codes[:, 1:] == codes[:, :-1], SIDE - 1, np.logical_and, (1,))
        down = _windows(codes[1:] == codes[:-1], SIDE - 1, np.logical_and, (0,))
        plain = _windows(across, SIDE, np.logical_and, (0,)) & down[:, : across.shape[1]]
        found = np.unique(codes[: len(plain), : plain.shape[1]][plain], return_counts=True)
        counts.update(dict(zip(*map(np.ndarray.tolist, found), strict=True)))
    windows = (pixels.shape[0] - SIDE + 1) * (pixels.shape[1] - SIDE + 1)
    if counts.total() < ALL * windows:
        return []
    return [
        (code >> 16, code >> 8 & 255, code & 255) for code, count in counts.most_common() if count >= EACH * windows
    ]


def _windows(values: np.ndarray, side: int, operation: np.ufunc, axes: tuple[int, ...] = (0, 1)) -> np.ndarray:
    """The operation over each window of `side` values along each of these axes, which get side - 1 shorter."""
    for axis in axes:
        values, reach = np.moveaxis(values, axis, 0), 1
        while reach < side:
            step = min(reach, side - reach)
            values, reach = operation(values[: len(values) - step], values[step:]), reach + step
        values = np.moveaxis(values, 0, axis)
    return values
