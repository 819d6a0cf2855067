"""Which runtime `--device` stands for on this machine, in which precision, and why."""

from typing import NamedTuple

from ..devices import DEVICES
from ..errors import WeightsError
from ..extras import available, gpu_here, install, require
from .processor import bfloat16

TITLES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "torch": "PyTorch"}
PRECISIONS = {"float": "single precision", "bf16": "bfloat16", "half": "half precision"}


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
            installed and the processor has instructions for it, else ONNX Runtime.
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
        return Choice("onnxruntime", "float", "cpu", told)
    require("coding in OpenVINO", "openvino")
    kind = device.removeprefix("openvino").removeprefix("-")
    if kind in ("gpu", "npu"):
        from .openvino import devices

        if kind.upper() not in devices():
            raise WeightsError(f"OpenVINO sees no {kind.upper()} here: choose --device auto")
        return Choice("openvino", "half", kind, told)
    if kind == "bf16" and not bfloat16():
        return Choice("openvino", "float", "cpu", "the processor has no instructions for bfloat16")
    return Choice("openvino", kind or "float", "cpu", told)


def _best(torch_only: bool) -> Choice:
    if sees_cuda():
        return Choice("torch", "half", "cuda", "PyTorch sees a GPU")
    if torch_only:
        return Choice("torch", "float", "cpu", "PyTorch sees no GPU")
    found = bfloat16()
    if found and available("openvino"):
        return Choice("openvino", "bf16", "cpu", f"the processor has {found}")
    if found:
        why = f"the processor has {found}, but OpenVINO is not installed: {install('openvino')}"
    else:
        why = "the processor has no instructions for bfloat16"
    return Choice("onnxruntime", "float", "cpu", why)


def sees_cuda() -> bool:
    """Asks the driver before torch: importing torch takes seconds, and most machines have no GPU."""
    if not gpu_here():
        return False
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()
