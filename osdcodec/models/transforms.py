"""Analysis, synthesis and hyper-analysis transforms: residual blocks of DC-AE around one change of scale."""

import torch
from diffusers.models.autoencoders.autoencoder_dc import DCDownBlock2d, DCUpBlock2d, ResBlock
from torch import Tensor, nn
from torch.nn import functional as F

from ..profile import Profile


def residual_blocks(channels: int, count: int) -> list[nn.Module]:
    return [ResBlock(channels, channels, norm_type="rms_norm", act_fn="silu") for _ in range(count)]


class Analysis(nn.Module):
    """z (B, C_z, 2h, 2w), x (B, 3, H, W), features (B, K, d) -> y (B, C_y, h, w)

    Three complementary encoders, fused (SPRDiff): the autoencoder's latent, a pixel branch trained for distortion, and
    the semantic features.
    """

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        fine, coarse = profile.transform_widths
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
            nn.Conv2d(coarse, profile.latent_channels, 3, padding=1),
        )

    def forward(self, z: Tensor, x: Tensor, features: Tensor) -> Tensor:
        semantic = self.semantic(features.mean(1))[:, :, None, None]
        return self.fuse(self.latent(z) + self.pixel(x) + semantic)


class Synthesis(nn.Module):
    """y_hat (B, C_y, h, w), embeddings (B, K, d) -> z_c (B, C_z, 2h, 2w), condition (B, C_c, 2h, 2w)"""

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        fine, coarse = profile.transform_widths
        self.channels = profile.autoencoder_channels, profile.condition_channels
        self.latent = nn.Conv2d(profile.latent_channels, coarse, 3, padding=1)
        self.semantic = nn.Linear(profile.tower_width, coarse)
        self.blocks = nn.Sequential(
            *residual_blocks(coarse, profile.transform_layers[1]),
            DCUpBlock2d(coarse, fine),  # 1/16
            *residual_blocks(fine, profile.transform_layers[0]),
            nn.Conv2d(fine, sum(self.channels), 3, padding=1),
        )

    def forward(self, y_hat: Tensor, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        semantic = self.semantic(embeddings.mean(1))[:, :, None, None]
        z_c, condition = self.blocks(self.latent(y_hat) + semantic).split(self.channels, 1)
        return z_c, condition


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
            nn.Conv2d(width, profile.hyper_channels, 1),
        )

    def forward(self, y: Tensor) -> Tensor:
        return self.layers(y)


class Gains(nn.Module):
    """quality (B,) in [0, 255] -> gain vectors; the log of a gain is piecewise linear in the quality.

    Gained variational autoencoder (Cui et al., 2021): one model for a continuous rate.
    """

    def __init__(self, profile: Profile, anchors: list[int]) -> None:
        super().__init__()
        self.register_buffer("anchors", torch.tensor(anchors, dtype=torch.float32), persistent=False)  # descending
        start = torch.linspace(0.0, 1.2, len(anchors))[:, None]  # lambda 2 starts at gain 1, lambda 0.1 at 3.3
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
        return tuple((weights @ rows).exp()[:, :, None, None] for rows in (self.latent, self.inverse, self.hyper))
