"""Section G: regions of interest, boxes whose quality is better than that of the picture."""

from collections.abc import Sequence, Sized
from dataclasses import dataclass
from numbers import Integral

from ..errors import FormatError, InputError
from .leb128 import leb128, read_leb128

Box = tuple[int, int, int, int]  # left, top, width, height


@dataclass(frozen=True)
class Regions:
    """Boxes, in units of 32 pixels, and the quality 0 .. 255 of what is in any of them."""

    quality: int
    boxes: tuple[Box, ...]

    UNIT, MOST = 32, 255

    def to_bytes(self) -> bytes:
        return bytes([self.quality]) + b"".join(leb128(number) for box in sorted(set(self.boxes)) for number in box)

    @classmethod
    def from_bytes(cls, content: bytes, quality: int, size: tuple[int, int]) -> "Regions":
        """quality and size of the picture. ValueError, which says what is wrong, unless to_bytes would write it so."""
        if not content or content[0] >= quality:
            raise ValueError("the quality of its regions is missing, or no better than that of the picture")
        numbers, at = [], 1
        try:
            while at < len(content):
                number, at = read_leb128(content, at, len(content), "section G")
                numbers.append(number)
        except FormatError as error:
            raise ValueError(error.message) from error
        boxes = tuple(zip(*(numbers[i::4] for i in range(4)), strict=False))
        if not 1 <= len(boxes) <= cls.MOST or len(numbers) % 4 or list(boxes) != sorted(set(boxes)):
            raise ValueError("its boxes are missing, cut short, too many, or not in ascending order")
        columns, rows = (-(-side // cls.UNIT) for side in size)
        for left, top, width, height in boxes:
            if not (width and height and left + width <= columns and top + height <= rows):
                raise ValueError(f"a box {left},{top},{width},{height} is not in the picture")
        return cls(content[0], boxes)

    def qualities(self, quality: int, stride: int, rows: int, columns: int) -> list[list[int]]:
        """The quality of each position of a grid of `stride` pixels; a position is in a box if any pixel of it is."""
        grid = [[quality] * columns for _ in range(rows)]
        for left, top, width, height in self.boxes:
            edges = (left * self.UNIT // stride, -(-(left + width) * self.UNIT // stride))
            for row in grid[top * self.UNIT // stride : -(-(top + height) * self.UNIT // stride)]:
                last = min(edges[1], columns)
                row[edges[0] : last] = [self.quality] * (last - edges[0])
        return grid


def units(roi: Sequence[Box], width: int, height: int) -> tuple[Box, ...]:
    """Boxes in pixels -> boxes in units of 32 pixels that hold what of them is in the picture. InputError if nothing is."""
    boxes = []
    if len(roi) > Regions.MOST:
        raise InputError(f"{len(roi)} regions are too many; give {Regions.MOST} at most")
    for box in roi:
        if not (isinstance(box, Sized) and len(box) == 4 and all(isinstance(number, Integral) for number in box)):
            raise TypeError(f"a region is four whole numbers, x, y, width and height in pixels, not {box!r}")
        x, y, w, h = map(int, box)
        left, top, right, bottom = max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)
        if right <= left or bottom <= top:
            raise InputError(f"the region {x},{y},{w},{h} is outside of the picture of {width}x{height}; correct `roi`")
        first = left // Regions.UNIT, top // Regions.UNIT
        boxes.append((*first, -(-right // Regions.UNIT) - first[0], -(-bottom // Regions.UNIT) - first[1]))
    return tuple(boxes)
