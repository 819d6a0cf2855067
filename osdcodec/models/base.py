"""The base of the latent: structural codes on a coarse grid, of which the scalar latent codes what they do not tell (DiffO).

Vector quantisation after van den Oord et al., 2017: straight-through gradients, a commitment loss, and a codebook that is the
running mean of what its codes stood for. DiffO's text leaves the grid, the size of the codebook and its losses open: these are ours.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..profile import Profile
from .blocks import principal_components
from .growth import Part

DECAY = 0.99  # of the running means, a batch
DEAD = 0.05  # of an even share: a code that stands for fewer features gets one of the batch in place of its own


class Base(Part):
    """z (B, C_z, F h, F w) -> base of y (B, C_y, h, w), codes (B, ceil(h/2), ceil(w/2))

    What a code says of y is linear in the codebook, so a decoder needs no network for it: `up` of each code is a block of y.
    """

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        channels, factor = profile.base_channels, profile.base_factor
        side = factor * profile.stride // profile.autoencoder_factor
        self.edge = side - side // factor  # so that the grid ends where y does, or behind it
        self.down = nn.Conv2d(profile.autoencoder_channels, channels, side, side)
        self.up = nn.Sequential(
            nn.Conv2d(channels, profile.latent_channels * factor**2, 1), nn.PixelShuffle(factor)
        )
        nn.init.zeros_(self.up[0].weight), nn.init.zeros_(self.up[0].bias)
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

    def forward(self, z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """What inference asks for: y less its base, and the codes."""
        codes = self.search(self.features(z))
        return y - self.decode(self.codebook[codes], y), codes

    def quantise(self, z: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """As training sees it -> base like y, codes, commitment (B,), bits (B,): those of the codes' frequencies so far"""
        features = self.features(z).float()
        codes = self.search(features.detach())
        values = self.codebook[codes]
        commitment = (features - values).square().mean((1, 2, 3))
        bits = -(self.usage + 1e-6).log2()[codes].sum((1, 2))
        if self.training:
            self.observe(features.detach().flatten(0, 2), codes.flatten())
        return self.decode(features + (values - features).detach(), y), codes, commitment, bits

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
    def start(self, z: Tensor, y: Tensor, rounds: int = 20) -> None:
        """Begins with z (N, C_z, F h, F w) and y (N, C_y, h, w): principal components, k-means, and what the codes tell of y."""
        side = self.down.kernel_size[0]
        mean, basis, _ = principal_components(z, side, self.down.out_channels)
        self.down.weight.copy_(basis.unflatten(1, self.down.weight.shape[1:]))
        self.down.bias.copy_(-(basis @ mean))
        features = self.features(z).flatten(0, 2)
        self.codebook.copy_(features[torch.randperm(len(features), device=z.device)[: len(self.codebook)]])
        for _ in range(rounds):
            hits = F.one_hot(self.search(features), len(self.codebook)).float()
            sums = hits.T @ features
            empty = hits.sum(0) == 0
            self.codebook.copy_(sums / hits.sum(0).clamp_min(1)[:, None])
            self.codebook[empty] = features[torch.randint(len(features), (int(empty.sum()),), device=z.device)]
        codes = self.search(features)
        self.usage.copy_(F.one_hot(codes, len(self.codebook)).float().mean(0))
        known = F.pad(self.codebook[codes], (0, 1), value=1.0).double()
        blocks = F.pixel_unshuffle(y, self.up[1].upscale_factor).permute(0, 2, 3, 1).flatten(0, 2).double()
        weight = torch.linalg.lstsq(known, blocks).solution.float()
        self.up[0].weight.copy_(weight[:-1].T[:, :, None, None])
        self.up[0].bias.copy_(weight[-1])
