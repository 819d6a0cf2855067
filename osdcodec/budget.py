"""So many bytes for a whole folder: every picture at about the same lambda, all files together no larger than that."""

import math
from collections.abc import Sequence
from itertools import pairwise

from .errors import TargetError
from .quality import ANCHORS, LAMBDA_MAX, quality_of

QUALITIES = [quality_of(lmbda) for lmbda in ANCHORS]  # 255 .. 0, the smallest files first


def shares(sizes: Sequence[Sequence[int]], total: int) -> list[int]:
    """Bytes of each picture at the lambdas of ANCHORS -> the bytes that each may have, with a sum of at most `total`.

    The logarithm of a size is about linear in the quality between two anchors. TargetError if even the smallest files are
    too large together.
    """
    if (least := sum(size[0] for size in sizes)) > total:
        raise TargetError(
            f"{total:,} bytes are out of reach: at lambda {LAMBDA_MAX:g} the {len(sizes)} files take {least:,}; give more"
        )
    good, bad = 255.0, 0.0  # a quality whose files fit, and one whose do not, unless all do
    if sum(size[-1] for size in sizes) <= total:
        good = 0.0
    while good - bad > 0.01:
        middle = (good + bad) / 2
        if sum(_size(size, middle) for size in sizes) <= total:
            good = middle
        else:
            bad = middle
    return [math.floor(_size(size, good)) for size in sizes]


def _size(sizes: Sequence[int], quality: float) -> float:
    """Bytes of a picture at a quality, between those at QUALITIES."""
    for (high, low), (small, large) in zip(pairwise(QUALITIES), pairwise(sizes), strict=True):
        if quality >= low:
            return small * (large / small) ** ((high - quality) / (high - low))
    return sizes[-1]
