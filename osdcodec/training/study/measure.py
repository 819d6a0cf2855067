"""How good a checkpoint is so far: `python -m osdcodec.training.study.measure CHECKPOINT PICTURES [--perceptual FILE]`.

Without export and files: bits are those of the trained prior, tokens included, headers not. CHECKPOINT is codec.pt, of which the
averaged model is taken, model.pt or start.pt.
"""

import argparse
import math
from pathlib import Path

import bjontegaard
import numpy as np
import torch
from torch.nn import functional as F

from ...image import open_image, thumbnail, to_array
from ...models import CodecModel
from ...models.vgg_like import PerceptualDistance
from ...profile import ANCHORS, quality_of
from ..checkpoints import load
from ..losses import deviations, structure

METRICS = "bpp", "psnr", "ms_ssim", "detail", "perceptual"


@torch.no_grad()
def measure(
    model: CodecModel, paths: list[Path], perceptual: PerceptualDistance | None, noise: bool = True
) -> list[dict[str, float]]:
    """Means of METRICS over the pictures, a row for each of the five lambdas. noise: False starts from none."""
    model.eval()
    token_bits = model.profile.tokens * math.log2(model.profile.codebook_size)
    rows = []
    for lmbda in ANCHORS:
        found, quality = [], torch.tensor([float(quality_of(lmbda))])
        for path in paths:
            picture = open_image(path)
            x = torch.from_numpy(to_array(picture, model.profile.stride))
            y, hyper, names = model.analyse(x, torch.from_numpy(thumbnail(picture, model.profile.thumb)))
            gain, inverse, hyper_gain = model.gains(quality)
            y_hat, bits, _ = model.prior(y * gain, hyper * hyper_gain, quality)
            z_c, condition = model.synthesise(y_hat * inverse, names)
            level = model.levels(quality)
            eps = torch.randn(z_c.shape, generator=torch.Generator().manual_seed(0)) * noise
            z_hat = model.denoise(
                z_c, condition, names, eps, level, model.alpha_bars[level.long()][:, None, None, None]
            )
            x_hat = model.render(z_hat).clamp(-1, 1)
            found.append(
                (
                    (bits.sum().item() + token_bits) / x[0, 0].numel(),
                    -10 * math.log10(F.mse_loss(x_hat, x).item() / 4),
                    1 - structure(x_hat, x).item(),
                    (deviations(x_hat).mean() / deviations(x).mean()).item(),
                    perceptual(x_hat, x).item() if perceptual else math.nan,
                )
            )
        rows.append(dict(zip(METRICS, np.mean(found, 0).tolist(), strict=True)))
    return rows


def gains(rows: list[dict], anchor: list[dict]) -> dict[str, float]:
    """Mean difference of each metric to that of the anchor at equal rate."""
    rates, own = [row["bpp"] for row in anchor], [row["bpp"] for row in rows]
    return {
        metric: float(
            bjontegaard.bd_psnr(
                rates, [r[metric] for r in anchor], own, [r[metric] for r in rows], method="akima",
                require_matching_points=False, min_overlap=0,
            )
        )
        for metric in METRICS[1:]
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.training.study.measure", description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("pictures", type=Path, help="folder of PNG pictures")
    parser.add_argument("--every", type=int, default=1, help="take every n-th picture only")
    parser.add_argument("--perceptual", type=Path, help="safetensors file of the perceptual network")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    perceptual = PerceptualDistance(options.perceptual) if options.perceptual else None
    print("lambda " + " ".join(f"{name:>10}" for name in METRICS))
    rows = measure(load(options.checkpoint), sorted(options.pictures.glob("*.png"))[:: options.every], perceptual)
    for lmbda, row in zip(ANCHORS, rows, strict=True):
        print(f"{lmbda:6g} " + " ".join(f"{value:10.4f}" for value in row.values()))


if __name__ == "__main__":
    main()
