"""Stage `autoencoder`: pictures through the autoencoder alone; then its latent is measured and brought to unit variance."""

from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn import functional as F

from ..evaluation.perceptual import PerceptualDistance
from ..models.autoencoder import Autoencoder
from ..profile import Profile
from .data import Photos
from .trainer import Trainer


def train_autoencoder(
    profile: Profile, config: dict, data: Path, out: Path, accelerator: Accelerator, minutes: float, steps: int | None
) -> Autoencoder:
    """Trains and calibrates the autoencoder; returns it and leaves it in out/autoencoder-calibrated.pt."""
    photos = Photos(data / "train", seed=1)
    model = Autoencoder(profile)
    if not (out / "autoencoder.pt").exists():
        model.start(photos.batch(config["pictures"], 256))
    model.down.requires_grad_(False), model.up.requires_grad_(False)  # as they are, they are optimal
    model.to(accelerator.device, memory_format=torch.channels_last).train()
    perceptual = None
    if config["perceptual"]:
        perceptual = PerceptualDistance(next((data / "perceptual").glob("*.safetensors")), stages=3).to(
            accelerator.device
        )
    trainer = Trainer("autoencoder", out, model, accelerator, config)

    def step(_: int) -> tuple[Tensor, dict[str, float]]:
        x = photos.batch(config["batch"], config["crop"]).to(accelerator.device, memory_format=torch.channels_last)
        with accelerator.autocast():
            raw = model.raw(x)
            model.calibrate(raw.float(), share=0.02)
            z = (raw - model.mean) / model.std
            x_hat = model.decode(z + config["latent_noise"] * torch.randn_like(z))
        mse = F.mse_loss(x_hat.float(), x)
        loss, record = config["mse"] * mse, {"psnr": (-10 * torch.log10(mse.detach() / 4)).item()}
        if perceptual is not None:
            distance = perceptual(x_hat, x).mean()
            loss, record["perceptual"] = loss + config["perceptual"] * distance, distance.item()
        return loss, record

    trained = trainer.run(step, minutes, steps)
    with torch.no_grad():
        crops = [photos.batch(8, 256).to(accelerator.device) for _ in range(16 if steps is None else 1)]
        trained.calibrate(torch.cat([trained.raw(x) for x in crops]).float())
    torch.save(trained.state_dict(), out / "autoencoder-calibrated.pt")
    return trained
