"""osdc beside other codecs in one run: `python -m osdcodec.maintenance.benchmarks.peers [--threads 1 --threads 2]`.

Of each codec a process of its own encodes and decodes one rendered picture of 768x512: warm is the shortest time in that process, first
is from its start to the first picture, imports and loading included. CompressAI's models have random weights, which take the same time;
what is not installed is left out, and named.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, cast

from rich.console import Console
from rich.table import Table

from ...console import run_command
from ...devices import Device
from ...evaluation.timing import rendered
from ...extras import available
from ...runtime.processor import bfloat16

Coding = tuple[Callable[[], object], Callable[[Any], object]]  # encode() -> data, decode(data)
OSDC = ["cpu", "openvino", "openvino-bf16"]
COMPRESSAI = ["bmshj2018_factorized", "mbt2018_mean", "cheng2020_anchor"]
PILLOW = {"JPEG": {"quality": 10}, "WEBP": {"quality": 5}, "AVIF": {"quality": 20}, "JXL": {"quality": 20}}
SIZE = 768, 512


def codecs() -> dict[str, str]:
    """Name -> why it cannot be measured here, "" if it can."""
    found = {f"osdc {device}": "" for device in OSDC}
    if not available("openvino"):
        found |= {f"osdc {device}": "openvino is not installed" for device in OSDC[1:]}
    elif not bfloat16():
        found["osdc openvino-bf16"] = "the processor has no bfloat16"
    found |= {name: "" if available("compressai") else "compressai is not installed" for name in COMPRESSAI}
    found |= dict.fromkeys(PILLOW, "")
    if not available("pillow_jxl"):
        found["JXL"] = "pillow_jxl is not installed"
    return found


def coding(name: str, threads: int) -> Coding:
    """How a codec turns the picture into data and back."""
    picture = rendered(*SIZE)
    if name.startswith("osdc "):
        from ...codec import Decoder, Encoder

        device = cast(Device, name.removeprefix("osdc "))
        encoder, decoder = Encoder(device=device), Decoder(device=device)
        return lambda: encoder.encode(picture, effort=0), lambda data: decoder.decode(data)
    if name in PILLOW:
        from PIL import Image

        if name == "JXL":
            import pillow_jxl  # noqa: F401  # registers itself

        def encode() -> object:
            buffer = io.BytesIO()
            picture.save(buffer, name, **PILLOW[name])
            return buffer.getvalue()

        return encode, lambda data: Image.open(io.BytesIO(data)).convert("RGB")
    import numpy as np
    import torch
    from compressai import zoo

    torch.set_num_threads(threads)
    model = getattr(zoo, name)(quality=1, pretrained=False).eval()
    model.update()
    x = torch.from_numpy(np.asarray(picture, np.float32) / 255).permute(2, 0, 1)[None]

    def compress() -> object:
        with torch.inference_mode():
            return model.compress(x)

    def decompress(made: dict) -> object:
        with torch.inference_mode():
            return model.decompress(made["strings"], made["shape"])

    return compress, decompress


def one(name: str, threads: int, repeats: int) -> dict[str, float]:
    """Seconds of a codec, in this process."""
    encode, decode = coding(name, threads)
    data = encode()
    first = time.time()
    decode(data)
    row = {"first_encode": first, "first_decode": time.time()}
    for what, run in (("encode", encode), ("decode", lambda: decode(data))):
        for _ in range(repeats):
            start = time.perf_counter()
            run()
            row[what] = min(time.perf_counter() - start, row.get(what, float("inf")))
    return row


def as_process(name: str, threads: int, repeats: int) -> dict[str, float]:
    """The same in a process of its own, on so many cores."""
    cores = sorted(os.sched_getaffinity(0))[:threads]
    environ = os.environ | {"OMP_NUM_THREADS": str(threads)}
    command = ["taskset", "-c", ",".join(map(str, cores)), sys.executable, "-W", "ignore", "-m", __spec__.name]
    start = time.time()
    found = subprocess.run(
        [*command, "--one", name, "--threads", str(threads), "--repeats", str(repeats)],
        env=environ, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    row = json.loads(found.stdout.splitlines()[-1])
    return row | {key: row[key] - start for key in ("first_encode", "first_decode")}


def main() -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.maintenance.benchmarks.peers", description=__doc__)
    parser.add_argument("--threads", type=int, action="append", help="(default: 1, then 2)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    counts = options.threads or [1, 2]
    if options.one:
        print(json.dumps(one(options.one, counts[0], options.repeats)))
        return
    table = Table("codec", "threads", "encode / s", "decode / s", "first encode / s", "both, first / s")
    for name, lacking in codecs().items():
        if lacking:
            table.add_row(name, "", lacking, "", "", "")
            continue
        for threads in counts:
            row = as_process(name, threads, options.repeats)
            told = (row[key] for key in ("encode", "decode", "first_encode", "first_decode"))
            table.add_row(name, f"{threads}", *(f"{seconds:.3f}" for seconds in told))
    Console(width=100).print(table)


if __name__ == "__main__":
    run_command(main)
