"""How the networks run: by bands through ONNX Runtime or OpenVINO on the CPU, whole pictures through torch on a GPU. Two verbs each:

analyse(x (1, 3, H, W) in [0, 1], progress)                        -> features (1, D, H/d, W/d)
synthesise(entries (1, D, h, w), [noise (1, 3, H, W)], progress)   -> x (1, 3, H, W), about in [-1, 1]
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from ..errors import WeightsError
from ..rate_control import Progress
from ..runtime import Choice, Machine, choose, open_graphs
from ..weights import Weights
from .bands import PATCHES, WHOLE, Bands
from .sizes import PATCH, Sizes

Array = np.ndarray[Any, Any]


class CodLiteNetworks(Protocol):
    def analyse(self, x: Array, progress: Progress | None = None) -> Array: ...

    def synthesise(self, entries: Array, noise: Sequence[Array] = (), progress: Progress | None = None) -> Array: ...


def open_networks(weights: Weights, sizes: Sizes, machine: Machine) -> CodLiteNetworks:
    """WeightsError if the device is "cuda" and there is none."""
    choice = choose(machine.device)
    if choice.runtime != "torch":
        return GraphNetworks(weights, sizes, choice, machine.threads)
    from ..extras import require

    require("coding in torch", "torch")
    return TorchNetworks(weights, sizes, choice.place, True, machine.compiled)


class GraphNetworks:
    def __init__(self, weights: Weights, sizes: Sizes, choice: Choice, threads: int | None = None) -> None:
        self.sizes, self.weights, self.sessions = sizes, weights, open_graphs(weights, choice, threads)

    def analyse(self, x: Array, progress: Progress | None = None) -> Array:
        if "encoder.0" not in self.weights.graphs:
            raise WeightsError(f"{self.weights.path} holds no encoder: it can only decode")
        return self._bands(progress, Bands.layers(self.sizes)[0]).analyse(x)

    def synthesise(self, entries: Array, noise: Sequence[Array] = (), progress: Progress | None = None) -> Array:
        return self._bands(progress, Bands.layers(self.sizes)[1]).synthesise(entries, *noise)

    def _bands(self, progress: Progress | None, layers: int) -> Bands:
        # Files of the first days, such as that of the conformance vectors, have no graphs of many layers.
        whole = WHOLE if "trunk" in self.weights.graphs else 0
        return Bands(self.sizes, self.sessions.run, self.weights.tensors, counted(progress, layers), whole=whole)


class TorchNetworks:
    """half: in bfloat16, as the authors run it; by default on a GPU."""

    def __init__(
        self, weights: Weights, sizes: Sizes, device: str = "cpu", half: bool | None = None, compiled: bool = False
    ) -> None:
        import torch

        from .networks import Networks

        self.torch, self.device = torch, torch.device(device)
        self.half = self.device.type != "cpu" if half is None else half
        with torch.device("meta"):
            self.model = Networks(sizes)
        names = self.model.state_dict().keys()
        state = {name: torch.from_numpy(weights.tensors[name]) for name in names if name in weights.tensors}
        if missing := names - state.keys():
            raise WeightsError(
                f"{weights.path} lacks the tensor {sorted(missing)[0]}: without an encoder use `device` cpu"
            )
        self.model.load_state_dict(state, assign=True)
        self.model.to(self.device).to(memory_format=torch.channels_last).eval().requires_grad_(False)
        if self.half and self.device.type == "cpu":  # on a GPU casting costs nothing
            from ..runtime.torch import in_bfloat16

            in_bfloat16(self.model)
        if compiled:
            self.model.trunk.compile()
            self.model.pixels.compile()
        elif self.device.type == "cpu":
            self.model.pixels.part = PATCHES * PATCH**2

    def analyse(self, x: Array, progress: Progress | None = None) -> Array:
        return self._run(self.model.analyse, x)

    def synthesise(self, entries: Array, noise: Sequence[Array] = (), progress: Progress | None = None) -> Array:
        return self._run(self.model.synthesise, entries, *noise)

    def _run(self, verb: Callable[..., Any], *inputs: Array) -> Array:
        torch = self.torch
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            given = (torch.from_numpy(np.ascontiguousarray(array)).to(self.device) for array in inputs)
            return verb(*given).float().cpu().numpy()


def counted(progress: Progress | None, layers: int) -> Callable[[], None]:
    """What is to be called after each layer so that `progress` hears which share of the work is done."""
    done = iter(range(1, layers + 1))
    return (lambda: progress(next(done) / layers)) if progress else lambda: None
