"""The stages of profile `turbo`: codebook, relay residual over all noise levels, the fixed step in pixels, export.

Stage 1 and 2 follow RDEIC (independent, then fixed-step training) with the adversarial loss of the one-step codecs. They run under
accelerate: on one GPU or many, in bfloat16, with accumulated gradients, checkpointed activations and an average of the
trained parameters; the base models stand still in half precision, and no checkpoint holds them.
"""

import io
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from diffusers.training_utils import EMAModel
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from .. import downloads
from ..evaluation.perceptual import PerceptualDistance
from ..models import CodecModel
from ..models.turbo import of_base, start_linear
from ..profile import Profile
from ..runtime.torch import new_model, open_tower
from ..weights import entry
from .codec import RateControl, qualities
from .data import Photos
from .export import components_text, count_symbols, count_tokens, normative, registry_text
from .losses import Discriminator, hinge

JUDGE_RATE = 1e-4  # learning rate of the discriminator


class Crops(Photos, IterableDataset):
    """Endless random crops uint8 (3, side, side) of photographs, which stay on the disk until they are drawn."""

    def __init__(self, folder: Path, side: int, seed: int) -> None:
        self.files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in self.SUFFIXES)
        if self.files:
            self.encoded = self.files
            self.random = np.random.default_rng(seed)
        else:
            super().__init__(folder, seed)  # tars, kept in memory as they are
        self.side, self.seed = side, seed

    def picture(self, index: int) -> np.ndarray:
        source = self.encoded[index]
        file = source if isinstance(source, Path) else io.BytesIO(source)
        return np.asarray(Image.open(file).convert("RGB"))

    def __iter__(self) -> Iterator[Tensor]:
        worker = get_worker_info()
        self.random = np.random.default_rng([self.seed, worker.id if worker else 0])
        while True:
            yield torch.from_numpy(np.ascontiguousarray(self.crop(self.side).transpose(2, 0, 1)))


class TowerDistance(nn.Module):
    """Distance of two pictures (B, 3, H, W) in [-1, 1] in the patch features of the CLIP tower, in one random window -> (B,)."""

    def __init__(self, model: CodecModel) -> None:
        super().__init__()
        self.model, self.side = [model], model.profile.thumb  # a list: the model is not a part of this

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        semantics = self.model[0].semantics
        top, left = (int(torch.randint(length - self.side + 1, ())) for length in x.shape[2:])
        window = ..., slice(top, top + self.side), slice(left, left + self.side)
        a, b = (F.normalize(semantics.tower(semantics.normalised(part[window]))[1], dim=-1) for part in (x, y.detach()))
        return (a - b).square().sum(-1).mean(1)


class Relay(nn.Module):
    """Stage 1: x, quality (B,), rate multipliers (B,) -> loss, bpp (B,), things to log, None

    For a level n up to N the target is eps_n = eps + rho e, e = z_c - z, of z_n = sqrt(abar_n) z + sqrt(1 - abar_n) eps_n
    (RDEIC). At n = N that is the start of the decoder's one step.
    """

    def __init__(self, model: CodecModel, config: dict, data: Path) -> None:
        super().__init__()
        self.model, self.config = model, config

    def forward(self, x: Tensor, quality: Tensor, rate: Tensor, done: float) -> tuple[Tensor, Tensor, dict, None]:
        model = self.model
        z, z_c, condition, tokens, bits, missed = model.compress(x, quality)
        z = z.float()
        bpp, missed = bits.sum(1) / x[0, 0].numel(), missed / x[0, 0].numel()
        last = model.levels(quality)
        level = 1 + torch.floor(torch.rand_like(last) * last)
        final, now = (model.alpha_bars[n.long()][:, None, None, None] for n in (last, level))
        error = z_c - z
        target = torch.randn_like(z) + (final / (1 - final)).sqrt() * error
        z_n = now.sqrt() * z + (1 - now).sqrt() * target
        guess = model.denoiser.predict(z_n, z_c, condition, model.semantics.embed(tokens), level).float()
        relay, coarse = F.mse_loss(guess, target), error.square().mean()
        loss = self.config["relay"] * relay + self.config["coarse"] * coarse + (rate * (bpp + missed)).mean()
        left = (1 - now) / now * (guess - target).square()  # what is left of the error in z_hat
        record = {"relay": relay, "coarse": coarse, "gain": (coarse / left.mean()).detach()}
        return loss, bpp, record, None


