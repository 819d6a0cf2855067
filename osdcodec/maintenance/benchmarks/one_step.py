"""What one diffusion step saves: `python -m osdcodec.maintenance.benchmarks.one_step [--steps 50]`.

DiffO claims to decode about 50 times faster than codecs that take many steps. Here that is asked of one and the same network: a decoder
that runs its denoiser once, and one that runs it so often, both with all that stands around it but the entropy coding. It need not be
trained for many steps to take their time. --turbo: SD-Turbo's sizes with random weights, for a GPU or much patience.
"""

import argparse
import time

import numpy as np
from rich.console import Console
from rich.table import Table

from ... import weights
from ...console import run_command
from ...profile import SMALL, TURBO, Profile
from ...rate_control import quality_byte
from ...runtime import Machine, Runtime, choose, open_runtime


def measure(
    runtime: Runtime, profile: Profile, width: int = 768, height: int = 512, steps: int = 50, lmbda: float = 1.0
) -> dict[str, float]:
    """Seconds of the parts, and how many times as fast one step is: of a denoiser alone, and of a decoder."""
    random, (rows, columns) = np.random.default_rng(0), profile.grid(width, height)
    y_hat = random.normal(0, 1, (1, profile.latent_channels, rows, columns)).astype(np.float32)
    tokens = np.zeros((1, profile.tokens), np.int64)
    z_c, _ = runtime.synthesise(y_hat, tokens)
    noise = random.standard_normal(z_c.shape, np.float32)

    def decode(count: int) -> None:
        z, seen = runtime.synthesise(y_hat, tokens)
        for _ in range(count):
            z = runtime.denoise(z, seen, tokens, noise, profile.level(quality_byte(lmbda)))
        runtime.render(z)

    def seconds(count: int) -> float:
        start = time.perf_counter()
        decode(count)
        return time.perf_counter() - start

    decode(1)  # what happens only once is not to be timed
    one, around = (min(seconds(count) for _ in range(3)) for count in (1, 0))  # other work on the machine only adds
    many = seconds(steps)
    return {
        "around the denoiser": around,
        "decoder of 1 step": one,
        f"decoder of {steps} steps": many,
        "denoiser alone, 1 step": (many - one) / (steps - 1),
        "times faster": many / one,
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.maintenance.benchmarks.one_step", description=__doc__)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--height", type=int, default=512)
    parser.add_argument("--weights-dir", help="weights of profile small other than the embedded ones")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--turbo", action="store_true", help="profile turbo at its published sizes, random weights")
    options = parser.parse_args(arguments)
    if options.turbo:
        from ...runtime.torch import TorchRuntime
        from .gpu import random_turbo

        device = choose(options.device).place
        profile = TURBO
        runtime: Runtime = TorchRuntime(None, device, model=random_turbo(device, tower=False))
    else:
        loaded = weights.load(SMALL.name, options.weights_dir)
        profile, runtime = loaded.profile, open_runtime(loaded, Machine(options.device))
    table = Table(
        "what", "measured", title=f"profile {profile.name}, {options.width}x{options.height}, {options.device}"
    )
    for what, value in measure(runtime, profile, options.width, options.height, options.steps).items():
        table.add_row(what, f"{value:.1f}" if what == "times faster" else f"{value:.3f} s")
    Console().print(table)


if __name__ == "__main__":
    run_command(main)
