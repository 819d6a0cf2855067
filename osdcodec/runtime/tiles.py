"""Large pictures by tiles: the four verbs of a runtime on parts of a picture, which fit together as if they were the whole.

No network has a norm or an attention over the picture (models/blocks.py); what goes in from all of it, the tokens, comes
from the thumbnail. So an output depends on the inputs within its receptive field only, and a tile cut with a margin as
wide as that holds the same numbers as the whole, up to the rounding of floats. Memory is that of one tile and of the latents;
work is linear in the pixels.
"""

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import numpy as np
from PIL import Image

from .. import image
from ..profile import PROFILES, Profile
from ..rate_control import Progress
from . import Runtime

CORE = 64  # largest side of a tile without its margin, in positions of y: 2048 pixels
LEAST = 8  # and the side below which tiles do not become smaller where memory is short
# How far the receptive field of a verb reaches, in positions of y, where a weights file does not tell: training/export/reach.py measures
# 27 (of which 21 for y), 16.5, 13 and 15.9, and writes what it measures into new files. A multiple of 4 for the analysis, so that
# hyper-latents begin where those of the whole do. A profile without margins sees all of a picture at once, and cuts it itself where it must.
MARGINS = {"small": {"analyse": 28, "synthesise": 17, "denoise": 14, "render": 16}}
_LAYERS = "transform_layers", "encoder_layers", "decoder_layers"
PROJECTOR = 1  # position of y that the projector of decoder semantics reaches farther than the denoiser behind it
SHARES = {"analyse": 1.0, "synthesise": 0.05, "denoise": 0.15, "render": 0.8}  # of the time for a picture

Of = ParamSpec("Of")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Span:
    """Rows or columns of a tile, in positions of y: the core start .. stop, and low .. high with the margins."""

    start: int
    stop: int
    low: int
    high: int


@dataclass(frozen=True)
class Tile:
    """Slices of a (B, C, h, w) array that has `scale` values per position of y."""

    rows: Span
    columns: Span

    def outer(self, scale: float) -> tuple:
        """Of the whole: what the tile sees."""
        return self._slices(lambda span: (span.low, span.high), scale)

    def core(self, scale: float) -> tuple:
        """Of the whole: what the tile answers for."""
        return self._slices(lambda span: (span.start, span.stop), scale)

    def inner(self, scale: float) -> tuple:
        """Of the tile: its core."""
        return self._slices(lambda span: (span.start - span.low, span.stop - span.low), scale)

    def _slices(self, ends: Callable[[Span], tuple[int, int]], scale: float) -> tuple:
        edges = (ends(span) for span in (self.rows, self.columns))
        return ..., *(slice(int(first * scale), math.ceil(last * scale)) for first, last in edges)


def spans(length: int, margin: int, core: int = CORE, step: int = 4) -> list[Span]:
    """0 .. length in parts of nearly the same size, at most `core` long, that begin at multiples of `step`."""
    size = math.ceil(length / math.ceil(length / core) / step) * step
    return [
        Span(start, stop, max(0, start - margin), min(length, stop + margin))
        for start in range(0, length, size)
        for stop in [min(start + size, length)]
    ]


def _deeper(layers: tuple[int, ...], measured: tuple[int, ...]) -> bool:
    return len(layers) != len(measured) or any(a > b for a, b in zip(layers, measured, strict=True))


def margins_of(profile: Profile) -> dict[str, int] | None:
    """Returns the margins of a profile, for weights that tell none; None if its networks see all of a picture at once, or have more
    layers than those that were measured.
    """
    margins = MARGINS.get(profile.name)
    if margins and any(_deeper(getattr(profile, name), getattr(PROFILES[profile.name], name)) for name in _LAYERS):
        return None
    if margins and profile.decoder_semantics:
        return margins | {"denoise": margins["denoise"] + PROJECTOR}
    return margins


def within_memory(verb: Callable[Of, Made]) -> Callable[Of, Made]:
    """A method of TiledRuntime that takes smaller tiles where there is too little memory, as long as the profile can be tiled."""

    @functools.wraps(verb)
    def attempt(*arguments: Of.args, **options: Of.kwargs) -> Made:
        tiled: Any = arguments[0]
        while True:
            done = tiled.done
            try:
                return verb(*arguments, **options)
            except MemoryError:
                if tiled.core <= LEAST or tiled.margins is None:
                    raise
                tiled.core, tiled.done = tiled.core // 2, done

    return attempt