class Pixels(nn.Module):
    """Stage 2: x, quality (B,), rate multipliers (B,) -> loss, bpp (B,), things to log, (x_hat, z_c) for the discriminator"""

    def __init__(self, model: CodecModel, config: dict, data: Path) -> None:
        super().__init__()
        self.model, self.config = model, config
        self.judge = [Discriminator(model.profile.autoencoder_channels)]  # a list: trained on its own
        given = next((data / "perceptual").glob("*.safetensors"), None)
        self.perceptual = PerceptualDistance(given) if given else TowerDistance(model)

    def verdict(self, x: Tensor, z_c: Tensor) -> Tensor:
        return self.judge[0](x, F.avg_pool2d(z_c, 2))  # it judges patches of 16x16 pixels

    def forward(self, x: Tensor, quality: Tensor, rate: Tensor, done: float) -> tuple[Tensor, Tensor, dict, tuple]:
        config, out = self.config, self.model(x, quality)
        some = slice(0, max(1, len(x) // 4))
        x_hat, bpp, missed = out.x_hat.float(), out.bits.sum(1) / x[0, 0].numel(), out.error / x[0, 0].numel()
        mse, distance = F.mse_loss(x_hat, x), self.perceptual(x_hat, x).mean()
        loss = config["mse"] * mse + config["perceptual"] * distance + (rate * (bpp + missed)).mean()
        loss = loss + config["coarse"] * F.mse_loss(self.model.render(out.z_c[some]).float(), x[some])
        loss = loss + config["relay"] * F.mse_loss(out.z_hat.float(), out.z)
        record = {"psnr": -10 * torch.log10(mse.detach() / 4), "perceptual": distance, "snr": out.signal_to_noise}
        record["gain"] = (F.mse_loss(out.z_c.float(), out.z) / F.mse_loss(out.z_hat.float(), out.z)).detach()
        if not (config["adversarial"] and done >= config["adversarial_from"]):
            return loss, bpp, record, None
        self.judge[0].requires_grad_(False)  # here the pictures learn, not the judge
        realism = self.verdict(x_hat, out.z_c.detach()).mean()
        self.judge[0].requires_grad_(True)
        return loss - config["adversarial"] * realism, bpp, record, (x_hat.detach(), out.z_c.detach())


def start(profile: Profile, out: Path, before: str | None, accelerator: Accelerator) -> CodecModel:
    """The model as the earlier stages left it, its base models in the precision that they are used in."""
    model = new_model(profile, downloads.folder_of)
    open_tower(model)
    for name, needed in (("tokens", True), (before, before is not None)):
        if needed:
            path = out / f"{name}.pt"
            if not path.exists():
                raise FileNotFoundError(f"{path} is missing: run the earlier stages first")
            state = torch.load(path, map_location="cpu", weights_only=True)
            load_learned(model, state if name == "tokens" else averaged(state))
    if accelerator.mixed_precision == "bf16":
        for name, parameter in model.named_parameters():
            if of_base(name):
                parameter.data = parameter.data.bfloat16()
    return model.to(accelerator.device, memory_format=torch.channels_last)


def learned(model: CodecModel) -> dict[str, Tensor]:
    """Of the state dict what no base model brings."""
    return {name: tensor for name, tensor in model.state_dict().items() if not of_base(name)}


def load_learned(model: CodecModel, tensors: dict[str, Tensor]) -> None:
    unknown = model.load_state_dict(tensors, strict=False).unexpected_keys
    assert not unknown, unknown


def averaged(state: dict) -> dict[str, Tensor]:
    """The averaged parameters of a checkpoint, by name."""
    return state["learned"] | dict(zip(state["names"], state["average"]["shadow_params"], strict=True))


def train_tokens(
    profile: Profile, config: dict, data: Path, out: Path, accelerator: Accelerator, minutes: float, steps: int | None
) -> None:
    """Fits the codebook and leaves it in out/tokens.pt."""
    if (out / "tokens.pt").exists() or not accelerator.is_main_process:
        return accelerator.wait_for_everyone()
    model = new_model(profile, downloads.folder_of)
    model.semantics.to(accelerator.device)
    open_tower(model)
    crops, features = Crops(data / "train", 2 * profile.thumb, seed=10), []
    with torch.inference_mode(), accelerator.autocast():
        for _ in range(config["batches"] if steps is None else steps):
            x = F.interpolate(crops.batch(config["batch"], crops.side), profile.thumb, mode="area")
            features.append(model.semantics.features(x.to(accelerator.device)).flatten(0, 1).float())
        cosine = model.semantics.fit(torch.cat(features))
    print(f"codebook: mean cosine {cosine:.4f} over {config['batch'] * len(features) * profile.tokens} features")
    torch.save({"semantics.codebook": model.semantics.codebook.cpu().clone()}, out / "tokens.pt")
    return accelerator.wait_for_everyone()


def train_relay(
    profile: Profile, config: dict, data: Path, out: Path, accelerator: Accelerator, minutes: float, steps: int | None
) -> None:
    """Stage 1; leaves out/relay.pt."""
    model = start(profile, out, None, accelerator)
    if not (out / "relay.pt").exists():
        crops = Crops(data / "train", config["crop"], seed=11)
        with torch.no_grad():
            pictures = (crops.batch(1, crops.side).to(accelerator.device) for _ in range(config["pictures"]))
            with accelerator.autocast():
                latents = torch.cat([model.autoencoder.encode(x).float() for x in pictures])
        start_linear(model.analysis, model.synthesis, latents)
    run("relay", Relay(model, config, data), config, data, out, accelerator, minutes, steps)


def train_pixels(
    profile: Profile, config: dict, data: Path, out: Path, accelerator: Accelerator, minutes: float, steps: int | None
) -> None:
    """Stage 2, from the average of stage 1; leaves out/pixels.pt."""
    model = start(profile, out, "relay", accelerator)
    run("pixels", Pixels(model, config, data), config, data, out, accelerator, minutes, steps)


def run(
    name: str, stage: Relay | Pixels, config: dict, data: Path, out: Path, accelerator: Accelerator,
    minutes: float, steps: int | None, every: int = 50, save_seconds: float = 900,
) -> None:  # fmt: skip
    """Trains what of `stage` is to be trained for `minutes` of wall time or `steps` steps of the optimizer, from where it was."""
    model, path, device = stage.model.train(), out / f"{name}.pt", accelerator.device
    for network in (model.denoiser.unet, model.autoencoder.vae):
        if config["checkpointing"]:
            network.enable_gradient_checkpointing()
    stage.to(device)
    names, parameters = zip(*((n, p) for n, p in model.named_parameters() if p.requires_grad), strict=True)
    optimizer = torch.optim.AdamW(groups(model, config), betas=(0.9, 0.99), weight_decay=config["weight_decay"])
    average = EMAModel(parameters, decay=config["decay"], use_ema_warmup=True)
    control = RateControl(config["bpp"], config["rate"], config["steer"]).to(device)
    judge = getattr(stage, "judge", [None])[0]
    referee = torch.optim.AdamW(judge.to(device).parameters(), JUDGE_RATE, (0.5, 0.99)) if judge else None
    done, seconds = 0, 0.0
    others = {"optimizer": optimizer, "average": average, "control": control, "judge": judge, "referee": referee}
    others = {key: part for key, part in others.items() if part is not None}
    if path.exists():
        state = torch.load(path, map_location=device, weights_only=True)
        load_learned(model, state["learned"])
        for key, part in others.items():
            part.load_state_dict(state[key])
        done, seconds = state["steps"], state["seconds"]

    def save() -> None:
        if accelerator.is_main_process:
            state = {"learned": learned(model), "names": list(names), "steps": done, "seconds": seconds}
            state |= {key: part.state_dict() for key, part in others.items()}
            torch.save(state, path.with_suffix(".partial"))
            path.with_suffix(".partial").replace(path)

    # Every process and every resumption draws other crops and noise.
    seed = 1000 * done + accelerator.process_index
    torch.manual_seed(seed)
    random, crops = np.random.default_rng([20, seed]), Crops(data / "train", config["crop"], seed)
    batches = iter(DataLoader(crops, config["batch"], num_workers=config["workers"], pin_memory=device.type == "cuda"))
    accelerator.gradient_accumulation_steps, accelerator.step = config["accumulate"], 0  # stages accumulate differently
    prepared, stepper = accelerator.prepare(stage, optimizer)
    values: dict[str, list[float]] = {}
    saved, since = seconds, time.monotonic() - seconds
    while True:
        share = done / steps if steps is not None else seconds / max(minutes * 60, 1e-9)
        share = broadcast(torch.tensor(share, device=device)).item()  # all processes stop at the same step
        if share >= 1:
            break
        for group in optimizer.param_groups:
            warm, fall = min(1, (done + 1) / 500), 0.02 + 0.49 * (1 + math.cos(math.pi * share))
            group["lr"] = config["learning_rate"] * group["factor"] * warm * fall
        for _ in range(config["accumulate"]):
            x = next(batches).to(device, memory_format=torch.channels_last).float() / 127.5 - 1
            quality = qualities(random, len(x)).to(device)
            weights = model.gains.weights(quality)
            with accelerator.accumulate(prepared):
                loss, bpp, record, judged = prepared(x, quality, control(weights), share)
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    norm = accelerator.clip_grad_norm_(parameters, 1.0)
                    if not norm.isfinite():  # one bad batch must not end a run of days
                        stepper.zero_grad()
                stepper.step()
                stepper.zero_grad()
            control.update(accelerator.gather(weights), accelerator.gather(bpp.detach()))
            if judged is not None:
                pictures, condition = torch.cat([x, judged[0]]), judged[1].float().repeat(2, 1, 1, 1)
                real, fake = stage.verdict(pictures, condition).chunk(2)
                record["verdict"] = verdict = hinge(real, fake)
                (verdict / config["accumulate"]).backward()
            for key, value in (record | {"loss": loss, "bpp": bpp.mean()}).items():
                values.setdefault(key, []).append(float(value.detach()))
        if judge and any(parameter.grad is not None for parameter in judge.parameters()):
            for parameter in judge.parameters():
                parameter.grad = accelerator.reduce(parameter.grad, "mean")
            referee.step()
            referee.zero_grad()
        average.step(parameters)
        done, seconds = done + 1, time.monotonic() - since
        if done % every == 0 or done == steps:
            if accelerator.is_main_process:
                means = {key: round(statistics.fmean(seen), 5) for key, seen in values.items()}
                means |= control.record()
                line = {
                    "step": done,
                    "seconds": round(seconds),
                    "rate": config["learning_rate"] * warm * fall,
                    "gradient": float(norm),
                } | means
                with open(out / f"{name}.jsonl", "a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
            values.clear()
        if seconds - saved > save_seconds:
            save()
            saved = seconds
    save()
    accelerator.wait_for_everyone()
    accelerator.free_memory()


def groups(model: CodecModel, config: dict) -> list[dict]:
    """The trained parameters by the factor of their learning rate."""
    found: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            factors = [f for part, f in config["rate_factors"].items() if name.startswith(f"{part}.")]
            found.setdefault(factors[0] if factors else 1.0, []).append(parameter)
    return [{"params": parameters, "factor": factor} for factor, parameters in found.items()]


def export_turbo(
    profile: Profile, config: dict, data: Path, out: Path, accelerator: Accelerator, minutes: float, steps: int | None
) -> None:
    """The average of stage 2 -> out/turbo.safetensors, listed by a weights.toml beside it: `--weights-dir out`."""
    if not accelerator.is_main_process:
        return
    model = start(profile, out, "pixels", accelerator).eval()
    with torch.inference_mode(), accelerator.autocast():
        pictures = config["pictures"] if steps is None else 5
        photos = Crops(data / "train", config.get("crop", 512), seed=12)
        counts = count_tokens(model, photos, pictures), count_symbols(model, photos, pictures)
    fixed = ("prior.", "gains.")  # as integers, and as factors
    tensors = {
        name: tensor.half().cpu().contiguous() for name, tensor in learned(model).items() if not name.startswith(fixed)
    }
    made = normative(model.float(), *counts)
    tensors |= {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in made.items()}
    path = out / f"{profile.name}.safetensors"
    save_file(tensors, path, {"profile": profile.name})
    told = {"revision": 0, "terms": "not released", "data": str(data), "results": []}
    registry = out / "weights.toml"
    text = registry_text([entry(path, profile.name) | told])
    registry.write_text(text + components_text(registry), "utf-8")
    print(f"{path}: {path.stat().st_size / 2**20:.2f} MiB")


Train = Callable[[Profile, dict, Path, Path, Accelerator, float, "int | None"], None]
STAGES: dict[str, Train] = {
    "tokens": train_tokens,
    "relay": train_relay,
    "pixels": train_pixels,
    "export": export_turbo,
}
