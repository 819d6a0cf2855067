"""How good a checkpoint is so far: `python -m osdcodec.training.measure CHECKPOINT PICTURES [--perceptual FILE]`.

Without export and files: bits are those of the trained prior, tokens included, headers not. CHECKPOINT is codec.pt, of which the
averaged model is taken, model.pt or start.pt.
"""

import argparse
import math
import sys
from pathlib import Path

import bjontegaard
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..console import run_command
from ..image import network_inputs, open_image
from ..metrics.perceptual import INSTALL, available
from ..metrics.vgg_like import PerceptualDistance
from ..models import CodecModel
from ..rate_control import ANCHORS, quality_byte
from .checkpoints import load
from .losses import deviations, structure

METRICS = "bpp", "psnr", "ms_ssim", "detail", "lpips", "lpips_vgg", "dists", "perceptual"


def distances_at_hand(perceptual: Path | None = None) -> dict[str, nn.Module]:
    """LPIPS and DISTS where their weights are installed, and the network of the file `perceptual`; stderr hears what is not here."""
    found, missing = available()
    if missing:
        print(f"osdc: not available: {', '.join(missing)} ({INSTALL})", file=sys.stderr)
    return found | ({"perceptual": PerceptualDistance(perceptual)} if perceptual else {})


@torch.no_grad()
def measure(
    model: CodecModel, paths: list[Path], distances: dict[str, nn.Module], noise: bool = True
) -> list[dict[str, float]]:
    """Means of METRICS over the pictures, a row for each of the five lambdas; NaN where a metric is not among the distances.

    noise: False starts from none.
    """
    model.eval()
    profile = model.profile
    token_bits = profile.tokens * math.log2(profile.codebook_size)
    rows = []
    for lmbda in ANCHORS:
        found, quality = [], torch.tensor([float(quality_byte(lmbda))])
        for path in paths:
            x, thumb = map(torch.from_numpy, network_inputs(open_image(path), profile))
            shape = 1, profile.autoencoder_channels, *(side // profile.autoencoder_factor for side in x.shape[2:])
            eps = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * noise
            out = model(x, quality, thumb, eps)
            x_hat = out.x_hat.clamp(-1, 1)
            values = {
                "bpp": (out.bits.sum().item() + token_bits) / x[0, 0].numel(),
                "psnr": -10 * math.log10(F.mse_loss(x_hat, x).item() / 4),
                "ms_ssim": 1 - structure(x_hat, x).item(),
                "detail": (deviations(x_hat).mean() / deviations(x).mean()).item(),
            }
            values |= {name: distance(x_hat, x).item() for name, distance in distances.items()}
            found.append([values.get(name, math.nan) for name in METRICS])
        rows.append(dict(zip(METRICS, np.mean(found, 0).tolist(), strict=True)))
    return rows


def gains(rows: list[dict], anchor: list[dict]) -> dict[str, float]:
    """Mean difference of each metric to that of the anchor at equal rate; NaN where it was not measured."""
    rates, own = [row["bpp"] for row in anchor], [row["bpp"] for row in rows]

    def difference(metric: str) -> float:
        pairs = [r[metric] for r in anchor], [r[metric] for r in rows]
        if not np.isfinite(pairs).all():
            return math.nan
        return float(
            bjontegaard.bd_psnr(
                rates, pairs[0], own, pairs[1], method="akima", require_matching_points=False, min_overlap=0
            )
        )

    return {metric: difference(metric) for metric in METRICS[1:]}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.training.measure", description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("pictures", type=Path, help="folder of PNG pictures")
    parser.add_argument("--every", type=int, default=1, help="take every n-th picture only")
    parser.add_argument("--perceptual", type=Path, help="safetensors file of the perceptual network")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    distances = distances_at_hand(options.perceptual)
    print("lambda " + " ".join(f"{name:>10}" for name in METRICS))
    rows = measure(load(options.checkpoint), sorted(options.pictures.glob("*.png"))[:: options.every], distances)
    for lmbda, row in zip(ANCHORS, rows, strict=True):
        print(f"{lmbda:6g} " + " ".join(f"{value:10.4f}" for value in row.values()))


if __name__ == "__main__":
    run_command(main)
