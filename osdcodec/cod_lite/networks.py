"""The networks of CoD-Lite in torch, and the channels-last network of its denoiser with all that is constant multiplied out.

The one step is always taken at t = 0, so what the published network computes from the time (a scale, a shift and a gate in each
of its blocks) are constants, and go into the weights beside them: see checkpoint.py.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .sizes import EPSILON, GROUPS, PATCH, WINDOW, Layer, Sizes


class Conv(nn.Module):
    """3x3. Of stride 2 it is padded by one all around, or (`below`) only below and to the right."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, below: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, 0 if below else 1)
        self.below = below

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)) if self.below else x)


class NormConv(nn.Module):
    """Group norm, SiLU, conv, in two: `normalised` needs the whole picture, `convolved` a band of it only."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, inputs, EPSILON)
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, 1)

    def convolved(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """scale, shift (1, inputs, 1, 1): of the norm, with the statistics of the whole picture in them"""
        return self.conv(F.silu(x * scale + shift))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.silu(self.norm(x)))


class ResBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first, self.second = NormConv(inputs, outputs), NormConv(outputs, outputs)
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def begun(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        return self.first.convolved(x, scale, shift)

    def joined(self, h: Tensor, scale: Tensor, shift: Tensor, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.second.convolved(h, scale, shift)

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.second(self.first(x))


class Attend(nn.Module):
    """Self-attention with one head, within windows of 32x32 positions, or over all of a picture that is smaller both ways."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, channels, EPSILON)
        self.q, self.k, self.v, self.out = (nn.Linear(channels, channels) for _ in range(4))

    def within(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """x (N, C, h, w), all of one window each -> (N, C, h, w)"""
        h = (x * scale + shift).flatten(2).transpose(1, 2)
        q, k, v = self.q(h), self.k(h), self.v(h)
        weights = ((q @ k.transpose(1, 2)) * q.shape[-1] ** -0.5).softmax(-1)
        return x + self.out(weights @ v).transpose(1, 2).reshape(x.shape)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        scale, shift = affine(x, self.norm)
        if height <= WINDOW and width <= WINDOW:
            return self.within(x, scale, shift)
        padded = F.pad(x, (0, -width % WINDOW, 0, -height % WINDOW), mode="replicate")
        rows, columns = padded.shape[2] // WINDOW, padded.shape[3] // WINDOW
        parts = padded.reshape(batch, channels, rows, WINDOW, columns, WINDOW).permute(0, 2, 4, 1, 3, 5)
        scale, shift = (each.repeat_interleave(rows * columns, 0) for each in (scale, shift))
        parts = self.within(parts.flatten(0, 2), scale, shift)
        parts = parts.reshape(batch, rows, columns, channels, WINDOW, WINDOW).permute(0, 3, 1, 4, 2, 5)
        return parts.reshape(padded.shape)[..., :height, :width]


class Up(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block = ResBlock(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.block(F.interpolate(x, scale_factor=2.0, mode="nearest"))


def affine(x: Tensor, norm: nn.GroupNorm) -> tuple[Tensor, Tensor]:
    """What the norm does to x (B, C, h, w), as a scale and a shift (B, C, 1, 1) of each channel."""
    grouped = x.reshape(len(x), norm.num_groups, -1)
    variance, mean = torch.var_mean(grouped, 2, correction=0)
    mean, inverse = (
        each.repeat_interleave(x.shape[1] // norm.num_groups, 1) for each in (mean, (variance + norm.eps).rsqrt())
    )
    scale = inverse * norm.weight
    return scale[..., None, None], (norm.bias - mean * scale)[..., None, None]


MODULES: dict[str, Callable[[Layer], nn.Module]] = {
    "conv": lambda layer: Conv(layer.inputs, layer.outputs, layer.stride, layer.source.startswith("down_block")),
    "res": lambda layer: ResBlock(layer.inputs, layer.outputs),
    "attend": lambda layer: Attend(layer.inputs),
    "out": lambda layer: NormConv(layer.inputs, layer.outputs, layer.stride),
    "up": lambda layer: Up(layer.inputs),
}


def network(layers: list[Layer]) -> nn.Sequential:
    return nn.Sequential(*(MODULES[layer.kind](layer) for layer in layers))


class Block(nn.Module):
    """Convolutional block with channel attention (DiCo, Ai et al., 2025), channels last: (B, h, w, C) -> the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, EPSILON, elementwise_affine=False)
        self.enter = nn.Linear(width, width)
        self.around = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.attention = nn.Linear(width, width)
        self.leave = nn.Linear(width, width)
        self.widen = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)

    def looked(self, x: Tensor) -> Tensor:
        """What a position sees of those around it; `joined` needs its mean over the whole picture."""
        h = self.enter(self.norm(x))
        return F.gelu(self.around(h.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))

    def joined(self, x: Tensor, seen: Tensor, mean: Tensor) -> Tensor:
        """mean (B, 1, 1, C)"""
        x = x + self.leave(seen * self.attention(mean).sigmoid())
        return x + self.narrow(F.gelu(self.widen(self.norm(x))))

    def forward(self, x: Tensor) -> Tensor:
        seen = self.looked(x)
        return self.joined(x, seen, seen.mean((1, 2), keepdim=True))


class Trunk(nn.Module):
    """condition (B, h, w, C), noise (B, h, w, 768) of each patch, if the model has any -> (B, h, w, C)"""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.noise = nn.Linear(3 * PATCH**2, sizes.bottleneck, bias=False) if sizes.noise_level else None
        self.enter = nn.Linear((sizes.bottleneck if sizes.noise_level else 0) + sizes.width, sizes.width)
        self.blocks = nn.Sequential(*(Block(sizes.width) for _ in range(sizes.blocks)))

    def begin(self, condition: Tensor, *noise: Tensor) -> Tensor:
        return self.enter(torch.cat([*(self.noise(each) for each in noise if self.noise), condition], -1))

    def forward(self, condition: Tensor, *noise: Tensor) -> Tensor:
        return self.blocks(self.begin(condition, *noise))


class PixelBlock(nn.Module):
    """x (…, c), modulation (…, 3 c) -> (…, c)"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, EPSILON)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, x: Tensor, shift: Tensor, scale: Tensor, gate: Tensor) -> Tensor:
        return x + gate * self.mlp(self.norm(x) * (1 + scale) + shift)


class Pixels(nn.Module):
    """trunk (N, C), condition (N, C), noise (N, 256, 3), if the model has any -> (N, 256, 3): every pixel of N patches.

    part: pixels at once in the layers of each pixel, so that what is between the layers stays in a cache; None: all.
    """

    part: int | None = None

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width = sizes.pixel_width
        self.given = nn.Linear(sizes.width, PATCH**2 * width)
        self.told = nn.Linear(sizes.width, PATCH**2 * width)
        self.noise = nn.Linear(3, width, bias=False) if sizes.noise_level else None
        self.modulation = nn.Linear(width, 3 * sizes.pixel_blocks * width)
        self.blocks = nn.ModuleList(PixelBlock(width) for _ in range(sizes.pixel_blocks))
        self.out = nn.Linear(width, 3)

    def forward(self, trunk: Tensor, condition: Tensor, *noise: Tensor) -> Tensor:
        width = self.out.in_features
        # All pixels in one row: a linear layer of two axes is one operation in a graph, of three a product and a sum.
        maps = self.given(condition).reshape(-1, width), self.told(trunk).reshape(-1, width)
        rows = *maps, *(each.reshape(-1, 3) for each in noise)
        if self.part is None:
            return self.coloured(*rows).reshape(-1, PATCH**2, 3)
        parts = zip(*(each.split(self.part) for each in rows), strict=True)
        return torch.cat([self.coloured(*part) for part in parts]).reshape(-1, PATCH**2, 3)

    def coloured(self, x: Tensor, told: Tensor, *noise: Tensor) -> Tensor:
        """x, told (n, c), noise (n, 3), if the model has any -> (n, 3)"""
        for each in noise:
            x = x + self.noise(each)  # type: ignore[misc]
        modulation = self.modulation(F.silu(told))
        parts = modulation.chunk(3 * len(self.blocks), -1)
        for index, block in enumerate(self.blocks):
            x = block(x, *parts[3 * index : 3 * index + 3])
        return self.out(x * (x.square().mean(-1, keepdim=True) + EPSILON).rsqrt())


class Networks(nn.Module):
    """Picture <-> features and entries, whole pictures at once."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.encoder, self.condition = network(sizes.encoder()), network(sizes.condition())
        self.trunk, self.pixels = Trunk(sizes), Pixels(sizes)

    def analyse(self, x: Tensor) -> Tensor:
        """x (1, 3, H, W) in [0, 1] -> features (1, D, H/d, W/d)"""
        return self.encoder(x)

    def synthesise(self, entries: Tensor, *noise: Tensor) -> Tensor:
        """entries (1, D, h, w), noise (1, 3, H, W) if the model has any -> x (1, 3, H, W), about in [-1, 1]"""
        condition = self.condition(entries).permute(0, 2, 3, 1)
        _, rows, columns, _ = condition.shape
        patches = [patched(each) for each in noise]
        trunk = self.trunk(condition, *(each.transpose(-1, -2).flatten(-2) for each in patches))
        x = self.pixels(trunk.flatten(0, 2), condition.flatten(0, 2), *(each.flatten(0, 2) for each in patches))
        if self.sizes.adds_noise and patches:
            x = x + patches[0].flatten(0, 2)
        x = x.reshape(1, rows, columns, PATCH, PATCH, 3).permute(0, 5, 1, 3, 2, 4)
        return x.reshape(1, 3, rows * PATCH, columns * PATCH)


def patched(x: Tensor) -> Tensor:
    """(1, 3, H, W) -> (1, H/16, W/16, 256, 3)"""
    return F.pixel_unshuffle(x, PATCH).unflatten(1, (3, PATCH**2)).permute(0, 3, 4, 2, 1)
