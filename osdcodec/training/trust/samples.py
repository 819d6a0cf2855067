"""Decoded photographs with their true errors, for the map of trust: one .npz file each.

Windows of 512x384 pixels, sometimes shrunk, at λ drawn evenly from both halves of the logarithmic scale; some searched (`--effort`), some cut off like the
beginnings of progressive files, some with a region of interest, some previews, grey pictures, drawn screens, and other details and seeds.
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
from ...rate_control import LAMBDA_MAX, LAMBDA_MIN
from ...runtime import Machine
from ..data import Photos, flat, screen

LONG, SHORT = 512, 384  # pixels
PER_PHOTO = 2  # files of each
SEARCHED = 10  # every so many-th photograph has a searched one as well


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
    width, height = (LONG, SHORT) if photo.width >= photo.height else (SHORT, LONG)
    room = min(photo.width / width, photo.height / height)
    if room < 1:
        return None
    zoom = room if random.random() < 0.5 else 1
    wide, tall = int(width * zoom), int(height * zoom)
    left, top = random.integers(photo.width - wide + 1), random.integers(photo.height - tall + 1)
    box = (left, top, left + wide, top + tall)
    picture = photo.resize((width, height), Image.Resampling.LANCZOS, box) if zoom > 1 else photo.crop(box)
    kind = random.random()
    if kind < 0.04:
        return picture.convert("L").convert("RGB")
    if kind < 0.06:
        return Image.fromarray(screen(random, height, width))
    return Image.fromarray(flat(random, height, width)) if kind < 0.065 else picture


def _jobs(model: LatentModel, picture: Image.Image, random: np.random.Generator, search: bool) -> Iterator[Job]:
    width, height = picture.size
    region = [*random.integers(0, (width // 2, height // 2)), *random.integers(40, (width // 2, height // 2))]
    roi = [(int(region[0]), int(region[1]), int(region[2]), int(region[3]))] if random.random() < 0.1 else []
    progressive = random.random() < 0.5
    for n, quarter in enumerate([*random.permutation(4)[:PER_PHOTO], *([random.integers(4)] if search else [])]):
        lmbda = LAMBDA_MIN * (LAMBDA_MAX / LAMBDA_MIN) ** ((quarter + random.random()) / 4)
        effort = int(random.integers(2, 4)) if n == PER_PHOTO else 0
        osd, symbols = model.code(picture, EncodeOptions(lmbda=lmbda, roi=roi, progressive=progressive, effort=effort))
        kind = random.random()
        options: dict[str, Any] = {"seed": int(random.integers(1000)) if random.random() < 0.3 else 0}
        if kind < 0.08:
            options["preview"] = True
        elif kind < 0.24:
            options["detail"] = 0.0 if kind < 0.14 else float(random.uniform(0, 1.5))
        cut = float(random.uniform(0.25, 1)) if progressive and random.random() < 0.4 else None
        yield Job(osd, symbols, cut, effort > 0, options)


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
