"""All networks of a profile in one module, with the four verbs of the runtimes and the forward pass of training."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..profile import Profile
from ..quality import ANCHORS, quality_of
from .autoencoder import Autoencoder
from .denoiser import Denoiser
from .prior import Prior
from .semantics import Semantics
from .transforms import Analysis, Gains, HyperAnalysis, Synthesis


class Compressed(NamedTuple):
    """What is known of a picture before the denoiser."""

    z: Tensor  # (B, C_z, H/f, W/f) the picture's own latent
    z_c: Tensor  # what the synthesis made of the symbols
    condition: Tensor  # (B, C_c, H/f, W/f)
    tokens: Tensor  # (B, K)
    bits: Tensor  # (B, 2) hyper-latent, latent
    error: Tensor  # (B,)


@dataclass
class Reconstruction:
    """What a training step looks at."""

    x_hat: Tensor  # (B, 3, H, W)
    z: Tensor  # (B, C_z, H/f, W/f) the picture's own latent
    z_c: Tensor  # what the synthesis made of the symbols
    z_hat: Tensor  # and the denoiser of that
    bits: Tensor  # (B, 2) hyper-latent, latent
    error: Tensor  # (B,) of the latent, over the price of a bit: what the prior learns from beside the bits
    signal_to_noise: Tensor  # of the start z_N


def parts(profile: Profile, base: Callable[[str], Path] | None) -> tuple[nn.Module, ...]:
    """Autoencoder, semantics, analysis, synthesis and denoiser of a profile."""
    if profile.bases:
        from . import turbo

        return turbo.parts(profile, base)
    return Autoencoder(profile), Semantics(profile), Analysis(profile), Synthesis(profile), Denoiser(profile)


class CodecModel(nn.Module):
    """base: name of a pretrained model -> its folder; without it a profile that has such models begins at random."""

    def __init__(self, profile: Profile, base: Callable[[str], Path] | None = None) -> None:
        super().__init__()
        self.profile = profile
        self.autoencoder, self.semantics, self.analysis, self.synthesis, self.denoiser = parts(profile, base)
        self.hyper_analysis = HyperAnalysis(profile)
        self.gains = Gains(profile, [quality_of(lmbda) for lmbda in ANCHORS])
        self.prior = Prior(profile)
        alpha_bars = torch.tensor([profile.alpha_bar(n) for n in range(profile.noise_high + 1)])
        self.register_buffer("alpha_bars", alpha_bars, persistent=False)

    def analyse(self, x: Tensor, thumb: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, 3, H, W), thumb (B, 3, t, t) -> y (B, C_y, h, w), hyper (B, C_h, hh, hw), tokens (B, K)"""
        features, tokens = self.semantics(thumb)
        y = self.analysis(self.autoencoder.observe(x), x, features)
        return y, self.hyper_analysis(y), tokens

    def synthesise(self, y_hat: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """y_hat (B, C_y, h, w), tokens (B, K) -> z_c (B, C_z, H/f, W/f), condition (B, C_c, H/f, W/f)"""
        return self.synthesis(y_hat, self.semantics.embed(tokens))

    def denoise(
        self, z_c: Tensor, condition: Tensor, tokens: Tensor, noise: Tensor, level: Tensor, alpha_bar: Tensor
    ) -> Tensor:
        """One step from z_N to z_hat; level (B,), alpha_bar (B, 1, 1, 1)"""
        return self.denoiser(z_c, condition, self.semantics.embed(tokens), noise, level, alpha_bar)

    def render(self, z: Tensor) -> Tensor:
        """z (B, C_z, H/f, W/f) -> x (B, 3, H, W)"""
        return self.autoencoder.decode(z)

    def levels(self, quality: Tensor) -> Tensor:
        """quality (B,) -> diffusion step N (B,)"""
        low, high = self.profile.noise_low, self.profile.noise_high
        return torch.round(low + (high - low) * quality / 255)

    def compress(self, x: Tensor, quality: Tensor, thumb: Tensor | None = None) -> Compressed:
        """x (B, 3, H, W), quality (B,) in [0, 255], thumb (B, 3, t, t), by default made of x -> what training sees of them"""
        with torch.no_grad():  # tower and autoencoder's encoder are fixed: the noise levels rest on them
            if thumb is None:
                thumb = F.interpolate(x, (self.profile.thumb,) * 2, mode="bicubic", antialias=True)
            features, tokens = self.semantics(thumb)
            z = self.autoencoder.encode(x)
        y = self.analysis(self.autoencoder.observe(x, z), x, features)
        hyper = self.hyper_analysis(y)
        with torch.autocast(x.device.type, enabled=False):  # half precision cannot hold the integers of the prior
            gain, inverse, hyper_gain = self.gains(quality)
            hyper = hyper * hyper_gain
            y_hat, bits, error = self.prior((y * gain).float(), hyper.float(), quality)
        z_c, condition = self.synthesise(y_hat * inverse, tokens)
        return Compressed(z, z_c, condition, tokens, bits, error)

    def forward(
        self, x: Tensor, quality: Tensor, thumb: Tensor | None = None, noise: Tensor | None = None
    ) -> Reconstruction:
        """As `compress`, noise like z, by default drawn -> the whole one-step reconstruction"""
        z, z_c, condition, tokens, bits, error = self.compress(x, quality, thumb)
        level = self.levels(quality)
        alpha_bar = self.alpha_bars[level.long()][:, None, None, None]
        noise = torch.randn_like(z_c) if noise is None else noise
        z_hat = self.denoise(z_c, condition, tokens, noise, level, alpha_bar)
        signal_to_noise = (alpha_bar * z_c.square()).mean() / (1 - alpha_bar).mean()
        return Reconstruction(self.render(z_hat), z, z_c, z_hat, bits, error, signal_to_noise.detach())
