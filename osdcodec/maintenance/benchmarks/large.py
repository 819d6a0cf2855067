"""Processor time and memory of large pictures: `python -m osdcodec.maintenance.benchmarks.large -o examples/large.svg`.

Each point is a process of its own. Ends with 1 if 12 megapixels take more than their bounds on the fastest device.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.table import Table

from ...console import run_command
from ...evaluation.timing import rendered, resources
from ...runtime import choose

SIZES = (384, 256), (768, 512), (1536, 1024), (3072, 2048), (4288, 2848), (7680, 5120), (12288, 8192)
BOUNDS = {"decode": (15.0, 1200.0), "preview": (2.0, None)}  # seconds of a processor and MiB, at 12 megapixels
TWELVE = 4288 * 2848
LINES = {"encode": "#1f77b4", "decode": "#d62728", "preview": "#2ca02c"}


def measure(device: str, largest: float) -> Iterator[dict]:
    """What, pixels, processor seconds, wall seconds and peak MiB of each process."""
    with tempfile.TemporaryDirectory() as folder:
        for width, height in SIZES:
            if width * height > largest * 1e6:
                return
            small = rendered(max(width // 4, 96), max(height // 4, 64))
            small.resize((width, height), Image.Resampling.BICUBIC).save(f"{folder}/in.png", compress_level=1)
            coded = f"{folder}/in.osd"
            for what, arguments in {
                "encode": ("encode", f"{folder}/in.png", "-o", coded, "--effort", "0"),
                "decode": ("decode", coded, "-o", f"{folder}/out.ppm"),
                "preview": ("decode", coded, "-o", f"{folder}/out.ppm", "--preview"),
            }.items():
                seconds, peak, processor = resources(*arguments, "--device", device)
                yield {
                    "device": device, "what": what, "pixels": width * height, "processor": processor, "seconds": seconds, "peak": peak,
                }  # fmt: skip


def plot(rows: list[dict], path: Path) -> None:
    """Processor seconds and memory over megapixels, both axes logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "osdc"
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6))
    for device, style in zip(dict.fromkeys(row["device"] for row in rows), ("-", "--", ":"), strict=False):
        for what, colour in LINES.items():
            points = [row for row in rows if (row["device"], row["what"]) == (device, what)]
            across = [row["pixels"] / 1e6 for row in points]
            for axis, key in zip(axes, ("processor", "peak"), strict=True):
                axis.loglog(
                    across, [row[key] for row in points], style, color=colour, marker=".", label=f"{what}, {device}"
                )
    for axis, title in zip(axes, ("seconds of a processor", "peak memory / MiB"), strict=True):
        axis.set(xlabel="megapixels", ylabel=title)
        axis.grid(True, alpha=0.3)
    axes[0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def missed(rows: list[dict]) -> list[str]:
    """What 12 megapixels take beyond their bounds."""
    lines = []
    for row in rows:
        seconds, peak = BOUNDS.get(row["what"], (None, None)) if row["pixels"] == TWELVE else (None, None)
        if seconds and row["processor"] > seconds:
            lines.append(f"{row['what']} takes {row['processor']:.1f} s of a processor, at most {seconds:g}")
        if peak and row["peak"] > peak:
            lines.append(f"{row['what']} takes {row['peak']:.0f} MiB, at most {peak:g}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.maintenance.benchmarks.large", description=__doc__)
    parser.add_argument("--device", action="append", help="(default: auto, then cpu)")
    parser.add_argument("--largest", type=float, default=101, help="megapixels")
    parser.add_argument("-o", "--output", type=Path, help="an SVG")
    options = parser.parse_args()
    table = Table("device", "what", "megapixels", "processor / s", "wall / s", "peak / MiB")
    rows: list[dict] = []
    for device in options.device or ["auto", "cpu"]:
        print(f"{device}: {choose(device)}", file=sys.stderr)
        for row in measure(device, options.largest):
            rows.append(row)
            print(json.dumps(row), file=sys.stderr, flush=True)
            table.add_row(
                device, row["what"], f"{row['pixels'] / 1e6:.1f}", f"{row['processor']:.2f}", f"{row['seconds']:.2f}", f"{row['peak']:.0f}",
            )  # fmt: skip
    Console(width=100).print(table)
    if options.output:
        plot(rows, options.output)
    if lines := missed([row for row in rows if row["device"] == rows[0]["device"]]):
        sys.exit("missed: " + "; ".join(lines))


if __name__ == "__main__":
    run_command(main)
