"""Stage `pixels`: the fixed step of each lambda, end to end in pixels, with an adversarial loss (RDEIC's fixed-step training)."""

import dataclasses

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor
from torch.nn import functional as F

from ...models import CodecModel
from ..adversary import AdversaryRecipe, adversary
from ..losses import Losses, Seen, Terms, full_precision
from ..recipe import STRICT, Run
from ..trainer import Trainer
from .stages import Batch, TurboRecipe, TurboStage, start


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PixelsRecipe(TurboRecipe):
    losses: Terms
    adversary: AdversaryRecipe = dataclasses.field(default_factory=AdversaryRecipe)


class Pixels(TurboStage):
    def __init__(self, run: Run, model: CodecModel) -> None:
        super().__init__(run, model)
        self.losses = Losses(run.recipe.losses, run.data, model)
        self.adversary = adversary(run.recipe.adversary, model.profile.autoencoder_channels)

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        model, (x, quality) = self.model, batch
        x = x.contiguous(memory_format=torch.channels_last)
        weights, out = model.gains.weights(quality), model(x, quality)
        coarse = model.render(out.z_c[: max(1, len(x) // 4)]).float()
        seen = Seen(x, out.x_hat.float(), out.z.float(), out.z_hat.float(), coarse, out.base, out.z_c.float())
        loss, record = self.losses(seen, weights, self.steps, self.done)
        with full_precision(x):
            bpp, missed = out.bits.sum(1) / x[0, 0].numel(), out.error / x[0, 0].numel()
            self.control.update(weights, bpp.detach())
            loss = loss + (self.control(weights) * (bpp + missed)).mean()
            if self.adversary:
                z_c = F.avg_pool2d(out.z_c.float(), 2)  # patches of 16x16 pixels are judged
                realism = self.adversary.loss(x, seen.x_hat, z_c, self.steps, self.done)
                loss = loss if realism is None else loss + realism
            psnr = -10 * torch.log10((seen.x_hat.detach() - x).square().mean((1, 2, 3)) / 4)
            gain = (
                F.mse_loss(out.z_c.float(), out.z.float()).detach()
                / F.mse_loss(out.z_hat.float(), out.z.float()).detach()
            )
        return loss, record | {"psnr": psnr, "snr": out.signal_to_noise, "gain": gain, "bpp": bpp.detach()}


def train_pixels(run: Run) -> None:
    """From the average of stage `relay`; leaves out/pixels.pt."""
    Trainer("pixels", run, Pixels(run, start(run, "relay"))).train()
