"""How the float networks run. Both runtimes have the same four verbs, on NumPy arrays:

analyse(x (1, 3, H, W), thumb (1, 3, t, t))      -> y (1, C_y, h, w), hyper (1, C_h, hh, hw), tokens (1, K) and, with a base, its codes (1, hb, wb)
synthesise(y_hat (1, C_y, h, w), tokens (1, K))  -> z_c (1, C_z, H/f, W/f), condition (1, C_c, H/f, W/f)
denoise(z_c, condition, tokens, noise, level)    -> z_hat (1, C_z, H/f, W/f); decoder semantics want D(z_c) and its thumbnail, as x and thumb above
render(z (1, C_z, H/f, W/f))                     -> x (1, 3, H, W)
"""

import warnings
from typing import NamedTuple, Protocol

import numpy as np

from ..errors import OsdWarning, WeightsError
from ..extras import gpu_here, install, require
from ..weights import Weights


class Runtime(Protocol):
    def preload(self, *verbs: str) -> None:
        """That these verbs will be asked for, in this order."""

    def analyse(self, x: np.ndarray, thumb: np.ndarray) -> tuple[np.ndarray, ...]: ...

    def synthesise(self, y_hat: np.ndarray, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]: ...

    def denoise(
        self,
        z_c: np.ndarray,
        condition: np.ndarray,
        tokens: np.ndarray,
        noise: np.ndarray,
        level: int,
        *seen: np.ndarray,
    ) -> np.ndarray: ...

    def render(self, z: np.ndarray) -> np.ndarray: ...


class Machine(NamedTuple):
    """What the networks run on, and how."""

    device: str = "auto"  # or another of DEVICES
    compiled: bool = False  # what torch runs is compiled first
    # Of ONNX Runtime for a picture; by default as many as OMP_NUM_THREADS says, or as there are cores.
    threads: int | None = None


DEVICES = "auto", "cpu", "cpu-bf16", "cuda", "openvino", "openvino-bf16"
HALF = "-bf16"  # ends the name of a device on which torch or OpenVINO runs in bfloat16


def open_runtime(weights: Weights, machine: Machine) -> Runtime:
    """ONNX Runtime on the CPU, torch on a GPU, and in half precision on a CPU. A profile without graphs runs in torch anywhere.

    WeightsError if the device is "cuda" and there is none.
    """
    device = chosen(machine.device)
    if device == "cpu" and not weights.profile.bases:
        from .onnx import OnnxRuntime

        if machine.compiled:
            text = "nothing is compiled, for ONNX Runtime has the networks; --compile needs --device cuda or cpu-bf16"
            warnings.warn(text, OsdWarning, stacklevel=2)
        return OnnxRuntime(weights, machine.threads)
    if device.startswith("openvino") and not weights.profile.bases:
        from .openvino import OpenVinoRuntime

        return OpenVinoRuntime(weights, machine.threads, "bf16" if device.endswith(HALF) else "float")
    require("coding in torch", "torch", "diffusers", "open_clip", *(["peft"] if weights.profile.bases else []))
    from .torch import TorchRuntime

    return TorchRuntime(weights, device.removesuffix(HALF), device != "cpu", machine.compiled)


def chosen(device: str) -> str:
    """What to run on, cpu, cpu-bf16 or cuda: `auto` takes a GPU only if torch is there and sees one. WeightsError for "cuda" without
    one, OsdError for "cpu-bf16" without torch, ValueError for another name."""
    if device not in DEVICES:
        raise ValueError(f"device must be one of {', '.join(DEVICES)}, not {device}")
    if device.startswith("openvino"):
        require("coding in OpenVINO", "openvino")
        return device
    if device.endswith(HALF):
        require("half precision on a CPU", "torch")
        return device
    if device == "cpu" or (device == "auto" and not sees_cuda()):
        return "cpu"
    if not sees_cuda():
        raise WeightsError(
            f"no CUDA device can be used here: choose --device cpu, or get what a GPU needs by {install('torch')}"
        )
    return "cuda"


def sees_cuda() -> bool:
    """Asks the driver before torch: importing torch takes seconds, and most machines have no GPU."""
    if not gpu_here():
        return False
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()
