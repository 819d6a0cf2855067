"""What the integers of the prior cost in bytes: `python -m osdcodec.maintenance.benchmarks.prior_price DIR`.

The same latents are coded twice: as files are written, and in theory, by the float prior (no rounding of activations,
means and scales, and with --checkpoint none of the weights either; ideal code length, tokens included).
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from ... import image, weights
from ...console import run_command
from ...models.prior_twin import IntegerConv
from ...rate_control import ANCHORS, quality_byte
from ...training.export.tensors import analyse
from ...weights.to_torch import load_model


@torch.no_grad()
def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.maintenance.benchmarks.prior_price", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights-dir")
    parser.add_argument("--checkpoint", type=Path, help="the training's model.pt, whose prior was never rounded")
    options = parser.parse_args(arguments)
    loaded = weights.load("small", options.weights_dir)
    model, prior = load_model(loaded).eval(), loaded.prior
    if options.checkpoint:
        state = torch.load(options.checkpoint, map_location="cpu", weights_only=True)
        model.prior.load_state_dict({k.removeprefix("prior."): v for k, v in state.items() if k.startswith("prior.")})
    for layer in model.prior.modules():
        if isinstance(layer, IntegerConv):
            layer.exact = False
    for lmbda in ANCHORS:
        quality, written, ideal = quality_byte(lmbda), 0.0, 0.0
        gain, _, hyper_gain = prior.gains(quality)
        for path in sorted(options.folder.glob("*.png")):
            picture = image.open_image(path)
            y, hyper, tokens = analyse(model, picture)
            y, hyper = (part * torch.from_numpy(by)[:, None, None] for part, by in ((y, gain), (hyper, hyper_gain)))
            payload, _ = prior.encode(y[0].numpy(), hyper[0].numpy(), tokens[0].numpy(), quality)
            _, bits, _ = model.prior(y, hyper, torch.tensor([float(quality)]))
            counts = loaded.tensors["prior.token_tables"][np.arange(model.profile.tokens), tokens[0].numpy()]
            written, ideal = written + len(payload), ideal + (bits.sum().item() + (24 - np.log2(counts)).sum()) / 8
        print(
            f"lambda {lmbda:g}: {written:.0f} bytes written, {ideal:.0f} by the float prior, {written / ideal - 1:+.2%}"
        )


if __name__ == "__main__":
    run_command(main)
