"""Command line of the training: stages in order, each within its time budget, resumable, ending in an exported file."""

import argparse
import os
import sys
import tomllib
from pathlib import Path

from ..downloads import VARIABLE
from ..errors import OsdError
from ..extras import require
from ..profile import PROFILES

try:
    import torch
    from accelerate import Accelerator

    from .autoencoder import train_autoencoder
    from .balance import train_balance
    from .codec import train_codec
    from .export import export_profile, unpack_weights
    from .prior import train_prior
    from .tower import train_tower
except ImportError:
    try:
        require("training", "torch", "torchvision", "diffusers", "open_clip", "accelerate", "onnx")
    except OsdError as error:
        sys.exit(f"osdc: {error}")
    raise

STAGES = {
    "unpack": unpack_weights,
    "tower": train_tower,
    "autoencoder": train_autoencoder,
    "codec": train_codec,
    "prior": train_prior,
    "balance": train_balance,
    "export": export_profile,
}


def stages_of(profile: str) -> dict:
    """Name -> function, in order. The stages of `turbo` need peft."""
    if not PROFILES[profile].bases:
        return STAGES
    require(f"training {profile}", "peft", "huggingface_hub")
    from .turbo import STAGES as TURBO_STAGES

    return TURBO_STAGES


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.training", description=__doc__)
    stages = (
        f"of {', '.join(STAGES)} (default: all but unpack, which makes the codec start from the released weights), "
        "or of profile turbo's tokens, relay, pixels, export"
    )
    parser.add_argument("stages", nargs="*", help=stages)
    parser.add_argument("--profile", default="small", choices=PROFILES)
    parser.add_argument("--config", type=Path, help="TOML with one table per stage (default: the profile's own)")
    parser.add_argument("--data", type=Path, required=True, help="folder with train/, thumbnails/ and perceptual/")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="checkpoints and logs (default: runs)")
    parser.add_argument(
        "--weights-dir", type=Path, help="folder of base models (else OSDC_WEIGHTS, else the hub's cache)"
    )
    parser.add_argument("--minutes", type=float, help="time budget of each stage (default: the config's)")
    parser.add_argument("--steps", type=int, help="train so many steps instead of a time budget")
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--cpu", action="store_true", help="do not use a GPU")
    parser.add_argument(
        "--bf16", action="store_true", help="half precision on a CPU too (fast with AVX512-BF16 or AMX)"
    )
    parser.add_argument(
        "--compile", action="store_true", help="torch.compile, in stage codec: minutes, then steps are faster"
    )
    options = parser.parse_args(arguments)
    try:
        train(parser, options)
    except OsdError as error:
        parser.exit(error.exit_code, f"osdc: {error}\n")


def train(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    known = stages_of(options.profile)
    options.stages = options.stages or [stage for stage in known if stage != "unpack"]
    if unknown := set(options.stages) - set(known):
        parser.error(f"unknown stage {unknown.pop()}: the stages are {', '.join(known)}")
    if options.weights_dir:
        os.environ[VARIABLE] = str(options.weights_dir)

    profile = PROFILES[options.profile]
    config = tomllib.loads((options.config or Path(__file__).with_name(f"{profile.name}.toml")).read_text("utf-8"))
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    half = options.bf16 or (torch.cuda.is_available() and not options.cpu)
    accelerator = Accelerator(cpu=options.cpu, mixed_precision="bf16" if half else "no")
    options.out.mkdir(parents=True, exist_ok=True)
    for stage in options.stages:
        minutes = config.get(stage, {}).get("minutes", 0) if options.minutes is None else options.minutes
        table = config.get(stage, {}) | {"compile": options.compile}
        known[stage](profile, table, options.data, options.out, accelerator, minutes, options.steps)


if __name__ == "__main__":
    main()
