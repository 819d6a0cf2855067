"""All networks of a profile in one module, with the four verbs of the runtimes and the forward pass of training."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..profile import Profile
from ..rate_control import ANCHORS, quality_byte
from ..relay import relay
from .autoencoder import Autoencoder
from .decoder_semantics import DecoderSemantics
from .denoiser import Denoiser
from .prior_twin import Prior
from .semantics import Semantics
from .transforms import Analysis, Gains, HyperAnalysis, Synthesis
from .vq_base import VqBase


class Compressed(NamedTuple):
    """What is known of a picture before the denoiser."""

    z: Tensor  # (B, C_z, H/f, W/f) the picture's own latent
    z_c: Tensor  # what the synthesis made of the symbols
    condition: Tensor  # (B, C_c, H/f, W/f)
    tokens: Tensor  # (B, K)
    bits: Tensor  # (B, 2) hyper-latent, latent; (B, 3) with those of the base
    error: Tensor  # (B,)
    base: Tensor | None  # (B,) what the codes of the base miss


@dataclass
class Reconstruction:
    """What a training step looks at."""

    x_hat: Tensor  # (B, 3, H, W)
    z: Tensor  # (B, C_z, H/f, W/f) the picture's own latent
    z_c: Tensor  # what the synthesis made of the symbols
    z_hat: Tensor  # and the denoiser of that
    bits: Tensor  # (B, 2) hyper-latent, latent; (B, 3) with those of the base
    error: Tensor  # (B,) of the latent, over the price of a bit: what the prior learns from beside the bits
    signal_to_noise: Tensor  # of the start z_N
    base: Tensor | None  # (B,) what the codes of the base miss


Parts = tuple[Autoencoder, Semantics, Analysis, Synthesis, Denoiser]


def parts(profile: Profile, pretrained: Callable[[str], Path] | None) -> Parts:
    """Autoencoder, semantics, analysis, synthesis and denoiser of a profile."""
    if profile.pretrained:
        from . import turbo

        return cast(Parts, turbo.parts(profile, pretrained))  # which have the same methods
    return Autoencoder(profile), Semantics(profile), Analysis(profile), Synthesis(profile), Denoiser(profile)


class CodecModel(nn.Module):
    """pretrained: name of a pretrained model -> its folder; without it a profile that has such models begins at random."""

    alpha_bars: Tensor

    def __init__(self, profile: Profile, pretrained: Callable[[str], Path] | None = None) -> None:
        super().__init__()
        self.profile = profile
        self.autoencoder, self.semantics, self.analysis, self.synthesis, self.denoiser = parts(profile, pretrained)
        self.hyper_analysis = HyperAnalysis(profile)
        self.gains = Gains(profile, [quality_byte(lmbda) for lmbda in ANCHORS])
        self.prior = Prior(profile)
        self.base = VqBase(profile) if profile.base_codes else None
        self.decoder_semantics = DecoderSemantics(profile) if profile.decoder_semantics else None
        highest = max(profile.noise_low, profile.noise_high)
        alpha_bars = torch.tensor([profile.alpha_bar(n) for n in range(highest + 1)])
        self.register_buffer("alpha_bars", alpha_bars, persistent=False)

    def analyse(self, x: Tensor, thumb: Tensor) -> tuple[Tensor, ...]:
        """x (B, 3, H, W), thumb (B, 3, t, t) -> y (B, C_y, h, w), hyper (B, C_h, hh, hw), tokens (B, K)

        With a base, y is the residual after it, and its codes (B, ceil(h/2), ceil(w/2)) come fourth.
        """
        features, tokens = self.semantics(thumb)
        z = self.autoencoder.observe(x)
        y = self.analysis(z, x, features)
        if self.base is None:
            return y, self.hyper_analysis(y), tokens
        base, codes = self.base(z, y)
        return y - base, self.hyper_analysis(y - base), tokens, codes

    def synthesise(self, y_hat: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """y_hat (B, C_y, h, w), tokens (B, K) -> z_c (B, C_z, H/f, W/f), condition (B, C_c, H/f, W/f)"""
        return self.synthesis(y_hat, self.semantics.embed(tokens))

    def denoise(
        self,
        z_c: Tensor,
        condition: Tensor,
        tokens: Tensor,
        noise: Tensor,
        level: Tensor,
        alpha_bar: Tensor,
        coarse: Tensor | None = None,
        coarse_thumb: Tensor | None = None,
    ) -> Tensor:
        """One step from z_n to z_hat; level (B,), alpha_bar (B, 1, 1, 1); the coarse picture and its thumbnail for decoder semantics"""
        if self.decoder_semantics is not None:
            assert coarse is not None and coarse_thumb is not None
            z_c, condition = self.guide(z_c, condition, coarse, coarse_thumb)
        return self.denoiser(z_c, condition, self.semantics.embed(tokens), noise, level, alpha_bar)

    def look(self, z_c: Tensor) -> tuple[Tensor, Tensor]:
        """The coarse picture (B, 3, H, W) and its thumbnail, as the decoder sees them; nothing learns from here"""
        with torch.no_grad():  # half of the step's time again, were it learned from
            coarse = self.render(z_c).clamp(-1, 1)
        return coarse, self.thumbnail(coarse.float())

    def guide(self, z_c: Tensor, condition: Tensor, coarse: Tensor, thumb: Tensor) -> tuple[Tensor, Tensor]:
        """Start and condition of the denoiser, of what the decoder looked at"""
        assert self.decoder_semantics is not None
        return self.decoder_semantics(z_c, condition, coarse, self.semantics.tower_features(thumb))

    def render(self, z: Tensor) -> Tensor:
        """z (B, C_z, H/f, W/f) -> x (B, 3, H, W)"""
        return self.autoencoder.decode(z)

    def levels(self, quality: Tensor) -> Tensor:
        """quality (B,) -> diffusion step N (B,)"""
        low, high = self.profile.noise_low, self.profile.noise_high
        return torch.round(low + (high - low) * quality / 255)

    def thumbnail(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 3, t, t), as training makes them"""
        return F.interpolate(x, (self.profile.thumb,) * 2, mode="bicubic", antialias=True)

    def compress(self, x: Tensor, quality: Tensor, thumb: Tensor | None = None) -> Compressed:
        """x (B, 3, H, W), quality (B,) in [0, 255], thumb (B, 3, t, t), by default made of x -> what training sees of them"""
        with torch.no_grad():  # tower and autoencoder's encoder are fixed: the noise levels rest on them
            if thumb is None:
                thumb = self.thumbnail(x)
            features, tokens = self.semantics(thumb)
            z = self.autoencoder.encode(x)
        observed = self.autoencoder.observe(x, z)
        y = self.analysis(observed, x, features)
        if self.base is not None:
            with torch.autocast(x.device.type, enabled=False):  # running means need all their digits
                base, base_loss, base_bits = self.base.quantise(observed.float(), y)
            y = y - base
        hyper = self.hyper_analysis(y)
        with torch.autocast(x.device.type, enabled=False):  # half precision cannot hold the integers of the prior
            gain, inverse, hyper_gain = self.gains(quality)
            hyper = hyper * hyper_gain
            y_hat, bits, error = self.prior((y * gain).float(), hyper.float(), quality)
        if self.base is None:
            return Compressed(z, *self.synthesise(y_hat * inverse, tokens), tokens, bits, error, None)
        bits = torch.cat([bits, base_bits[:, None]], 1)
        y_hat = y_hat + base * gain
        return Compressed(z, *self.synthesise(y_hat * inverse, tokens), tokens, bits, error, base_loss)

    def forward(
        self, x: Tensor, quality: Tensor, thumb: Tensor | None = None, noise: Tensor | None = None
    ) -> Reconstruction:
        """As `compress`, noise like z, by default drawn -> the whole reconstruction, through all steps of the profile"""
        z, z_c, condition, tokens, bits, error, base = self.compress(x, quality, thumb)
        noise = torch.randn_like(z_c) if noise is None else noise
        z_hat = self.reconstruct(z_c, condition, tokens, noise, quality)
        alpha_bar = self.alpha_bars[self.levels(quality).long()][:, None, None, None]
        signal_to_noise = (alpha_bar * z_c.square()).mean() / (1 - alpha_bar).mean()
        return Reconstruction(self.render(z_hat), z, z_c, z_hat, bits, error, signal_to_noise.detach(), base)

    def reconstruct(self, z_c: Tensor, condition: Tensor, tokens: Tensor, noise: Tensor, quality: Tensor) -> Tensor:
        """From the start to z_hat, by as many steps as the profile has for each quality (B,)"""
        seen = () if self.decoder_semantics is None else self.look(z_c)
        if len(self.profile.steps) == 1:
            return self._steps(self.profile.steps[0], z_c, condition, tokens, noise, quality, *seen)
        counts = torch.tensor([self.profile.step_count(round(q)) for q in quality.tolist()])
        parts, order = [], []
        for count in counts.unique().tolist():
            chosen = (counts == count).nonzero()[:, 0].to(z_c.device)
            part = (value[chosen] for value in (z_c, condition, tokens, noise, quality, *seen))
            parts.append(self._steps(count, *part))
            order.append(chosen)
        return torch.cat(parts)[torch.cat(order).argsort()]

    def _steps(
        self,
        count: int,
        z_c: Tensor,
        condition: Tensor,
        tokens: Tensor,
        noise: Tensor,
        quality: Tensor,
        *seen: Tensor,
    ) -> Tensor:
        start = self.levels(quality)
        levels = [torch.round(start * (count - place) / count) for place in range(count)]
        alpha_bars = [self.alpha_bars[level.long()][:, None, None, None] for level in levels]

        def step(noise: Tensor, place: int) -> Tensor:
            return self.denoise(z_c, condition, tokens, noise, levels[place], alpha_bars[place], *seen)

        return relay(step, z_c, noise, [(bar / (1 - bar)).sqrt() for bar in alpha_bars])
