"""The networks on a GPU, beside what they are to be faster than: `python -m osdcodec.maintenance.benchmarks.budgets --device cuda`.

Profile `turbo` has random weights of full size here: speed does not depend on what they say. All times are of one run, warm, medians.
"""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from diffusers import DDIMScheduler

from ...entropy.prior import Prior
from ...evaluation.timing import median_seconds, rendered
from ...image import network_inputs
from ...models import CodecModel
from ...models.prior_twin import frequencies
from ...profile import TURBO
from ...rate_control import quality_byte
from ...runtime.torch import TorchRuntime
from ...weights import Weights

Row = tuple[str, float, float | None, str]  # what, measured, bound (of a speed-up the least, else the most), unit
WARM = 4  # calls before the clock: compiling, autotuning, recording CUDA graphs


def random_turbo(device: str, tower: bool = True) -> CodecModel:
    """Profile `turbo` at its published sizes; tower: with that of CLIP, which only an encoder needs."""
    torch.manual_seed(0)
    with torch.device(device):
        model = CodecModel(TURBO)
        if tower:
            model.semantics.open()
    return model


def measure(
    model: CodecModel, small: Weights, device: str = "cuda", width: int = 768, height: int = 512,
    steps: int = 50, repeats: int = 11, compiled: bool = True,
) -> list[Row]:  # fmt: skip
    """model: a `turbo`, which gets merged and compiled."""
    dtype = torch.float16 if device != "cpu" else torch.float32

    def milliseconds(work: Callable[[], object]) -> float:
        def whole() -> None:
            work()
            if device != "cpu":
                torch.cuda.synchronize()

        with torch.inference_mode():
            return 1000 * median_seconds(whole, repeats, WARM)

    # First as anyone would run them: half precision, nothing else. The adapters are not in these networks yet, or at rest.
    unet, vae = model.denoiser.unet, cast(Any, model.autoencoder).vae
    model.to(device, dtype).eval().requires_grad_(False)
    TorchRuntime(None, device, model=model)  # adds the adapters to the weights
    model.to(memory_format=torch.contiguous_format)
    shape = 1, model.profile.autoencoder_channels, height // 8, width // 8
    extra = torch.zeros(1, unet.conv_in.extra.in_channels, *shape[2:], device=device, dtype=dtype)
    words = torch.zeros(1, model.profile.tokens, unet.config.cross_attention_dim, device=device, dtype=dtype)
    scheduler = DDIMScheduler(
        beta_start=model.profile.beta_start, beta_end=model.profile.beta_end, beta_schedule="scaled_linear"
    )
    noise = torch.randn(shape, device=device, dtype=dtype)

    def sample(count: int) -> torch.Tensor:
        scheduler.set_timesteps(count)
        z = noise
        for level in scheduler.timesteps:
            z = scheduler.step(unet(torch.cat([z, extra], 1), level, words).sample, level, z).prev_sample
        return vae.decode(z.to(dtype) / vae.config.scaling_factor).sample

    many, one = milliseconds(lambda: sample(steps)), milliseconds(lambda: sample(1))
    rows: list[Row] = [
        (f"{steps} DDIM steps and VAE, eager", many, None, "ms"),
        ("1 step and VAE, eager", one, None, "ms"),
    ]
    rows += profile_rows(
        "turbo", TorchRuntime(None, device, compiled=compiled, model=model), None, milliseconds, width, height
    )
    rows += profile_rows("small", TorchRuntime(small, device, compiled=compiled), small, milliseconds, width, height)
    decode = next(value for what, value, _, _ in rows if what.startswith("turbo decode"))
    rows.append((f"turbo decode against {steps} steps", many / decode, 20.0, "times"))
    rows.append(("turbo decode against 1 eager step", one / decode, 1.3, "times"))
    return rows


def profile_rows(
    name: str, runtime: TorchRuntime, weights: Weights | None, milliseconds: Callable, width: int, height: int
) -> list[Row]:
    """Encode and decode of one profile: the networks, with the way to the GPU and back, and the entropy part on the CPU."""
    profile, photo = runtime.profile, rendered(width, height)
    x, thumb = network_inputs(photo, profile)
    quality, random = quality_byte(0.5), np.random.default_rng(0)
    y, hyper, tokens = runtime.analyse(x, thumb)
    if weights is None:  # an untrained prior takes as long, given latents of a usual size
        prior = Prior(untrained(runtime.model), profile)
        y = random.normal(0, 0.5, y.shape).astype(np.float32)
        hyper = random.normal(0, 0.5, hyper.shape).astype(np.float32)
    else:
        prior = weights.prior
    gain, inverse, hyper_gain = (vector[:, None, None] for vector in prior.gains(quality))
    coded = y[0] * gain, hyper[0] * hyper_gain, tokens[0], quality
    payload, symbols = prior.encode(*coded)
    y_hat = (symbols.y16.astype(np.float32) / 16 * inverse)[None]
    side = profile.z_per_y
    shape = 1, profile.autoencoder_channels, side * y.shape[2], side * y.shape[3]
    noise = random.standard_normal(shape, np.float32)

    def decode() -> np.ndarray:
        z_c, condition = runtime.synthesise(y_hat, tokens)
        return runtime.render(runtime.denoise(z_c, condition, tokens, noise, profile.level(quality)))

    bound = {"turbo": 120.0, "small": 15.0}[name]
    return [
        (f"{name} encode, networks", milliseconds(lambda: runtime.analyse(x, thumb)), None, "ms"),
        (f"{name} encode, entropy on the CPU", milliseconds(lambda: prior.encode(*coded)), None, "ms"),
        (f"{name} decode, networks", milliseconds(decode), bound, "ms"),
        (
            f"{name} decode, entropy on the CPU",
            milliseconds(lambda: prior.decode(payload, quality, y.shape[2], y.shape[3])),
            None,
            "ms",
        ),
    ]


def untrained(model: CodecModel) -> dict[str, np.ndarray]:
    """The tensors that fix the symbols, of a model that has seen nothing."""
    profile = model.profile
    tables = np.stack([frequencies(np.ones(profile.codebook_size))] * profile.tokens)
    channels = {"latent": profile.latent_channels, "inverse": profile.latent_channels, "hyper": profile.hyper_channels}
    gains = {f"gains.{name}": np.ones((5, count), np.float32) for name, count in channels.items()}
    return model.prior.float().export() | gains | {"prior.token_tables": tables}
