"""Do files decode to the encoder's symbols, whatever the threads, and at what price? `python -m osdcodec.checks.exactness DIR`.

Every picture is encoded here at each lambda; processes with 1, 2 and 4 threads then decode the files' symbols, and their
digests are compared with those that the encoder held. The table tells what the files cost beyond the symbols: the bytes
around the payload, and those of the payload beyond the ideal code length of the integer tables.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .. import container, weights
from ..console import run_command
from ..image import open_image
from ..latent.coder import LatentModel, decode_symbols
from ..options import EncodeOptions
from ..rate_control import ANCHORS
from ..runtime import Machine

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
AROUND, SHARE, BYTES = 18, 0.005, 4  # budget: bytes around the payload; share and bytes over the ideal length


def digests(folder: Path) -> None:
    """Prints the digest of each .osd file's symbols, in order of names."""
    files = [container.unpack(path.read_bytes()) for path in sorted(folder.glob("*.osd"))]
    model = weights.for_model(files[0].model_id)
    prior = model.prior
    for osd in files:
        print(decode_symbols(osd, prior).digest())


def overhead(files: list[tuple[float, int, int, float]]) -> Table:
    """(lambda, bytes of the file, of its payload, ideal bytes) of each file -> a row per lambda."""
    view = Table("λ", "files", "around", "payload", "ideal", "over", "in budget", title="mean bytes")
    for lmbda in dict.fromkeys(file[0] for file in files):
        chosen = [file[1:] for file in files if file[0] == lmbda]
        whole, payload, ideal = (sum(column) / len(chosen) for column in zip(*chosen, strict=True))
        good = sum(w - p == AROUND and p <= i * (1 + SHARE) + BYTES for w, p, i in chosen)
        view.add_row(
            f"{lmbda:g}", f"{len(chosen)}", f"{whole - payload:.1f}", f"{payload:.1f}", f"{ideal:.1f}",
            f"{payload - ideal:.1f} ({payload / ideal - 1:.2%})", f"{good} of {len(chosen)}",
        )  # fmt: skip
    return view


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.checks.exactness", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--decode", action="store_true", help="print the digests of the .osd files of the folder, all of one model"
    )
    options = parser.parse_args(arguments)
    if options.decode:
        return digests(options.folder)
    model, expected, sizes = weights.load(), list[str](), list[tuple[float, int, int, float]]()
    coder = LatentModel(model, Machine("cpu"))
    with tempfile.TemporaryDirectory() as coded:
        for path in sorted(options.folder.glob("*.png")):
            picture = open_image(path)
            for lmbda in ANCHORS:
                osd, symbols = coder.code(picture, EncodeOptions(lmbda=lmbda, effort=0))
                data, ideal = container.pack(osd), sum(coder.prior.parts(symbols, osd.quality).values()) / 8
                Path(coded, f"{len(expected):05}.osd").write_bytes(data)
                expected.append(symbols.digest())
                sizes.append((lmbda, len(data), len(osd.payload), ideal))
        Console().print(overhead(sizes))
        for threads in ("1", "2", "4"):
            command = [sys.executable, "-m", "osdcodec.checks.exactness", coded, "--decode"]
            environment = os.environ | dict.fromkeys(THREADS, threads)
            found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()
            equal = sum(a == b for a, b in zip(expected, found, strict=True))
            print(f"{threads} thread(s): symbols of {equal} of {len(expected)} files are the encoder's")
            if equal < len(expected):
                sys.exit(1)


if __name__ == "__main__":
    run_command(main)
