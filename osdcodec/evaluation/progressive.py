"""What a share of a progressive file's bytes shows: `python -m osdcodec.evaluation.progressive FOLDER`.

Prints the README's table, as Markdown: means over the pictures of a folder, at each share of the bytes that the whole
progressive file of the same picture has. Beside it stands what a file does that was made for so many bytes and needs all
of them, of osdc and of JPEG 2000; and what the progressive order costs. `--write FILE` puts it into a page, between the lines
that mark its place.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, features

from .. import container
from ..codec import Decoder, Encoder
from ..console import run_command
from ..errors import FormatError, TargetError
from ..image import open_image
from ..metrics.meter import METRICS, Meter
from ..rate_control import Target
from .baselines import jpeg2000_within
from .page import insert

SHARES = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
SHOWN = ("psnr", "ms_ssim", "lpips")
Values = dict[str, float | None]


def cut(original: Image.Image, encoder: Encoder, decoder: Decoder, meter: Meter, lmbda: float) -> dict[str, list]:
    """Row of the table -> bytes, and for each share its metrics; None where no picture comes of it."""
    whole = encoder.encode(original, lmbda, progressive=True)
    plain = encoder.encode(original, lmbda)
    rows = defaultdict(list)

    def measured(decode: Callable[..., Image.Image], *given: Any, **options: Any) -> Values | None:
        try:
            return meter(original, decode(*given, **options).convert("RGB"))
        except (FormatError, TargetError):
            return None

    def within(size: int) -> Image.Image:
        return decoder.decode(encoder.encode(original, target=Target(max_bytes=size)))

    for share in SHARES:
        size = round(share * len(whole))
        rows["progressive, cut there"].append(measured(decoder.decode, whole[:size], partial=True))
        rows["a plain .osd of so many bytes"].append(measured(within, size))
        if features.check("jpg_2000"):
            found = jpeg2000_within(original, size)
            decoded = measured(found.coding.decode, found.data, original.size)
            rows["JPEG 2000 of so many bytes"].append(decoded if found.within else None)
    seconds = [decoding_seconds(data, encoder) for data in (plain, whole)]
    return {
        "bytes": [len(plain), len(whole)],
        "seconds": seconds,
        "whole": [measured(lambda: decoder.decode(plain))],
        **rows,
    }


def decoding_seconds(data: bytes, encoder: Encoder) -> float:
    """Processor time from a file to its symbols, the shortest of three."""
    osd, times = container.unpack(data), []
    for _ in range(3):
        start = time.process_time()
        encoder.coder.symbols(osd)
        times.append(time.process_time() - start)
    return min(times)


def mean(values: list[Values | None]) -> str:
    """Metrics one behind the other; a dash where a picture has none."""
    found = [value for value in values if value is not None]
    if not found or len(found) < len(values):
        return "–"
    shown = [name for name in SHOWN if found[0].get(name) is not None]
    return " / ".join(METRICS[name].text(float(np.mean([value[name] or 0.0 for value in found]))) for name in shown)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.evaluation.progressive", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lambda", dest="lmbda", type=float, default=0.5)
    parser.add_argument("--limit", type=int, default=None, help="number of pictures taken, evenly spaced")
    parser.add_argument("--weights-dir", type=Path)
    parser.add_argument("--write", type=Path, metavar="FILE", help="a page that has the marks")
    options = parser.parse_args(arguments)
    paths = sorted(options.folder.glob("*.png"))
    paths = paths[:: max(1, len(paths) // (options.limit or len(paths) or 1))][: options.limit]
    encoder, decoder = Encoder(device="cpu", weights_dir=options.weights_dir), Decoder("cpu", options.weights_dir)
    meter = Meter()
    meter.compute = {name: compute for name, compute in meter.compute.items() if name in SHOWN}
    results = [cut(open_image(path), encoder, decoder, meter, options.lmbda) for path in paths]

    text = report(results, options.lmbda, [name for name in SHOWN if name in meter.compute])
    print(text)
    if options.write:
        insert(options.write, "progressive", text)


def report(results: list[dict[str, list]], lmbda: float, measures: list[str]) -> str:
    """The table, and below it what the order costs."""
    lines = [
        f"| share of the bytes | {' | '.join(f'{share:.0%}' for share in SHARES)} |",
        "| --- |" + " --- |" * len(SHARES),
    ]
    for row in [name for name in results[0] if name not in ("bytes", "seconds", "whole")]:
        columns = zip(*(result[row] for result in results), strict=True)
        lines.append(f"| {row} | {' | '.join(mean(list(column)) for column in columns)} |")
    plain, whole = np.mean([result["bytes"] for result in results], 0)
    fast, slow = np.mean([result["seconds"] for result in results], 0)
    labels = " / ".join(METRICS[name].label for name in measures)
    return "\n".join(
        [
            *lines,
            "",
            f"λ = {lmbda:g}, means of {len(results)} pictures: {labels}. Plain files have {plain:.0f} bytes, "
            f"{mean([result['whole'][0] for result in results])}, and their symbols are decoded in {fast:.2f} s; progressive "
            f"ones {whole:.0f} bytes ({whole / plain - 1:+.1%}), in {slow:.2f} s.",
        ]
    )


if __name__ == "__main__":
    run_command(main)
