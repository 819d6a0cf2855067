"""Pictures whose file ends early: as much of them as a decoder gives, and how much that is.

A decoder that has all bytes of a row does not look at what follows. So a file is completed in several ways, and the rows
that come out alike are those that are there.
"""

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

_GREY = 128


def rows_alike(pictures: Sequence[Image.Image]) -> int:
    """Rows from the top in which all pictures are equal."""
    first, *others = (np.asarray(picture) for picture in pictures)
    different = np.zeros(len(first), bool)
    for other in others:
        different |= (first != other).reshape(len(first), -1).any(1)
    return int(different.argmax()) if different.any() else len(first)


def completed(loaded: Callable[[bytes], Image.Image], tails: Sequence[bytes]) -> tuple[Image.Image, int] | None:
    """The picture that loaded(tail) gives for a file and the first tail, and how many of its rows are there.

    None if no row is, or the decoder refuses one of them.
    """
    try:
        pictures = [loaded(tail) for tail in tails]
    except (OSError, ValueError, SyntaxError):
        return None
    rows = rows_alike(pictures)
    return (pictures[0], rows) if rows else None


def greyed(picture: Image.Image, rows: int) -> Image.Image:
    """The picture with grey in place of what is behind these rows."""
    missing = Image.new(picture.mode, (picture.width, picture.height - rows), (_GREY,) * len(picture.getbands()))
    whole = picture.copy()
    whole.paste(missing, (0, rows))
    return whole


def warning(rows: int, height: int) -> str:
    """How much of a picture is there."""
    share = 100 * rows / height
    return (
        f"ends early: {rows} of {height} rows are there ({share:.{0 if share < 99.5 else 1}f} %); the rest is left out"
    )
