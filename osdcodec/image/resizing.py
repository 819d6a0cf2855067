"""Cropping and shrinking before a picture is coded, and enlarging it again after it was decoded."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from ..container import Box
from ..container.sections import Size
from ..errors import InputError

ORIGINAL = "original_size"  # in a picture's info: (width, height) before it was shrunk
_GAP = 3.0  # Pillow first averages blocks where it shrinks by more than this: 12 megapixels in 0.1 s


@dataclass(frozen=True)
class Sizing:
    """What is coded of a picture, and in how many pixels.

    Args:
        crop: (x, y, width, height) in pixels of the upright picture; the rest is left out.
        resize: the longest side in pixels, or the largest (width, height). Smaller pictures stay as they are.
        scale: share of each side that is kept, above 0 and at most 1.
        show: the longest side, in pixels, at which the picture will be shown; more pixels than that are not coded.
    """

    crop: Box | None = None
    resize: int | Size | None = None
    scale: float = 1.0
    show: int | None = None

    def __post_init__(self) -> None:
        sides = [*(self.resize if isinstance(self.resize, tuple) else (self.resize,)), self.show]
        if not 0 < self.scale <= 1 or any(side is not None and side < 1 for side in sides):
            raise ValueError("scale lies above 0 and is at most 1, and sides have 1 pixel or more")

    def size(self, width: int, height: int) -> Size:
        """The size in which a picture of this size is coded."""
        scaled = max(1, round(width * self.scale)), max(1, round(height * self.scale))
        for largest in (self.resize, self.show):
            scaled = within(scaled, largest) if largest else scaled
        return scaled

    def prepare(self, picture: Image.Image, roi: Sequence[Box] = ()) -> tuple[Image.Image, list[Box]]:
        """Crops and shrinks a picture, as `image.open_image` gives it, and moves regions of interest along with it.

        InputError if the crop or a region lies outside of the picture.
        """
        boxes = list(roi)
        if self.crop:
            left, top, right, bottom = _inside(self.crop, picture.size)
            moved = [(x - left, y - top, w, h) for x, y, w, h in boxes]
            kept, picture = picture.info, picture.crop((left, top, right, bottom))
            picture.info, boxes = kept, moved
        return shrunk(picture, size := self.size(*picture.size)), scaled_boxes(boxes, picture.size, size)


def _inside(box: Box, size: Size) -> tuple[int, int, int, int]:
    x, y, width, height = box
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + width, size[0]), min(y + height, size[1])
    if right <= left or bottom <= top:
        raise InputError(f"the crop {','.join(map(str, box))} is outside of the picture of {size[0]}x{size[1]}")
    return left, top, right, bottom


def within(size: Size, largest: int | Size) -> Size:
    """A size in the same proportions, no larger than a longest side or a (width, height)."""
    box = (largest, largest) if isinstance(largest, int) else largest
    share = min(box[0] / size[0], box[1] / size[1])
    return size if share >= 1 else (max(1, round(size[0] * share)), max(1, round(size[1] * share)))


def scaled_boxes(boxes: Sequence[Box], before: Size, after: Size) -> list[Box]:
    """Boxes in pixels of a picture -> boxes that hold the same places of it at another size."""
    if before == after:
        return list(boxes)
    across, down = after[0] / before[0], after[1] / before[1]
    return [
        (left := math.floor(x * across), top := math.floor(y * down),
         max(1, math.ceil((x + w) * across) - left), max(1, math.ceil((y + h) * down) - top))
        for x, y, w, h in boxes
    ]  # fmt: skip


def shrunk(picture: Image.Image, size: Size) -> Image.Image:
    """A picture in this size, and in its info the size that it had in the beginning; itself if it has the size."""
    if picture.size == size:
        return picture
    made = _resized(picture, size)
    made.info = dict(picture.info)
    made.info.setdefault(ORIGINAL, picture.size)
    return made


def enlarged(picture: Image.Image, size: Size) -> Image.Image:
    """A decoded picture in the size of its original."""
    made = _resized(picture, size)
    made.info = picture.info
    return made


def _resized(picture: Image.Image, size: Size) -> Image.Image:
    """Colours and alpha apart from each other: colours below clear places were filled in on purpose."""
    bands = picture.convert(picture.mode.rstrip("A")) if picture.mode in ("RGBA", "LA") else picture
    made = bands.resize(size, Image.Resampling.LANCZOS, reducing_gap=_GAP)
    if bands is not picture:
        made.putalpha(picture.getchannel("A").resize(size, Image.Resampling.LANCZOS, reducing_gap=_GAP))
    return made
