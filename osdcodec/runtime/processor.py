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
# Flags of /proc/cpuinfo -> the level from which on oneDNN uses them, and what people call them.
_BFLOAT16 = {"amx_bf16": ("AVX512_CORE_AMX", "AMX"), "avx512_bf16": ("AVX512_CORE_BF16", "AVX512-BF16")}
# Older instructions for int8 add two products in 16 bits, where some sums do not fit.
_INT8 = {"avx512_vnni": ("AVX512_CORE_VNNI", "AVX512-VNNI"), "avx_vnni": ("AVX2_VNNI", "AVX-VNNI")}
# NumPy's names of what processors of one generation have -> flags: every Intel with AVX512_SPR has AMX and bfloat16 too.
_GENERATIONS = {
    "AVX512_SPR": ("amx_bf16", "avx512_bf16", "avx512_vnni"),
    "AVX512_ICL": ("avx512_vnni",),
    "AVX512_CLX": ("avx512_vnni",),
}


def bfloat16() -> str:
    """Returns the instructions by which bfloat16 is faster than single precision, "" if the processor has none."""
    return _first(_BFLOAT16)


def int8() -> str:
    """Returns the instructions by which int8 is faster than single precision and exact, "" if the processor has none."""
    return _first(_INT8)


def _first(known: dict[str, tuple[str, str]]) -> str:
    allowed = os.environ.get(VARIABLE, "").upper()
    for flag, (level, name) in known.items():
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
            features = import_module(module).__cpu_features__
            return frozenset(flag for name, flags in _GENERATIONS.items() if features.get(name) for flag in flags)
    return frozenset()
