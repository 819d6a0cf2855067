"""Do files decode to the encoder's symbols, whatever the threads? `python -m osdcodec.evaluation.exactness DIR`.

Every picture is encoded here at each lambda; processes with 1 and with 2 threads then decode the files' symbols, and their
digests are compared with those that the encoder held.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from .. import container, weights
from ..codec import Encoder, decode_symbols
from ..entropy.prior import Prior
from ..image import open_image
from ..profile import ANCHORS

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def digests(folder: Path) -> None:
    """Prints the digest of each .osd file's symbols, in order of names."""
    files = [container.unpack(path.read_bytes()) for path in sorted(folder.glob("*.osd"))]
    model = weights.for_model(files[0].model_id)
    prior = Prior(model.tensors, model.profile)
    for osd in files:
        print(decode_symbols(osd, prior, model.profile).digest())


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.evaluation.exactness", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--decode", action="store_true", help="print the digests of the .osd files of the folder, all of one model"
    )
    options = parser.parse_args(arguments)
    if options.decode:
        return digests(options.folder)
    encoder, expected = Encoder(device="cpu"), []
    with tempfile.TemporaryDirectory() as coded:
        for path in sorted(options.folder.glob("*.png")):
            for lmbda in ANCHORS:
                osd, symbols = encoder.code(open_image(path), lmbda)
                Path(coded, f"{len(expected):05}.osd").write_bytes(container.pack(osd))
                expected.append(symbols.digest())
        for threads in ("1", "2"):
            command = [sys.executable, "-m", "osdcodec.evaluation.exactness", coded, "--decode"]
            environment = os.environ | dict.fromkeys(THREADS, threads)
            found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()
            equal = sum(a == b for a, b in zip(expected, found, strict=True))
            print(f"{threads} thread(s): symbols of {equal} of {len(expected)} files are the encoder's")
            if equal < len(expected):
                sys.exit(1)


if __name__ == "__main__":
    main()
