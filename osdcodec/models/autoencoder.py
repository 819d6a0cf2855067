"""DC-AE autoencoder of diffusers, with its latent brought to zero mean and unit variance per channel."""

import torch
from diffusers import AutoencoderDC
from torch import Tensor, nn
from torch.nn import functional as F

from ..profile import Profile


class Autoencoder(nn.Module):
    """x (B, 3, H, W) in [-1, 1]  <->  z (B, C_z, H/16, W/16), unit variance.

    Deep-compression autoencoder (Chen et al., 2024) of residual blocks only: its norms see one position at a time, so a
    tile of a picture decodes as the picture does. The last of them takes away the magnitude, and with it the mean colour
    of a place is hard to learn (measured: half of the squared error of smooth pictures); a linear path brings it.
    """

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        self.factor = profile.autoencoder_factor
        self.dc = AutoencoderDC(
            latent_channels=profile.autoencoder_channels,
            encoder_block_out_channels=profile.autoencoder_widths,
            decoder_block_out_channels=profile.autoencoder_widths,
            encoder_layers_per_block=profile.encoder_layers,
            decoder_layers_per_block=profile.decoder_layers,
            encoder_qkv_multiscales=((),) * len(profile.autoencoder_widths),
            decoder_qkv_multiscales=((),) * len(profile.autoencoder_widths),
        )
        self.colour = nn.Conv2d(profile.autoencoder_channels, 3, 1)
        nn.init.zeros_(self.colour.weight)
        nn.init.zeros_(self.colour.bias)
        # Noise levels mean something only while z has unit variance; measured once, when the encoder is done.
        self.register_buffer("mean", torch.zeros(1, profile.autoencoder_channels, 1, 1))
        self.register_buffer("std", torch.ones(1, profile.autoencoder_channels, 1, 1))

    def encode(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C_z, H/16, W/16)"""
        return (self.dc.encoder(x) - self.mean) / self.std

    def decode(self, z: Tensor) -> Tensor:
        """(B, C_z, H/16, W/16) -> (B, 3, H, W)"""
        colour = F.interpolate(self.colour(z), scale_factor=float(self.factor), mode="bilinear")
        return self.dc.decoder(z * self.std + self.mean) + colour

    @torch.no_grad()
    def calibrate(self, latents: Tensor, share: float = 1.0) -> None:
        """Moves mean and standard deviation by `share` towards those of raw encoder outputs (N, C_z, h, w)."""
        self.mean.lerp_(latents.mean((0, 2, 3), keepdim=True), share)
        self.std.lerp_(latents.std((0, 2, 3), keepdim=True), share)
