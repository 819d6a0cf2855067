"""Losses that look at pictures: perceptual distance, hinge adversarial loss, MS-SSIM."""

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
        """The distance of two pictures of which the features are already known."""
        pairs = zip(self.WEIGHTS, x, y, strict=False)
        return sum(weight * (a - b).square().sum(1).mean((1, 2)) for weight, a, b in pairs)


class Discriminator(nn.Module):
    """(B, 3, H, W) in [-1, 1], condition (B, C_z, H/16, W/16) -> realism of each 16x16 patch (B, 1, H/16, W/16).

    A patch discriminator with spectral norm that sees the coarse latent as well (HiFiC, Mentzer et al., 2020).
    """

    def __init__(self, condition: int, width: int = 32) -> None:
        super().__init__()

        def layer(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Module:
            return nn.utils.parametrizations.spectral_norm(
                nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2)
            )

        self.picture = nn.Sequential(
            nn.PixelUnshuffle(2),
            layer(12, width, 3, 1),
            nn.LeakyReLU(0.2),
            layer(width, 2 * width, 4, 2),
            nn.LeakyReLU(0.2),
            layer(2 * width, 4 * width, 4, 2),
            nn.LeakyReLU(0.2),
            layer(4 * width, 4 * width, 4, 2),
            nn.LeakyReLU(0.2),
        )
        self.condition = layer(condition, width, 3, 1)
        self.judge = nn.Sequential(layer(5 * width, 4 * width, 3, 1), nn.LeakyReLU(0.2), layer(4 * width, 1, 3, 1))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return self.judge(torch.cat([self.picture(x), self.condition(condition)], 1))


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    """The discriminator's hinge loss (Lim and Ye, 2017)."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
