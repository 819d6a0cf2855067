"""Realism: discriminators that learn to tell pictures from reconstructions, beside the model that learns to make these."""

import sys
from typing import Literal

import torch
from accelerate import Accelerator
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import WeightsError
from ..models.blocks import bias_of
from .efficientnet import FrozenFeatures
from .recipe import STRICT


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AdversaryRecipe:
    """A table [STAGE.adversary]; without a weight there is none."""

    weight: float = 0.0
    discriminator: Literal["pixels", "features"] = "pixels"  # what it sees
    start: float = 0.0  # from this share of the stage on
    ramp: int = 0  # steps over which the weight rises
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.99)


class Discriminator(nn.Module):
    """(B, 3, H, W) in [-1, 1], condition (B, C_z, H/16, W/16) -> realism of each 16x16 patch (B, 1, H/16, W/16).

    A patch discriminator with spectral norm that sees the coarse latent as well (HiFiC, Mentzer et al., 2020).
    """

    def __init__(self, condition: int, width: int = 32) -> None:
        super().__init__()

        def layer(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Module:
            return nn.utils.parametrizations.spectral_norm(
                nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2)
            )

        self.picture = nn.Sequential(
            nn.PixelUnshuffle(2),
            layer(12, width, 3, 1),
            nn.LeakyReLU(0.2),
            layer(width, 2 * width, 4, 2),
            nn.LeakyReLU(0.2),
            layer(2 * width, 4 * width, 4, 2),
            nn.LeakyReLU(0.2),
            layer(4 * width, 4 * width, 4, 2),
            nn.LeakyReLU(0.2),
        )
        self.condition = layer(condition, width, 3, 1)
        self.judge = nn.Sequential(layer(5 * width, 4 * width, 3, 1), nn.LeakyReLU(0.2), layer(4 * width, 1, 3, 1))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return self.judge(torch.cat([self.picture(x), self.condition(condition)], 1))


class FeatureDiscriminator(nn.Module):
    """(B, 3, H, W) in [-1, 1] -> realism of each position of four scales, each (B, 1, h, w), seen in frozen features.

    Projected GAN (Sauer et al., 2021): the features of each scale go through a fixed random 1x1 projection, coarser ones are added
    to finer ones, and on each scale sits a small head with spectral norm.
    """

    WIDTH = 64

    def __init__(self, features: FrozenFeatures) -> None:
        super().__init__()
        self.features = features
        generator = torch.Generator().manual_seed(7)  # the same projections in every process and every run
        projections = [nn.Conv2d(channels, self.WIDTH, 1).requires_grad_(False) for channels in features.channels]
        for projection in projections:
            projection.weight.copy_(torch.randn(projection.weight.shape, generator=generator))
            projection.weight.mul_((2 / projection.in_channels) ** 0.5)
            bias_of(projection).zero_()
        self.projections = nn.ModuleList(projections)

        def layer(outputs: int, kernel: int) -> nn.Module:
            convolution = nn.Conv2d(self.WIDTH, outputs, kernel, padding=kernel // 2)
            return nn.utils.parametrizations.spectral_norm(convolution)

        self.heads = nn.ModuleList(
            nn.Sequential(
                layer(self.WIDTH, 3), nn.LeakyReLU(0.2), layer(self.WIDTH, 3), nn.LeakyReLU(0.2), layer(1, 1)
            )
            for _ in features.channels
        )  # fmt: skip

    def forward(self, x: Tensor, condition: Tensor) -> list[Tensor]:
        scales = [project(part) for project, part in zip(self.projections, self.features(x), strict=True)]
        for finer in range(len(scales) - 2, -1, -1):
            size = scales[finer].shape[2:]
            scales[finer] = scales[finer] + F.interpolate(scales[finer + 1], size, mode="nearest")
        return [head(part) for head, part in zip(self.heads, scales, strict=True)]


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    """The discriminator's hinge loss (Lim and Ye, 2017)."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


class Adversary:
    """A discriminator with its optimizer, and what it was shown last.

    No module: it must not be among the networks whose gradients several processes exchange for the model's sake.
    """

    def __init__(self, recipe: AdversaryRecipe, discriminator: nn.Module) -> None:
        self.recipe, self.discriminator = recipe, discriminator
        learning = [parameter for parameter in discriminator.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(learning, recipe.learning_rate, recipe.betas, weight_decay=0.0)
        self.learning = learning
        self.shown: tuple[Tensor, Tensor, Tensor] | None = None
        self.first: int | None = None

    def loss(self, x: Tensor, x_hat: Tensor, condition: Tensor, steps: int, done: float) -> Tensor | None:
        """What the model is to make small, weighted; None before it begins. Remembers the pictures for `learn`."""
        if done < self.recipe.start:
            return None
        self.first = steps if self.first is None else self.first
        weight = self.recipe.weight * min(1, (1 + steps - self.first) / max(1, self.recipe.ramp))
        self.shown = x, x_hat.detach(), condition.detach()
        for parameter in self.learning:  # here the pictures learn, not the discriminator
            parameter.requires_grad_(False)
        realism = torch.stack([scale.mean() for scale in self.realism_of(x_hat, condition.detach())]).mean()
        for parameter in self.learning:
            parameter.requires_grad_(True)
        return -weight * realism

    def realism_of(self, x: Tensor, condition: Tensor) -> list[Tensor]:
        found = self.discriminator(x, condition)
        return found if isinstance(found, list) else [found]

    def learn(self, accumulate: int) -> dict[str, Tensor]:
        """Adds the gradients of one batch, and says how well it told real pictures: 2 knows nothing, 0 everything."""
        if self.shown is None:
            return {}
        x, x_hat, condition = self.shown
        scales = self.realism_of(torch.cat([x, x_hat]), condition.repeat(2, 1, 1, 1))
        discriminator_loss = torch.stack([hinge(*scale.chunk(2)) for scale in scales]).mean()
        (discriminator_loss / accumulate).backward()
        self.shown = None
        return {"discriminator_loss": discriminator_loss.detach()}

    def step(self, accelerator: Accelerator) -> None:
        if any(parameter.grad is not None for parameter in self.learning):
            for parameter in self.learning:
                parameter.grad = accelerator.reduce(parameter.grad, "mean")
            self.optimizer.step()
            self.optimizer.zero_grad()


def adversary(recipe: AdversaryRecipe, condition: int) -> Adversary | None:
    """What a recipe asks for; None without a weight, or where the features are not available, which stderr is told in a line.

    condition: channels of the coarse latent.
    """
    if not recipe.weight:
        return None
    if recipe.discriminator == "pixels":
        return Adversary(recipe, Discriminator(condition))
    try:
        return Adversary(recipe, FeatureDiscriminator(FrozenFeatures()))
    except WeightsError as error:
        print(f"osdc: training goes on without a discriminator: {error}", file=sys.stderr)
        return None
