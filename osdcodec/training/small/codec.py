"""Stage `codec`: transforms, prior, denoiser and the autoencoder's decoder, end to end through the fixed one step."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

from ...models import CodecModel
from ...models.transforms import start_linear
from ...profile import Profile
from ..adversary import AdversaryRecipe, adversary
from ..checkpoints import fill, load, read
from ..data import Photos, Variety
from ..losses import Losses, Seen, Terms, full_precision
from ..rate import RateControl, qualities
from ..recipe import STRICT, Anchored, Run, Schedule
from ..trainer import Stage, Trainer
from .autoencoder import psnr


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CodecRecipe(Schedule):
    seed: int  # of crops and qualities; another one for a second run from the same start, towards their mean
    crops: list[tuple[int, int] | tuple[int, int, int]]  # pictures and side, or height and width, in turn
    variety: Variety = dataclasses.field(default_factory=Variety)
    pictures: int  # crops of 256x256 whose principal components it starts from
    losses: Terms
    adversary: AdversaryRecipe = dataclasses.field(default_factory=AdversaryRecipe)
    bpp: Anchored  # targets, towards which each rate multiplier is steered
    rate: Anchored  # multipliers to start from
    steer: float
    frozen: list[str] = dataclasses.field(default_factory=list)  # parts of the model that stand still
    # A checkpoint in the folder of the run: photographs are held to what this model makes of their symbols, not to themselves.
    teacher: str = ""


class Batch(NamedTuple):
    x: Tensor  # (B, 3, H, W) in [-1, 1]
    quality: Tensor  # (B,)
    drawn: Tensor  # (B,) bool: no photograph


class Codec(Stage[CodecModel]):
    """The whole reconstruction, judged in pixels."""

    def __init__(self, run: Run, model: CodecModel, photos: Photos) -> None:
        super().__init__(model)
        self.recipe, self.photos = run.recipe, photos
        self.losses = Losses(run.recipe.losses, run.data, model, run.compiled)
        self.control = RateControl(run.recipe.bpp, run.recipe.rate, run.recipe.steer)
        self.adversary = adversary(run.recipe.adversary, model.profile.autoencoder_channels)
        # A list: the teacher is not a part of what is trained and kept.
        self.teacher = [load(run.out / run.recipe.teacher, run.profile)] if run.recipe.teacher else []
        for teacher in self.teacher:
            teacher.to(run.accelerator.device).to(memory_format=torch.channels_last).requires_grad_(False).eval()

    def beside(self) -> dict[str, nn.Module]:
        return {"control": self.control} | super().beside()

    def told(self) -> dict[str, float]:
        return self.control.record()

    def batches(self, seed: int) -> Iterator[Batch]:
        self.photos.seed(self.recipe.seed, seed)
        random, turn = np.random.default_rng([self.recipe.seed, seed]), self.steps
        while True:
            # Small crops for variety, large ones so that positions far from any border are seen too, and sides of odd and of even
            # counts of blocks, for the hyper-latent ends otherwise on each.
            size, *sides = self.recipe.crops[turn % len(self.recipe.crops)]
            turn += 1
            x, drawn = self.photos.batch_of_kinds(size, *sides)
            yield Batch(x, qualities(random, size), drawn)

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        model, (x, quality, drawn) = self.model, batch
        x = x.contiguous(memory_format=torch.channels_last)
        weights, noise, target = model.gains.weights(quality), None, x
        if self.teacher:
            profile = model.profile
            sides = (side // profile.autoencoder_factor for side in x.shape[2:])
            noise = torch.randn(len(x), profile.autoencoder_channels, *sides, device=x.device)
            with torch.no_grad():
                kept = self.teacher[0](x, quality, noise=noise).x_hat.float()
            target = torch.where(drawn[:, None, None, None], x, kept)
        out = model(x, quality, noise=noise)
        coarse = model.render(out.z_c[: max(1, len(x) // 4)]).float() if "coarse" in self.losses.terms else None
        seen = Seen(target, out.x_hat.float(), out.z.float(), out.z_hat.float(), coarse, out.base, out.z_c.float())
        loss, record = self.losses(seen, weights, self.steps, self.done)
        with full_precision(x):
            bpp, error = out.bits.sum(1) / x[0, 0].numel(), out.error / x[0, 0].numel()
            self.control.update(weights, bpp.detach())
            loss = loss + (self.control(weights) * (bpp + error)).mean()  # the error is the prior's alone
            if self.adversary:
                realism = self.adversary.loss(x, seen.x_hat, out.z_c.float(), self.steps, self.done)
                loss = loss if realism is None else loss + realism
        if model.base is not None:
            record |= {"base_share": (out.bits[:, 2] / out.bits.sum(1)).detach()}
        record |= {
            "psnr": psnr(seen.x_hat.detach(), x),
            "bpp": bpp.detach(),
            "hyper": (out.bits[:, 0] / out.bits.sum(1)).detach(),
            "snr": out.signal_to_noise,
            "gain": F.mse_loss(out.z_c.float(), out.z.float()).detach()
            / F.mse_loss(out.z_hat.float(), out.z.float()).detach(),
        }
        return loss, record


def load_start(model: CodecModel, out: Path, photos: Photos, pictures: int) -> None:
    """What the codec starts from: released weights, if stage `unpack` laid them there, else the earlier stages."""
    if (out / "start.pt").exists():
        fill(model, read(out / "start.pt"), out / "start.pt")
        return start_base(model, photos, pictures)
    for part, name in ((model.semantics, "semantics"), (model.autoencoder, "autoencoder-calibrated")):
        fill(part, read(out / f"{name}.pt"), out / f"{name}.pt")
    start_linear(model.analysis, model.synthesis, model.autoencoder, photos.batch(pictures, 256))
    start_base(model, photos, pictures)


@torch.no_grad()
def start_base(model: CodecModel, photos: Photos, pictures: int) -> None:
    """A base that has not begun yet begins with what the rest of the model makes of crops of 256x256."""
    if model.base is None or model.base.usage.any():
        return
    model.base.start(torch.cat([model.autoencoder.encode(photos.batch(8, 256)) for _ in range(0, pictures, 8)]))


def train_codec(run: Run, build: Callable[[Profile], CodecModel] = CodecModel) -> CodecModel:
    """Trains the codec; the checkpoint out/codec.pt holds the averaged model that stage `prior` reads. build: a variant of it."""
    photos, model = Photos(run.data, run.recipe.seed, variety=run.recipe.variety), build(run.profile)
    if not (run.out / "codec.pt").exists():
        load_start(model, run.out, photos, run.recipe.pictures)
    model.to(run.accelerator.device).to(memory_format=torch.channels_last).train()
    model.semantics.requires_grad_(False).eval()
    fixed = model.autoencoder.dc.encoder, model.autoencoder.down, model.autoencoder.up, model.analysis.linear
    for part in (*fixed, *(model.get_submodule(name) for name in run.recipe.frozen)):
        part.requires_grad_(False)
    trainer = Trainer("codec", run, Codec(run, model, photos))
    if run.compiled:
        networks = model.autoencoder.dc.encoder, model.autoencoder.dc.decoder, model.analysis, model.synthesis
        for network in (*networks, model.denoiser, model.hyper_analysis, model.prior):
            network.compile()
    return trainer.train()
