"""The tests under several processors: `python -m osdcodec.checks.processors [-- ARGUMENTS OF PYTEST]`, in a checkout.

Libraries choose their arithmetic by what the processor can do, so sums round differently and a test that holds what one machine gave
fails on another. Here each setting caps what oneDNN (torch, OpenVINO), ATen (torch) and OpenBLAS (NumPy) may use, or changes the number
of threads. A cap above what the processor has changes nothing. Ends with 1 if a test failed under any setting, and names it.
"""

import argparse
import os
import re
import subprocess
import sys
import time

from ..console import run_command
from ..errors import OsdError
from .exactness import THREADS

SETTINGS = {
    "avx2, 1 thread": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "OPENBLAS_CORETYPE": "Haswell"},
    "avx512, 2 threads": {
        "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI",
        "ATEN_CPU_CAPABILITY": "avx512",
        "OPENBLAS_CORETYPE": "SkylakeX",
    },
    "bfloat16, 4 threads": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16", "OPENBLAS_CORETYPE": "SkylakeX"},
    "everything, 2 threads": {},
}


def failures(name: str, arguments: list[str]) -> list[str]:
    """Runs the tests under one setting and returns the names of those that failed.

    Raises:
        OsdError: pytest could not run them.
    """
    threads = dict.fromkeys(THREADS, found[1]) if (found := re.search(r"(\d+) thread", name)) else {}
    command = [sys.executable, "-m", "pytest", "-q", "-rfE", "--tb=no", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, env=os.environ | threads | SETTINGS[name], capture_output=True, text=True)
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    if done.returncode not in (0, 1) or (done.returncode and not failed):
        raise OsdError(f"pytest ended with {done.returncode}: {done.stdout.strip().splitlines()[-1:] or done.stderr}")
    return failed


def main() -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.checks.processors", description=__doc__)
    parser.add_argument("--setting", action="append", choices=SETTINGS, help="one of them; by default all")
    parser.add_argument("tests", nargs="*", default=[], help="arguments of pytest, by default all tests")
    options = parser.parse_args()
    failed = False
    for name in options.setting or SETTINGS:
        start = time.monotonic()
        found = failures(name, options.tests)
        failed |= bool(found)
        print(f"{name}: {len(found)} failed, {time.monotonic() - start:.0f} s", *found, sep="\n  ", flush=True)
    sys.exit(int(failed))


if __name__ == "__main__":
    run_command(main)
