"""What the decoder sees in its own coarse picture D(z_c), which costs no bits (SPRDiff, III-C)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..profile import Profile
from .blocks import zeroed
from .growth import Part

HEADS = 2


class DecoderSemantics(Part):
    """z_c (B, C_z, h, w), condition (B, C_c, h, w), coarse (B, 3, H, W), patches (B, P, d) -> start and condition for the denoiser

    A projector turns the pixels of D(z_c) into what is added to the start z_c; the patch features of a frozen image tower come in
    through cross-attention, every position asking all patches. SPRDiff's tower is DINOv2; ours is the CLIP tower that the weights
    hold anyway, on the thumbnail of D(z_c). Both are zero-initialised.
    """

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        latents, width, halvings = profile.autoencoder_channels, profile.condition_channels, 0
        layers: list[nn.Module] = [nn.PixelUnshuffle(4), nn.Conv2d(48, width, 3, padding=1), nn.SiLU()]
        while 4 << halvings < profile.autoencoder_factor:
            layers += [nn.Conv2d(width, width, 3, 2, 1), nn.SiLU()]
            halvings += 1
        self.project = nn.Sequential(*layers, zeroed(nn.Conv2d(width, latents, 3, padding=1)))
        self.query = nn.Conv2d(latents + width, width, 1)
        self.key, self.value = nn.Linear(profile.tower_width, width), nn.Linear(profile.tower_width, width)
        self.out = zeroed(nn.Conv2d(width, width, 1))

    def forward(self, z_c: Tensor, condition: Tensor, coarse: Tensor, patches: Tensor) -> tuple[Tensor, Tensor]:
        query = self.query(torch.cat([z_c, condition], 1))
        asked, keys, values = (
            part.unflatten(-1, (HEADS, -1)).transpose(1, 2)  # (B, heads, places, width)
            for part in (query.flatten(2).transpose(1, 2), self.key(patches), self.value(patches))
        )
        seen = F.scaled_dot_product_attention(asked, keys, values).transpose(1, 2).flatten(2)
        seen = seen.transpose(1, 2).unflatten(2, query.shape[2:])
        return z_c + self.project(coarse), condition + self.out(seen)
