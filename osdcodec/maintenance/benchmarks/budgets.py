"""Times, memory and sizes beside their budgets: `python -m osdcodec.maintenance.benchmarks.budgets`.

The picture is rendered: how long coding takes hardly depends on what a picture shows.
"""

import argparse
import statistics
import sys
import tempfile

from rich.console import Console
from rich.table import Table

from ...console import run_command
from ...evaluation.timing import median_seconds, process, rendered

MIB = 2**20


def measure() -> list[tuple[str, float, float, str]]:
    """(what, measured, budget, unit)"""
    from ... import weights
    from ...codec import Decoder, Encoder

    photo = rendered(768, 512)
    encoder, decoder = Encoder(device="cpu"), Decoder(device="cpu")
    data = encoder.encode(photo, effort=0)
    rows = [
        (
            "encode 768x512, --effort 0, warm, with verification",
            median_seconds(lambda: encoder.encode(photo, effort=0)),
            0.5,
            "s",
        ),
        ("decode 768x512, warm", median_seconds(lambda: decoder.decode(data)), 0.6, "s"),
    ]
    with tempfile.TemporaryDirectory() as folder:
        photo.save(source := f"{folder}/photo.png")
        rendered(3840, 2160).save(large := f"{folder}/large.png")
        for name, budget, arguments in (
            ("osdc encode", 3.0, ("encode", source, "-o", f"{folder}/photo.osd")),
            ("osdc info", 0.3, ("info", f"{folder}/photo.osd")),
            ("osdc decode", 1.5, ("decode", f"{folder}/photo.osd", "-o", f"{folder}/out.png")),
        ):
            runs = [process(*arguments) for _ in range(3)]
            rows.append((f"{name} 768x512, whole process", statistics.median(r[0] for r in runs), budget, "s"))
            rows.append(
                (
                    f"{name} 768x512, peak memory",
                    max(r[1] for r in runs),
                    1536 if name == "osdc encode" else 1024,
                    "MiB",
                )
            )
        process("encode", large, "-o", f"{folder}/large.osd")
        rows.append(
            (
                "osdc decode 3840x2160, peak memory",
                process("decode", f"{folder}/large.osd", "-o", f"{folder}/whole.png")[1],
                3 * 1024,
                "MiB",
            )
        )
    rows.append(("embedded weights", weights.load("small").path.stat().st_size / MIB, 32, "MiB"))
    return rows


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.maintenance.benchmarks.budgets", description=__doc__)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="cuda: both profiles on a GPU")
    parser.add_argument("--eager", action="store_true", help="on a GPU: without torch.compile")
    options = parser.parse_args(arguments)
    table = Table("what", "measured", "bound", "")
    rows = on_gpu(compiled=not options.eager) if options.device == "cuda" else measure()
    for what, measured, bound, unit in rows:
        shown = ["", ""] if bound is None else [f"{bound:g} {unit}", _state(measured, bound, unit)]
        table.add_row(what, f"{measured:.2f} {unit}", *shown)
    Console().print(table)


def _state(measured: float, bound: float, unit: str) -> str:
    """How a figure stands to its bound, which "times" must reach and everything else must not exceed."""
    if unit == "times":
        return "ok" if measured >= bound else "short"
    return "ok" if measured <= bound else "over"


def on_gpu(compiled: bool) -> list[tuple[str, float, float | None, str]]:
    from ...runtime import sees_cuda

    if not sees_cuda():
        sys.exit("osdc: no CUDA device can be used here: run this where torch sees a GPU")
    import torch

    from ... import weights
    from . import gpu

    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, 768x512, half precision", file=sys.stderr)
    return gpu.measure(gpu.random_turbo("cuda"), weights.load("small"), compiled=compiled)


if __name__ == "__main__":
    run_command(main)
