"""The network of the map: energies of what the decoder knows, and residual blocks on the grid of 16x16 pixels.

Band energies carry most of it: of the picture, of a linear preview of its coarse reading, and of the difference of the two readings.
"""

import math
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...models.blocks import bias_of, zeroed
from ...profile import Profile
from ...runtime.preview import linear_map
from ...trust.maps import CELL
from ...trust.truth import TO_YCC

FAINT = 0.05  # squared levels: energies are logarithms, and this is added first
LOWEST, HIGHEST = -5.0, 14.0  # of the logarithms (base 2) of mean squares


def bands(planes: Tensor, side: int, mean: bool) -> Tensor:
    """(B, C, H, W) in levels -> (B, C n, H / side, W / side): logarithm of the energy of each Haar band of a block; and its mean, or
    the energy of that."""
    means, block = [planes], side
    while block > 1:
        means.append(F.avg_pool2d(means[-1], 2))
        block //= 2
    squares = [F.avg_pool2d(m.square(), side >> k) if side >> k > 1 else m.square() for k, m in enumerate(means)]
    energies = [(finer - coarser).clamp_min(0) for finer, coarser in pairwise(squares)]
    rest = means[-1] / 64 if mean else torch.log2(squares[-1] + FAINT) / 4
    return torch.cat([*(torch.log2(energy + FAINT) / 4 for energy in energies), rest], 1)


class Block(nn.Module):
    """What is around a place, then the place by itself; zero-initialised."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.around = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.grow, self.shrink = nn.Conv2d(width, 2 * width, 1), nn.Conv2d(2 * width, width, 1)
        zeroed(self.shrink)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.shrink(F.silu(self.grow(self.around(x))))


class TrustNetwork(nn.Module):
    """picture (B, 3, H, W) in [-1, 1], z_c and z_hat (B, C_z, H/16, W/16), spread and activity (B, C_y, H/32, W/32), setting (B, 3, H/16, W/16)
    -> (B, 3, H/16, W/16): log2 of the expected mean squares of luma and chroma, and the expected correlation of texture.

    tensors: of the weights file that the map is for. What they say of a latent's preview is fixed.
    """

    preview: Tensor
    preview_bias: Tensor
    to_ycc: Tensor
    z_mean: Tensor
    z_deviation: Tensor
    y_mean: Tensor
    y_deviation: Tensor

    def __init__(self, profile: Profile, tensors: Mapping[str, np.ndarray], width: int = 64, blocks: int = 5) -> None:
        super().__init__()
        latent, y = profile.autoencoder_channels, profile.latent_channels
        self.fine = profile.z_per_y
        weight, bias = linear_map(tensors)
        self.register_buffer("preview", torch.from_numpy(np.array(weight, np.float32))[:, :, None, None])
        self.register_buffer("preview_bias", torch.from_numpy(np.array(bias, np.float32)))
        self.register_buffer("to_ycc", torch.from_numpy(TO_YCC)[:, :, None, None])
        for name, channels in (("z", 2 * latent), ("y", 2 * y)):
            self.register_buffer(f"{name}_mean", torch.zeros(1, channels, 1, 1))
            self.register_buffer(f"{name}_deviation", torch.ones(1, channels, 1, 1))
        self.pixels = nn.Sequential(
            nn.PixelUnshuffle(4), nn.Conv2d(48, 24, 3, padding=1), nn.SiLU(),
            nn.Conv2d(24, 32, 3, 2, 1), nn.SiLU(), nn.Conv2d(32, 40, 3, 2, 1), nn.SiLU(),
        )  # fmt: skip
        self.prior, self.latent = nn.Conv2d(2 * y, 32, 1), nn.Conv2d(2 * latent, 24, 1)
        self.enter = nn.Conv2d(40 + 32 + 24 + 15 + 12 + 12 + 3, width, 1)
        self.trunk = nn.Sequential(*(Block(width) for _ in range(blocks)))
        last = nn.Conv2d(32, 3, 1)
        self.leave = nn.Sequential(nn.Conv2d(width, 32, 1), nn.SiLU(), last)
        with torch.no_grad():
            last.weight.mul_(0.1)
            bias_of(last).copy_(torch.tensor([6.0, 3.0, 0.3]))

    def energies(self, picture: Tensor, z_c: Tensor, z_hat: Tensor) -> Tensor:
        """(B, 39, H/16, W/16): nothing of it is learned"""
        previews = [F.pixel_shuffle(F.conv2d(z, self.preview, self.preview_bias), CELL // 2) for z in (z_c, z_hat)]
        shown, coarse, denoised = (self._levels(x) for x in (picture, *previews))
        half = CELL // 2
        return torch.cat(
            [bands(shown, CELL, True), bands(coarse, half, True), bands(denoised - coarse, half, False)], 1
        )

    def _levels(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] -> luma, Cb and Cr in levels: a product of matrices, for ONNX Runtime pads convolutions to 16 channels."""
        return (127.5 * self.to_ycc[:, :, 0, 0] @ x.flatten(2)).view_as(x)

    def forward(
        self,
        picture: Tensor,
        z_c: Tensor,
        z_hat: Tensor,
        spread: Tensor,
        activity: Tensor,
        setting: Tensor,
        energies: Tensor | None = None,
    ) -> Tensor:
        """energies: as the method of this name gives them, if they are known already"""
        if energies is None:
            energies = self.energies(picture, z_c, z_hat)
        z = (torch.cat([z_c, z_hat - z_c], 1) - self.z_mean) / self.z_deviation
        y = (torch.cat([spread, activity], 1) - self.y_mean) / self.y_deviation
        known = F.interpolate(F.silu(self.prior(y)), scale_factor=self.fine, mode="nearest")
        latent, pixels = F.silu(self.latent(z)), self.pixels(picture)
        if self.training:  # photographs are few: neither latents nor pixels may be all that it goes by
            latent, pixels = (F.dropout(part, 0.15) * kept(part, 0.3) for part in (latent, pixels))
        seen = torch.cat([pixels, known, latent, energies, setting], 1)
        found = self.leave(F.silu(self.trunk(self.enter(seen))))
        return torch.cat([found[:, :2].clamp(LOWEST, HIGHEST), torch.tanh(found[:, 2:])], 1)


def kept(x: Tensor, share: float) -> Tensor:
    """(B, 1, 1, 1): 0 for this share of a batch, else 1"""
    return (torch.rand(len(x), 1, 1, 1, device=x.device) >= share).to(x.dtype)


class Expected(nn.Module):
    """The network as the decoder wants it: mean squares in place of their logarithms."""

    def __init__(self, network: TrustNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> Tensor:
        found = self.network(*inputs)
        return torch.cat([torch.exp(found[:, :2] * math.log(2)), found[:, 2:]], 1)
