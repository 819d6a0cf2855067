"""Stage `prior`: the transforms stand still, the prior is fitted to their rounded symbols on larger crops.

Their latents are made once, so that a step is hundreds of times cheaper than one of stage `codec`. And the step of the
denoiser is lengthened: the losses leave it shorter than it looks best.
"""

from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn import functional as F

from ..models import CodecModel
from ..profile import Profile
from .codec import qualities
from .data import Photos
from .trainer import Trainer


@torch.no_grad()
def latents(model: CodecModel, photos: Photos, pictures: int, side: int, batch: int) -> tuple[Tensor, Tensor]:
    """y (N, C_y, h, w) and hyper-latent (N, C_h, hh, hw) of N random crops, before their gains."""
    found = []
    for first in range(0, pictures, batch):
        x = photos.batch(min(batch, pictures - first), side).to(model.semantics.codebook.device)
        found.append(model.analyse(x, F.interpolate(x, (model.profile.thumb,) * 2, mode="bicubic", antialias=True))[:2])
    y, hyper = zip(*found, strict=True)
    return torch.cat(y), torch.cat(hyper)


def averaged(profile: Profile, state: dict) -> CodecModel:
    """The averaged model of a checkpoint of stage `codec`."""
    model = CodecModel(profile)
    average = {k.removeprefix("module."): v for k, v in state["average"].items() if k.startswith("module.")}
    model.load_state_dict(average)
    return model


def train_prior(
    profile: Profile, config: dict, data: Path, out: Path, accelerator: Accelerator, minutes: float, steps: int | None
) -> CodecModel:
    """Fits the prior of out/codec.pt, or of what `training.average` left as out/averaged.pt; the whole is then out/fitted.pt."""
    photos, random = Photos(data / "train", seed=3), np.random.default_rng(3)
    state = torch.load(out / "codec.pt", map_location="cpu", weights_only=True)
    model = averaged(profile, state)
    if (out / "averaged.pt").exists():
        model.load_state_dict(torch.load(out / "averaged.pt", map_location="cpu", weights_only=True))
    model.to(accelerator.device, memory_format=torch.channels_last)
    model.requires_grad_(False).eval()
    for parameter in model.denoiser.unet.conv_out.parameters():  # which the symbols do not know of
        parameter.mul_(config["emphasis"])
    model.prior.requires_grad_(True).train()
    y, hyper = latents(model, photos, config["pictures"], config["crop"], config["batch"])
    trainer = Trainer("prior", out, model.prior, accelerator, config)
    # A bit weighs what it weighed in stage `codec`: else the prior takes from one rate to give to another.
    log_rate = state["extra"]["control.log_rate"].to(accelerator.device)

    def step(_: int) -> tuple[Tensor, dict[str, float]]:
        chosen = torch.from_numpy(random.integers(len(y), size=config["batch"])).to(y.device)
        quality = qualities(random, len(chosen)).to(y.device)
        with torch.no_grad():
            gain, _, hyper_gain = model.gains(quality)
            weight = (model.gains.weights(quality) @ log_rate).exp()
        _, bits, error = model.prior(y[chosen] * gain, hyper[chosen] * hyper_gain, quality)
        bpp, error = bits.sum(1) / config["crop"] ** 2, error / config["crop"] ** 2
        return (weight * (bpp + error)).mean(), {"bpp": bpp.mean().item(), "error": error.mean().item()}

    model.prior.load_state_dict(trainer.run(step, minutes, steps).state_dict())
    torch.save(model.state_dict(), out / "fitted.pt")
    return model
