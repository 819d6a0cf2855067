"""Lambda, the quality and the quality byte, and the searches for the one that meets a size or a similarity. No torch, no numpy.

Three names for one thing, each on a logarithmic scale of lambda:

    lambda        0.1 (best) .. 2 (smallest file)   multiplies the rate in the training loss
    quality       0 (smallest file) .. 100 (best)   what people give, as for other image formats
    quality byte  0 (best) .. 255 (smallest file)   what a file stores
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Real
from typing import TypeVar

from .errors import TargetError

File = TypeVar("File")
Progress = Callable[[float], None]  # share of some work that is done, 0 .. 1
LAMBDA_MIN, LAMBDA_MAX = 0.1, 2.0
BEST, SMALLEST = 0, 255  # their quality bytes
ANCHORS = (2.0, 1.0, 0.5, 0.25, 0.1)  # the lambdas whose gain vectors are trained, in the order of the stored rows


def lambda_of_byte(byte: int) -> float:
    """Quality byte 0..255 -> lambda 0.1..2 (255 is the smallest file)."""
    return LAMBDA_MIN * (LAMBDA_MAX / LAMBDA_MIN) ** (byte / 255)


def quality_byte(lmbda: float) -> int:
    """Lambda 0.1..2 -> nearest quality byte; ValueError outside."""
    if not isinstance(lmbda, Real):
        raise TypeError(f"lambda is a number, not {type(lmbda).__name__}")
    if not LAMBDA_MIN <= lmbda <= LAMBDA_MAX:
        raise ValueError(f"lambda must lie between {LAMBDA_MIN} and {LAMBDA_MAX}, not {lmbda}")
    return round(255 * math.log(lmbda / LAMBDA_MIN) / math.log(LAMBDA_MAX / LAMBDA_MIN))


def lambda_of_quality(quality: float) -> float:
    """Quality 0..100 -> lambda 2..0.1, in equal steps of its logarithm (100 is the best); ValueError outside."""
    if not isinstance(quality, Real):
        raise TypeError(f"quality is a number, not {type(quality).__name__}")
    if not 0 <= quality <= 100:
        raise ValueError(f"quality must lie between 0 and 100, not {quality}")
    return max(LAMBDA_MIN, LAMBDA_MAX * (LAMBDA_MIN / LAMBDA_MAX) ** (quality / 100))


def quality_of_byte(byte: int) -> float:
    """Quality byte 0..255 -> quality 100..0, the one that people give, to a tenth."""
    return round(100 * (1 - byte / 255), 1)


_QUALITIES = [quality_byte(lmbda) for lmbda in ANCHORS]  # 255 .. 0, the smallest files first


@dataclass(frozen=True)
class Target:
    """What a file is to reach, instead of a lambda: exactly one of three.

    Args:
        bpp: Most bits per pixel of the whole file, above 0.
        max_bytes: Most bytes of the whole file, above 0.
        ms_ssim: Least MS-SSIM of the decoded picture, above 0 and at most 1.

    Raises:
        TypeError: One of them is no number.
        ValueError: None or several are given, or one is out of range.
    """

    bpp: float | None = None
    max_bytes: int | None = None
    ms_ssim: float | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.bpp, self.max_bytes, self.ms_ssim) if value is not None]
        if not all(isinstance(value, Real) for value in given):
            raise TypeError("a target is a number: Target(max_bytes=20_000)")
        if len(given) != 1 or not 0 < given[0] < math.inf or (self.ms_ssim or 0) > 1:
            raise ValueError("a target is one of bpp > 0, max_bytes > 0 and ms_ssim in 0 .. 1")

    def limit(self, width: int, height: int) -> int:
        """Returns the bytes that a file may have, for a target of bpp or max_bytes.

        Args:
            width: Of the picture in pixels.
            height: Likewise.
        """
        if self.max_bytes is not None:
            return self.max_bytes
        return math.floor((self.bpp or 0) * width * height / 8)

    def note(self, facts: dict) -> str:
        """What a person should hear of a file that was made for this target, "" for nothing."""
        if facts["quality_byte"] == BEST and self.ms_ssim is not None:
            return f"no lambda reaches MS-SSIM {self.ms_ssim:g}, or none but the best: {LAMBDA_MIN} was taken, {facts['bytes']:,} bytes"
        if facts["quality_byte"] == BEST:
            return f"lambda {LAMBDA_MIN}, the best there is, was taken: {facts['bytes']:,} bytes"
        return ""


def stages(progress: Progress | None, *weights: float) -> list[Progress | None]:
    """What each part of some work tells of itself, so that `progress` hears of the whole. weights: of the time that each takes, about."""
    if progress is None:
        return [None] * len(weights)
    hear, whole = progress, sum(weights)

    def part(begun: float, weight: float) -> Progress:
        return lambda share: hear((begun + share * weight) / whole)

    return [part(sum(weights[:n]), weight) for n, weight in enumerate(weights)]


def largest_below(
    limit: int, code: Callable[[int], File], size: Callable[[File], int], progress: Progress | None = None
) -> File:
    """Returns the file of best quality that has at most `limit` bytes.

    Args:
        limit: Bytes.
        code: Makes a file of a quality byte, 0 (best) .. 255 (smallest).
        size: Returns the bytes of a file. They fall as the quality byte grows, by about 0.6 % a step.
        progress: Hears which share of the search is done, 0 .. 1.

    Raises:
        TargetError: Even the smallest file is larger.
    """
    smallest = code(SMALLEST)
    if size(smallest) > limit:
        raise TargetError(
            f"{limit:,} bytes are out of reach: the smallest file, at lambda {LAMBDA_MAX:g}, takes {size(smallest):,}; "
            "give more, or make the picture smaller",
            size(smallest),
        )
    best = code(BEST)
    if size(best) <= limit:
        return best
    # The log of the size is about linear in the quality; every third step halves, in case it is not.
    above, below = (BEST, size(best)), (SMALLEST, size(smallest))
    fitting, step = smallest, 0
    while below[0] - above[0] > 1:
        step += 1
        share = math.log(above[1] / limit) / math.log(above[1] / below[1]) if step % 3 else 0.5
        quality = min(max(above[0] + math.ceil(share * (below[0] - above[0])), above[0] + 1), below[0] - 1)
        made = code(quality)
        if size(made) <= limit:
            fitting, below = made, (quality, size(made))
        else:
            above = quality, size(made)
        if progress:
            progress(1 - math.log2(max(1, below[0] - above[0])) / 8)
    return fitting


def smallest_above(
    least: float, code: Callable[[int], File], similarity: Callable[[File], float], progress: Progress | None = None
) -> File:
    """Returns the smallest file with at least this similarity; the best one if none has it.

    Args:
        least: The similarity.
        code: Makes a file of a quality byte, 0 (best) .. 255 (smallest).
        similarity: Returns that of a file. It falls as the quality byte grows.
        progress: Hears which share of the search is done, 0 .. 1.
    """
    good, bad = BEST, SMALLEST + 1
    fitting = code(BEST)
    if similarity(fitting) < least:
        return fitting
    while bad - good > 1:
        quality = (good + bad) // 2
        made = code(quality)
        if similarity(made) >= least:
            fitting, good = made, quality
        else:
            bad = quality
        if progress:
            progress(1 - math.log2(max(1, bad - good)) / 8)
    return fitting


def shares(sizes: Sequence[Sequence[int]], total: int) -> list[int]:
    """Shares out bytes among pictures, so that each is coded at about the same lambda.

    The logarithm of a size is about linear in the quality between two anchors.

    Args:
        sizes: Bytes of each picture at the lambdas of ANCHORS, the smallest first.
        total: Most bytes of all files together.

    Returns:
        The bytes that the file of each picture may have.

    Raises:
        TargetError: Even the smallest files are too large together.
    """
    if (least := sum(size[0] for size in sizes)) > total:
        raise TargetError(
            f"{total:,} bytes are out of reach: at lambda {LAMBDA_MAX:g} {'the file takes' if len(sizes) == 1 else f'the {len(sizes)} files take'} {least:,}; give more"
        )
    good, bad = 255.0, 0.0  # a quality whose files fit, and one whose do not, unless all do
    if sum(size[-1] for size in sizes) <= total:
        good = 0.0
    while good - bad > 0.01:
        middle = (good + bad) / 2
        if sum(_size_at(size, middle) for size in sizes) <= total:
            good = middle
        else:
            bad = middle
    return [math.floor(_size_at(size, good)) for size in sizes]


def _size_at(sizes: Sequence[int], quality: float) -> float:
    """Bytes of a picture at a quality, between those at _QUALITIES."""
    for (high, low), (small, large) in zip(pairwise(_QUALITIES), pairwise(sizes), strict=True):
        if quality >= low:
            return small * (large / small) ** ((high - quality) / (high - low))
    return sizes[-1]
