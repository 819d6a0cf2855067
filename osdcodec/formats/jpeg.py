"""JPEG: where a file ends, and whether one that does not say so is whole."""

import re
from collections.abc import Callable

import numpy as np
from PIL import ImageFile

_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")  # in coded data: no stuffed zero, no restart
_END = b"\xff\xd9"
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9


def end(data: bytes) -> int | None:
    """Offset behind the end of the first picture, None if the file ends before it."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            found = _MARKER.search(data, at)  # some cameras pad between segments
            if not found:
                return None
            at = found.start()
        while at + 1 < len(data) and data[at + 1] == 0xFF:
            at += 1
        marker = data[at + 1 : at + 2]
        if marker == bytes([_END_OF_IMAGE]):
            return at + 2
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == bytes([_START_OF_SCAN]):
            found = _MARKER.search(data, at)
            if not found:
                return None
            at = found.end() - 2
    return at + 2 if data[at : at + 2] == _END else None


def completed(data: bytes, open_lazily: Callable[[bytes], ImageFile.ImageFile]) -> ImageFile.ImageFile | None:
    """The picture of a file that lacks only the mark of its end; None if samples are missing too.

    A decoder that has all samples does not look at what follows, so nothing that is put there changes the picture.
    """
    found = []
    for tail in (b"", 64 * b"\x55\xa5\x35\x0f", 64 * b"\x00\x9c\xe1"):
        image = open_lazily(data.rstrip(b"\xff") + tail + _END)
        try:
            image.load()
        except OSError:
            return None
        found.append(image)
    first, *others = (np.asarray(image) for image in found)
    return found[0] if all(np.array_equal(first, other) for other in others) else None
