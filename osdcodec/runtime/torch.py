"""The four verbs through torch: on a GPU, and on the CPU as the reference for the ONNX graphs."""

import numpy as np
import torch
from torch import nn

from ..models import CodecModel
from ..weights import Weights
from ..weights.to_torch import load_model, open_tower
from .batching import Batching

# All networks run in one thread; in a batch of files the others code symbols, read and write meanwhile.
_NETWORKS = Batching()


class TorchRuntime:
    """Calls of several threads on arrays of one size run as a batch.

    half: in half precision, float16 on a GPU, where that is the default, bfloat16 on a CPU. compiled: networks compiled for each size of picture when it first comes,
    in minutes. model: in place of that of `weights`.
    """

    def __init__(
        self,
        weights: Weights | None,
        device: str = "cpu",
        half: bool | None = None,
        compiled: bool = False,
        model: CodecModel | None = None,
    ) -> None:
        if model is None:
            if weights is None:
                raise ValueError("weights or a model must be given")
            model = load_model(weights)
        if model.profile.pretrained:
            from ..models.turbo import merged

            merged(model)
        self.profile, self.device, self.compiled = model.profile, torch.device(device), compiled
        half = self.device.type != "cpu" if half is None else half
        self.dtype = torch.float16 if half and self.device.type != "cpu" else torch.float32
        self.mixed = half and self.device.type == "cpu"
        self.model = (
            model.to(self.device, self.dtype).to(memory_format=torch.channels_last).requires_grad_(False).eval()
        )
        if self.mixed:
            in_bfloat16(self.model)
        if compiled:
            mode = "reduce-overhead" if self.device.type == "cuda" else "default"  # the former records CUDA graphs
            for network in heavy(self.model):
                network.compile(mode=mode)

    def preload(self, *verbs: str) -> None:
        """One model has them all."""

    def analyse(self, x: np.ndarray, thumb: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple(self._run("analyse", x, thumb))

    def synthesise(self, y_hat: np.ndarray, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        z_c, condition = self._run("synthesise", y_hat, tokens.astype(np.int64))
        return z_c, condition

    def denoise(
        self,
        z_c: np.ndarray,
        condition: np.ndarray,
        tokens: np.ndarray,
        noise: np.ndarray,
        level: int,
        *seen: np.ndarray,
    ) -> np.ndarray:
        alpha_bar = np.full((1, 1, 1, 1), self.profile.alpha_bar(level), np.float32)
        levels = np.array([level], np.float32)
        (z_hat,) = self._run("denoise", z_c, condition, tokens.astype(np.int64), noise, levels, alpha_bar, *seen)
        return z_hat

    def render(self, z: np.ndarray) -> np.ndarray:
        (x,) = self._run("render", z)
        return x

    def _run(self, verb: str, *inputs: np.ndarray) -> list[np.ndarray]:
        return _NETWORKS.run(self._work, verb, *inputs, alone=self.compiled)  # which is for one shape

    @torch.inference_mode()
    def _work(self, verb: str, *inputs: np.ndarray) -> list[np.ndarray]:
        if verb == "analyse" or (verb == "denoise" and self.profile.decoder_semantics):
            open_tower(self.model)
        tensors = [torch.from_numpy(array).to(self.device) for array in inputs]
        tensors = [tensor.to(self.dtype) if tensor.is_floating_point() else tensor for tensor in tensors]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed):
            outputs = getattr(self.model, verb)(*tensors)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return [(tensor.float() if tensor.is_floating_point() else tensor).cpu().numpy() for tensor in outputs]


def in_bfloat16(model: nn.Module) -> None:
    """Halves the weights of what takes the time. Under autocast the rest stays in single precision, sums of large numbers above all."""
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            module.to(torch.bfloat16)


def heavy(model: CodecModel) -> list[nn.Module]:
    """The networks that take the time."""
    autoencoder = "vae" if model.profile.pretrained else "dc"
    names = [f"autoencoder.{autoencoder}.encoder", f"autoencoder.{autoencoder}.decoder", "denoiser.unet"]
    names += ["denoiser.control.net"] if model.profile.control else []
    return [model.analysis, model.synthesis, *map(model.get_submodule, names)]