class TiledRuntime:
    """The verbs of a runtime for pictures of any size; `progress` hears after each of several tiles how much is done."""

    def __init__(
        self,
        runtime: Runtime,
        profile: Profile,
        progress: Progress | None = None,
        core: int = CORE,
        margins: Mapping[str, int] | None = None,
    ) -> None:
        """margins: of each verb in positions of y, as the weights tell them; None for those of the profile."""
        self.runtime, self.profile, self.progress, self.core = runtime, profile, progress, core
        self.margins = margins or margins_of(profile)
        self.done = 0.0

    @within_memory
    def analyse(self, picture: Image.Image) -> tuple[np.ndarray, ...]:
        """RGB picture -> y (1, C_y, h, w), hyper (1, C_h, hh, hw), tokens (1, K) and, with a base, its codes (1, hb, wb)"""
        stride, thumb = self.profile.stride, image.thumbnail(picture, self.profile.thumb)
        tokens: list[np.ndarray] = []  # of the thumbnail, so the same for every tile

        def work(tile: Tile) -> tuple[np.ndarray, ...]:
            edges = (tile.columns.low, tile.rows.low, tile.columns.high, tile.rows.high)
            left, top, right, bottom = (
                min(stride * edge, side) for edge, side in zip(edges, picture.size * 2, strict=True)
            )
            box = (left, top, right, bottom)
            part = picture if box == (0, 0, *picture.size) else picture.crop(box)
            y, hyper, found, *codes = self.runtime.analyse(image.to_array(part, stride), thumb)
            tokens[:] = [found]
            return y, hyper, *codes

        rows, columns = self.profile.grid(*picture.size)
        scales = (1, 1 / self.profile.hyper_factor, 1 / self.profile.base_factor)
        y, hyper, *codes = self._assemble("analyse", rows, columns, work, scales)
        return y, hyper, tokens[0], *codes

    @within_memory
    def synthesise(self, y_hat: np.ndarray, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """y_hat (1, C_y, h, w), tokens (1, K) -> z_c (1, C_z, 2h, 2w), condition (1, C_c, 2h, 2w)"""
        fine = self.profile.z_per_y

        def work(tile: Tile) -> tuple[np.ndarray, ...]:
            return self.runtime.synthesise(np.ascontiguousarray(y_hat[tile.outer(1)]), tokens)

        rows, columns = y_hat.shape[2:]
        z_c, condition = self._assemble("synthesise", rows, columns, work, (fine, fine))
        return z_c, condition

    @within_memory
    def denoise(
        self,
        z_c: np.ndarray,
        condition: np.ndarray,
        tokens: np.ndarray,
        noise: np.ndarray,
        level: int,
        coarse: Image.Image | None = None,
    ) -> np.ndarray:
        """z_c, condition, noise for the whole picture, and D(z_c) for decoder semantics -> z_hat (1, C_z, 2h, 2w)"""
        fine, stride = self.profile.z_per_y, self.profile.stride
        seen: tuple[np.ndarray, ...] = ()
        if coarse is not None:
            seen = image.to_array(coarse, stride), image.thumbnail(coarse, self.profile.thumb)

        def work(tile: Tile) -> tuple[np.ndarray]:
            parts = (np.ascontiguousarray(array[tile.outer(fine)]) for array in (z_c, condition, noise))
            start, context, random = parts
            shown = (np.ascontiguousarray(seen[0][tile.outer(stride)]), seen[1]) if seen else ()
            return (self.runtime.denoise(start, context, tokens, random, level, *shown),)

        rows, columns = (side // fine for side in z_c.shape[2:])
        (z_hat,) = self._assemble("denoise", rows, columns, work, (fine,))
        return z_hat

    @within_memory
    def render(self, z: np.ndarray, width: int, height: int) -> Image.Image:
        """z (1, C_z, 2h, 2w) -> RGB picture of width x height"""
        fine, stride, picture = self.profile.z_per_y, self.profile.stride, Image.new("RGB", (width, height))
        for tile in self._tiles("render", *(side // fine for side in z.shape[2:])):
            x = self.runtime.render(np.ascontiguousarray(z[tile.outer(fine)]))
            left, top = stride * tile.columns.start, stride * tile.rows.start
            picture.paste(image.to_image(x[tile.inner(stride)], width - left, height - top), (left, top))
        return picture

    def _tiles(self, verb: str, rows: int, columns: int) -> Iterator[Tile]:
        margins, step = self.margins, math.lcm(self.profile.hyper_factor, self.profile.base_factor)
        vertical, horizontal = (
            spans(length, margins[verb], self.core, step) if margins else [Span(0, length, 0, length)]
            for length in (rows, columns)
        )
        for row in vertical:
            for column in horizontal:
                yield Tile(row, column)
                self.done += SHARES[verb] / len(vertical) / len(horizontal)
                if self.progress and len(vertical) * len(horizontal) > 1:
                    self.progress(min(self.done, 1.0))

    def _assemble(
        self, verb: str, rows: int, columns: int, work: Callable[[Tile], tuple], scales: tuple[float, ...]
    ) -> list[np.ndarray]:
        """The outputs of work(tile) put together, each with so many values per position of y."""
        wholes: list[np.ndarray] = []
        for tile in self._tiles(verb, rows, columns):
            parts = work(tile)
            if not wholes:
                sizes = [(math.ceil(rows * scale), math.ceil(columns * scale)) for scale in scales]
                wholes = [
                    np.empty((*part.shape[:-2], *size), part.dtype) for part, size in zip(parts, sizes, strict=False)
                ]
            for whole, part, scale in zip(wholes, parts, scales, strict=False):
                whole[tile.core(scale)] = part[tile.inner(scale)]
        return wholes
