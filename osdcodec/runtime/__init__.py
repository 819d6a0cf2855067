"""How the float networks run. All runtimes have the same four verbs, on NumPy arrays:

analyse(x (1, 3, H, W), thumb (1, 3, t, t))      -> y (1, C_y, h, w), hyper (1, C_h, hh, hw), tokens (1, K) and, with a base, its codes (1, hb, wb)
synthesise(y_hat (1, C_y, h, w), tokens (1, K))  -> z_c (1, C_z, H/f, W/f), condition (1, C_c, H/f, W/f)
denoise(z_c, condition, tokens, noise, level)    -> z_hat (1, C_z, H/f, W/f); decoder semantics want D(z_c) and its thumbnail, as x and thumb above
render(z (1, C_z, H/f, W/f))                     -> x (1, 3, H, W)
"""

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from ..errors import OsdWarning, PackageError
from ..extras import available, require
from ..weights import Weights
from .choice import TITLES, Choice, choose, sees_cuda

__all__ = [
    "Choice", "Machine", "Runtime", "choose", "open_graphs", "open_runtime", "sees_cuda",
]  # fmt: skip

if TYPE_CHECKING:
    from .graphs import GraphRuntime


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

    device: str = "auto"  # or another name of devices.py
    compiled: bool = False  # what torch runs is compiled first
    # Of ONNX Runtime or OpenVINO for a picture; by default as many as OMP_NUM_THREADS says, or as there are cores.
    threads: int | None = None


def open_runtime(weights: Weights, machine: Machine) -> Runtime:
    """Opens what `choose` takes. A profile without graphs runs in torch anywhere.

    WeightsError if the device is "cuda" and there is none.
    """
    choice = choose(machine.device, bool(weights.profile.pretrained))
    if choice.runtime != "torch":
        if machine.compiled:
            text = f"nothing is compiled, for {TITLES[choice.runtime]} has the networks; --compile needs --device cuda or cpu-bf16"
            warnings.warn(text, OsdWarning, stacklevel=2)
        return open_graphs(weights, choice, machine.threads)
    require("coding in torch", "torch", "diffusers", "open_clip", *(["peft"] if weights.profile.pretrained else []))
    from .torch import TorchRuntime

    return TorchRuntime(weights, choice.place, choice.precision != "float", machine.compiled)


def open_graphs(weights: Weights, choice: Choice, threads: int | None) -> "GraphRuntime[Any]":
    """Opens a runtime of ONNX graphs. A model without graphs in int8 runs in single precision where the choice is int8.

    Raises:
        PackageError: ONNX Runtime is chosen and not installed.
    """
    if choice.precision == "int8":
        from ..weights.int8 import with_int8

        weights = with_int8(weights, choice.runtime)
    if choice.runtime == "openvino":
        from .openvino import OpenVinoRuntime

        return OpenVinoRuntime(weights, threads, choice.precision, choice.place.upper())
    if not available("onnxruntime"):
        raise PackageError(
            "encoding and decoding pictures needs ONNX Runtime, which is not installed: pip install onnxruntime "
            "(64-bit Linux with glibc, macOS, Windows), or choose another --device"
        )
    from .onnx import OnnxRuntime

    return OnnxRuntime(weights, threads)
