"""The tests under several processors: `python -m osdcodec.checks.processors [-- ARGUMENTS OF PYTEST]`, in a checkout.

Libraries choose their arithmetic by what the processor can do, so sums round differently, and a test that holds what one machine gave
fails on another. Each setting caps what oneDNN (torch, OpenVINO), ATen (torch) and OpenBLAS (NumPy) may use, and sets the number of
threads. The libraries choose independently, so each value of the four is in a setting, the oldest and the newest kernels with one thread
and with several, but not every combination. A cap above what the processor has changes nothing: the first line says what it has. ONNX
Runtime's own kernels cannot be capped.

Only tests that can notice are run: those in files that name a network, a metric, a runtime, the encoder or the decoder, without those of
`STRUCTURE`. `--list` prints both lists. Ends with 1 if a test failed under any setting, and names it.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from ..console import run_command
from ..errors import OsdError
from .conformance import ROOT
from .exactness import THREADS

TESTS = ROOT / "tests"
FLOATS = re.compile(
    r"\b(torch|onnxruntime|openvino|compressai|Encoder|Decoder|LatentModel|TorchRuntime|OnnxRuntime|trained|metrics|ms_ssim|niqe)\b"
    r"|osdcodec\.(encode|decode)|weights\.load|\"(encode|decode)\""
)
# Files that run networks too, or name them, but hold nothing of what they compute: exit codes, names, tables, packages, sockets.
# They take half of the time.
STRUCTURE = (
    "test_ablations", "test_batch", "test_choice", "test_cli", "test_design", "test_downloads", "test_examples", "test_first_hour",
    "test_links", "test_manual", "test_packages", "test_papers", "test_ray", "test_recipe", "test_telemetry", "test_urls", "test_web",
)  # fmt: skip
SETTINGS = [  # oneDNN, ATen, OpenBLAS, threads
    ("AVX2", "avx2", "Haswell", 1),
    ("AVX2", "default", "SkylakeX", 4),
    ("AVX512_CORE_VNNI", "avx512", "Haswell", 2),  # where int8 is the fastest
    ("AVX512_CORE_BF16", "avx2", "SkylakeX", 2),
    ("AVX512_CORE_AMX", "avx512", "Haswell", 4),
    ("AVX512_CORE_AMX", "default", "SkylakeX", 1),
]


def environment(isa: str, aten: str, blas: str, threads: int) -> dict[str, str]:
    """What a setting adds to the environment of the tests."""
    caps = {"ONEDNN_MAX_CPU_ISA": isa, "ATEN_CPU_CAPABILITY": aten, "OPENBLAS_CORETYPE": blas}
    return caps | dict.fromkeys(THREADS, str(threads))


def chosen() -> tuple[list[Path], list[Path]]:
    """The test files whose result may depend on floating-point kernels, and the others."""
    files = sorted(TESTS.rglob("test_*.py"))
    floats = [path for path in files if path.stem not in STRUCTURE and FLOATS.search(path.read_text("utf-8"))]
    return floats, [path for path in files if path not in floats]


def failures(added: dict[str, str], arguments: list[str]) -> tuple[list[str], str]:
    """Runs the tests under one setting and returns the names of those that failed, and pytest's last line.

    Raises:
        OsdError: pytest could not run them.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-rfE", "--tb=short", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | added, capture_output=True, text=True)
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    last = (done.stdout.strip().splitlines() or [done.stderr[-500:]])[-1]
    if done.returncode not in (0, 1) or (done.returncode and not failed):
        raise OsdError(f"pytest ended with {done.returncode}: {last}")
    if failed:
        print(done.stdout[-20_000:], flush=True)
    return failed, last.strip("= ")


def abilities() -> str:
    """What of the settings this processor has, after Linux."""
    names = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX"}
    info = Path("/proc/cpuinfo")
    flags = set(info.read_text().split()) if info.exists() else set()
    return ", ".join(name for flag, name in names.items() if flag in flags) or "not known"


def main() -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.checks.processors", description=__doc__)
    parser.add_argument("--setting", type=int, action="append", help=f"1 to {len(SETTINGS)}; by default all")
    parser.add_argument("--list", action="store_true", help="print which test files are run, and which are not")
    parser.add_argument("tests", nargs="*", default=[], help="arguments of pytest, by default those files")
    options = parser.parse_args()
    floats, others = chosen()
    if options.list:
        print("run:", *(path.stem for path in floats), "\nnot run:", *(path.stem for path in others))
        return
    print(f"this processor has: {abilities()}", flush=True)
    failed = False
    for number in options.setting or range(1, len(SETTINGS) + 1):
        setting, start = SETTINGS[number - 1], time.monotonic()
        found, last = failures(environment(*setting), options.tests or [str(path) for path in floats])
        failed |= bool(found)
        name = "{}, ATen {}, OpenBLAS {}, threads: {}".format(*setting)
        print(f"{number}. {name}: {last}; {time.monotonic() - start:.0f} s", *found, sep="\n  ", flush=True)
    sys.exit(int(failed))


if __name__ == "__main__":
    run_command(main)
