"""Stage `prior`: the transforms stand still, the prior is fitted to their rounded symbols on larger crops.

And the step of the denoiser is lengthened: the losses leave it shorter than it looks best.
"""

from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional as F

from ..models import CodecModel
from ..profile import Profile
from .codec import RateControl, qualities
from .data import Photos
from .trainer import Trainer


class Coded(nn.Module):
    """The part of the model that decides the bits: everything up to the prior is fixed."""

    def __init__(self, model: CodecModel) -> None:
        super().__init__()
        self.prior, self.model = model.prior, [model]  # a list hides the rest from the optimizer and the average

    def forward(self, x: Tensor, quality: Tensor) -> Tensor:
        """x (B, 3, H, W), quality (B,) -> bits (B, 2) of the symbols as they are written"""
        (model,) = self.model
        with torch.no_grad():
            y, hyper, _ = model.analyse(x, F.interpolate(x, (model.profile.thumb,) * 2, mode="bicubic", antialias=True))
            gain, _, hyper_gain = model.gains(quality)
        return self.prior(y * gain, hyper * hyper_gain, quality)[1]


def averaged(profile: Profile, path: Path) -> CodecModel:
    """The averaged model of a checkpoint of stage `codec`."""
    state = torch.load(path, map_location="cpu", weights_only=True)["average"]
    model = CodecModel(profile)
    model.load_state_dict({k.removeprefix("module."): v for k, v in state.items() if k.startswith("module.")})
    return model


def train_prior(
    profile: Profile, config: dict, data: Path, out: Path, accelerator: Accelerator, minutes: float, steps: int | None
) -> CodecModel:
    """Fits the prior of out/codec.pt; leaves the whole model in out/model.pt."""
    photos, random = Photos(data / "train", seed=3), np.random.default_rng(3)
    model = averaged(profile, out / "codec.pt").to(accelerator.device, memory_format=torch.channels_last)
    model.requires_grad_(False).eval()
    for parameter in model.denoiser.unet.conv_out.parameters():  # which the symbols do not know of
        parameter.mul_(config["emphasis"])
    model.prior.requires_grad_(True).train()
    coded = Coded(model)
    trainer = Trainer("prior", out, coded, accelerator, config)
    target = RateControl(config["bpp"], config["bpp"], 0.0).to(accelerator.device)  # expected bpp of a quality

    def step(_: int) -> tuple[Tensor, dict[str, float]]:
        x = photos.batch(config["batch"], config["crop"]).to(accelerator.device, memory_format=torch.channels_last)
        quality = qualities(random, len(x)).to(accelerator.device)
        bpp = coded(x, quality).sum(1) / x[0, 0].numel()
        loss = (bpp / target(model.gains.weights(quality))).mean()  # every rate counts alike
        return loss, {"bpp": bpp.mean().item()}

    model.prior.load_state_dict(trainer.run(step, minutes, steps).prior.state_dict())
    torch.save(model.state_dict(), out / "model.pt")
    return model
