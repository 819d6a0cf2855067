"""Any picture in any number of bytes: its size and lambda are chosen together.

Where even the smallest file of a picture, at lambda 2, is too large, the picture is shrunk. Of all sizes, the largest
whose smallest file fits looks best once it is enlarged again, unless it has more pixels than will be shown: by LPIPS of
photographs of 12 megapixels in 340 and 2,000 bytes (links/README.md has the table). So the search is for that size.
It looks at small versions of the picture first, which take a fraction of a second, and goes by what those tell.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from PIL import Image

from .container import Box, Osd
from .container.sections import Size
from .errors import TargetError
from .image.resizing import scaled_boxes, shrunk
from .options import DEFAULTS, EncodeOptions
from .rate_control import LAMBDA_MAX, Progress, Target, lambda_of_byte, stages

STEP = 32  # pixels: networks see whole squares of this side, so other sizes pay for pixels that they do not have
FIRST, COARSE = 2**16, 2**18  # pixels of the first version that is looked at, and of the largest
FRAME = 26  # bytes of a file around its payload, about
TIGHT = 0.15  # bits per pixel: with as many, a picture needs no search. At lambda 2 photographs take 0.002 to 0.06
RATIO = 2.0  # a file that is so much too large is refused by what small versions tell
BETTER = 1.5  # where lambda falls below this, a larger version is tried
TRIES = 6


class Coder(Protocol):
    """What is needed of a `families.PictureEncoder`."""

    def code(
        self, picture: Image.Image, options: EncodeOptions = ..., progress: Progress | None = None
    ) -> tuple[Osd, Any]: ...

    def sizes(
        self, picture: Image.Image, lambdas: Sequence[float], roi: Sequence[Box], progressive: bool
    ) -> list[int]: ...


class Fitting:
    """The search for one picture.

    Args:
        coder: encodes a version of the picture at a lambda, or to a target.
        picture: as `image.open_image` gives it, in the largest size that may be coded.
        limit: bytes that the file may have.
        options: those of the encoding, with regions of interest in pixels of the picture.
    """

    def __init__(self, coder: Coder, picture: Image.Image, limit: int, options: EncodeOptions = DEFAULTS) -> None:
        self.coder, self.picture, self.limit = coder, picture, limit
        self.options = replace(options, lmbda=LAMBDA_MAX, quality=None, target=Target(max_bytes=max(1, limit)))
        self.sizes = sizes_of(*picture.size)
        self.areas = [width * height for width, height in self.sizes]
        small = self.sizes[self.at(COARSE)]
        self.coarse = shrunk(picture, small)  # the versions that are looked at are made of this one, which is faster

    def at(self, area: float) -> int:
        """Place of the largest size of no more pixels than this, or of the smallest size."""
        return max(0, bisect_right(self.areas, area) - 1)

    def regions(self, size: Size) -> list[Box]:
        return scaled_boxes(self.options.roi, self.picture.size, size)

    def least(self, place: int) -> int:
        """Bytes of the smallest file in one of the sizes."""
        size = self.sizes[place]
        return self.coder.sizes(shrunk(self.coarse, size), [LAMBDA_MAX], self.regions(size), self.options.progressive)[
            0
        ]

    def expected(self) -> int:
        """Place of the largest size whose smallest file fits, as far as small versions tell. TargetError if none fits."""
        low, high, largest = -1, len(self.sizes), self.at(COARSE)
        known: dict[int, int] = {}
        place = self.at(FIRST)
        while high - low > 1 and place not in known and len(known) < 2 * TRIES:
            known[place] = self.least(place)
            low, high = (place, high) if known[place] <= self.limit else (low, place)
            if low == largest < len(self.sizes) - 1:
                return self.at(self.guess(known))
            place = min(max(self.at(self.guess(known)), low + 1), high - 1, largest)
        if low < 0:
            width, height = self.sizes[0]
            raise TargetError(
                f"{self.limit:,} bytes are out of reach: of this picture the least is {known[0]:,}, as {width}x{height}; give more",
                known[0],
            )
        return low

    def guess(self, known: dict[int, int]) -> float:
        """Pixels that take all the bytes, by the two sizes that are known and nearest to it."""
        nearest = sorted(known, key=lambda place: abs(math.log(known[place] / max(1, self.limit))))[:2]
        (first, *rest), slope = nearest, 1.0
        payload = {place: max(1, known[place] - FRAME) for place in nearest}
        if rest and payload[first] != payload[rest[0]]:
            slope = math.log(self.areas[first] / self.areas[rest[0]]) / math.log(payload[first] / payload[rest[0]])
        return self.areas[first] * (max(1, self.limit - FRAME) / payload[first]) ** min(max(slope, 0.7), 1.3)

    def refuse(self) -> None:
        """TargetError, with the size that would fit, if the whole picture needs far more bytes: before it is coded."""
        place = self.expected()
        if self.areas[place] * RATIO < self.areas[-1]:
            (width, height), (fits, high) = self.picture.size, self.sizes[place]
            about = self.limit * self.areas[-1] / self.areas[place]
            raise TargetError(
                f"{self.limit:,} bytes are out of reach: {width}x{height} takes about {about:,.0f} at lambda {LAMBDA_MAX:g}; "
                f"{fits}x{high} would fit: allow it by `shrink`, or give more"
            )

    def coded(self, place: int, roi: Sequence[Box], progress: Progress | None) -> tuple[Osd, Any]:
        """The best file in one of the sizes that fits. TargetError if none does."""
        return self.coder.code(shrunk(self.picture, self.sizes[place]), replace(self.options, roi=roi), progress)

    def made(self, progress: Progress | None = None) -> tuple[Osd, Any]:
        """The best file that fits: its fields and symbols."""
        place, best = self.expected(), None
        heard = stages(progress, *(0.5**n for n in range(TRIES)))  # the first one is often the last
        for hear in heard:
            try:
                made = self.coded(place, self.regions(self.sizes[place]), hear)
            except TargetError as error:
                if best or not place:
                    break
                share = (self.limit - FRAME) / ((error.least or 2 * self.limit) - FRAME)
                place = min(place - 1, self.at(0.99 * max(0.01, share) * self.areas[place]))
                continue
            lmbda, best = lambda_of_byte(made[0].quality), made
            larger = self.at(self.areas[place] * (LAMBDA_MAX / lmbda) ** 0.5)
            if lmbda > BETTER or larger <= place or self.areas[place] <= COARSE:
                break
            place = larger
        return best or self.coded(0, (), progress)


def sizes_of(width: int, height: int, step: int = STEP) -> list[Size]:
    """Sizes in the proportions of a picture, up to its own, the smallest first; but for that, of each one side is a multiple of `step`."""
    by_width = [(side, max(1, round(side * height / width))) for side in range(step, width, step)]
    by_height = [(max(1, round(side * width / height)), side) for side in range(step, height, step)]
    return sorted({(width, height), *by_width, *by_height}, key=lambda size: (size[0] * size[1], size))
