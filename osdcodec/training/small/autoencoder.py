"""Stage `autoencoder`: pictures through the autoencoder alone; then its latent is measured and brought to unit variance."""

from collections.abc import Iterator

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from ...models.autoencoder import Autoencoder
from ..data import Photos
from ..losses import Losses, Seen, Terms
from ..recipe import STRICT, Run, Schedule
from ..trainer import Stage, Trainer


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AutoencoderRecipe(Schedule):
    pictures: int  # crops of 256x256 whose principal components it starts from
    batch: int
    crop: int
    losses: Terms
    latent_noise: float  # added to the unit-variance latent


class Pictures(Stage[Autoencoder]):
    def __init__(self, run: Run, model: Autoencoder, photos: Photos) -> None:
        super().__init__(model)
        self.recipe, self.photos = run.recipe, photos
        self.losses = Losses(run.recipe.losses, run.data, model)

    def batches(self, seed: int) -> Iterator[Tensor]:
        self.photos.seed(1, seed)
        while True:
            yield self.photos.batch(self.recipe.batch, self.recipe.crop)

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        model, x = self.model, x.contiguous(memory_format=torch.channels_last)
        raw = model.raw(x)
        model.calibrate(raw.float(), share=0.02)
        z = (raw - model.mean) / model.std
        x_hat = model.decode(z + self.recipe.latent_noise * torch.randn_like(z)).float()
        loss, record = self.losses(Seen(x, x_hat), None, self.steps, self.done)
        return loss, record | {"psnr": psnr(x_hat.detach(), x)}


def psnr(x_hat: Tensor, x: Tensor) -> Tensor:
    """In decibels, of pictures in [-1, 1] -> (B,)"""
    return -10 * torch.log10((x_hat - x).square().mean((1, 2, 3)) / 4)


def train_autoencoder(run: Run) -> Autoencoder:
    """Trains and calibrates the autoencoder; returns it and leaves it in out/autoencoder-calibrated.pt."""
    photos, model, device = Photos(run.data, seed=1), Autoencoder(run.profile), run.accelerator.device
    if not (run.out / "autoencoder.pt").exists():
        model.start(photos.batch(run.recipe.pictures, 256))
    for fixed in (model.down, model.up):  # as they are, they are optimal
        fixed.requires_grad_(False)
    model.to(device).to(memory_format=torch.channels_last).train()
    trained = Trainer("autoencoder", run, Pictures(run, model, photos)).train()
    with torch.no_grad():
        crops = [photos.batch(8, 256).to(device) for _ in range(16 if run.steps is None else 1)]
        trained.calibrate(torch.cat([trained.raw(x) for x in crops]).float())
    torch.save(trained.state_dict(), run.out / "autoencoder-calibrated.pt")
    return trained
