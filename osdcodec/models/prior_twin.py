"""The fake-quantised twin of the integer prior: same layers in torch, trained straight-through, exported as integers.

A tensor of the twin holds real values on the grid of its integers: real = integer / 2**bits. Every layer is
`clamp(floor((conv(x, weight) + bias) / 2**shift))` on those integers, as in `entropy/integer_net.py`.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..profile import Profile
from .blocks import bias_of

WEIGHT_BITS = 12  # fractional bits of the weights, which are int16, in most layers
HIDDEN_BITS = 8  # of hidden activations
FEATURE_BITS = 6  # of what the hyperprior tells the context model
MEAN_BITS = 4  # means and reconstructed latents are in sixteenths
SCALE_BITS = 3  # the table row is eight times the real output
SYMBOL_LIMIT = 64  # symbols lie in -64 .. 64
TABLE_ROWS = 64
SCALE_MIN, SCALE_MAX = 0.1, 32.0
TAIL = 2e-5  # share of a Laplacian in each table: outliers cost 15 bits or so instead of all 24
GAUSSIAN_COUNTS = 50  # symbols that must be seen in a row before they weigh as much as its Gaussian
PHASES = (0, 3, 1, 2)  # order of the four positions of a 2x2 cell, diagonal first
QUALITY_SCALE = 1 / 64  # its weights are written divided by 64, so in coarser steps: such layers have finer ones


def round_through(x: Tensor) -> Tensor:
    """Rounds half up; the gradient passes straight through."""
    return x + (torch.floor(x + 0.5) - x).detach()


class IntegerConv(nn.Module):
    """One layer of the integer prior: convolution with zero padding, then rounding to `out_bits` and clamping."""

    input_scale: Tensor

    def __init__(
        self, inputs: int, outputs: int, kernel: int, in_bits: int, out_bits: int, low: int, high: int,
        input_scale: list[float] | None = None, weight_bits: int = WEIGHT_BITS,
    ) -> None:  # fmt: skip
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
        self.in_bits, self.out_bits, self.low, self.high = in_bits, out_bits, low, high
        self.weight_bits = weight_bits
        # Real value of one integer unit of each input, in units of 2**-in_bits: one layer may read inputs on different grids.
        self.register_buffer(
            "input_scale", torch.tensor(input_scale or [1.0] * inputs)[:, None, None], persistent=False
        )

        self.exact = True  # False: a float layer without rounding, to measure what the integers cost

    def integers(self) -> tuple[Tensor, Tensor]:
        """Weight and bias in units of 2**-weight_bits and 2**-(weight_bits + in_bits): real numbers, rounded straight-through."""
        weight = round_through(self.conv.weight * self.input_scale * 2**self.weight_bits).clamp(-32768, 32767)
        bias = round_through(self.conv.bias * 2 ** (self.weight_bits + self.in_bits))
        return weight, bias

    def forward(self, x: Tensor) -> Tensor:
        """x: integers / 2**in_bits -> integers / 2**out_bits"""
        if not self.exact:
            return self.conv(x).clamp(self.low / 2**self.out_bits, self.high / 2**self.out_bits)
        weight, bias = self.integers()
        weight, bias = weight / 2**self.weight_bits / self.input_scale, bias / 2 ** (self.weight_bits + self.in_bits)
        out = F.conv2d(x, weight, bias, padding=self.conv.padding)
        return round_through(out * 2**self.out_bits).clamp(self.low, self.high) / 2**self.out_bits

    def export(self) -> dict[str, np.ndarray]:
        weight, bias = (t.detach().cpu().double().numpy() for t in self.integers())
        shift = self.weight_bits + self.in_bits - self.out_bits
        return {
            "weight": weight.astype(np.int16),
            "bias": (bias + 2 ** (shift - 1)).astype(np.int32),  # the half turns floor into rounding
            "rescale": np.array([1, shift, self.low, self.high], np.int32),
        }

    @torch.no_grad()
    def load(self, tensors: Mapping[str, np.ndarray], prefix: str) -> None:
        """The inverse of `export`, whatever the steps of the weights were then."""
        shift = int(tensors[f"{prefix}.rescale"][1])
        weight_bits = shift + self.out_bits - self.in_bits
        weight = torch.from_numpy(tensors[f"{prefix}.weight"].astype(np.float32))
        bias = torch.from_numpy((tensors[f"{prefix}.bias"] - 2.0 ** (shift - 1)).astype(np.float32))
        self.conv.weight.copy_(weight / 2**weight_bits / self.input_scale)
        bias_of(self.conv).copy_(bias / 2 ** (weight_bits + self.in_bits))


def scale_of(row: Tensor) -> Tensor:
    """Table row (real-valued 0 .. 63) -> standard deviation."""
    return SCALE_MIN * torch.exp(row * (math.log(SCALE_MAX / SCALE_MIN) / (TABLE_ROWS - 1)))


def probability(value: Tensor, scale: Tensor) -> Tensor:
    """Mass of the unit interval around `value`: a Gaussian of standard deviation `scale` with thin Laplacian tails."""
    distance = value.abs()
    gauss = 0.5 * (
        torch.erfc((distance - 0.5) / scale * math.sqrt(0.5)) - torch.erfc((distance + 0.5) / scale * math.sqrt(0.5))
    )
    width = 1 + scale
    laplace = torch.exp(-distance / width) * torch.sinh(0.5 / width)  # exact for |value| >= 1/2, close enough below
    return (1 - TAIL) * gauss + TAIL * laplace


def tables(counts: np.ndarray | None = None) -> np.ndarray:
    """(64, 129) int32 frequencies; each row sums to 2**24, each count is at least 1.

    counts (64, 129): how often symbols were coded with each row. What was seen often stands in place of the Gaussians: an
    encoder that weighs bits leaves more zeros and a heavier tail than these have, 2 % of the bits at lambda 2.
    """
    symbols = torch.arange(-SYMBOL_LIMIT, SYMBOL_LIMIT + 1, dtype=torch.float64)
    rows = probability(symbols, scale_of(torch.arange(TABLE_ROWS, dtype=torch.float64))[:, None]).numpy()
    if counts is not None:
        rows = rows + (counts + counts[:, ::-1]) / (2 * GAUSSIAN_COUNTS)
    return np.stack([frequencies(row) for row in rows])


def frequencies(weights: np.ndarray, total: int = 2**24) -> np.ndarray:
    """Non-negative weights (V,) -> int32 counts (V,), each at least 1, summing to 2**24."""
    weights = np.asarray(weights, np.float64)
    counts = 1 + np.floor(weights / weights.sum() * (total - len(weights))).astype(np.int64)
    counts[weights.argmax()] += total - counts.sum()
    return counts.astype(np.int32)


class Prior(nn.Module):
    """Hyperprior and four-part context model (quadtree partition of DCVC-DC, Li et al., 2023)."""

    prices: Tensor | None

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        self.profile = profile
        self.register_buffer("prices", None, persistent=False)  # bits (64, 129) of each symbol by row
        hyper, latent = profile.hyper_channels, profile.latent_channels
        features, width = profile.feature_channels, profile.context_channels
        hidden: dict[str, Any] = dict(out_bits=HIDDEN_BITS, low=0, high=2**15 - 1)
        row: dict[str, Any] = dict(in_bits=HIDDEN_BITS, out_bits=SCALE_BITS, low=0, high=TABLE_ROWS - 1)

        self.hyper_scale = nn.Sequential(
            IntegerConv(1, 16, 1, 0, **hidden, input_scale=[QUALITY_SCALE], weight_bits=18),
            IntegerConv(16, hyper, 1, **row),
        )
        self.hyper_synthesis = nn.Sequential(
            IntegerConv(  # in finer steps still, the weights of the hyper-latent would not fit into int16
                hyper + 1, 4 * features, 3, 0, **hidden, input_scale=[1.0] * hyper + [QUALITY_SCALE], weight_bits=15
            ),
            nn.PixelShuffle(2),
            IntegerConv(features, 4 * features, 3, HIDDEN_BITS, **hidden),
            nn.PixelShuffle(2),
            IntegerConv(features, features, 3, HIDDEN_BITS, FEATURE_BITS, 0, 2**13 - 1),
        )
        mixed = [1.0] * features + [2.0 ** (FEATURE_BITS - MEAN_BITS)] * latent
        groups = [
            nn.ModuleDict(
                {
                    "0": IntegerConv(features + latent, width, 3, FEATURE_BITS, **hidden, input_scale=mixed),
                    "1": IntegerConv(width, width, 1, HIDDEN_BITS, **hidden),
                    "mean": IntegerConv(width, latent, 1, HIDDEN_BITS, MEAN_BITS, -1024, 1024),
                    "scale": IntegerConv(width, latent, 1, **row),
                }
            )
            for _ in PHASES
        ]
        self.context = nn.ModuleList(groups)
        for name, layer in self.layers().items():
            if name.endswith(("hyper_scale.1", ".scale")):
                nn.init.constant_(bias_of(layer.conv), 2.5)  # start near a standard deviation of 0.6

    def groups(self) -> list[nn.ModuleDict]:
        """The layers of each group."""
        return [group for group in self.context if isinstance(group, nn.ModuleDict)]

    def masks(self, like: Tensor) -> list[Tensor]:
        """Four boolean masks (C_y, h, w): which symbols belong to which group."""
        channels, height, width = like.shape[1:]
        quarter = (torch.arange(channels, device=like.device) * 4 // channels)[:, None, None]
        rows = torch.arange(height, device=like.device)[:, None]
        columns = torch.arange(width, device=like.device)
        phase = 2 * (rows % 2) + columns % 2
        return [phase == (place ^ quarter) for place in PHASES]

    def forward(self, y: Tensor, hyper: Tensor, quality: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """y (B, C_y, h, w), hyper (B, C_h, hh, hw), both gained, quality (B,) -> y_hat like y, bits (B, 2), error (B,)

        y_hat is rounded straight-through, as the decoder will see it, and the bits of hyper-latent and latent are those
        of the rounded symbols: with uniform noise in their place each of the many zeros would seem to cost 0.1 bit, which
        at 0.03 bit per pixel is a third of the file. error is that of y_hat, squared, over the price of a bit.

        The prior learns from bits + error, the cost that the encoder weighs when it chooses symbols. It has no gradient
        through them and needs none: they are those for which the sum is least, so it has no step where they change. From
        the bits alone the means would learn next to nothing, for most symbols are 0, where bits are level.
        """
        y_hat, error, coded = self.walk(y, hyper, quality)
        bits_hyper, *bits = ((mask * self.bits(symbols, row)).sum((1, 2, 3)) for symbols, row, mask in coded)
        return (
            y_hat,
            torch.stack([bits_hyper, sum(bits[1:], bits[0])], 1),
            error.sum((1, 2, 3)) / self.profile.bit_price,
        )

    def walk(
        self, y: Tensor, hyper: Tensor, quality: Tensor
    ) -> tuple[Tensor, Tensor, list[tuple[Tensor, Tensor, Tensor]]]:
        """As `forward` -> y_hat, its squared error like y, and symbols, table rows and mask, all of one shape, of the
        hyper-latent and the four groups.

        y_hat has the gradient of y alone, the error that of the means, bits both that of the rows and, through symbols, of y.
        """
        plane = quality[:, None, None, None].round()
        row = 2**SCALE_BITS * self.hyper_scale(plane * QUALITY_SCALE)
        symbols = round_through(hyper).clamp(-SYMBOL_LIMIT, SYMBOL_LIMIT)
        coded = [(symbols, row.expand_as(symbols), torch.ones_like(symbols, dtype=torch.bool))]

        plane = plane.expand(-1, -1, *hyper.shape[2:])
        features = self.hyper_synthesis(torch.cat([symbols, plane * QUALITY_SCALE], 1))[..., : y.shape[2], : y.shape[3]]
        y_hat, error = torch.zeros_like(y), torch.zeros_like(y)
        for group, mask in zip(self.groups(), self.masks(y), strict=True):
            hidden = group["1"](group["0"](torch.cat([features, y_hat.detach()], 1)))
            mean, row = group["mean"](hidden), 2**SCALE_BITS * group["scale"](hidden)
            symbols = self.quantise(y - mean.detach(), row)
            coded.append((symbols, row, mask.expand_as(symbols)))
            y_hat = y_hat + mask * (symbols + mean.detach())
            error = error + mask * (symbols.detach() + mean - y.detach()).square()
        return y_hat, error, coded

    def quantise(self, value: Tensor, row: Tensor) -> Tensor:
        """Symbols as the encoder chooses them; the gradient passes straight through.

        The nearest integer, or the next towards zero where the bits that it saves are worth the error.
        """
        with torch.no_grad():
            nearest = (value.sign() * torch.floor(value.abs() + 0.5)).clamp(-SYMBOL_LIMIT, SYMBOL_LIMIT)
            lower = nearest - nearest.sign()
            cost, cost_lower = (
                (value - symbols).square() + self.profile.bit_price * self.bits(symbols, row)
                for symbols in (nearest, lower)
            )
            chosen = torch.where(cost_lower < cost, lower, nearest)
        return value + (chosen - value).detach()

    def bits(self, symbols: Tensor, row: Tensor) -> Tensor:
        """Of each symbol; those of a file, once `price` has told them, with the gradient of the Gaussian all the same."""
        smooth = -torch.log2(probability(symbols, scale_of(row)).clamp_min(2.0**-24))
        if self.prices is None:
            return smooth
        with torch.no_grad():
            exact = self.prices[row.round().long(), symbols.round().long() + SYMBOL_LIMIT]
        return smooth + (exact - smooth).detach()

    def price(self, tables: np.ndarray) -> None:
        """From now on symbols are chosen and counted as by the tables (64, 129) of a weights file, not by the Gaussians."""
        self.prices = torch.from_numpy(24 - np.log2(tables)).float()

    def layers(self) -> dict[str, IntegerConv]:
        """Name in the weights file -> layer."""
        parts = {f"prior.hyper_scale.{i}": layer for i, layer in enumerate(self.hyper_scale)}
        convolutions = [layer for layer in self.hyper_synthesis if isinstance(layer, IntegerConv)]
        parts |= {f"prior.hyper_synthesis.{i}": layer for i, layer in enumerate(convolutions)}
        for i, group in enumerate(self.groups()):
            parts |= {f"prior.context.{i}.{key}": layer for key, layer in group.items()}
        return {name: layer for name, layer in parts.items() if isinstance(layer, IntegerConv)}

    def export(self, counts: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Integer tensors by their names in the weights file, with the tables of the latents, fitted to counts (64, 129)."""
        tensors = {f"{name}.{k}": v for name, layer in self.layers().items() for k, v in layer.export().items()}
        return tensors | {"prior.tables": tables(counts), "prior.stride": np.array([self.profile.stride], np.int32)}

    def load(self, tensors: Mapping[str, np.ndarray]) -> None:
        """The inverse of `export`."""
        for name, layer in self.layers().items():
            layer.load(tensors, name)
