"""A perceptual distance in the features of a small network: a loss in training, a metric in evaluation."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F


class PerceptualDistance(nn.Module):
    """Distance of two pictures (B, 3, H, W) in [-1, 1] in the features of a small VGG-like classifier -> (B,).

    Each stage's features are brought to unit length over channels; the squared difference is summed over channels and
    averaged over space (LPIPS, Zhang et al., 2018, with fixed weights per stage).
    """

    CHANNELS = (64, 128, 256, 384, 512)
    WEIGHTS = (0.1, 0.2, 0.3, 0.3, 0.3)
    POOLING = (None, F.avg_pool2d, F.avg_pool2d, F.max_pool2d, F.max_pool2d)

    def __init__(self, path: Path, stages: int = 5) -> None:
        super().__init__()
        self.stages, inputs = nn.ModuleList(), 3
        for channels in self.CHANNELS[:stages]:
            self.stages.append(
                nn.Sequential(
                    nn.Conv2d(inputs, channels, 3, padding=1, bias=False),
                    nn.BatchNorm2d(channels),
                    nn.ReLU(),
                    nn.Conv2d(channels, channels, 3, padding=1, bias=False),
                    nn.BatchNorm2d(channels),
                    nn.ReLU(),
                )
            )
            inputs = channels
        tensors = {key.removeprefix("st."): value.float() for key, value in load_file(path).items()}
        needed = [key for key in self.stages.state_dict() if not key.endswith("num_batches_tracked")]
        self.stages.load_state_dict({key: tensors[key] for key in needed}, strict=False)
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "PerceptualDistance":
        return super().train(False)  # the running statistics are part of the measure

    def features(self, x: Tensor) -> list[Tensor]:
        found = []
        for pool, stage in zip(self.POOLING, self.stages, strict=False):
            x = stage(pool(x, 2) if pool else x)
            found.append(F.normalize(x, dim=1))
        return found

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        with torch.no_grad():
            target = self.features(y)
        return self.between(self.features(x), target)

    def between(self, x: list[Tensor], y: list[Tensor]) -> Tensor:
        """The distance of two pictures, from their features."""
        pairs = zip(self.WEIGHTS, x, y, strict=False)
        parts = [weight * (a - b).square().sum(1).mean((1, 2)) for weight, a, b in pairs]
        return sum(parts[1:], parts[0])
