"""The one-step denoiser: a diffusers UNet with cross-attention to the semantic tokens."""

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from ..profile import Profile
from .blocks import norm_free, zeroed


class Denoiser(nn.Module):
    """z_c (B, C_z, 2h, 2w), condition (B, C_c, 2h, 2w), embeddings (B, K, d), noise like z_c, level N -> z_hat like z_c

    Relay residual diffusion (RDEIC): with e = z_c - z, the start z_N = sqrt(abar) z_c + sqrt(1 - abar) eps is the noisy
    latent of z for the noise eps_N = eps + rho e, rho = sqrt(abar / (1 - abar)), and one step gives
    z_hat = (z_N - sqrt(1 - abar) eps_hat) / sqrt(abar). The decoder drew eps itself, so the network is asked only for
    what it cannot know, f = rho e: eps_hat = eps + f. With f = 0 the picture is the coarse one, D(z_c).
    """

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        latent, condition = profile.autoencoder_channels, profile.condition_channels
        unet = UNet2DConditionModel(
            in_channels=2 * latent + condition,
            out_channels=latent,
            block_out_channels=profile.denoiser_widths,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            mid_block_type="UNetMidBlock2D",
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            # Attention to the tokens only: attention between positions grows with the square of the picture.
            only_cross_attention=True,
            layers_per_block=profile.denoiser_layers,
            cross_attention_dim=profile.tower_width,
            attention_head_dim=profile.denoiser_widths[-1] // 32,  # diffusers reads this as the number of heads
        )
        self.unet = norm_free(unet)
        zeroed(unet.conv_out)

    def forward(
        self, z_c: Tensor, condition: Tensor, embeddings: Tensor, noise: Tensor, level: Tensor, alpha_bar: Tensor
    ) -> Tensor:
        """level (B,) float, alpha_bar (B, 1, 1, 1) of that level"""
        signal, deviation = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        z_n = signal * z_c + deviation * noise
        # The noisy latent goes in beside what is known of it without noise (SPRDiff's pixel condition).
        relay = self.unet(torch.cat([z_n, z_c, condition], 1), level, embeddings).sample
        return (z_n - deviation * (noise + relay)) / signal
