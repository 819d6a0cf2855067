"""Analysis, synthesis and hyper-analysis: a linear transform of blocks, and what residual networks add to it."""

from itertools import pairwise

import torch
from diffusers.models.autoencoders.autoencoder_dc import DCDownBlock2d, DCUpBlock2d, ResBlock
from torch import Tensor, nn
from torch.nn import functional as F

from ..profile import Profile
from .autoencoder import Autoencoder
from .blocks import bias_of, first_layer, norm_free, principal_components, zeroed

# Quantisation step of the principal components at lambda 2, in units of [-1, 1]: 0.025 bpp on Kodak.
COARSEST_STEP = 3.6


def residual_blocks(channels: int, count: int) -> list[nn.Module]:
    return [norm_free(ResBlock(channels, channels, norm_type="rms_norm", act_fn="silu")) for _ in range(count)]


def scales(profile: Profile) -> list[list[nn.Module]]:
    """The residual blocks of each scale of the transforms, finest first."""
    pairs = zip(profile.transform_widths, profile.transform_layers, strict=True)
    return [residual_blocks(width, layers) for width, layers in pairs]


class Analysis(nn.Module):
    """z (B, C_z, 2h, 2w), x (B, 3, H, W), features (B, K, d) -> y (B, C_y, h, w)

    The principal components of 32x32 blocks, and three complementary encoders, fused, on top (SPRDiff): the
    autoencoder's latent, a pixel branch trained for distortion, and the semantic features.
    """

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        fine, coarse = profile.transform_widths
        self.linear = nn.Conv2d(3, profile.latent_channels, profile.stride, profile.stride)
        self.latent = nn.Conv2d(profile.autoencoder_channels, fine, 3, padding=1)
        self.pixel = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(48, fine // 2, 3, 2, 1),  # 1/8
            *residual_blocks(fine // 2, 1),
            nn.Conv2d(fine // 2, fine, 3, 2, 1),  # 1/16
        )
        self.semantic = nn.Linear(profile.tower_width, fine)
        self.fuse = nn.Sequential(
            *residual_blocks(fine, profile.transform_layers[0]),
            DCDownBlock2d(fine, coarse),  # 1/32
            *residual_blocks(coarse, profile.transform_layers[1]),
            zeroed(nn.Conv2d(coarse, profile.latent_channels, 3, padding=1)),
        )

    def forward(self, z: Tensor, x: Tensor, features: Tensor) -> Tensor:
        semantic = self.semantic(features.mean(1))[:, :, None, None]
        return self.linear(x) + self.fuse(self.latent(z) + self.pixel(x) + semantic)


class Synthesis(nn.Module):
    """y_hat (B, C_y, h, w), embeddings (B, K, d) -> z_c (B, C_z, H/f, W/f), condition (B, C_c, H/f, W/f)"""

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        latents, ratio, widths = profile.autoencoder_channels, profile.z_per_y, profile.transform_widths[::-1]
        self.channels = latents, profile.condition_channels
        self.linear = nn.Sequential(nn.Conv2d(profile.latent_channels, latents * ratio**2, 1), nn.PixelShuffle(ratio))
        self.latent = nn.Conv2d(profile.latent_channels, widths[0], 3, padding=1)
        self.semantic = nn.Linear(profile.tower_width, widths[0])
        coarsest, *finer = scales(profile)[::-1]
        steps = list(pairwise(widths))
        self.blocks = nn.Sequential(
            *coarsest,
            *(layer for n, stage in enumerate(finer) for layer in (DCUpBlock2d(*steps[n]), *stage)),
            zeroed(nn.Conv2d(widths[-1], sum(self.channels), 3, padding=1)),
        )

    def forward(self, y_hat: Tensor, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        semantic = self.semantic(embeddings.mean(1))[:, :, None, None]
        z_c, condition = self.blocks(self.latent(y_hat) + semantic).split(self.channels, 1)
        return self.linear(y_hat) + z_c, condition


@torch.no_grad()
def start_linear(analysis: Analysis, synthesis: Synthesis, autoencoder: Autoencoder, pictures: Tensor) -> None:
    """Sets the linear parts from pictures (N, 3, H, W): y their principal components, z_c the latent of what these show."""
    down, side = analysis.linear, analysis.linear.kernel_size[0]
    mean, basis, _ = principal_components(pictures, side, down.out_channels)
    down.weight.copy_((basis / COARSEST_STEP).unflatten(1, (3, side, side)))
    bias_of(down).copy_(-(basis @ mean) / COARSEST_STEP)
    shown = torch.cat([mean[None], COARSEST_STEP * basis]).unflatten(1, (3, side, side))
    z = F.pixel_unshuffle((autoencoder.down(shown) - autoencoder.mean) / autoencoder.std, 2).flatten(1)
    nothing = F.pixel_unshuffle((autoencoder.down(torch.zeros_like(shown[:1])) - autoencoder.mean) / autoencoder.std, 2)
    up = first_layer(synthesis.linear)
    up.weight.copy_((z[1:] - nothing.flatten(1)).T[:, :, None, None])
    bias_of(up).copy_(z[0])


class HyperAnalysis(nn.Module):
    """y (B, C_y, h, w) -> hyper-latent (B, C_h, ceil(h/4), ceil(w/4))"""

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        width = profile.latent_channels
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, 2, 1),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, 2, 1),
            nn.SiLU(),
            last := nn.Conv2d(width, profile.hyper_channels, 1),
        )
        # Born so small that all of it rounds to zero, the hyper-latent was never used (measured: 0.4 % of the bits).
        last.weight.data.mul_(6)

    def forward(self, y: Tensor) -> Tensor:
        return self.layers(y)


class Gains(nn.Module):
    """quality (B,) in [0, 255] -> gain vectors; the log of a gain is piecewise linear in the quality.

    Gained variational autoencoder (Cui et al., 2021): one model for a continuous rate.
    """

    anchors: Tensor

    def __init__(self, profile: Profile, anchors: list[int]) -> None:
        super().__init__()
        self.register_buffer("anchors", torch.tensor(anchors, dtype=torch.float32), persistent=False)  # descending
        start = torch.linspace(0.0, 1.33, len(anchors))[:, None]  # lambda 2 starts at gain 1, lambda 0.1 at 3.8
        self.latent = nn.Parameter(start.repeat(1, profile.latent_channels))
        self.inverse = nn.Parameter(-start.repeat(1, profile.latent_channels))
        self.hyper = nn.Parameter(torch.zeros(len(anchors), profile.hyper_channels))

    def weights(self, quality: Tensor) -> Tensor:
        """(B,) -> (B, 5) interpolation weights of the anchors."""
        places = torch.arange(len(self.anchors), device=quality.device)
        upper = torch.bucketize(-quality, -self.anchors).clamp(1, len(self.anchors) - 1)
        left, right = self.anchors[upper - 1], self.anchors[upper]
        share = ((quality - left) / (right - left))[:, None]
        return F.one_hot(upper, len(places)) * share + F.one_hot(upper - 1, len(places)) * (1 - share)

    def forward(self, quality: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B,) -> latent, inverse (B, C_y, 1, 1) and hyper (B, C_h, 1, 1) gains"""
        weights = self.weights(quality)
        latent, inverse, hyper = (
            (weights @ rows).exp()[:, :, None, None] for rows in (self.latent, self.inverse, self.hyper)
        )
        return latent, inverse, hyper
