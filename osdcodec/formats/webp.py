"""WebP files that end early. Of lossless ones a decoder gives nothing then."""

from collections.abc import Callable

from PIL import Image, ImageFile

from . import truncated

_LONGEST = 64  # times the bytes that are there: of less of a file nothing can be told
_TAILS = (b"\0", b"\x55\xa5\x35\x0f", b"\x9c\xe1\x07")


def ends_early(data: bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP" and 8 + int.from_bytes(data[4:8], "little") > len(data) + 1


def padded(data: bytes, tail: bytes = b"\0") -> bytes:
    """A file whose pixels are cut -> one of as many bytes as these had, with others in the place of those that are missing.

    ValueError if it holds no pixels at all, or is an animation.
    """
    at = 12
    while at + 8 <= len(data):
        kind, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        end = at + 8 + length + length % 2
        if kind == b"ANMF":
            break
        if kind in (b"VP8 ", b"VP8L"):
            if end > _LONGEST * len(data):
                break
            whole = (data[:end] + tail * max(0, end - len(data)))[:end]
            head = whole[:4] + (end - 8).to_bytes(4, "little") + whole[8:]
            return head[:20] + bytes([head[20] & ~0x0C]) + head[21:] if head[12:16] == b"VP8X" else head
        at = end
    raise ValueError("the file ends before its pixels")


def completed(data: bytes, open_lazily: Callable[[bytes], ImageFile.ImageFile]) -> tuple[Image.Image, int] | None:
    """The picture of a file that ends early, and how many of its rows are there; None if no row is."""

    def loaded(tail: bytes) -> ImageFile.ImageFile:
        image = open_lazily(padded(data, tail))
        image.load()
        return image

    return truncated.completed(loaded, _TAILS)
