"""Vectors of a model with a base: `python -m osdcodec.maintenance.vectors.vq_base spec/vectors/base`.

For readers of symbols, as symbol_vectors.py has them; the model is of the same kind, with structural codes on a grid of a third of the
latent's. Run once, when the base came into the format: they stay as they are for ever. Needs NumPy only.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from ... import weights
from ...checks.conformance import write
from ...checks.fuzz import sealed
from ...console import run_command
from ...container import Box, Osd, Regions, leb128, pack, unpack
from ...latent.coder import qualities_of
from ...profile import SYMBOLS
from .symbols import SEED, Named, asked, coded, tables, weights_file

PROFILE = replace(SYMBOLS, base_codes=11, base_channels=3, base_factor=3)


def base() -> dict[str, np.ndarray]:
    """What a base adds to the tensors of a model: the frequencies of its codes, its grid and its codebook, at random."""
    random = np.random.default_rng(SEED)
    return {
        "prior.base_table": tables(5, PROFILE.base_codes, centred=True)[4],
        "prior.base_factor": np.array([PROFILE.base_factor], "<i4"),
        "base.codebook": random.normal(size=(PROFILE.base_codes, PROFILE.base_channels)).astype("<f2"),
    }


def valid(model: weights.Weights) -> Iterator[Named]:
    """Files that decode, of random symbols."""
    profile, random = model.profile, np.random.default_rng(SEED)

    def vector(
        name: str, what: str, size: tuple[int, int], quality: int, progressive: bool = False, boxes: Sequence[Box] = ()
    ) -> Named:
        sections = (("G", Regions(20, tuple(boxes)).to_bytes()),) if boxes else ()
        osd = Osd(model.model_id, *size, quality, b"", sections, progressive=progressive)
        h, w = profile.grid(*size)
        qualities = qualities_of(osd, profile)
        y = random.normal(0, 6, (profile.latent_channels, h, w)) * model.prior.gain_maps(quality, qualities).latent
        hyper = random.normal(0, 3, (profile.hyper_channels, *profile.hyper_grid(h, w)))
        tokens = random.integers(0, profile.codebook_size, profile.tokens)
        base = random.integers(0, profile.base_codes, profile.base_grid(h, w))
        payload, _ = model.prior.encode(y, hyper, tokens, quality, qualities, progressive, base)
        return name, what, pack(replace(osd, payload=payload))

    yield vector("one-position", "1x1: one code", (1, 1), 196)
    yield vector("whole-cells", "base of 2 rows and 1 column, all of its cells whole", (192, 384), 255)
    yield vector("cut-cells", "base of 2 rows and 3 columns, which the latent ends in", (500, 260), 60)
    yield vector("progressive", "a progressive file", (300, 200), 100, progressive=True)
    yield vector("regions", "section G", (400, 300), 200, boxes=[(0, 1, 2, 2), (9, 2, 3, 2)])
    _, _, whole = vector("cut-in-latent", "", (300, 200), 100, progressive=True)
    yield "cut-in-latent", "the first half of a progressive file", whole[: len(whole) // 2]


def refused(model: weights.Weights, files: dict[str, bytes]) -> Iterator[Named]:
    """Files that every reader refuses."""
    body, osd = files["cut-cells"][:-4], unpack(files["cut-cells"])
    yield (
        "without-base",
        "a payload that ends within the base",
        sealed(body[: len(body) - len(osd.payload)] + b"\1\2\3\4\5"),
    )
    large = Osd(model.model_id, 600, 600, 100, b"", progressive=True)
    random = np.random.default_rng(SEED)
    whole = pack(coded(model, large, lambda tables, rows: random.integers(0, tables.shape[1], len(rows))))
    yield "cut-in-base", "the beginning of a progressive file that ends within the base", whole[:29]
    yield "another-size", "a row of codes less than the picture has", sealed(body[:11] + leb128(190) + body[13:])


def main(arguments: list[str] | None = None) -> None:
    folder = asked("osdcodec.maintenance.vectors.vq_base", __doc__, arguments)
    header = "# The model of the vectors with a base: an integer prior, no networks.\n"
    model = weights_file(folder, PROFILE, base(), header)
    good = list(valid(model))
    bad = list(refused(model, {name: data for name, _, data in good}))
    write(folder, PROFILE.name, good, folder, bad, pictures=False, partial=True)


if __name__ == "__main__":
    run_command(main)
