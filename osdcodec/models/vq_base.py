"""The base of the latent: structural codes on a coarse grid. The scalar latent is the residual after them (DiffO).

Vector quantisation after van den Oord et al., 2017: straight-through gradients, a commitment loss, and a codebook that is the
running mean of what its codes stood for. DiffO's text leaves the grid, the size of the codebook and its losses open: these are ours.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..profile import Profile
from .blocks import bias_of, principal_components, zeroed
from .growth import Part

DECAY = 0.99  # of the running means, a batch
DEAD = 0.05  # of an even share: a code that stands for fewer features gets one of the batch in place of its own
COMMITMENT = 0.25  # beside the error of what the codes show


class VqBase(Part):
    """z (B, C_z, F h, F w) -> base of y (B, C_y, h, w), codes (B, ceil(h/2), ceil(w/2))

    A code stands for a block of the autoencoder's latent. Its part of y is linear in the codebook, so a decoder needs no network
    for it. That part is zero-initialised: training finds out how much of y is left to the base.
    """

    codebook: Tensor
    usage: Tensor

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        channels, factor = profile.base_channels, profile.base_factor
        side = factor * profile.z_per_y
        self.edge = side - side // factor  # so that the grid ends where y does, or behind it
        self.down = nn.Conv2d(profile.autoencoder_channels, channels, side, side)
        up = zeroed(nn.Conv2d(channels, profile.latent_channels * factor**2, 1))
        self.up = nn.Sequential(up, nn.PixelShuffle(factor))
        self.register_buffer("codebook", torch.randn(profile.base_codes, channels))
        self.register_buffer("usage", torch.zeros(profile.base_codes))  # share of the features; all 0: not started yet

    def features(self, z: Tensor) -> Tensor:
        """(B, C_z, F h, F w) -> (B, ceil(h/2), ceil(w/2), C_b)"""
        return self.down(F.pad(z, (0, self.edge, 0, self.edge), mode="replicate")).permute(0, 2, 3, 1)

    def search(self, features: Tensor) -> Tensor:
        """(…, C_b) -> nearest codes (…)"""
        return (self.codebook.square().sum(1) - 2 * features @ self.codebook.T).argmin(-1)

    def decode(self, values: Tensor, like: Tensor) -> Tensor:
        """Codes' vectors (B, hh, hw, C_b) -> base of y, as large as `like`"""
        return self.up(values.permute(0, 3, 1, 2))[..., : like.shape[2], : like.shape[3]]

    def forward(self, z: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """What inference asks for: the base of y, as large as `like`, and the codes."""
        codes = self.search(self.features(z))
        return self.decode(self.codebook[codes], like), codes

    def quantise(self, z: Tensor, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As training sees it -> base of y, loss (B,) of the codes themselves, bits (B,) by the codes' frequencies so far"""
        features = self.features(z)
        codes = self.search(features.detach())
        values, usage = self.codebook[codes], self.usage + 1e-6
        through = features + (values - features).detach()
        # The block of z that a code shows by the transpose of what made its features: else they would shrink to nothing.
        shown = F.conv_transpose2d(
            (through - bias_of(self.down)).permute(0, 3, 1, 2), self.down.weight, stride=self.down.stride
        )[..., : z.shape[2], : z.shape[3]]
        loss = (shown - z).square().mean((1, 2, 3)) + COMMITMENT * (features - values).square().mean((1, 2, 3))
        bits = -usage.log2()[codes].sum((1, 2))
        if self.training:
            self.observe(features.detach().flatten(0, 2), codes.flatten())
        return self.decode(through, like), loss, bits

    @torch.no_grad()
    def observe(self, features: Tensor, codes: Tensor) -> None:
        """Moves the codebook towards the features (N, C_b) that the codes (N,) stand for, and revives dead codes."""
        hits = F.one_hot(codes, len(self.codebook)).float() / len(codes)
        total = (self.codebook * self.usage[:, None]).lerp(hits.T @ features, 1 - DECAY)
        self.usage.lerp_(hits.sum(0), 1 - DECAY)
        self.codebook.copy_(total / self.usage[:, None].clamp_min(1e-9))
        dead = self.usage < DEAD / len(self.usage)
        self.codebook[dead] = features[torch.randint(len(features), (int(dead.sum()),), device=features.device)]
        self.usage[dead] = 2 * DEAD / len(self.usage)

    @torch.no_grad()
    def start(self, z: Tensor, rounds: int = 20) -> None:
        """Begins with z (N, C_z, F h, F w): the principal components of its blocks, and k-means over them."""
        side = self.down.kernel_size[0]
        mean, basis, _ = principal_components(z, side, self.down.out_channels)
        self.down.weight.copy_(basis.unflatten(1, self.down.weight.shape[1:]))
        bias_of(self.down).copy_(-(basis @ mean))
        features = self.features(z).flatten(0, 2)
        self.codebook.copy_(features[torch.randperm(len(features), device=z.device)[: len(self.codebook)]])
        for _ in range(rounds):
            hits = F.one_hot(self.search(features), len(self.codebook)).float()
            empty = hits.sum(0) == 0
            self.codebook.copy_(hits.T @ features / hits.sum(0).clamp_min(1)[:, None])
            self.codebook[empty] = features[torch.randint(len(features), (int(empty.sum()),), device=z.device)]
        self.usage.copy_(F.one_hot(self.search(features), len(self.codebook)).float().mean(0))
