"""DC-AE autoencoder of diffusers around a linear one, its latent brought to zero mean and unit variance per channel."""

import torch
from diffusers import AutoencoderDC
from torch import Tensor, nn

from ..profile import Profile
from .blocks import bias_of, norm_free, principal_components, zeroed


class Autoencoder(nn.Module):
    """x (B, 3, H, W) in [-1, 1]  <->  z (B, C_z, H/16, W/16), unit variance.

    The principal components of 16x16 blocks, whitened, and what a deep-compression autoencoder (Chen et al., 2024) of
    residual blocks adds to them on either side. It has no norms, so a tile of a picture decodes as the picture does.
    """

    mean: Tensor
    std: Tensor
    dc: AutoencoderDC

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        channels, side = profile.autoencoder_channels, profile.autoencoder_factor
        self.down = nn.Conv2d(3, channels, side, side)
        self.up = nn.ConvTranspose2d(channels, 3, side, side)
        self.dc = norm_free(
            AutoencoderDC(
                latent_channels=channels,
                encoder_block_out_channels=profile.autoencoder_widths,
                decoder_block_out_channels=profile.autoencoder_widths,
                encoder_layers_per_block=profile.encoder_layers,
                decoder_layers_per_block=profile.decoder_layers,
                encoder_qkv_multiscales=((),) * len(profile.autoencoder_widths),
                decoder_qkv_multiscales=((),) * len(profile.autoencoder_widths),
                decoder_conv_act_fn="silu",
                encoder_out_shortcut=False,
            )
        )
        zeroed(self.dc.encoder.conv_out)
        zeroed(self.dc.decoder.conv_out.conv)
        # Noise levels mean something only while z has unit variance; measured once, when the encoder is done.
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("std", torch.ones(1, channels, 1, 1))

    def raw(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> the latent before it is brought to unit variance"""
        return self.down(x) + self.dc.encoder(x)

    def encode(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C_z, H/16, W/16)"""
        return (self.raw(x) - self.mean) / self.std

    def observe(self, x: Tensor, z: Tensor | None = None) -> Tensor:
        """What the analysis sees of a picture, whose z may be known: z itself."""
        return self.encode(x) if z is None else z

    def decode(self, z: Tensor) -> Tensor:
        """(B, C_z, H/16, W/16) -> (B, 3, H, W)"""
        raw = z * self.std + self.mean  # near z itself: the components are white already
        return self.up(raw) + self.dc.decoder(raw)

    @torch.no_grad()
    def start(self, pictures: Tensor) -> None:
        """Sets the linear part from pictures (N, 3, H, W)."""
        side, count = self.down.kernel_size[0], self.down.out_channels
        mean, basis, deviation = principal_components(pictures, side, count)
        self.down.weight.copy_((basis / deviation[:, None]).unflatten(1, (3, side, side)))
        bias_of(self.down).copy_(-(basis @ mean) / deviation)
        self.up.weight.copy_((basis * deviation[:, None]).unflatten(1, (3, side, side)))
        bias_of(self.up).copy_(mean.unflatten(0, (3, -1)).mean(1))

    @torch.no_grad()
    def calibrate(self, latents: Tensor, share: float = 1.0) -> None:
        """Moves mean and standard deviation by `share` towards those of raw encoder outputs (N, C_z, h, w)."""
        self.mean.lerp_(latents.mean((0, 2, 3), keepdim=True), share)
        self.std.lerp_(latents.std((0, 2, 3), keepdim=True), share)
