"""`python -m osdcodec.training.trust`: samples, fit, graph, and the lines for weights.toml."""

import argparse
import hashlib
from pathlib import Path

import torch

from ... import weights
from ...console import run_command
from .fit import RATE, fit, graph, recalibrate
from .samples import collect


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m osdcodec.training.trust", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of photographs, or one with train/ in it")
    parser.add_argument("--out", type=Path, required=True, help="folder for samples and graph")
    parser.add_argument("--photos", type=int, default=700, help="photographs that are decoded; 0: those that are there")
    parser.add_argument("--minutes", type=float, default=30, help="of the fit")
    parser.add_argument(
        "--start", type=Path, help="trust.pt of an earlier fit, from which this one goes on at half the rate"
    )
    parser.add_argument(
        "--scale",
        type=float,
        default=1.0,
        help="factor on the expected errors of luma, for photographs unlike those of DATA",
    )
    parser.add_argument(
        "--power",
        type=float,
        default=1.0,
        help="of the expected errors of luma, about 8 levels: below 1, quiet places get more",
    )
    parser.add_argument("--device", default="cpu-bf16", help="that decodes")
    given = parser.parse_args()
    model, samples = weights.load("small"), given.out / "samples"
    if given.photos:
        collect(given.data, samples, given.photos, given.device)
    start = torch.load(given.start, weights_only=True) if given.start else None
    paths, rate = sorted(samples.glob("*.npz")), RATE / 2 if start else RATE
    network = fit(paths, model.profile, model.tensors, given.minutes, start=start, rate=rate)
    torch.save(network.state_dict(), given.out / "trust.pt")
    recalibrate(network, given.scale, given.power)
    data = graph(network, model.model_id)
    (given.out / "trust.onnx").write_bytes(data)
    print(f'trust = "trust.onnx"\ntrust_sha256 = "{hashlib.sha256(data).hexdigest()}"')


if __name__ == "__main__":
    run_command(main)
