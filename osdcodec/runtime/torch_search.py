"""The graphs of the encoder's search in torch: on a GPU, in bfloat16 on a CPU, and as what the other runtimes are held against."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..metrics.perceptual import Features, alexnet, unit, vgg16
from ..metrics.texture import deviation
from ..weights import Weights
from ..weights.to_torch import load_model, open_tower

STAGES = 3  # of VGG16
LAYERS = {"alexnet": 5, "vgg16": 7}


class TorchNetworks:
    """Runs `look` and `distance` as training/export/search.py describes them.

    Args:
        weights: The model.
        tensors: Those of the search file, by name.
        device: Of torch.
        half: The networks run in bfloat16.
    """

    def __init__(
        self, weights: Weights, tensors: Mapping[str, np.ndarray], device: str = "cpu", half: bool = False
    ) -> None:
        self.device, self.half, self.tensors = torch.device(device), half, tensors
        model = load_model(weights)
        if weights.profile.decoder_semantics:
            open_tower(model)
        self.model = model.to(self.device).to(memory_format=torch.channels_last).requires_grad_(False).eval()
        networks = (alexnet(list(self._layers("alexnet"))), vgg16(list(self._layers("vgg16")), counts=(2, 2, 3)))
        self.alexnet, self.vgg16 = (Features(stages).to(self.device).eval() for stages in networks)

    def _layers(self, name: str) -> Iterator[tuple[Tensor, Tensor]]:
        for n in range(LAYERS[name]):
            kernel, bias = (torch.from_numpy(self.tensors[f"{name}.{n}.{part}"]) for part in ("weight", "bias"))
            yield kernel, bias

    def preload(self, *verbs: str) -> None:
        """One model has them all."""

    def fit(self, verb: str, **inputs: np.ndarray) -> None:
        """And for all sizes."""

    def run(self, verb: str, **inputs: np.ndarray) -> list[np.ndarray]:
        """The outputs of a graph for arrays by the names of its inputs."""
        given = {name: torch.from_numpy(array).to(self.device) for name, array in inputs.items()}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            found = self._look(given["x"]) if verb == "look" else self._distance(given)
        return [part.detach().float().cpu().numpy() for part in found]

    def _look(self, x: Tensor) -> list[Tensor]:
        with torch.no_grad():
            return [unit(part.float()) for part in self.alexnet(x)]

    def _distance(self, given: dict[str, Tensor]) -> list[Tensor]:
        model, x, tokens = self.model, given["x"], given["tokens"]
        values = given["values"].requires_grad_()
        z_c, condition = model.synthesise(values, tokens)
        z = model.denoise(z_c, condition, tokens, given["noise"], given["level"], given["alpha_bar"])
        x_hat = model.render(z).float()
        top, left, bottom, right = given["place"].tolist()
        place = ..., slice(top, bottom), slice(left, right)
        with torch.no_grad():
            theirs = [unit(part.float()) for part in self.vgg16(x[place])]
        ours = [unit(part.float()) for part in self.vgg16(x_hat[place])]
        seen = [unit(part.float()) for part in self.alexnet(x_hat)]
        parts = [
            F.mse_loss(x_hat, x),
            self._lpips("alexnet", seen, [given[f"features.{n}"] for n in range(len(seen))]),
            self._lpips("vgg16", ours, theirs),
            torch.stack(
                [_texture(*pair, max(4, 32 >> n)) for n, pair in enumerate(zip(ours, theirs, strict=True))]
            ).mean(),
        ]
        prices = [given[f"{name}_price"] for name in ("squared", "perceived", "near", "texture")]
        total = sum((price * part for price, part in zip(prices, parts, strict=True)), torch.zeros(1, device=x.device))
        return [*parts, torch.autograd.grad(total.sum(), values)[0]]

    def _lpips(self, name: str, ours: list[Tensor], theirs: list[Tensor]) -> Tensor:
        weights = [torch.from_numpy(self.tensors[f"{name}.linear.{n}"]).to(self.device) for n in range(len(ours))]
        stages = zip(weights, ours, theirs, strict=True)
        return torch.stack([(linear * (a - b).square()).sum(1).mean() for linear, a, b in stages]).sum()


def _texture(ours: Tensor, theirs: Tensor, side: int) -> Tensor:
    """A stage of metrics/texture.py."""
    a, b = deviation(ours, side), deviation(theirs, side)
    small = 0.01 * b.mean((0, 2, 3), keepdim=True) + 1e-6
    similarity = (2 * (a * b + small * small).sqrt() + small) / (a + b + 3 * small)
    return 1 - similarity.mean()
