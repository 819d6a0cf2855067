"""The losses beside squared error and rate: structure, detail and realism."""

import torch
from pytorch_msssim import ms_ssim
from torch import Tensor, nn
from torch.nn import functional as F


def luma(x: Tensor) -> Tensor:
    """(B, 3, H, W) -> (B, 1, H, W)"""
    return (x * x.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)


def structure(x: Tensor, y: Tensor) -> Tensor:
    """1 - MS-SSIM of the luma of two batches (B, 3, H, W) in [-1, 1], 161 pixels a side or more -> (B,)"""
    return 1 - ms_ssim(luma(x), luma(y), data_range=2.0, size_average=False)


def deviations(x: Tensor) -> Tensor:
    """Standard deviation of the luma in windows of 8x8, four pixels apart: (B, 3, H, W) -> (B, 1, h, w)"""
    x = luma(x)
    variance = F.avg_pool2d(x * x, 8, 4) - F.avg_pool2d(x, 8, 4).square()
    return variance.clamp_min(1e-6).sqrt()


def contrasts(x: Tensor) -> list[Tensor]:
    """Local contrast of the luma in each Haar subband of three levels: (B, 3, H, W) -> (B, 3, h, w) of every level.

    Root mean squares over windows of about 8, 16 and 32 pixels; bands along rows, along columns, across.
    """
    x, found = luma(x), []
    for _ in range(3):
        a, b, c, d = F.pixel_unshuffle(x, 2).split(1, 1)
        bands = torch.cat([a - b + c - d, a + b - c - d, a - b - c + d], 1) / 4
        found.append((F.avg_pool2d(bands.square(), 4, 2) + 1e-6).sqrt())
        x = F.avg_pool2d(x, 2)
    return found


def flatness(x: Tensor, y: Tensor) -> Tensor:
    """How much local contrast differs: mean distance of the contrasts of (B, 3, H, W) in [-1, 1], summed over bands -> (B,).

    Squared error is least for a picture without the texture that the bits do not tell; this asks for as much of it as
    there was, wherever it is. Band by band: asked for the deviation as a whole, the networks drew a grid of dots, which is
    the cheapest texture of all, and the finest band tempts them most.
    """
    levels = zip((0.15, 0.6, 1.0), contrasts(x), contrasts(y), strict=True)
    return sum((weight * (a - b).abs().mean((2, 3)).sum(1) for weight, a, b in levels), x.new_zeros(len(x)))


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
