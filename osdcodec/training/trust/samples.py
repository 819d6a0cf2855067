"""Decoded photographs with their true errors, for the map of trust: one .npz file each.

Windows of 384x384 pixels, sometimes shrunk, half of them with the grain of a camera. Of each a small file (λ near 2) and a better one, and of every fourth
a file that was searched as the encoder does by default. Some are cut off like the beginnings of progressive files, some have a region of interest, some
are previews, grey pictures or drawn screens, or were decoded with other details and seeds.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from ... import container, weights
from ...entropy.prior import Symbols
from ...errors import FormatError
from ...latent.coder import LatentModel
from ...options import EncodeOptions
from ...rate_control import LAMBDA_MAX, LAMBDA_MIN, quality_byte
from ...runtime import Machine
from ..data import Photos, flat, screen

SIDE = 384  # pixels
SEARCHED = 4  # every so many-th photograph has a searched file as well
SPLIT = 1.0  # λ between the small file of a window and the better one
# Levels, the largest deviation of the grain that half of the windows get: the photographs of training were shrunk and compressed, and have
# lost what a camera's have, and no decoder shows.
GRAIN = 3.0


class Job(NamedTuple):
    """A file of a window, and how it becomes a picture again."""

    osd: container.Osd
    symbols: Symbols
    cut: float | None  # share of the payload that arrives
    searched: bool
    options: dict[str, Any]  # of LatentModel.read


def collect(data: Path, out: Path, photos: int, device: str = "auto", first: int = 0) -> None:
    """Writes the samples of so many photographs, drawn from those in a folder of data, with the embedded model."""
    out.mkdir(parents=True, exist_ok=True)
    model, pool = LatentModel(weights.load("small"), Machine(device)), Photos(data, memory=0)
    for place in np.random.default_rng(5).permutation(len(pool))[first : first + photos]:
        random = np.random.default_rng((7, int(place)))
        picture = _window(pool.picture(int(place)), random)
        if picture is None:
            continue
        for n, job in enumerate(_jobs(model, picture, random, search=place % SEARCHED == 0)):
            np.savez(out / f"{place:05d}-{n}.npz", original=np.asarray(picture), place=place, **sample(model, job))


def _window(pixels: np.ndarray | None, random: np.random.Generator) -> Image.Image | None:
    """A window of a photograph, at its own scale or as large as may be and shrunk; None if it is too small."""
    if pixels is None:
        return None
    photo = Image.fromarray(pixels)
    side = min(photo.size)
    if side < SIDE:
        return None
    if random.random() < 0.5:
        side = SIDE
    left, top = random.integers(photo.width - side + 1), random.integers(photo.height - side + 1)
    picture = photo.resize((SIDE, SIDE), Image.Resampling.LANCZOS, (left, top, left + side, top + side))
    if random.random() < 0.5:
        picture = _grained(picture, random)
    kind = random.random()
    if kind < 0.04:
        return picture.convert("L").convert("RGB")
    if kind < 0.06:
        return Image.fromarray(screen(random, SIDE, SIDE))
    return Image.fromarray(flat(random, SIDE, SIDE)) if kind < 0.065 else picture


def _grained(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """With noise: most of it in all three colours alike."""
    pixels, deviation = np.asarray(picture, np.float32), random.uniform(0.5, GRAIN)
    noise = random.normal(size=(*pixels.shape[:2], 1)) + 0.5 * random.normal(size=pixels.shape)
    return Image.fromarray((pixels + deviation * noise).round().clip(0, 255).astype(np.uint8))


def _jobs(model: LatentModel, picture: Image.Image, random: np.random.Generator, search: bool) -> Iterator[Job]:
    left, top = (int(edge) for edge in random.integers(0, SIDE // 2, 2))
    width, height = (int(side) for side in random.integers(40, SIDE // 2, 2))
    roi = [(left, top, width, height)] if random.random() < 0.1 else []
    progressive = random.random() < 0.5
    analysed = model.analyse(picture, roi, None, progressive)
    small = LAMBDA_MAX * (SPLIT / LAMBDA_MAX) ** (random.random() ** 2)
    better = LAMBDA_MIN * (SPLIT / LAMBDA_MIN) ** random.random()
    for n, lmbda in enumerate((small, better, small if random.random() < 0.5 else better)[: 2 + search]):
        if n == 2:
            osd, symbols = model.code(picture, EncodeOptions(lmbda=lmbda, roi=roi, progressive=progressive))
        else:
            osd, symbols = model.finest_as_small(analysed, quality_byte(lmbda))
        kind = random.random()
        options: dict[str, Any] = {"seed": int(random.integers(1000)) if random.random() < 0.3 else 0}
        if kind < 0.08:
            options["preview"] = True
        elif kind < 0.24:
            options["detail"] = 0.0 if kind < 0.14 else float(random.uniform(0, 1.5))
        cut = float(random.uniform(0.25, 1)) if progressive and random.random() < 0.4 else None
        yield Job(osd, symbols, cut, n == 2, options)


def sample(model: LatentModel, job: Job) -> dict[str, Any]:
    """What a decoder knows of a file, and what it shows: the arrays of a .npz file."""
    osd, symbols = job.osd, job.symbols
    if job.cut is not None:
        data = container.pack(osd)
        head = len(data) - len(osd.payload) - 4
        try:
            osd = container.unpack_prefix(data[: head + int(len(osd.payload) * job.cut)])
            symbols = model.symbols(osd)
        except FormatError:  # too little for a first picture: the whole will do
            osd = job.osd
    reading = model.read(osd, symbols, **job.options)
    picture = reading.picture.convert("L").convert("RGB") if osd.grey else reading.picture
    if reading.preview:
        whole = picture.resize((2 * picture.width, 2 * picture.height), Image.Resampling.NEAREST)
        picture = whole.crop((0, 0, osd.width, osd.height))
    return {
        "x": np.asarray(picture), "z_c": reading.coarse[0].astype(np.float16), "z_hat": reading.denoised[0].astype(np.float16),
        "rows": symbols.rows, "latent": symbols.latent.clip(-127, 127).astype(np.int8), "q": reading.qualities.astype(np.uint8),
        "detail": np.float32(0 if reading.preview else reading.detail), "preview": reading.preview, "searched": job.searched,
    }  # fmt: skip
