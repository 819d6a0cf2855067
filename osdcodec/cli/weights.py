"""`osdc weights`: the models, where they lie, fetching and checking them."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from .. import files
from ..errors import WeightsError
from .shared import WeightsDir, examples, reporting

app = typer.Typer(
    help="The models: what there is, where it lies, fetching and checking it.",
    epilog=examples(
        "osdc weights list                         terms and places too; --json for machines",
        "osdc weights path small.safetensors",
        "osdc weights verify                       SHA-256 of all that is here",
        "osdc weights pull turbo                   fetches what a profile is built on: turbo needs 5.8 GB",
        "osdc weights pull cod-lite --rate 0.0312  and converts it, which needs torch and onnx, once",
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list")
def list_weights(
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
    weights_dir: WeightsDir = None,
) -> None:
    """List the models and the pretrained ones they are built on, with terms and place on this machine."""
    with reporting("weights"):
        from .. import weights

        rows = weights.inventory(weights_dir)
        lines = [json.dumps(rows, indent=2)] if as_json else [_entry(row) for row in rows]
        files.write_output(files.STREAM, ("\n".join(lines) + "\n").encode("utf-8"))


def _entry(row: dict[str, str]) -> str:
    return f"{row['name']}  ({row['profile']}, {row['source']})\n    terms: {row['terms']}\n    {row['place']}"


@app.command("pull")
def pull_weights(
    profile: Annotated[str, typer.Argument(help="turbo or cod-lite.")],
    rate: Annotated[
        list[str] | None,
        typer.Option(help="Of cod-lite: this rate only (repeatable), as `osdc weights list` has them."),
    ] = None,
    weights_dir: WeightsDir = None,
) -> None:
    """Fetch the pretrained models that a profile is built on: into a folder of weights, else into the hub's cache.

    Checkpoints of cod-lite are converted then; files that lie in the folder already are not fetched.
    """
    with reporting("weights"):
        from ..profile import OFFERED
        from ..weights import downloads

        if profile not in OFFERED:
            raise WeightsError(f"profile {profile} is not known here: choose one of {', '.join(OFFERED)}")
        empty = True
        for component, folder in downloads.pull(profile, weights_dir, rates=rate or ()):
            empty = False
            if component.rate:
                from ..cod_lite.install import install

                folder = install(component, folder, weights_dir)
            print(folder)
        if empty:
            print(f"osdc: nothing to fetch: {profile} is built on no other model", file=sys.stderr)


@app.command("verify")
def verify_weights(weights_dir: WeightsDir = None) -> None:
    """Read all that is here and compare it with what is listed; what is not here is no error."""
    with reporting("weights"):
        from .. import weights

        for name, state in weights.verify(weights_dir):
            print(f"{name}: {state}")


@app.command("path")
def path_of_weights(
    name: Annotated[str, typer.Argument(help="As `osdc weights list` names it.")], weights_dir: WeightsDir = None
) -> None:
    """Print where a model lies."""
    with reporting("weights"):
        from .. import weights

        places = {row["name"]: row["place"] for row in weights.inventory(weights_dir)}
        if name not in places:
            raise WeightsError(f"{name} is not listed: choose one of {', '.join(places)}")
        if not Path(places[name]).exists():
            raise WeightsError(f"{name} is not here: `osdc weights pull PROFILE` fetches what a profile is built on")
        print(places[name])
