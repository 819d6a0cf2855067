"""The four verbs through torch: on a GPU, and on the CPU as the reference for the ONNX graphs."""

import numpy as np
import torch

from ..models import CodecModel
from ..weights import Weights


class TorchRuntime:
    def __init__(self, weights: Weights, device: str = "cpu") -> None:
        self.profile, self.device = weights.profile, torch.device(device)
        self.model = load_model(weights).to(self.device).eval()

    def analyse(self, x: np.ndarray, thumb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        y, hyper, tokens = self._run("analyse", x, thumb)
        return y, hyper, tokens

    def synthesise(self, y_hat: np.ndarray, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        z_c, condition = self._run("synthesise", y_hat, tokens.astype(np.int64))
        return z_c, condition

    def denoise(
        self, z_c: np.ndarray, condition: np.ndarray, tokens: np.ndarray, noise: np.ndarray, level: int
    ) -> np.ndarray:
        alpha_bar = np.full((1, 1, 1, 1), self.profile.alpha_bar(level), np.float32)
        levels = np.array([level], np.float32)
        (z_hat,) = self._run("denoise", z_c, condition, tokens.astype(np.int64), noise, levels, alpha_bar)
        return z_hat

    def render(self, z: np.ndarray) -> np.ndarray:
        (x,) = self._run("render", z)
        return x

    @torch.inference_mode()
    def _run(self, verb: str, *inputs: np.ndarray) -> list[np.ndarray]:
        outputs = getattr(self.model, verb)(*(torch.from_numpy(array).to(self.device) for array in inputs))
        return [tensor.cpu().numpy() for tensor in (outputs if isinstance(outputs, tuple) else (outputs,))]


def load_model(weights: Weights) -> CodecModel:
    """The torch model of a weights file, prior included: training resumes from it."""
    model = CodecModel(weights.profile)
    names = model.state_dict().keys()
    state = {name: torch.from_numpy(np.array(t)) for name, t in weights.tensors.items() if name in names}
    missing = model.load_state_dict(state, strict=False).missing_keys
    model.prior.load(weights.tensors)
    with torch.no_grad():
        for name in ("latent", "inverse", "hyper"):
            getattr(model.gains, name).copy_(torch.from_numpy(np.log(weights.tensors[f"gains.{name}"])))
    assert all(name.startswith("prior.") for name in missing), missing
    return model
