"""Stage `relay`: every noise level up to N, drawn independently; losses in the latent (RDEIC's independent training)."""

from typing import Any, cast

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor
from torch.nn import functional as F

from ...models.turbo import TurboAnalysis, start_linear
from ..data import Photos
from ..losses import full_precision
from ..recipe import STRICT, Run
from ..trainer import Trainer
from .stages import Batch, TurboRecipe, TurboStage, start


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RelayRecipe(TurboRecipe):
    pictures: int  # whose latents' principal components the transforms begin with
    relay: float  # weight of the squared error of the predicted noise
    coarse: float  # and of that of z_c against z
    base: float = 0.0  # of the loss of the codes of a base, where the profile has one


class Relay(TurboStage):
    """For a level n up to N the target is eps_n = eps + rho e, e = z_c - z, of z_n = sqrt(abar_n) z + sqrt(1 - abar_n) eps_n
    (RDEIC). At n = N that is the start of the decoder's one step."""

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        model, (x, quality) = self.model, batch
        x = x.contiguous(memory_format=torch.channels_last)
        weights, found = model.gains.weights(quality), model.compress(x, quality)
        start, condition = found.z_c, found.condition
        if model.decoder_semantics is not None:
            start, condition = model.guide(start, condition, *model.look(start))
        last = model.levels(quality)
        level = 1 + torch.floor(torch.rand_like(last) * last)
        with full_precision(x):
            z, z_c, start = found.z.float(), found.z_c.float(), start.float()
            final, now = (model.alpha_bars[n.long()][:, None, None, None] for n in (last, level))
            target = torch.randn_like(z) + (final / (1 - final)).sqrt() * (start - z)
            z_n = now.sqrt() * z + (1 - now).sqrt() * target
        guess = (
            cast(Any, model.denoiser).predict(z_n, start, condition, model.semantics.embed(found.tokens), level).float()
        )
        with full_precision(x):
            bpp, missed = found.bits.sum(1) / x[0, 0].numel(), found.error / x[0, 0].numel()
            self.control.update(weights, bpp.detach())
            relay, coarse = F.mse_loss(guess, target), F.mse_loss(z_c, z)
            loss = self.recipe.relay * relay + self.recipe.coarse * coarse
            if found.base is not None:
                loss = loss + self.recipe.base * found.base.mean()
            loss = loss + (self.control(weights) * (bpp + missed)).mean()
            left = (1 - now) / now * (guess - target).square()  # what is left of the error in z_hat
            gain = (coarse / left.mean()).detach()
        return loss, {"relay": relay.detach(), "coarse": coarse.detach(), "gain": gain, "bpp": bpp.detach()}


def train_relay(run: Run) -> None:
    """Leaves out/relay.pt."""
    model = start(run, None)
    if not (run.out / "relay.pt").exists():
        photos, device = Photos(run.data, seed=11, memory=0), run.accelerator.device
        with torch.no_grad(), run.accelerator.autocast():
            pictures = (photos.batch(1, run.recipe.crop).to(device) for _ in range(run.recipe.pictures))
            latents = torch.cat([model.autoencoder.encode(x).float() for x in pictures])
        start_linear(cast(TurboAnalysis, model.analysis), model.synthesis, latents)
        if model.base is not None:
            model.base.start(latents)
    Trainer("relay", run, Relay(run, model)).train()
