"""Command line of the training: stages in order, each within its time budget, resumable, ending in an exported file."""

import argparse
import os
from pathlib import Path
from typing import Any, cast

from ..console import run_command
from ..errors import OsdError
from ..extras import require
from ..profile import PROFILES
from ..weights.registry import VARIABLE

try:
    import torch
    from accelerate import Accelerator

    from . import small
    from .recipe import Run, read
except ImportError:
    needed = "torch", "torchvision", "diffusers", "open_clip", "accelerate", "onnx", "pydantic", "tomlkit"
    run_command(lambda: require("training", *needed))
    raise


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.training", description=__doc__)
    stages = (
        f"of {', '.join(small.STAGES)} (default: all but unpack, which makes the codec start from the released weights), "
        "or of profile turbo's tokens, relay, pixels, export"
    )
    parser.add_argument("stages", nargs="*", help=stages)
    parser.add_argument(
        "--profile", default="small", choices=[name for name, each in PROFILES.items() if each.family == "latent"]
    )
    told = parser.add_mutually_exclusive_group()
    told.add_argument("--config", type=Path, help="TOML with one table per stage (default: the profile's own)")
    told.add_argument("--recipe", help="one of ours: small/NAME.toml or turbo/NAME.toml beside this file")
    data = "folder of photographs; or of train/ with them and, where they are available, thumbnails/ and perceptual/"
    parser.add_argument("--data", type=Path, required=True, help=data)
    parser.add_argument("--out", type=Path, default=Path("runs"), help="checkpoints and logs (default: runs)")
    parser.add_argument(
        "--weights-dir", type=Path, help="folder of pretrained models (else OSDC_WEIGHTS, else the hub's cache)"
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, help="time budget of each stage (default: the config's)")
    length.add_argument("--steps", type=_count, help="train for this number of steps instead of a time budget")
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing of the progress")
    parser.add_argument("--cpu", action="store_true", help="do not use a GPU")
    parser.add_argument(
        "--bf16", action="store_true", help="half precision on a CPU too (fast with AVX512-BF16 or AMX)"
    )
    parser.add_argument(
        "--compile", action="store_true", help="torch.compile, in stage codec: minutes, then steps are faster"
    )
    keep = "with export: carry over the integers of this weights file, so that the model id stays; for new decoder networks"
    parser.add_argument("--keep-symbols", type=Path, metavar="OLD.safetensors", help=keep)
    options = parser.parse_args(arguments)
    try:
        train(parser, options)
    except OsdError as error:
        parser.exit(error.exit_code, f"osdc: {error}\n")


def _count(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("one step is the least")
    return number


def train(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    profile, room = PROFILES[options.profile], cast(Any, small)
    if profile.pretrained:
        require(f"training {profile.name}", "peft", "huggingface_hub")
        from . import turbo

        room = turbo
    stages = options.stages or [stage for stage in room.STAGES if stage != "unpack"]
    if unknown := set(stages) - set(room.STAGES):
        parser.error(f"unknown stage {unknown.pop()}: the stages are {', '.join(room.STAGES)}")
    path = options.config or room.RECIPE
    if options.recipe and not (path := room.RECIPE.with_name(f"{options.recipe}.toml")).is_file():
        known = sorted(each.stem for each in path.parent.glob("*.toml"))
        parser.error(f"unknown recipe {options.recipe}: those of profile {profile.name} are {', '.join(known)}")
    profile, recipes = read(path, profile, room.STAGES)
    if missing := [stage for stage in stages if recipes[stage] is None]:
        parser.error(f"the recipe has no table [{missing[0]}]")
    if options.weights_dir:
        os.environ[VARIABLE] = str(options.weights_dir)

    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    half = options.bf16 or (torch.cuda.is_available() and not options.cpu)
    accelerator = Accelerator(cpu=options.cpu, mixed_precision="bf16" if half else "no")
    options.out.mkdir(parents=True, exist_ok=True)
    for stage in stages:
        minutes = recipes[stage].minutes if options.minutes is None else options.minutes
        room.STAGES[stage].train(
            Run(
                profile, recipes[stage], options.data, options.out, accelerator, minutes, options.steps,
                options.compile, options.keep_symbols, options.quiet,
            )
        )  # fmt: skip


if __name__ == "__main__":
    run_command(main)
