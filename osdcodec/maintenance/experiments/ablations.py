"""What each part of the codec is worth: `python -m osdcodec.maintenance.experiments.ablations PICTURES --data DATA --start runs/codec.pt`.

Every variant begins at the same weights, lacks one part, and trains for the same time by the recipe of stage `codec`, with
all its losses from the first step and fixed rate multipliers. Then each codes the pictures, and its curve of five rates is
compared with the curve of the whole model: differences in quality at equal rate (Bjontegaard; see `measure.py`).
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

from ...console import run_command
from ...models import CodecModel
from ...models.codec import Reconstruction
from ...models.denoiser import Denoiser
from ...profile import SMALL, Profile
from ...training import small
from ...training.checkpoints import load
from ...training.losses import Term
from ...training.measure import distances_at_hand, gains, measure
from ...training.recipe import Run, read
from ...training.small.codec import train_codec


class WithoutTokens(CodecModel):
    """Neither analysis nor synthesis nor denoiser sees semantics, and none are sent."""

    def __init__(self, profile: Profile) -> None:
        super().__init__(profile)
        self.profile = replace(profile, tokens=0)  # so many are sent
        self.semantics.register_forward_hook(lambda _, __, found: (0 * found[0], found[1]))

    def synthesise(self, y_hat: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        return self.synthesis(y_hat, 0 * self.semantics.embed(tokens))

    def denoise(
        self,
        z_c: Tensor,
        condition: Tensor,
        tokens: Tensor,
        noise: Tensor,
        level: Tensor,
        alpha_bar: Tensor,
        coarse: Tensor | None = None,
        coarse_thumb: Tensor | None = None,
    ) -> Tensor:
        return self.denoiser(z_c, condition, 0 * self.semantics.embed(tokens), noise, level, alpha_bar)


class WithoutPixelBranch(CodecModel):
    """The analysis sees the latent, the semantics and the principal components only."""

    def __init__(self, profile: Profile) -> None:
        super().__init__(profile)
        self.analysis.pixel.register_forward_hook(lambda _, __, found: 0 * found)


class PlainDenoiser(Denoiser):
    """Predicts the noise itself, as if it did not know which it was, and no residual beside it."""

    def forward(
        self, z_c: Tensor, condition: Tensor, embeddings: Tensor, noise: Tensor, level: Tensor, alpha_bar: Tensor
    ) -> Tensor:
        residual = super().forward(z_c, condition, embeddings, noise, level, alpha_bar)
        return residual + (1 / alpha_bar - 1).sqrt() * noise


class WithoutRelayResidual(CodecModel):
    """The denoiser has to tell the noise from the picture, instead of only what to add to the coarse latent."""

    def __init__(self, profile: Profile) -> None:
        super().__init__(profile)
        self.denoiser = PlainDenoiser(profile)


class WithoutDenoiser(CodecModel):
    """D(z_c): a plain learned codec."""

    def denoise(self, z_c: Tensor, *known: Tensor | None, **other: Tensor | None) -> Tensor:
        return z_c


class WithoutNoise(CodecModel):
    """The denoiser starts from the coarse latent itself."""

    def denoise(
        self,
        z_c: Tensor,
        condition: Tensor,
        tokens: Tensor,
        noise: Tensor,
        level: Tensor,
        alpha_bar: Tensor,
        coarse: Tensor | None = None,
        coarse_thumb: Tensor | None = None,
    ) -> Tensor:
        return super().denoise(z_c, condition, tokens, 0 * noise, level, alpha_bar, coarse, coarse_thumb)


class LatentTraining(CodecModel):
    """The denoiser learns from the error of the latent alone: no loss of the picture reaches it."""

    def forward(
        self, x: Tensor, quality: Tensor, thumb: Tensor | None = None, noise: Tensor | None = None
    ) -> Reconstruction:
        out = super().forward(x, quality, thumb, noise)
        return replace(out, x_hat=self.render(out.z_hat.detach()))


def constant_noise(profile: Profile) -> CodecModel:
    """One noise level, the middle one, for all rates."""
    middle = profile.level(128)
    return CodecModel(replace(profile, noise_low=middle, noise_high=middle))


def tokens(count: int) -> Callable[[Profile], CodecModel]:
    return lambda profile: CodecModel(replace(profile, tokens=count))


VARIANTS: dict[str, Callable[[Profile], CodecModel]] = {
    "whole": CodecModel,
    "no tokens": WithoutTokens,
    "1 token": tokens(1),
    "16 tokens": tokens(16),
    "no pixel branch": WithoutPixelBranch,
    "no relay residual": WithoutRelayResidual,
    "one noise level for all rates": constant_noise,
    "denoiser trained in latents only": LatentTraining,
    "trained without noise": WithoutNoise,
    "no denoiser": WithoutDenoiser,
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.maintenance.experiments.ablations", description=__doc__)
    parser.add_argument("pictures", type=Path, help="folder of PNG pictures that are measured")
    parser.add_argument("--data", type=Path, required=True, help="as of the training")
    parser.add_argument("--start", type=Path, required=True, help="checkpoint that all variants begin at")
    parser.add_argument("--out", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--config", type=Path, default=small.RECIPE)
    parser.add_argument("--minutes", type=float, default=6.0, help="of training for each variant")
    parser.add_argument("--steps", type=int, help="train so many steps instead")
    parser.add_argument("--every", type=int, default=1, help="measure every n-th picture only")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--variant", action="append", choices=VARIANTS, help="repeatable (default: all)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    profile, recipes = read(options.config, SMALL, small.STAGES)
    recipe = recipes["codec"]
    recipe = replace(
        recipe, steer=0.0, learning_rate=recipe.learning_rate / 4, adversary=replace(recipe.adversary, start=0.0),
        losses={name: replace(t, start=0.0) if isinstance(t, Term) else t for name, t in recipe.losses.items()},
    )  # fmt: skip
    distances = distances_at_hand(next((options.data / "perceptual").glob("*.safetensors"), None))
    paths = sorted(options.pictures.glob("*.png"))[:: options.every]
    start = load(options.start, profile).state_dict()
    tables: dict[str, list[dict]] = {}
    for name in dict.fromkeys(["whole", *(options.variant or VARIANTS)]):
        torch.manual_seed(0)
        out = options.out / name.replace(" ", "-")
        out.mkdir(parents=True, exist_ok=True)
        torch.save(start, out / "start.pt")
        run = Run(profile, recipe, options.data, out, Accelerator(cpu=True), options.minutes, options.steps)
        model = train_codec(run, VARIANTS[name])
        curves = {name: measure(model, paths, distances)}
        if name == "whole":
            curves["no noise at decode"] = measure(model, paths, distances, noise=False)
        tables |= curves
        (options.out / "ablations.json").write_text(json.dumps(tables, indent=1), "utf-8")
        for each, rows in curves.items():
            differences = gains(rows, tables["whole"])
            cells = (f"{value:+.{2 if metric == 'psnr' else 4}f}" for metric, value in differences.items())
            print(f"| {each} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    run_command(main)
