"""Which runtime `--device` stands for on this machine, in which precision, and why."""

from typing import NamedTuple

from ..devices import DEVICES
from ..errors import WeightsError
from ..extras import available, gpu_here, install, require
from .processor import bfloat16, int8

TITLES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "torch": "PyTorch"}
PRECISIONS = {
    "float": "single precision",
    "bf16": "bfloat16",
    "half": "half precision",
    "int8": "int8 where the model has it",
}

SHORT = {"bf16": "bfloat16", "int8": "int8"}  # names of precisions in messages


class Choice(NamedTuple):
    """What the networks run in."""

    runtime: str  # a key of TITLES
    precision: str  # a key of PRECISIONS
    place: str  # "cpu", "cuda", or for OpenVINO "gpu" or "npu"
    why: str  # for people

    def __str__(self) -> str:
        place = "the CPU" if self.place == "cpu" else self.place.upper()
        return f"{TITLES[self.runtime]} on {place}, {PRECISIONS[self.precision]}: {self.why}"


def choose(device: str, torch_only: bool = False) -> Choice:
    """Chooses what the networks run in.

    Args:
        device: One of DEVICES. "auto" takes a GPU if torch is installed and sees one, else OpenVINO in bfloat16 if it is
            installed and the processor has instructions for it, else ONNX Runtime, in int8 if the processor has
            instructions for that. OpenVINO in int8 is faster in a batch, but takes longer to start.
        torch_only: True for a profile whose networks only torch can run.

    Raises:
        ValueError: `device` has another name.
        OsdError: A package that it needs is not installed.
        WeightsError: There is no such device.
    """
    if device not in DEVICES:
        raise ValueError(f"device must be one of {', '.join(DEVICES)}, not {device}")
    if device == "auto":
        return _best(torch_only)
    told = "--device names it" if not torch_only else "the profile runs in PyTorch only"
    if device == "cuda":
        if not sees_cuda():
            raise WeightsError(
                f"no CUDA device can be used here: choose --device cpu, or get what a GPU needs by {install('torch')}"
            )
        return Choice("torch", "half", "cuda", told)
    if device == "cpu-bf16":
        require("half precision on a CPU", "torch")
        return Choice("torch", "bf16", "cpu", told)
    if torch_only:
        return Choice("torch", "bf16" if device == "openvino-bf16" else "float", "cpu", told)
    if not device.startswith("openvino"):
        return _told("onnxruntime", "int8" if device == "cpu-int8" else "float", told)
    require("coding in OpenVINO", "openvino")
    kind = device.removeprefix("openvino").removeprefix("-")
    if kind in ("gpu", "npu"):
        from .openvino import devices

        if kind.upper() not in devices():
            raise WeightsError(f"OpenVINO sees no {kind.upper()} here: choose --device auto")
        return Choice("openvino", "half", kind, told)
    return _told("openvino", kind or "float", told)


def _told(runtime: str, precision: str, told: str) -> Choice:
    """A precision that was named, or single precision if the processor has no instructions for it."""
    for known, found in (("bf16", bfloat16), ("int8", int8)):
        if precision == known and not found():
            return Choice(runtime, "float", "cpu", f"the processor has no instructions for {SHORT[known]}")
    return Choice(runtime, precision, "cpu", told)


def _best(torch_only: bool) -> Choice:
    if sees_cuda():
        return Choice("torch", "half", "cuda", "PyTorch sees a GPU")
    if torch_only:
        return Choice("torch", "float", "cpu", "PyTorch sees no GPU")
    half, whole = bfloat16(), int8()
    if half and available("openvino"):
        return Choice("openvino", "bf16", "cpu", f"the processor has {half}")
    if half:
        why = f"the processor has {half}, but OpenVINO is not installed: {install('openvino')}"
    else:
        why = f"the processor has {whole}" if whole else "the processor has no instructions for bfloat16 or int8"
    return Choice("onnxruntime", "int8" if whole else "float", "cpu", why)


def sees_cuda() -> bool:
    """Asks the driver before torch: importing torch takes seconds, and most machines have no GPU."""
    if not gpu_here():
        return False
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()
