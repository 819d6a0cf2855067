"""Moves the gains of a trained model to the rates aimed at: `python -m osdcodec.training.match_rates MODEL PICTURES --data DATA`.

MODEL, a model.pt, is written anew. Rates are those of whole files, with the tables that stage `export` will count; PICTURES are PNGs,
of the sizes and kinds that the rates are meant for (ours: Kodak, so rates are chosen on the pictures that measure).
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from rich.progress import track

from .. import container
from ..console import run_command
from ..container import Osd
from ..entropy.prior import Prior
from ..image import open_image
from ..models import CodecModel
from ..rate_control import ANCHORS, quality_byte
from .checkpoints import load
from .data import Photos
from .export.tensors import analyse, count_symbols, count_tokens, normative

ROUNDS = 5
COUNTED_AGAIN = 2  # the round before which symbols are counted once more
SLOPE = 1.3  # of the logarithm of the rate over that of the gain, as it is about; then it is measured

Latents = tuple[tuple[int, int], list[np.ndarray]]  # (width, height) of a picture and what the networks saw of it


@torch.no_grad()
def latents(model: CodecModel, paths: list[Path]) -> list[Latents]:
    """(width, height), y (C_y, h, w), hyper (C_h, hh, hw), tokens (K,) and codes of a base of each picture."""
    analysed = []
    for path in track(paths, "analysing", transient=True):
        picture = open_image(path)
        analysed.append((picture.size, [part[0].numpy() for part in analyse(model, picture)]))
    return analysed


def rates(prior: Prior, pictures: list[Latents]) -> np.ndarray:
    """Bits per pixel of whole files at each anchor lambda, mean over the pictures."""
    means = []
    for lmbda in ANCHORS:
        quality, bpp = quality_byte(lmbda), []
        gain, _, hyper_gain = prior.gains(quality)
        for (width, height), (y, hyper, tokens, *base) in pictures:
            gained = y * gain[:, None, None], hyper * hyper_gain[:, None, None]
            payload, _ = prior.encode(*gained, tokens, quality, None, False, *base)
            bpp.append(8 * len(container.pack(Osd(bytes(4), width, height, quality, payload))) / (width * height))
        means.append(np.mean(bpp))
    return np.array(means)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.training.match_rates", description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("pictures", type=Path, help="folder of PNG pictures")
    parser.add_argument(
        "--data", type=Path, required=True, help="as of the training: symbols are counted over its photographs"
    )
    parser.add_argument("--bpp", type=float, nargs=len(ANCHORS), default=(0.0259, 0.0459, 0.0679, 0.0938, 0.1248))
    parser.add_argument("--crops", type=int, default=500, help="crops over which symbols are counted")
    options = parser.parse_args(arguments)
    model, photos = load(options.model).eval(), Photos(options.data, seed=4)
    pictures = latents(model, sorted(options.pictures.glob("*.png")))
    slope, move = np.full(len(ANCHORS), SLOPE), np.zeros(len(ANCHORS))
    before: np.ndarray | None = None
    for turn in range(ROUNDS):
        if turn in (0, COUNTED_AGAIN):
            # Of other gains there are other symbols: after a tenth of a gain 3 % of the bits.
            counts = count_tokens(model, photos, options.crops), *count_symbols(model, photos, options.crops)
            before = None
        reached = np.log(rates(Prior(normative(model, *counts), model.profile), pictures))
        print("bpp " + " ".join(f"{rate:.5f}" for rate in np.exp(reached)))
        if before is not None:
            slope = np.where(abs(move) > 0.01, ((reached - before) / move).clip(0.3, 3), slope)
        before, move = reached, (np.log(options.bpp) - reached) / slope
        step = torch.from_numpy(move).float()[:, None]
        model.gains.latent.data += step
        model.gains.inverse.data -= step
    torch.save(model.state_dict(), options.model)


if __name__ == "__main__":
    run_command(main)
