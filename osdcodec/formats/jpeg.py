"""JPEG: where a file ends, and how much there is of one that does not say so."""

import re
from collections.abc import Callable

from PIL import ImageFile

from . import truncated

_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")  # in coded data: no stuffed zero, no restart
_END = b"\xff\xd9"
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_BETWEEN_SCANS = {0xC4, 0xCC, 0xDA, 0xDB, 0xDC, 0xDD, 0xFE, *range(0xE0, 0xF0)}  # tables, scans, comments
_TAILS = (b"", 64 * b"\x55\xa5\x35\x0f", 64 * b"\x00\x9c\xe1")
_GAIN_MAPS = (b"urn:iso:std:iso:ts:21496:-1", b"http://ns.adobe.com/hdr-gain-map/", b"hdrgainmap")


def end(data: bytes) -> int | None:
    """Offset behind the end of the first picture, None if the file ends before it."""
    return _walked(data)[0]


def _walked(data: bytes) -> tuple[int | None, int, int]:
    """Offset behind the end or None, offset behind the last coded data, and the number of scans."""
    at, coded, scans = 2, len(data), 0
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            found = _MARKER.search(data, at)  # some cameras pad between segments
            if not found:
                return None, coded, scans
            at = found.start()
        while at + 1 < len(data) and data[at + 1] == 0xFF:
            at += 1
        marker = data[at + 1] if at + 1 < len(data) else 0
        if marker == _END_OF_IMAGE:
            return at + 2, at, scans
        if scans and marker not in _BETWEEN_SCANS:
            return None, coded, scans
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == _START_OF_SCAN:
            scans += at < len(data)
            found = _MARKER.search(data, at)
            if not found:
                return None, len(data), scans
            at = coded = found.end() - 2
    return (at + 2, at, scans) if data[at : at + 2] == _END else (None, coded, scans)


def completed(
    data: bytes, open_lazily: Callable[[bytes], ImageFile.ImageFile]
) -> tuple[ImageFile.ImageFile, int, int] | None:
    """The picture of a file without the mark of its end, its rows that are there, and those of which finer scans are missing.

    None if nothing is there. What is missing is grey.
    """
    _, coded, scans = _walked(data)
    content = data[:coded].rstrip(b"\xff")

    def loaded(tail: bytes) -> ImageFile.ImageFile:
        image = open_lazily(content + tail + _END)
        image.load()
        return image

    found = truncated.completed(loaded, _TAILS)
    if found is None and scans > 1:  # the last scan only refines what is there
        found = loaded(b""), 0
    if found is None:
        return None
    image, rows = found
    assert isinstance(image, ImageFile.ImageFile)
    if scans > 1 and image.info.get("progressive"):
        return image, image.height, image.height - rows
    return image, rows, 0


def has_gain_map(data: bytes) -> bool:
    """Whether a second picture lies in the file that makes it one with a high dynamic range."""
    return any(mark in data for mark in _GAIN_MAPS)
