"""Moves a model along the line of fidelity and detail: `python -m osdcodec.training.balance MODEL --data DATA --share S S S S S`.

MODEL, a model.pt, is written anew. Only the inverse gains learn, 160 numbers for each lambda, by squared error, MS-SSIM and detail
of the table [balance] of the config; SHARE of what they have learned is kept at each lambda, 2 first. Symbols and bits stay as they
are. So few numbers hardly feel the noise of small batches: minutes suffice, and detail costs half of what it does in stage `codec`.
"""

import argparse
import math
import tomllib
from pathlib import Path

import numpy as np
import torch

from ..profile import ANCHORS, quality_of
from .data import Photos
from .losses import flatness, structure
from .measure import load


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.training.balance", description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/")
    parser.add_argument("--share", type=float, nargs=len(ANCHORS), required=True, help="of the change, at each lambda")
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("small.toml"))
    parser.add_argument("--steps", type=int, help="default: the config's")
    options = parser.parse_args(arguments)
    config = tomllib.loads(options.config.read_text("utf-8"))["balance"]
    steps = options.steps or config["steps"]
    squared, ms_ssim, detail = (torch.tensor(config[name]) for name in ("mse", "ms_ssim", "detail"))

    torch.manual_seed(0)
    photos, model = Photos(options.data / "train", seed=5), load(options.model)
    model.requires_grad_(False)
    gains = model.gains.inverse.requires_grad_(True)
    start, found = gains.detach().clone(), []
    optimizer = torch.optim.Adam([gains], config["learning_rate"])
    quality = torch.tensor([float(quality_of(lmbda)) for lmbda in ANCHORS])
    for number in range(steps):
        fall = 0.05 + 0.475 * (1 + math.cos(math.pi * number / steps))
        optimizer.param_groups[0]["lr"] = config["learning_rate"] * fall
        x = photos.batch(len(ANCHORS), config["crop"]).to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            x_hat = model(x, quality).x_hat.float()
        mse, distances, flat = (x_hat - x).square().mean((1, 2, 3)), structure(x_hat, x), flatness(x_hat, x)
        optimizer.zero_grad()
        (squared * mse + ms_ssim * distances + detail * flat).mean().backward()
        optimizer.step()
        if number >= steps // 2:  # the mean of the second half
            found.append(gains.detach().clone())
        if (number + 1) % 40 == 0:
            psnr = (-10 * torch.log10(mse.detach() / 4)).tolist()
            print(f"step {number + 1}, dB of one crop each: {np.round(psnr, 2).tolist()}")
    moved = torch.tensor(options.share)[:, None] * (torch.stack(found).mean(0) - start)
    state = model.state_dict()
    state["gains.inverse"] = start + moved
    torch.save(state, options.model)


if __name__ == "__main__":
    main()
