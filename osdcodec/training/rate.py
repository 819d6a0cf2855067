"""The rate: which qualities a batch is trained at, and the multipliers that hold each anchor lambda at its bits per pixel."""

import numpy as np
import torch
from accelerate.utils import gather
from torch import Tensor, nn

from ..rate_control import ANCHORS, quality_byte


def qualities(random: np.random.Generator, size: int) -> Tensor:
    """(size,): half of them at the anchors, half anywhere between, spread evenly over a batch for a steadier gradient."""
    anchors = np.array([quality_byte(lmbda) for lmbda in ANCHORS])
    places = (random.permutation(size) + random.random(size)) / size
    at_anchor = random.permutation(size) < size // 2 + random.integers(1 + size % 2)
    drawn = np.where(at_anchor, anchors[(places * len(anchors)).astype(int)], (places * 256).astype(int))
    return torch.from_numpy(drawn).float()


class RateControl(nn.Module):
    """Steers the rate multiplier of each anchor lambda until its measured bpp meets the target."""

    log_target: Tensor
    log_rate: Tensor
    bpp: Tensor

    def __init__(self, targets: list[float], rates: list[float], steer: float) -> None:
        super().__init__()
        self.register_buffer("log_target", torch.tensor(targets).log(), persistent=False)
        self.register_buffer("log_rate", torch.tensor(rates).log())
        self.register_buffer("bpp", torch.tensor(targets))  # running mean, for the log
        self.steer = steer

    def forward(self, weights: Tensor) -> Tensor:
        """Interpolation weights of the anchors (B, 5) -> rate multipliers (B,)"""
        return (weights @ self.log_rate).exp()

    @torch.no_grad()
    def update(self, weights: Tensor, bpp: Tensor) -> None:
        """weights (B, 5), measured bpp (B,); of several processes each learns from the pictures of all."""
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            weights, bpp = gather((weights.contiguous(), bpp.contiguous()))
        excess = (bpp.log() - weights @ self.log_target).clamp(-1, 1)
        self.log_rate += self.steer * (weights * excess[:, None]).sum(0)
        share = 0.02 * weights
        self.bpp += (share * (bpp[:, None] - self.bpp)).sum(0)

    def record(self) -> dict[str, float]:
        """The running mean of each anchor lambda, for the log."""
        return {f"bpp{lmbda:g}": float(bpp) for lmbda, bpp in zip(ANCHORS, self.bpp, strict=True)}
