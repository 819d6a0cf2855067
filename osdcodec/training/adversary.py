"""Realism: discriminators that learn to tell pictures from reconstructions, beside the model that learns to make these."""

from typing import Literal

import torch
from accelerate import Accelerator
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

from .recipe import STRICT


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AdversaryRecipe:
    """A table [STAGE.adversary]; without a weight there is none."""

    weight: float = 0.0
    judges: Literal["pixels", "features"] = "pixels"  # what the discriminator sees
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


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    """The discriminator's hinge loss (Lim and Ye, 2017)."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def discriminator(recipe: AdversaryRecipe, condition: int) -> nn.Module:
    """The one that a recipe asks for. condition: channels of the coarse latent."""
    return Discriminator(condition)


class Adversary:
    """A discriminator with its optimizer, and what it was shown last.

    No module: it must not be among the networks whose gradients several processes exchange for the model's sake.
    """

    def __init__(self, recipe: AdversaryRecipe, discriminator: nn.Module) -> None:
        self.recipe, self.discriminator = recipe, discriminator
        learning = [parameter for parameter in discriminator.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(learning, recipe.learning_rate, recipe.betas, weight_decay=0.0)
        self.learning, self.shown, self.first = learning, None, None

    def loss(self, x: Tensor, x_hat: Tensor, condition: Tensor, steps: int, done: float) -> Tensor | None:
        """What the model is to make small, weighted; None before it begins. Remembers the pictures for `learn`."""
        if done < self.recipe.start:
            return None
        self.first = steps if self.first is None else self.first
        weight = self.recipe.weight * min(1, (1 + steps - self.first) / max(1, self.recipe.ramp))
        self.shown = x, x_hat.detach(), condition.detach()
        for parameter in self.learning:  # here the pictures learn, not the discriminator
            parameter.requires_grad_(False)
        realism = self.discriminator(x_hat, condition.detach()).mean()
        for parameter in self.learning:
            parameter.requires_grad_(True)
        return -weight * realism

    def learn(self, accumulate: int) -> dict[str, Tensor]:
        """Adds the gradients of one batch, and says how well it told real pictures: 2 knows nothing, 0 everything."""
        if self.shown is None:
            return {}
        x, x_hat, condition = self.shown
        both = self.discriminator(torch.cat([x, x_hat]), condition.repeat(2, 1, 1, 1))
        verdict = hinge(*both.chunk(2))
        (verdict / accumulate).backward()
        self.shown = None
        return {"verdict": verdict.detach()}

    def step(self, accelerator: Accelerator) -> None:
        if any(parameter.grad is not None for parameter in self.learning):
            for parameter in self.learning:
                parameter.grad = accelerator.reduce(parameter.grad, "mean")
            self.optimizer.step()
            self.optimizer.zero_grad()
