"""All that fixes a model of profile cod-lite, and its convolutional networks as lists of layers. No torch, no numpy.

stride d      32          16          8           4           pixels per index
entries V     16 or 256   16 or 256   256         256
bits/pixel    .0039 .0078 .0156 .0312 .125        .5          log2(V) / d², the names of the published rates
"""

import math
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Any, NamedTuple

from ..rate_control import LAMBDA_MAX, LAMBDA_MIN, quality_byte

PATCH = 16  # pixels per position of the denoiser
GROUPS = 32  # of every group norm
EPSILON = 1e-6
WINDOW = 32  # side of the windows of attention
FREQUENCIES = 8  # of the cosines, in each direction, that tell a pixel its place in its patch
LAMBDA_BPP = 1 / 32  # λ times bits per pixel: λ = 1 asks for the rate of .0312


class Layer(NamedTuple):
    """One layer: conv, res, attend, out (norm, SiLU, conv) or up (twice the size, then res)."""

    kind: str
    source: str  # its name in the public state dict; of an out layer that of the norm and of the conv
    inputs: int
    outputs: int
    stride: int = 1


@dataclass(frozen=True)
class Sizes:
    """The published sizes; tests and conformance vectors have smaller ones."""

    stride: int = 16  # d
    entries: int = 256  # V
    dimension: int = 128  # D of an entry
    encoder_width: int = 128  # of the encoder's first layers
    width: int = 384  # C, of the condition and of the trunk
    blocks: int = 21  # of the trunk
    pixel_width: int = 32  # of the network that each pixel runs through
    pixel_blocks: int = 3
    bottleneck: int = 128  # of the noise on its way into the trunk
    noise_level: float = 0.0  # standard deviation of the noise that the step starts from; the published recipe has none
    adds_noise: bool = False  # the step gives a difference to the noise, not the picture itself

    def __post_init__(self) -> None:
        if self.stride not in (4, 8, 16, 32) or not 2 <= self.entries <= 2**16:
            raise ValueError(f"a stride of {self.stride} or {self.entries} entries is not of this profile")

    @property
    def bpp(self) -> float:
        return math.log2(self.entries) / self.stride**2

    @property
    def multiple(self) -> int:
        """Of which the sides of a padded picture are multiples."""
        return max(self.stride, PATCH)

    def grid(self, width: int, height: int) -> tuple[int, int]:
        """Rows and columns of indices for a picture of width x height pixels."""
        rows, columns = (-(-side // self.multiple) * self.multiple // self.stride for side in (height, width))
        return rows, columns

    def encoder(self) -> list[Layer]:
        """x (1, 3, H, W) in [0, 1] -> features (1, D, H/d, W/d)"""
        width = self.encoder_width
        layers = [Layer("conv", "conv_in", 3, width, 2)]
        for stage, (inputs, outputs) in enumerate([(1, 1), (1, 1), (1, 2), (2, 2)]):
            layers += [
                Layer("res", f"down_block_{stage}.0", inputs * width, outputs * width),
                Layer("res", f"down_block_{stage}.1", outputs * width, outputs * width),
            ]
            if self.stride >= 2 ** (stage + 2):
                layers.append(Layer("conv", f"down_block_{stage}.2.conv", outputs * width, outputs * width, 2))
        for prefix, inputs in (("down_block_4", 2), ("mid_block", 4)):
            layers.append(Layer("res", f"{prefix}.0", inputs * width, 4 * width))
            layers.append(Layer("attend", f"{prefix}.1", 4 * width, 4 * width))
            layers.append(Layer("res", f"{prefix}.2", 4 * width, 4 * width))
            if inputs == 2:
                layers.append(Layer("attend", f"{prefix}.3", 4 * width, 4 * width))
        return [*layers, Layer("out", "norm_out conv_out", 4 * width, self.dimension)]

    def condition(self) -> list[Layer]:
        """Entries (1, D, h, w) -> condition (1, C, H/16, W/16)"""
        width = self.width
        layers = [Layer("conv", "conv_in", self.dimension, width), Layer("res", "block.0", width, width)]
        for index in (1, 3):
            layers += [
                Layer("attend", f"block.{index}", width, width),
                Layer("res", f"block.{index + 1}", width, width),
            ]
        if self.stride == 4:
            return [
                *layers,
                Layer("out", "norm_out conv_out.0", width, width, 2),
                Layer("res", "conv_out.1", width, width),
                Layer("conv", "conv_out.2", width, width, 2),
            ]
        layers.append(Layer("out", "norm_out conv_out", width, width, 2 if self.stride == 8 else 1))
        return [*layers, Layer("up", "ada.block", width, width)] if self.stride == 32 else layers

    @property
    def quality(self) -> int:
        """The quality byte of files: that of the λ which stands for this rate, or of the nearest there is."""
        return quality_byte(min(max(lambda_of_rate(self.bpp), LAMBDA_MIN), LAMBDA_MAX))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Sizes":
        """ValueError if these are not sizes."""
        if values.keys() != {field.name for field in fields(cls)}:
            raise ValueError("not the sizes of a model")
        return cls(**values)


def runs(layers: list[Layer]) -> list[tuple[int, int]]:
    """The layers as stretches first .. last that need no windows, hence can be one graph, and attention between them."""
    edges, found = [index for index, layer in enumerate(layers) if layer.kind == "attend"], []
    for before, after in pairwise([-1, *edges, len(layers)]):
        found += [(before + 1, after - 1)] if after > before + 1 else []
        found += [(after, after)] if after < len(layers) else []
    return found


def lambda_of_rate(bpp: float) -> float:
    """The λ that asks for so many bits per pixel: 1 for .0312, 2 for .0156, .25 for .125."""
    return LAMBDA_BPP / bpp


def nearest_rate(lmbda: float, rates: list[float]) -> float:
    """Returns the rate whose λ is nearest by its logarithm; the smaller one of two as near."""
    return min(sorted(rates), key=lambda rate: round(abs(math.log(lambda_of_rate(rate) / lmbda)), 9))
