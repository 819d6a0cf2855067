"""Stage `prior`: the transforms stand still, the prior is fitted to their rounded symbols on larger crops.

Their latents are made once, so that a step is hundreds of times cheaper than one of stage `codec`. And the step of the
denoiser is lengthened: the losses leave it shorter than it looks best.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from ...models import CodecModel
from ..checkpoints import averaged, fill, read
from ..data import Photos
from ..losses import full_precision
from ..rate import qualities
from ..recipe import STRICT, Run, Schedule
from ..trainer import Stage, Trainer


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PriorRecipe(Schedule):
    residual_gain: float  # factor on what the denoiser adds
    pictures: int  # crops whose latents are made
    crop: int
    batch: int


class Batch(NamedTuple):
    chosen: Tensor  # (B,) which of the latents
    quality: Tensor  # (B,)


@torch.no_grad()
def latents(model: CodecModel, photos: Photos, pictures: int, side: int, batch: int) -> tuple[Tensor, Tensor]:
    """y (N, C_y, h, w) and hyper-latent (N, C_h, hh, hw) of N random crops, before their gains."""
    found = []
    for first in range(0, pictures, batch):
        x = photos.batch(min(batch, pictures - first), side).to(model.semantics.codebook.device)
        found.append(model.analyse(x, model.thumbnail(x))[:2])
    y, hyper = zip(*found, strict=True)
    return torch.cat(y), torch.cat(hyper)


class Prior(Stage):
    def __init__(self, run: Run, codec: CodecModel, log_rate: Tensor) -> None:
        super().__init__(codec.prior)
        self.recipe, self.gains, self.log_rate = run.recipe, codec.gains, log_rate
        photos = Photos(run.data, seed=3)
        self.y, self.hyper = latents(codec, photos, self.recipe.pictures, self.recipe.crop, self.recipe.batch)

    def batches(self, seed: int) -> Iterator[Batch]:
        random = np.random.default_rng([3, seed])
        while True:
            chosen = random.integers(len(self.y), size=self.recipe.batch)
            yield Batch(torch.from_numpy(chosen), qualities(random, len(chosen)))

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        chosen, quality = batch
        with full_precision(quality):
            with torch.no_grad():
                gain, _, hyper_gain = self.gains(quality)
                weight = (self.gains.weights(quality) @ self.log_rate).exp()
            _, bits, error = self.model(self.y[chosen] * gain, self.hyper[chosen] * hyper_gain, quality)
            bpp, error = bits.sum(1) / self.recipe.crop**2, error / self.recipe.crop**2
            return (weight * (bpp + error)).mean(), {"bpp": bpp.detach(), "error": error.detach()}


def train_prior(run: Run) -> CodecModel:
    """Fits the prior of out/codec.pt, or of what `training.average` left as out/averaged.pt; the whole is then out/fitted.pt."""
    state, other = read(run.out / "codec.pt"), run.out / "averaged.pt"
    model = CodecModel(run.profile)
    fill(model, read(other) if other.exists() else averaged(state), other if other.exists() else run.out / "codec.pt")
    model.to(run.accelerator.device).to(memory_format=torch.channels_last).requires_grad_(False).eval()
    for parameter in model.denoiser.unet.conv_out.parameters():  # which the symbols do not know of
        parameter.mul_(run.recipe.residual_gain)
    model.prior.requires_grad_(True).train()
    # A bit weighs what it weighed in stage `codec`: else the prior takes from one rate to give to another.
    log_rate = state["extra"]["control.log_rate"].to(run.accelerator.device)
    trained = Trainer("prior", run, Prior(run, model, log_rate)).train()
    model.prior.load_state_dict(trained.state_dict())
    torch.save(model.state_dict(), run.out / "fitted.pt")
    return model
