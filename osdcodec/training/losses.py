"""The losses of pictures and latents, by name; a recipe gives them their weights.

A new loss is a function and its line in LOSSES; one that needs a network is a class and its line in NETWORKS.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError, WeightsError
from ..metrics.ms_ssim import WEIGHTS
from ..metrics.perceptual import Distance, Dists, Lpips
from ..metrics.texture import Texture
from ..metrics.vgg_like import PerceptualDistance
from ..models import CodecModel
from .recipe import STRICT, Anchored


class Seen(NamedTuple):
    """What a loss may look at, in full precision. What a stage does not have is None."""

    x: Tensor  # (B, 3, H, W) in [-1, 1]
    x_hat: Tensor  # its reconstruction
    z: Tensor | None = None  # (B, C_z, h, w) the latent of x
    z_hat: Tensor | None = None  # the denoised one
    coarse: Tensor | None = None  # (b, 3, H, W) D(z_c) of the first b pictures
    base: Tensor | None = None  # (B,) what the codes of the base miss
    z_c: Tensor | None = None  # (B, C_z, h, w) what the synthesis made of the symbols


def luma(x: Tensor) -> Tensor:
    """(B, 3, H, W) -> (B, 1, H, W)"""
    return (x * x.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)


def windows(length: int, device: torch.device) -> Tensor:
    """(length - 10, length): a matrix whose rows are the Gaussian windows of SSIM, 11 pixels long, deviation 1.5."""
    places = torch.arange(length - 10, device=device)[:, None], torch.arange(length, device=device)
    distance = (places[1] - places[0] - 5).float()
    window = torch.exp(-(distance**2) / (2 * 1.5**2)) * (distance.abs() <= 5)
    return window / window.sum(1, keepdim=True)


def structure(x: Tensor, y: Tensor) -> Tensor:
    """1 - MS-SSIM of two batches (B, 3, H, W) in [-1, 1], 161 pixels a side or more; mean over RGB -> (B,)

    As pytorch_msssim computes it, but windows are matrices: on a CPU that takes a third of the time of its convolutions.
    """
    x, y, product = x.flatten(0, 1)[:, None], y.flatten(0, 1)[:, None], x.new_ones(len(x) * 3)
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    for scale, weight in enumerate(WEIGHTS):
        if scale:
            odd = [side % 2 for side in x.shape[2:]]
            x, y = F.avg_pool2d(x, 2, padding=odd), F.avg_pool2d(y, 2, padding=odd)
        rows, columns = (windows(side, x.device) for side in x.shape[2:])
        mean_x, mean_y, xx, yy, xy = (rows @ torch.cat([x, y, x * x, y * y, x * y], 1) @ columns.T).split(1, 1)
        term = (2 * (xy - mean_x * mean_y) + c2) / (xx + yy - mean_x**2 - mean_y**2 + c2)
        if scale == len(WEIGHTS) - 1:
            term = term * (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
        # Not of nothing: there the root has no gradient.
        product = product * term.mean((1, 2, 3)).clamp_min(1e-4) ** weight
    return 1 - product.unflatten(0, (-1, 3)).mean(1)


def deviations(x: Tensor) -> Tensor:
    """Standard deviation of the luma in windows of 8x8, four pixels apart: (B, 3, H, W) -> (B, 1, h, w)"""
    x = luma(x)
    variance = F.avg_pool2d(x * x, 8, 4) - F.avg_pool2d(x, 8, 4).square()
    return variance.clamp_min(1e-6).sqrt()


def contrasts(x: Tensor) -> list[Tensor]:
    """Local contrast of the luma in each Haar subband of three levels: (B, 3, H, W) -> (B, 3, h, w) of every level.

    Root mean squares over windows of about 8, 16 and 32 pixels; bands along rows, along columns, across.
    """
    x, found = luma(x), []
    for _ in range(3):
        a, b, c, d = F.pixel_unshuffle(x, 2).split(1, 1)
        bands = torch.cat([a - b + c - d, a + b - c - d, a - b - c + d], 1) / 4
        found.append((F.avg_pool2d(bands.square(), 4, 2) + 1e-6).sqrt())
        x = F.avg_pool2d(x, 2)
    return found


def local_contrast(x: Tensor, y: Tensor) -> Tensor:
    """How much local contrast differs: mean distance of the contrasts of (B, 3, H, W) in [-1, 1], summed over bands -> (B,).

    Squared error is least for a picture without the texture that the bits do not tell; this asks for as much of it as
    there was, wherever it is. Band by band: asked for the deviation as a whole, the networks drew a grid of dots, which is
    the cheapest texture of all, and the finest band tempts them most.
    """
    levels = zip((0.15, 0.6, 1.0), contrasts(x), contrasts(y), strict=True)
    return sum((weight * (a - b).abs().mean((2, 3)).sum(1) for weight, a, b in levels), x.new_zeros(len(x)))


def grid_artefacts(x: Tensor, y: Tensor) -> Tensor:
    """Power of the pattern in the luma that repeats every 16 pixels, in x and not in y: (B, 3, H, W) twice -> (B,).

    The grids of pixel shuffling, 2 to 16 pixels wide; sides of 128 or more. Photographs hold next to nothing of them, and squared
    error hardly sees them: of a window of 128x128 pixels they are 256 numbers. Kept from four pixels only, they moved to eight.
    """
    cells = F.pixel_unshuffle(luma(x - y), 16)
    pattern = F.avg_pool2d(cells, 8, 4)
    return (pattern - pattern.mean(1, keepdim=True)).square().mean((1, 2, 3))


def full_precision(x: Tensor) -> torch.autocast:
    """Within it nothing runs in half precision, though the networks around it do."""
    return torch.autocast(x.device.type, enabled=False)


def squared(x: Tensor, y: Tensor) -> Tensor:
    """Mean squared error of each of a batch -> (B,)"""
    return (x - y).square().flatten(1).mean(1)


def peak(x: Tensor) -> Tensor:
    """The mean of eighth powers, and the eighth root of that: near the largest of (B, …), with a gradient for all -> (B,)"""
    return (x.flatten(1).abs().float().pow(8).mean(1) + 1e-16).pow(1 / 8)


def flat_region_error(x_hat: Tensor, x: Tensor) -> Tensor:
    """The largest error where x is one colour for eight pixels around, as `peak` takes it: (B, 3, H, W) twice -> (B,).

    A wall that is white, or the background of a screen, shows errors that squared error does not count.
    """
    both = torch.cat([x, -x], 1)  # of which the largest values make the range
    highest = F.max_pool2d(F.max_pool2d(both, (17, 1), 1, (8, 0)), (1, 17), 1, (0, 8))
    above, below = highest.chunk(2, 1)
    plain = (above + below).amax(1, keepdim=True) < 1.5 / 127.5
    return peak((x_hat - x) * plain)


def grey_chroma_error(x_hat: Tensor, x: Tensor) -> Tensor:
    """The largest difference of the colours of x_hat, as `peak` takes it, of each x that is grey: (B, 3, H, W) twice -> (B,)"""
    colours = x.roll(1, 1) - x, x_hat.roll(1, 1) - x_hat
    grey = colours[0].abs().flatten(1).amax(1) == 0
    return peak(colours[1]) * grey


def needed(part: Tensor | None) -> Tensor:
    """What a loss needs, of a stage that has it."""
    assert part is not None, "this stage lacks what the loss looks at"
    return part


# Name in a recipe -> the loss of each picture, (B,) or of the first of them.
LOSSES: dict[str, Callable[[Seen], Tensor]] = {
    "mse": lambda seen: squared(seen.x_hat, seen.x),
    "ms_ssim": lambda seen: structure(seen.x_hat, seen.x),
    "local_contrast": lambda seen: local_contrast(seen.x_hat, seen.x),
    "grid_artefacts": lambda seen: grid_artefacts(seen.x_hat, seen.x),
    "flat_region_error": lambda seen: flat_region_error(seen.x_hat, seen.x),
    "grey_chroma_error": lambda seen: grey_chroma_error(seen.x_hat, seen.x),
    "coarse": lambda seen: squared(needed(seen.coarse), seen.x[: len(needed(seen.coarse))]),
    "relay": lambda seen: squared(needed(seen.z_hat), needed(seen.z)),
    "start": lambda seen: squared(needed(seen.z_c), needed(seen.z)),
    "base": lambda seen: needed(seen.base),
}


class TowerDistance(nn.Module):
    """Distance of two pictures (B, 3, H, W) in [-1, 1] in the patch features of the CLIP tower, in one random window -> (B,)."""

    def __init__(self, model: CodecModel) -> None:
        super().__init__()
        self.model, self.side = [model], model.profile.thumb  # a list: the model is not a part of this

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        semantics: Any = self.model[0].semantics  # ClipSemantics
        top, left = (int(torch.randint(length - self.side + 1, ())) for length in x.shape[2:])
        window = ..., slice(top, top + self.side), slice(left, left + self.side)
        a, b = (F.normalize(semantics.tower(semantics.normalised(part[window]))[1], dim=-1) for part in (x, y.detach()))
        return (a - b).square().sum(-1).mean(1)


def perceptual(data: Path, model: nn.Module, stages: int) -> nn.Module:
    """The network in DATA/perceptual; of a profile with a full-size CLIP the features of its tower, where there is none."""
    path = next((data / "perceptual").glob("*.safetensors"), None)
    if path:
        return PerceptualDistance(path, stages)
    if isinstance(model, CodecModel) and model.profile.pretrained:
        return TowerDistance(model)
    raise WeightsError(f"there is no network in {data / 'perceptual'}")


# Name in a recipe -> a network of (x_hat, x) -> (B,). WeightsError if its weights are not available: then training does without.
NETWORKS: dict[str, Callable[[Path, nn.Module, int], nn.Module]] = {
    "perceptual": perceptual,
    "lpips_alex": lambda data, model, stages: Lpips("alexnet"),
    "lpips_vgg": lambda data, model, stages: Lpips("vgg16"),
    "dists": lambda data, model, stages: Dists(),
    "texture": lambda data, model, stages: Texture(),
}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Term:
    """How a loss is weighted: in a recipe a table, or the weight alone."""

    weight: float | Anchored  # one, or one for each anchor lambda
    every: int = 1  # steps: on the others it is left out
    share: float = 1.0  # of the batch, one picture at least
    start: float = 0.0  # from this share of the stage on
    # Both pictures lose this many rows and columns, at a random side: a network's own grid must not show.
    shift: int = 0
    stages: int = 5  # of the network `perceptual`


Terms = dict[str, float | Anchored | Term]


class Losses(nn.Module):
    """All losses of a stage: Seen, anchors' weights of each picture (B, 5) -> their weighted sum, and the mean of each.

    InputError if a name is not known. A network whose weights are not available is left out, which stderr is told in a line.
    """

    def __init__(self, terms: Terms, data: Path, model: nn.Module, compiled: bool = False) -> None:
        super().__init__()
        self.terms: dict[str, Term] = {}
        self.functions = dict(LOSSES)
        if compiled:
            self.functions["ms_ssim"] = torch.compile(self.functions["ms_ssim"])
        self.networks = nn.ModuleDict()
        for name, value in terms.items():
            term = value if isinstance(value, Term) else Term(weight=value)
            if name not in LOSSES and name not in NETWORKS:
                raise InputError(f"there is no loss {name}: known are {', '.join([*LOSSES, *NETWORKS])}")
            if not torch.tensor(term.weight).any():
                continue
            if name in NETWORKS:
                try:
                    self.networks[name] = NETWORKS[name](data, model, term.stages)
                except WeightsError as error:
                    print(f"osdc: training goes on without the loss {name}: {error}", file=sys.stderr)
                    continue
            self.terms[name] = term

    def forward(self, seen: Seen, anchors: Tensor | None, steps: int, done: float) -> tuple[Tensor, dict[str, Tensor]]:
        total, record = seen.x_hat.new_zeros(()), dict[str, Tensor]()
        known: dict[Any, Any] = {}  # see `between`
        for name, term in self.terms.items():
            if done < term.start or steps % term.every:
                continue
            count = max(1, round(len(seen.x) * term.share))
            kept = {name: value[:count] for name, value in seen._asdict().items() if value is not None}
            part = Seen(**kept)
            if name in self.networks:  # in half precision, where the model is
                values = self.between(name, part, term.shift, known).float()
            else:
                with full_precision(seen.x):
                    values = self.functions[name](part)
            weight = torch.as_tensor(term.weight, device=values.device)
            if weight.ndim:
                assert anchors is not None
                weight = anchors[: len(values)] @ weight
            total = total + (weight * values).mean()
            record[name] = values.detach()
        return total, record

    def between(self, name: str, seen: Seen, shift: int, known: dict[Any, Any]) -> Tensor:
        """known: the shifts, and the features of shifted pictures, of this batch; VGG16's serve LPIPS and texture alike."""
        network = self.networks[name]
        rows, columns = known.setdefault(shift, torch.randint(shift + 1, (2,)).tolist() if shift else (0, 0))
        x_hat, x = (
            part[..., rows : part.shape[2] - shift + rows, columns : part.shape[3] - shift + columns]
            for part in (seen.x_hat, seen.x)
        )
        if not isinstance(network, Distance):
            return network(x_hat, x)
        key = "vgg16" if name in ("lpips_vgg", "texture") else name, len(x), shift
        if key not in known:
            with torch.no_grad():
                target = network.features(x)
            known[key] = network.features(x_hat), target
        return network.between(*known[key])
