"""Time, memory and size of profile cod-lite with random numbers of the published sizes: `python -m osdcodec.maintenance.benchmarks.cod_lite`.

What pictures look like needs the published weights, which are not part of the package; how long they take does not.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors.numpy import save_file
from torch.utils.flop_counter import FlopCounterMode

from ... import weights
from ...checks.conformance import distance
from ...cod_lite.checkpoint import weights_file
from ...cod_lite.coder import CodLiteModel
from ...cod_lite.networks import Networks
from ...cod_lite.runtime import TorchNetworks
from ...cod_lite.sizes import Sizes
from ...console import run_command
from ...evaluation.timing import process, rendered
from ...runtime import Machine
from ...weights import registry
from ...weights.writer import registry_text

MIB = 2**20
SIZES = ((768, 512), (1920, 1080), (3840, 2160))
BUDGETS = {"768x512 decode, ONNX": 0.7, "768x512 decode, torch, bfloat16": 0.7, "768x512 decode, MiB": 1536.0}
# Of the pixels, 0 to 255: root of the mean squared difference to what ONNX Runtime makes.
TOLERANCES = {"torch": 0.5, "torch, bfloat16": 2.0}
LARGEST_IN_TORCH = 1920  # above, torch needs more than 8 GiB for an encoder over the whole picture


def model(folder: Path, stride: int = 16, entries: int = 256) -> weights.Weights:
    """The weights file of a model of these sizes, every tensor filled, and the list that names it."""
    sizes = Sizes(stride=stride, entries=entries)
    torch.manual_seed(0)
    networks = Networks(sizes).eval().requires_grad_(False)
    save_file(weights_file(sizes, torch.randn(entries, sizes.dimension), networks), folder / "random.safetensors")
    entry = weights.entry(folder / "random.safetensors", "cod-lite") | {"bpp": sizes.bpp, "rate": f"{sizes.bpp:.4f}"}
    (folder / registry.NAME).write_text(registry_text([entry], ""), "utf-8")
    return weights.load("cod-lite", folder)


def timed(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Least wall time and least processor time of all threads, in seconds, after one call that does not count."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter(), time.process_time()
        work()
        times.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    wall, processor = (min(column) for column in zip(*times, strict=True))
    return wall, processor


def least(sizes: Sizes, width: int, height: int) -> float:
    """Processor seconds that the products of decoding take at the rate of one large product of matrices, in single precision."""
    with torch.device("meta"):
        networks = Networks(sizes)
        entries = torch.zeros(1, sizes.dimension, height // sizes.stride, width // sizes.stride)
    with FlopCounterMode(display=False) as counter:
        networks.synthesise(entries)
    square = torch.randn(1024, 1024)
    _, seconds = timed(lambda: square @ square, 20)
    return seconds * counter.get_total_flops() / (2 * len(square) ** 3)


def measure(
    folder: Path, sizes: list[tuple[int, int]], repeats: int
) -> Iterator[tuple[str, str, float, str, float | None]]:
    """(picture, what, measured, unit, budget)"""
    made = model(folder)
    yield "", "weights file", made.path.stat().st_size / MIB, "MiB", None
    coder = CodLiteModel(made, Machine("cpu"))
    yield "768x512", "decode, products alone, processor time", least(coder.sizes, 768, 512), "s", None
    runtimes = {
        "ONNX": coder.networks,
        "torch": TorchNetworks(made, coder.sizes),
        "torch, bfloat16": TorchNetworks(made, coder.sizes, half=True),
    }
    for width, height in sizes:
        size, photo = f"{width}x{height}", rendered(width, height)
        photo.save(source := f"{folder}/{size}.png")
        options = "--profile", "cod-lite", "--weights-dir", str(folder), "--device", "cpu"
        for verb, arguments in (
            ("encode", ("encode", source, "-o", f"{folder}/{size}.osd", *options)),
            ("decode", ("decode", f"{folder}/{size}.osd", "-o", f"{folder}/{size}-out.png", *options[2:])),
        ):
            seconds, peak = process(*arguments)
            yield size, f"osdc {verb}, whole process", seconds, "s", None
            yield size, f"osdc {verb}, peak memory", peak, "MiB", BUDGETS.get(f"{size} {verb}, MiB")
        yield size, "file", Path(folder, f"{size}.osd").stat().st_size, "bytes", None
        if width > LARGEST_IN_TORCH:
            continue
        coder.networks = runtimes["ONNX"]
        osd, indices = coder.encode(photo, (), None)
        expected = coder.reconstruct(osd, indices)
        for name, runtime in runtimes.items():
            coder.networks = runtime
            for verb, work in (
                ("encode", lambda photo=photo: coder.encode(photo, (), None)),
                ("decode", lambda osd=osd, indices=indices: coder.reconstruct(osd, indices)),
            ):
                wall, processor = timed(work, repeats)
                yield size, f"{verb}, warm, {name}", wall, "s", BUDGETS.get(f"{size} {verb}, {name}")
                yield size, f"{verb}, warm, {name}, processor time", processor, "s", None
            if name != "ONNX":
                rmse, _ = distance(coder.reconstruct(osd, indices), expected)
                yield size, f"decode, {name}, RMSE from ONNX", rmse, "of 255", TOLERANCES[name]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.maintenance.benchmarks.cod_lite", description=__doc__)
    parser.add_argument("--largest", type=int, default=3840, help="the widest picture of those that are measured")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        chosen = [size for size in SIZES if size[0] <= options.largest]
        for picture, what, measured, unit, bound in measure(Path(folder), chosen, options.repeats):
            state = ""
            if bound is not None:
                state = f"{'within' if measured <= bound else 'over'} {bound:g} {unit}"
            shown = f"{measured:.2f}" if unit in ("s", "of 255") else f"{measured:,.0f}"
            print(f"{picture:10} {what:48} {shown:>8} {unit:7}{state}", flush=True)


if __name__ == "__main__":
    run_command(main)
