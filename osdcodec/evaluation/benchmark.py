"""Times, memory and sizes beside their budgets: `python -m osdcodec.evaluation.benchmark`.

The picture is rendered: how long coding takes hardly depends on what a picture shows.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

MIB = 2**20


def rendered(width: int, height: int) -> Image.Image:
    """A smooth random landscape of colours with some grain, the same every time."""
    random = np.random.Generator(np.random.Philox(key=7))
    layers = np.zeros((height, width, 3))
    for cells, strength in ((4, 60), (16, 30), (64, 15)):
        noise = random.integers(0, 256, (cells, cells * width // height + 1, 3), np.uint8)
        layers += (
            strength
            / 128
            * (np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC), float) - 128)
        )
    return Image.fromarray((layers + 128 + random.normal(0, 4, layers.shape)).clip(0, 255).astype(np.uint8))


def median_seconds(work: Callable[[], object], repeats: int = 5, warm: int = 1) -> float:
    """Median wall time of `work`, after `warm` calls that do not count."""
    for _ in range(warm):
        work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


# A process of its own, because a child's peak memory begins with that of the process it was forked from.
STARTER = """
import resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
print(code, time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def process(*arguments: str, module: str = "osdcodec") -> tuple[float, float]:
    """Runs `python -m MODULE ARGUMENTS`; wall seconds and peak resident MiB of the process (Linux counts KiB)."""
    command = [sys.executable, "-c", STARTER, sys.executable, "-m", module, *arguments]
    code, seconds, peak = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    if code != "0":
        raise RuntimeError(f"{module} {' '.join(arguments)} ended with exit code {code}")
    return float(seconds), float(peak) / 1024


def measure() -> list[tuple[str, float, float, str]]:
    """(what, measured, budget, unit)"""
    from .. import weights
    from ..codec import Decoder, Encoder

    photo = rendered(768, 512)
    encoder, decoder = Encoder(device="cpu"), Decoder(device="cpu")
    data = encoder.encode(photo)
    rows = [
        ("encode 768x512, warm, with verification", median_seconds(lambda: encoder.encode(photo)), 0.7, "s"),
        ("decode 768x512, warm", median_seconds(lambda: decoder.decode(data)), 1.0, "s"),
    ]
    with tempfile.TemporaryDirectory() as folder:
        photo.save(source := f"{folder}/photo.png")
        rendered(3840, 2160).save(large := f"{folder}/large.png")
        for name, budget, arguments in (
            ("osdc encode", 2.5, ("encode", source, "-o", f"{folder}/photo.osd")),
            ("osdc info", 0.3, ("info", f"{folder}/photo.osd")),
            ("osdc decode", 2.5, ("decode", f"{folder}/photo.osd", "-o", f"{folder}/out.png")),
        ):
            runs = [process(*arguments) for _ in range(3)]
            rows.append((f"{name} 768x512, whole process", statistics.median(r[0] for r in runs), budget, "s"))
            rows.append((f"{name} 768x512, peak memory", max(r[1] for r in runs), 1024, "MiB"))
        process("encode", large, "-o", f"{folder}/large.osd")
        rows.append(
            ("osdc decode 3840x2160, peak memory", process("decode", f"{folder}/large.osd")[1], 3 * 1024, "MiB")
        )
    rows.append(("embedded weights", weights.load("small").path.stat().st_size / MIB, 24, "MiB"))
    return rows


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.evaluation.benchmark", description=__doc__)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="cuda: both profiles on a GPU")
    parser.add_argument("--eager", action="store_true", help="on a GPU: without torch.compile")
    options = parser.parse_args(arguments)
    table = Table("what", "measured", "bound", "")
    rows = on_gpu(compiled=not options.eager) if options.device == "cuda" else measure()
    for what, measured, bound, unit in rows:
        ahead = bound is not None and (measured >= bound if unit == "times" else measured <= bound)
        verdict = "" if bound is None else "ok" if ahead else "short" if unit == "times" else "over"
        table.add_row(what, f"{measured:.2f} {unit}", "" if bound is None else f"{bound:g} {unit}", verdict)
    Console().print(table)


def on_gpu(compiled: bool) -> list[tuple[str, float, float | None, str]]:
    from ..runtime import sees_cuda

    if not sees_cuda():
        sys.exit("osdc: no CUDA device can be used here: run this where torch sees a GPU")
    import torch

    from .. import weights
    from . import gpu

    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, 768x512, half precision", file=sys.stderr)
    return gpu.measure(gpu.random_turbo("cuda"), weights.load("small"), compiled=compiled)


if __name__ == "__main__":
    main()
