"""The content of section p: the colours of a flat background. image/flat_background.py finds and restores it."""

from collections.abc import Sequence
from itertools import combinations

Colour = tuple[int, int, int, int]  # the largest difference that is a ghost, then red, green, blue
MOST = 8  # in a section


def apart(one: Sequence[int], other: Sequence[int]) -> int:
    """The largest difference of red, green or blue."""
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


def read(content: bytes, quality: int, size: tuple[int, int]) -> list[Colour]:
    """ValueError, which says what is wrong, unless a pixel can be of one of them only."""
    if not 4 <= len(content) <= 4 * MOST or len(content) % 4:
        raise ValueError(f"{len(content)} bytes are no 1 to {MOST} colours of four bytes")
    colours = list(zip(*(content[at::4] for at in range(4)), strict=True))
    if any(apart(one[1:], other[1:]) <= one[0] + other[0] for one, other in combinations(colours, 2)):
        raise ValueError("two of its colours lie so near to each other that one pixel may be of both")
    return colours
