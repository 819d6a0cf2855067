"""Stage `codec`: transforms, prior, denoiser and the autoencoder's decoder, end to end through the fixed one step."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional as F

from ..evaluation.perceptual import PerceptualDistance
from ..models import CodecModel
from ..models.transforms import start_linear
from ..profile import ANCHORS, Profile, quality_of
from .data import Photos
from .losses import Discriminator, flatness, hinge, structure, weave
from .trainer import Trainer


class RateControl(nn.Module):
    """Steers the rate multiplier of each anchor lambda until its measured bpp meets the target."""

    def __init__(self, targets: list[float], rates: list[float], steer: float) -> None:
        super().__init__()
        self.register_buffer("log_target", torch.tensor(targets).log(), persistent=False)
        self.register_buffer("log_rate", torch.tensor(rates).log())
        self.register_buffer("bpp", torch.tensor(targets))  # running mean, for the log
        self.steer = steer

    def forward(self, weights: Tensor) -> Tensor:
        """Interpolation weights of the anchors (B, 5) -> rate multipliers (B,)"""
        return (weights @ self.log_rate).exp()

    @torch.no_grad()
    def update(self, weights: Tensor, bpp: Tensor) -> None:
        """weights (B, 5), measured bpp (B,)"""
        excess = (bpp.log() - weights @ self.log_target).clamp(-1, 1)
        self.log_rate += self.steer * (weights * excess[:, None]).sum(0)
        share = 0.02 * weights
        self.bpp += (share * (bpp[:, None] - self.bpp)).sum(0)

    def record(self) -> dict[str, float]:
        """The running mean of each anchor lambda, for the log."""
        return {f"bpp{lmbda:g}": float(bpp) for lmbda, bpp in zip(ANCHORS, self.bpp, strict=True)}


class Extra(nn.Module):
    """What training needs beside the model: rate control and discriminator."""

    def __init__(self, profile: Profile, config: dict) -> None:
        super().__init__()
        self.control = RateControl(config["bpp"], config["rate"], config["steer"])
        self.discriminator = Discriminator(profile.autoencoder_channels)


def load_start(model: CodecModel, out: Path, photos: Photos, pictures: int) -> None:
    """What the codec starts from: released weights, if stage `unpack` laid them there, else the earlier stages."""
    if (out / "start.pt").exists():
        model.load_state_dict(torch.load(out / "start.pt", map_location="cpu", weights_only=True))
        return
    for part, name in ((model.semantics, "semantics"), (model.autoencoder, "autoencoder-calibrated")):
        path = out / f"{name}.pt"
        if not path.exists():
            raise FileNotFoundError(f"{path} is missing: run the earlier stages first")
        part.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    start_linear(model.analysis, model.synthesis, model.autoencoder, photos.batch(pictures, 256))


def qualities(random: np.random.Generator, size: int) -> Tensor:
    """(size,): half of them at the anchors, half anywhere between, spread evenly over a batch for a steadier gradient."""
    anchors = np.array([quality_of(lmbda) for lmbda in ANCHORS])
    places = (random.permutation(size) + random.random(size)) / size
    at_anchor = random.permutation(size) < size // 2 + random.integers(1 + size % 2)
    drawn = np.where(at_anchor, anchors[(places * len(anchors)).astype(int)], (places * 256).astype(int))
    return torch.from_numpy(drawn).float()


def train_codec(
    profile: Profile,
    config: dict,
    data: Path,
    out: Path,
    accelerator: Accelerator,
    minutes: float,
    steps: int | None,
    build: Callable[[Profile], CodecModel] = CodecModel,
) -> CodecModel:
    """Trains the codec; the checkpoint out/codec.pt holds the averaged model that stage `prior` reads. build: a variant of it."""
    device = accelerator.device
    photos, random = Photos(data / "train", seed=config["seed"]), np.random.default_rng(config["seed"])
    model = build(profile)
    if not (out / "codec.pt").exists():
        load_start(model, out, photos, config["pictures"])
    model.to(device, memory_format=torch.channels_last).train()
    model.semantics.requires_grad_(False).eval()
    fixed = model.autoencoder.dc.encoder, model.autoencoder.down, model.autoencoder.up, model.analysis.linear
    for part in fixed:
        part.requires_grad_(False)
    extra = Extra(profile, config).to(device)
    trainer = Trainer("codec", out, model, accelerator, config, extra=extra)
    squared, ms_ssim, detail = (torch.tensor(config[name], device=device) for name in ("mse", "ms_ssim", "detail"))
    judge = torch.optim.AdamW(extra.discriminator.parameters(), 2e-4, betas=(0.5, 0.99), weight_decay=0.0)
    perceptual = None
    if config["perceptual"]:
        path = next((data / "perceptual").glob("*.safetensors"))
        perceptual = PerceptualDistance(path, config["perceptual_stages"]).to(device)

    distance_of = structure
    if config.get("compile"):
        networks = model.autoencoder.dc.encoder, model.autoencoder.dc.decoder, model.analysis, model.synthesis
        for network in (*networks, model.denoiser, model.hyper_analysis, model.prior):
            network.compile()
        distance_of = torch.compile(structure)

    def step(number: int) -> tuple[Tensor, dict[str, float]]:
        # Small crops for variety, large ones so that positions far from any border are seen too.
        size, side = config["crops"][number % len(config["crops"])]
        generative = trainer.done >= config["generative_from"]
        x = photos.batch(size, side).to(device, memory_format=torch.channels_last)
        quality = qualities(random, len(x)).to(device)
        weights = model.gains.weights(quality)
        with accelerator.autocast():
            out = model(x, quality)
            part = slice(0, max(1, len(x) // 4))
            coarse = model.render(out.z_c[part])
        x_hat, bpp, error = out.x_hat.float(), out.bits.sum(1) / x[0, 0].numel(), out.error / x[0, 0].numel()
        extra.control.update(weights, bpp.detach())

        mse = (x_hat - x).square().mean((1, 2, 3))
        distances, flat = distance_of(x_hat, x), flatness(x_hat, x)
        loss = (
            weights @ squared * mse + extra.control(weights) * (bpp + error)
        ).mean()  # the error is the prior's alone
        loss = (
            loss
            + config["coarse"] * F.mse_loss(coarse.float(), x[part])
            + config["relay"] * F.mse_loss(out.z_hat, out.z)
            + config["weave"] * weave(x_hat, x).mean()
            + (weights @ ms_ssim * distances + weights @ detail * flat).mean()
        )
        record = {
            "psnr": (-10 * torch.log10(mse.detach() / 4)).mean().item(),
            "bpp": bpp.mean().item(),
            "ms_ssim": 1 - distances.mean().item(),
            "flatness": flat.mean().item(),
            "hyper": (out.bits[:, 0] / out.bits.sum(1)).mean().item(),
            "snr": out.signal_to_noise.item(),
            "gain": (F.mse_loss(out.z_c, out.z) / F.mse_loss(out.z_hat, out.z)).item(),
        }
        record |= extra.control.record()
        if perceptual is not None and generative and number % config["perceptual_every"] == 0:
            some = slice(0, max(1, round(len(x) * config["perceptual_share"])))
            distance = perceptual(x_hat[some], x[some]).mean()
            loss, record["perceptual"] = loss + config["perceptual"] * distance, distance.item()
        if config["adversarial"] and generative:
            condition = out.z_c.detach().float()
            fake = extra.discriminator(x_hat.detach(), condition)
            verdict = hinge(extra.discriminator(x, condition), fake)
            judge.zero_grad(set_to_none=True)
            accelerator.backward(verdict)
            judge.step()
            extra.discriminator.requires_grad_(False)
            loss = loss - config["adversarial"] * extra.discriminator(x_hat, condition).mean()
            extra.discriminator.requires_grad_(True)
            record["verdict"] = verdict.item()
        return loss, record

    return trainer.run(step, minutes, steps)
