"""Pictures to test with, and files of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from osdcodec.container import pack, unpack

EXAMPLES = Path(__file__).parents[2] / "examples"


def screen() -> Image.Image:
    """A window of a computer: a dark bar, lines of words on white, a button."""
    picture = Image.new("RGB", (800, 600), "white")
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, 799, 47), (36, 41, 47))
    draw.text((20, 16), "Files    Search    Settings    Help", "white", ImageFont.load_default(14))
    for line in range(8):
        draw.text(
            (240, 90 + 22 * line),
            "The quick brown fox jumps over the lazy dog. " * 2,
            (30, 30, 30),
            ImageFont.load_default(13),
        )
    draw.rectangle((240, 300, 420, 340), (9, 105, 218))
    draw.line((200, 48, 200, 599), (208, 215, 222), 2)
    return picture


def without_flat_background(data: bytes) -> bytes:
    """The same file, that names no flat background and has no other section."""
    return pack(replace(unpack(data), sections=()))


def gradient(width: int, height: int) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    red, green = x * 255 / max(width - 1, 1), y * 255 / max(height - 1, 1)
    return Image.fromarray(np.stack([red, green, 0 * x], 2).astype(np.uint8))
