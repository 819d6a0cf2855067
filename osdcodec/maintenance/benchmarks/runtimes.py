"""Each runtime beside today's goals, in one run: `python -m osdcodec.maintenance.benchmarks.runtimes`. Ends with 1 if a goal is missed.

The runtimes take turns, and of each the shortest time counts: other work on the machine delays all alike. The goals are for two free
cores, and depend on what the processor has; ONEDNN_MAX_CPU_ISA lowers that. Encoding is without the search.
"""

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console
from rich.table import Table

from ...console import run_command
from ...devices import Device
from ...evaluation.timing import process, rendered
from ...extras import available
from ...runtime.processor import bfloat16, int8

BATCH, CORES = 16, 2
OLD: Final = "cpu"  # ONNX Runtime in single precision, to which the others are compared
VERBS = "decode", "encode", "preview"


class Goal(NamedTuple):
    """At most so many seconds, or so much of the time of ONNX Runtime."""

    what: str
    seconds: float = math.inf
    share: float = math.inf


AMX = [Goal("decode", 0.13), Goal("encode", 0.10), Goal("preview", 0.03), Goal("batch", 0.1)]
FAST = [Goal("decode", 0.2)]
GOALS = {"AMX": AMX, "AVX512-BF16": FAST, "AVX512-VNNI": FAST, "AVX-VNNI": FAST, "": [Goal("decode", share=0.6)]}
PROCESS = Goal("process", 0.8)  # osdc decode with compiled networks in the cache


def measure(devices: list[Device], repeats: int, cores: int) -> dict[str, dict[str, float]]:
    """Device -> seconds of each verb at 768x512 and of a process, and of a picture in a batch."""
    from ...codec import Decoder, Encoder

    photo = rendered(768, 512)
    found: dict[str, dict[str, float]] = {device: {} for device in devices}
    work: dict[str, dict[str, Callable[[], object]]] = {}
    for device in devices:
        encoder, decoder = Encoder(device=device), Decoder(device=device)
        data = encoder.encode(photo, effort=0)
        work[device] = {
            "decode": partial(decoder.decode, data),
            "encode": partial(encoder.encode, photo, effort=0),
            "preview": partial(decoder.decode, data, preview=True),
        }
        for run in work[device].values():
            run()
    for _ in range(repeats):
        for device in devices:
            for verb in VERBS:
                _keep(found[device], verb, _seconds(work[device][verb]))
    with tempfile.TemporaryDirectory() as folder:
        photo.save(f"{folder}/photo.png")
        process("encode", f"{folder}/photo.png", "-o", f"{folder}/photo.osd", "--device", OLD, "--effort", "0")
        data = Path(folder, "photo.osd").read_bytes()
        command = ("decode", f"{folder}/photo.osd", "-o", f"{folder}/out.png", "--device")
        for device in devices:
            process(*command, device)  # fills the cache
        for _ in range(max(2, repeats // 3)):
            for device in devices:
                _keep(found[device], "process", process(*command, device)[0])
    for device in devices:
        decoder = Decoder(device=device, threads=1)
        with ThreadPoolExecutor(cores) as pool:
            list(pool.map(decoder.decode, [data] * cores))
            for _ in range(2):
                seconds = _seconds(partial(_all, pool, decoder.decode, [data] * BATCH))
                _keep(found[device], "batch", seconds / BATCH)
    return found


def _all(pool: ThreadPoolExecutor, work: Callable[[bytes], object], files: list[bytes]) -> None:
    list(pool.map(work, files))


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _keep(row: dict[str, float], name: str, seconds: float) -> None:
    row[name] = min(seconds, row.get(name, seconds))


def missed(found: dict[str, dict[str, float]]) -> list[str]:
    """What the fastest runtime does not reach."""
    wanted, lines = [*GOALS[bfloat16() or int8()], PROCESS], []
    for goal in wanted:
        device, seconds = min(((device, row[goal.what]) for device, row in found.items()), key=lambda pair: pair[1])
        most = min(goal.seconds, goal.share * found[OLD][goal.what])
        if seconds > most:
            lines.append(f"{goal.what}: {seconds:.3f} s in {device}, at most {most:.3f}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.maintenance.benchmarks.runtimes", description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--cores", type=int, default=CORES, help="that the batch is decoded on")
    options = parser.parse_args()
    possible: dict[Device, bool] = {
        OLD: True,
        "cpu-int8": bool(int8()),
        "openvino": available("openvino"),
        "openvino-bf16": available("openvino") and bool(bfloat16()),
        "openvino-int8": available("openvino") and bool(int8()),
    }
    devices = [device for device, there in possible.items() if there]
    found = measure(devices, options.repeats, options.cores)
    names = [*VERBS, "process", "batch"]
    table = Table("device", *(f"{name} / s" for name in names), title=f"768x512, {bfloat16() or int8() or 'AVX2'}")
    for device, row in found.items():
        table.add_row(device, *(f"{row[name]:.3f} ({row[name] / found[OLD][name]:.2f})" for name in names))
    Console(width=110).print(table)
    if lines := missed(found):
        sys.exit("missed: " + "; ".join(lines))


if __name__ == "__main__":
    run_command(main)
