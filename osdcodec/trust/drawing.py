"""The map as a picture: colours over the grey of what was decoded, hatching, and a legend with levels.

Colours are those of viridis (Smith and van der Walt, 2015), from dark violet over green to yellow: evenly spaced to the eye, and ever
lighter, so that people who do not tell red from green read them too.
"""

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .maps import TrustMap

# Every 16th of viridis's 256 colours, and the last.
VIRIDIS = np.array(
    [
        (68, 1, 84), (72, 24, 106), (71, 45, 123), (66, 64, 134), (59, 82, 139), (51, 99, 141),
        (44, 114, 142), (38, 130, 142), (33, 145, 140), (31, 160, 136), (40, 174, 128), (63, 188, 115),
        (94, 201, 98), (132, 212, 75), (173, 220, 48), (216, 226, 25), (253, 231, 37),
    ],
    np.float64,
)  # fmt: skip
LEAST, MOST = 2.0, 48.0  # levels at which the colours begin and end; between them they follow the logarithm
TICKS = 2, 4, 8, 16, 32, 48
COLOUR = 0.72  # share of the colour; the rest is the grey of the picture
INVENTED = 0.25  # expected correlation of texture below which a place counts as invented, …
ERROR = 6.0  # … if its expected error is at least so many levels: what is plain has no texture to invent
STRIPE = 8  # pixels from one line of the hatching to the next
_MARGIN = 8


def numbers(trust: TrustMap) -> bytes:
    """The map as a .npy file: float32 (3, rows, columns), luma and chroma in levels of 255, and texture 0 .. 1."""
    buffer = io.BytesIO()
    np.save(buffer, trust.to_array())
    return buffer.getvalue()


def heat(trust: TrustMap, size: tuple[int, int]) -> np.ndarray:
    """The expected error of luma as colours, (height, width, 3) uint8, for a picture of this width and height."""
    share = np.log(np.maximum(trust.luma, LEAST) / LEAST) / np.log(MOST / LEAST)
    return coloured(_spread(np.clip(share, 0, 1), trust, size))


def coloured(share: np.ndarray) -> np.ndarray:
    """Numbers 0 .. 1 of any shape -> their colours, (…, 3) uint8."""
    places = np.linspace(0, 1, len(VIRIDIS))
    return np.stack([np.interp(share, places, VIRIDIS[:, c]) for c in range(3)], -1).round().astype(np.uint8)


def invented(trust: TrustMap) -> np.ndarray:
    """(rows, columns) bool: where texture is most likely invented."""
    return (trust.texture < INVENTED) & (trust.luma >= ERROR)


def over_grey(picture: Image.Image, trust: TrustMap) -> Image.Image:
    """A decoded picture, at any size, in grey, with the colours of its map over it, and a legend below."""
    return _with_legend(tinted(picture, trust), trust, hatched=False)


def tinted(picture: Image.Image, trust: TrustMap) -> Image.Image:
    """The same without the legend."""
    grey = Image.merge("RGB", [picture.convert("L")] * 3)
    return Image.blend(grey, Image.fromarray(heat(trust, grey.size)), COLOUR)


def hatched(picture: Image.Image, trust: TrustMap) -> Image.Image:
    """A decoded picture, at any size, in its own colours, with lines over what is most likely invented, and a legend below."""
    colours = np.asarray(picture.convert("RGB"))
    return _with_legend(Image.fromarray(_hatched(colours, trust)), trust, hatched=True)


def _hatched(colours: np.ndarray, trust: TrustMap) -> np.ndarray:
    """Slanting lines, black beside yellow, so that they show on any background."""
    height, width = colours.shape[:2]
    places = _spread(invented(trust).astype(np.float64), trust, (width, height), Image.Resampling.NEAREST) > 0.5
    phase = (np.arange(height)[:, None] + np.arange(width)) % STRIPE
    drawn = colours.copy()
    drawn[places & (phase == 0)] = VIRIDIS[-1]
    drawn[places & (phase == 1)] = 0
    return drawn


def _spread(
    values: np.ndarray,
    trust: TrustMap,
    size: tuple[int, int],
    filter: Image.Resampling = Image.Resampling.BILINEAR,
) -> np.ndarray:
    """(rows, columns) -> (height, width): each place where its pixels are."""
    box = (0, 0, trust.width / trust.cell, trust.height / trust.cell)
    return np.asarray(Image.fromarray(values.astype(np.float32)).resize(size, filter, box))


def _with_legend(picture: Image.Image, trust: TrustMap, hatched: bool) -> Image.Image:
    points = max(9, min(16, picture.width // 36))
    font = ImageFont.load_default(points)
    height = (2 * points if hatched else 3 * points) + 2 * _MARGIN
    whole = Image.new("RGB", (picture.width, picture.height + height), "white")
    whole.paste(picture, (0, 0))
    draw, top = ImageDraw.Draw(whole), picture.height + _MARGIN
    if hatched:
        swatch = np.full((points + 4, 3 * points, 3), 128, np.uint8)
        rows, columns = swatch.shape[:2]
        everywhere = TrustMap(np.full((1, 1), 99.0), np.zeros((1, 1)), np.zeros((1, 1)), columns, rows, cell=1000)
        whole.paste(Image.fromarray(_hatched(swatch, everywhere)), (_MARGIN, top))
        draw.text((2 * _MARGIN + columns, top), "texture most likely invented", "black", font)
        return whole
    width = whole.width - 2 * _MARGIN
    ramp = coloured(np.linspace(0, 1, max(2, width)))[None]
    whole.paste(Image.fromarray(np.repeat(ramp, points, 0)), (_MARGIN, top))
    kind = "true error, told by the encoder" if trust.told else "expected error"
    line = top + points + 1
    for tick in TICKS:
        label = f"{tick}" if tick < MOST else f"{tick}+"
        place = _MARGIN + width * np.log(tick / LEAST) / np.log(MOST / LEAST)
        wide = draw.textlength(label, font)
        draw.text((min(max(place - wide / 2, _MARGIN), whole.width - _MARGIN - wide), line), label, "black", font)
    text = f"{kind}, levels of 255"
    while points > 6 and draw.textlength(text, font) > width:
        points -= 1
        font = ImageFont.load_default(points)
    draw.text((_MARGIN, top + height - 2 * _MARGIN - points), text, "black", font)
    return whole
