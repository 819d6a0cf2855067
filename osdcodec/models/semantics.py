"""Quantized CLIP semantics: an open_clip image tower and a vector quantizer over a small grid of its features."""

import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from torch import Tensor, nn
from torch.nn import functional as F

from ..profile import Profile


def contrastive_model(profile: Profile) -> CLIP:
    """The whole CLIP, for training the tower; the text side is dropped afterwards."""
    vision = CLIPVisionCfg(
        layers=profile.tower_layers,
        width=profile.tower_width,
        head_width=32,
        patch_size=profile.tower_patch,
        image_size=profile.thumb,
        pool_type="avg",  # so that every patch token, not a class token, carries meaning
        output_tokens=True,
    )
    text = CLIPTextCfg(context_length=24, width=128, heads=4, layers=2)
    return CLIP(profile.tower_width, vision, text)


class Semantics(nn.Module):
    """thumb (B, 3, 64, 64) in [-1, 1] -> features (B, K, d), tokens (B, K)

    Tokens index a codebook (V, d) of unit vectors (one-step diffusion with quantized semantics; van den Oord et al.,
    2017). The decoder needs the codebook only.
    """

    codebook: Tensor

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        self.tower = self.build(profile)
        self.side = round(profile.tokens**0.5)  # tokens lie on a square grid over the picture
        self.patches = profile.thumb // profile.tower_patch
        self.register_buffer("codebook", F.normalize(torch.randn(profile.codebook_size, profile.tower_width), dim=-1))

    def build(self, profile: Profile) -> nn.Module | None:
        """The image tower; None if `open` brings it."""
        tower = contrastive_model(profile).visual
        tower.proj = None
        return tower

    def open(self) -> None:
        """Loads what only an encoder needs, where that is large."""

    def tower_features(self, thumb: Tensor) -> Tensor:
        """(B, 3, 64, 64) -> (B, 64, d), unit length: all that the tower sees, for the denoiser's own eyes"""
        assert self.tower is not None
        return F.normalize(self.tower(thumb)[1], dim=-1)

    def features(self, thumb: Tensor) -> Tensor:
        """(B, 3, 64, 64) -> (B, K, d), unit length"""
        assert self.tower is not None
        _, tokens = self.tower(thumb)  # (B, 64, d)
        cell = self.patches // self.side
        grid = tokens.reshape(-1, self.side, cell, self.side, cell, tokens.shape[-1]).mean((2, 4))
        return F.normalize(grid.flatten(1, 2), dim=-1)

    def forward(self, thumb: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(thumb)
        return features, (features @ self.codebook.T).argmax(-1)

    def embed(self, tokens: Tensor) -> Tensor:
        """(B, K) -> (B, K, d)"""
        return self.codebook[tokens]

    @torch.no_grad()
    def fit(self, features: Tensor, rounds: int = 20) -> float:
        """Spherical k-means over features (N, d); returns the mean cosine between a feature and its code."""
        codes = features[torch.randperm(len(features), device=features.device)[: len(self.codebook)]].clone()
        for _ in range(rounds):
            nearest = torch.cat([(part @ codes.T).argmax(-1) for part in features.split(8192)])
            sums = torch.zeros_like(codes).index_add_(0, nearest, features)
            empty = sums.norm(dim=-1) == 0
            sums[empty] = features[torch.randint(len(features), (int(empty.sum()),), device=features.device)]
            codes = F.normalize(sums, dim=-1)
        self.codebook.copy_(codes.half().float())  # stored in half precision, so training sees the shipped numbers
        return torch.cat([(part @ codes.T).amax(-1) for part in features.split(8192)]).mean().item()
