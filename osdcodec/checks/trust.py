"""Is the map of trust right? `python -m osdcodec.checks.trust KODAK` encodes and decodes every picture and compares the map with the truth.

The goals, for pictures that the map was never fitted to: the rank correlation (Spearman) of expected and true squared error of luma in places
of 16x16 pixels, mean over pictures, at each λ; the same of expected and true correlation of texture; and in each tenth of all places, by expected
error, a true root mean square within 15 % of the expected one, for luma. Exits with 1 if a goal is missed. What is measured of chroma, and of
each λ by itself, is printed without a goal.
"""

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from ..codec import Decoder, Encoder
from ..console import run_command
from ..effort import Effort
from ..errors import InputError
from ..image import SUFFIXES, open_image
from ..trust.truth import measure

LUMA_GOALS = {2.0: 0.82, 1.0: 0.86, 0.25: 0.90}  # by λ
TEXTURE_GOAL = 0.72
CALIBRATED = 0.15  # how far from 1 true over expected root mean square may be
PARTS = 10


class Measured(NamedTuple):
    """Rank correlations of the places of one picture, and the places: expected and true, (3, n) each."""

    luma: float
    chroma: float
    texture: float
    expected: np.ndarray
    true: np.ndarray


def ranks(values: np.ndarray) -> np.ndarray:
    """(n,) -> ranks; equal values share the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[places]


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's, of arrays with as many values; NaN if one has only one value."""
    first, second = (ranks(values.ravel()) for values in (a, b))
    first, second = first - first.mean(), second - second.mean()
    lengths = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / lengths) if lengths else float("nan")


def calibration(expected: np.ndarray, true: np.ndarray, parts: int = PARTS) -> np.ndarray:
    """(n,) expected and true errors -> true over expected root mean square in each part of the places, by expected error."""
    groups = np.array_split(np.argsort(expected, kind="stable"), parts)
    return np.array([np.sqrt(np.square(true[g]).mean() / np.square(expected[g]).mean()) for g in groups])


def measured(encoder: Encoder, decoder: Decoder, path: Path, lmbda: float, effort: Effort) -> Measured:
    original = open_image(path).convert("RGB")
    shown, trust = decoder.decode(encoder.encode(original, lmbda, effort=effort), trust=True)
    expected, true = (each.to_array() for each in (trust, measure(original, shown)))
    luma, chroma, texture = (rank_correlation(a, b) for a, b in zip(expected, true, strict=True))
    return Measured(luma, chroma, texture, expected.reshape(3, -1), true.reshape(3, -1))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.checks.trust", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--effort", default="auto", help="of the encoder's search, 0 to 10")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--slack", type=float, default=0.0, help="taken off the goals of the rank correlations")
    options = parser.parse_args(arguments)
    paths = sorted(path for path in options.folder.glob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise InputError(f"{options.folder}: no pictures in it; name a folder of them")
    effort: Effort = "auto" if options.effort == "auto" else int(options.effort)
    encoder, decoder = Encoder(device=options.device), Decoder(device=options.device)
    console, missed = Console(width=140), []
    heading = f"rank correlation, mean of {len(paths)} pictures"
    ranked = Table("λ", "luma", "goal", "chroma", "texture", "goal", title=heading)
    parts = Table("λ", "of", *map(str, range(1, PARTS + 1)), title="true over expected error by tenths, quietest first")
    all_expected, all_true = [], []
    for lmbda, goal in LUMA_GOALS.items():
        found = [measured(encoder, decoder, path, lmbda, effort) for path in paths]
        luma, chroma, texture = (float(np.nanmean([getattr(m, name) for m in found])) for name in Measured._fields[:3])
        least, least_texture = goal - options.slack, TEXTURE_GOAL - options.slack
        row = f"{luma:.3f}", f"{least:.2f}", f"{chroma:.3f}", f"{texture:.3f}", f"{least_texture:.2f}"
        ranked.add_row(f"{lmbda:g}", *row)
        missed += [f"luma at λ {lmbda:g}"] * (luma < least) + [f"texture at λ {lmbda:g}"] * (texture < least_texture)
        expected, true = (np.concatenate([getattr(m, name) for m in found], 1) for name in ("expected", "true"))
        for n, name in enumerate(("luma", "chroma")):
            parts.add_row(f"{lmbda:g}", name, *(f"{ratio:.2f}" for ratio in calibration(expected[n], true[n])))
        all_expected.append(expected)
        all_true.append(true)
    expected, true = np.concatenate(all_expected, 1), np.concatenate(all_true, 1)
    for n, name in enumerate(("luma", "chroma")):
        ratios = calibration(expected[n], true[n])
        parts.add_row("all", name, *(f"{ratio:.2f}" for ratio in ratios))
        if name == "luma" and np.abs(ratios - 1).max() > CALIBRATED:
            missed.append("calibration")
    console.print(ranked, parts)
    print(f"missed: {', '.join(missed)}" if missed else "all goals are met")
    sys.exit(bool(missed))


if __name__ == "__main__":
    run_command(main)
