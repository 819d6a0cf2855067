"""How much texture of each kind there is: deviations of VGG16's features, a distance that asks for the same kinds and not for the same pixels."""

import torch
from torch import Tensor
from torch.nn import functional as F

from .perceptual import Distance, Lpips


class Texture(Distance):
    """How unlike the deviations of VGG16's features are, in windows of 32 pixels and more: 1 - their similarity -> (B,).

    It asks for as much texture of each kind as there was, not for the same (as Wasserstein distortion does, Qiu et al., 2024).
    """

    def __init__(self) -> None:
        super().__init__()
        self.network = Lpips("vgg16")

    def features(self, x: Tensor) -> list[Tensor]:
        return self.network.features(x)

    def between(self, x: list[Tensor], y: list[Tensor]) -> Tensor:
        total = torch.zeros(len(x[0]), device=x[0].device)
        for stage, pair in enumerate(zip(x, y, strict=True)):
            side = max(4, 32 >> stage)
            ours, theirs = (deviation(part.float(), side) for part in pair)
            small = 0.01 * theirs.mean((0, 2, 3), keepdim=True) + 1e-6
            similarity = (2 * (ours * theirs + small * small).sqrt() + small) / (ours + theirs + 3 * small)
            total = total + (1 - similarity).mean((1, 2, 3)) / len(x)
        return total


def deviation(x: Tensor, side: int) -> Tensor:
    """Variance in windows of `side` positions, an even number, half of that apart: (B, C, H, W) -> (B, C, h, w)"""

    def mean(x: Tensor) -> Tensor:
        # In quarters: windows that overlap took an eighth of a step on a GPU, on their way back.
        return F.avg_pool2d(F.avg_pool2d(x, side // 2), 2, 1)

    return (mean(x * x) - mean(x).square()).clamp_min(0)
