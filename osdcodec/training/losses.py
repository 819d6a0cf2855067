"""The losses beside squared error and rate: structure, detail and realism."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..similarity import WEIGHTS


def luma(x: Tensor) -> Tensor:
    """(B, 3, H, W) -> (B, 1, H, W)"""
    return (x * x.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)


def windows(length: int, device: torch.device) -> Tensor:
    """(length - 10, length): a matrix whose rows are the Gaussian windows of SSIM, 11 pixels long, deviation 1.5."""
    places = torch.arange(length - 10, device=device)[:, None], torch.arange(length, device=device)
    distance = (places[1] - places[0] - 5).float()
    window = torch.exp(-(distance**2) / (2 * 1.5**2)) * (distance.abs() <= 5)
    return window / window.sum(1, keepdim=True)


def structure(x: Tensor, y: Tensor) -> Tensor:
    """1 - MS-SSIM of two batches (B, 3, H, W) in [-1, 1], 161 pixels a side or more; mean over RGB -> (B,)

    As pytorch_msssim computes it, but windows are matrices: on a CPU that takes a third of the time of its convolutions.
    """
    x, y, product = x.flatten(0, 1)[:, None], y.flatten(0, 1)[:, None], x.new_ones(len(x) * 3)
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    for scale, weight in enumerate(WEIGHTS):
        if scale:
            odd = [side % 2 for side in x.shape[2:]]
            x, y = F.avg_pool2d(x, 2, padding=odd), F.avg_pool2d(y, 2, padding=odd)
        rows, columns = (windows(side, x.device) for side in x.shape[2:])
        mean_x, mean_y, xx, yy, xy = (rows @ torch.cat([x, y, x * x, y * y, x * y], 1) @ columns.T).split(1, 1)
        term = (2 * (xy - mean_x * mean_y) + c2) / (xx + yy - mean_x**2 - mean_y**2 + c2)
        if scale == len(WEIGHTS) - 1:
            term = term * (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
        product = product * term.mean((1, 2, 3)).relu() ** weight
    return 1 - product.unflatten(0, (-1, 3)).mean(1)


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


def weave(x: Tensor, y: Tensor) -> Tensor:
    """Power of the pattern in the luma that repeats every 16 pixels, in x and not in y: (B, 3, H, W) twice -> (B,).

    The grids of pixel shuffling, 2 to 16 pixels wide; sides of 128 or more. Photographs hold next to nothing of them, and squared
    error hardly sees them: of a window of 128x128 pixels they are 256 numbers. Kept from four pixels only, they moved to eight.
    """
    cells = F.pixel_unshuffle(luma(x - y), 16)
    pattern = F.avg_pool2d(cells, 8, 4)
    return (pattern - pattern.mean(1, keepdim=True)).square().mean((1, 2, 3))


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
