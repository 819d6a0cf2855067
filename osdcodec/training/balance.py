"""Stage `balance`: along the line of fidelity and detail, towards detail at those lambdas that have too little of it.

Only the inverse gains learn, 160 numbers for each lambda, so symbols and bits stay as they are. So few numbers hardly feel the noise
of small batches: minutes suffice, and detail costs half of what it does in stage `codec` (lab book, revision 7).
"""

from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

from ..models import CodecModel
from ..profile import ANCHORS, Profile, quality_of
from .data import Photos
from .losses import flatness, structure
from .trainer import Trainer


def train_balance(
    profile: Profile, config: dict, data: Path, out: Path, accelerator: Accelerator, minutes: float, steps: int | None
) -> CodecModel:
    """out/fitted.pt, with config["share"] (a number for each lambda, 2 first) of what the gains learn, is then out/model.pt."""
    photos, model, device = Photos(data / "train", seed=5), CodecModel(profile), accelerator.device
    model.load_state_dict(torch.load(out / "fitted.pt", map_location="cpu", weights_only=True))
    model.to(device, memory_format=torch.channels_last).requires_grad_(False).eval()
    start = model.gains.inverse.clone()
    model.gains.inverse.requires_grad_(True)
    trainer = Trainer("balance", out, model.gains, accelerator, config)
    squared, ms_ssim, detail, share = (
        torch.tensor(config[name], device=device) for name in ("mse", "ms_ssim", "detail", "share")
    )
    quality = torch.tensor([float(quality_of(lmbda)) for lmbda in ANCHORS], device=device)

    def step(_: int) -> tuple[Tensor, dict[str, float]]:
        x = photos.batch(len(ANCHORS), config["crop"]).to(device, memory_format=torch.channels_last)
        with accelerator.autocast():
            x_hat = model(x, quality).x_hat
        x_hat = x_hat.float()
        mse, distances, flat = (x_hat - x).square().mean((1, 2, 3)), structure(x_hat, x), flatness(x_hat, x)
        loss = (squared * mse + ms_ssim * distances + detail * flat).mean()
        return loss, {"mse": mse.mean().item(), "ms_ssim": 1 - distances.mean().item(), "flatness": flat.mean().item()}

    learned = trainer.run(step, minutes, steps).inverse.detach()
    model.gains.inverse.requires_grad_(False).copy_(start + share[:, None] * (learned - start))
    torch.save(model.state_dict(), out / "model.pt")
    return model
