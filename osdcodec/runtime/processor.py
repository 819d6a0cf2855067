"""What the processor can compute fast, without importing a library that takes long to start."""

import os
import platform
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path

# Instruction sets by the names that oneDNN gives them, from the smallest on; ONEDNN_MAX_CPU_ISA names the largest that it may use.
LEVELS = (
    "SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI", "AVX512_CORE_BF16", "AVX512_CORE_FP16",
    "AVX512_CORE_AMX", "AVX512_CORE_AMX_FP16",
)  # fmt: skip
VARIABLE = "ONEDNN_MAX_CPU_ISA"
_FLAGS = {  # of /proc/cpuinfo -> the level from which on oneDNN uses them, and what people call them
    "amx_bf16": ("AVX512_CORE_AMX", "AMX"),
    "avx512_bf16": ("AVX512_CORE_BF16", "AVX512-BF16"),
}


def bfloat16() -> str:
    """Returns the instructions by which bfloat16 is faster than single precision, "" if the processor has none."""
    allowed = os.environ.get(VARIABLE, "").upper()
    for flag, (level, name) in _FLAGS.items():
        if flag in _flags() and (allowed not in LEVELS or LEVELS.index(allowed) >= LEVELS.index(level)):
            return name
    return ""


@cache
def _flags() -> frozenset[str]:
    """The features of the first core. Where the system does not list them, those that NumPy asked the processor for."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return frozenset()
    try:
        with Path("/proc/cpuinfo").open() as file:
            line = next(line for line in file if line.startswith("flags"))
        return frozenset(line.split())
    except (OSError, StopIteration):
        pass
    for module in ("numpy._core._multiarray_umath", "numpy.core._multiarray_umath"):  # since NumPy 2, and before
        with suppress(ImportError, AttributeError):
            # Every processor of Intel with half precision of AVX512 has AMX and bfloat16 beside it.
            features = import_module(module).__cpu_features__
            return frozenset({"amx_bf16", "avx512_bf16"} if features.get("AVX512_SPR") else ())
    return frozenset()
