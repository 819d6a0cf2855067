"""`osdc decode`."""

from typing import Annotated, Literal

import typer

from ..batch.jobs import plan
from ..container import MAX_PIXELS
from . import values
from .batches import Batch, named, style_of
from .help import GroupedOptions
from .shared import (
    Comments,
    Compiled,
    Device,
    DryRun,
    Engine,
    FilesFrom,
    Jobs,
    Json,
    Mark,
    MaxPixels,
    Nul,
    Output,
    Overwrite,
    Quiet,
    RayAddress,
    SkipExisting,
    Trust,
    TrustOverlay,
    Verbose,
    WeightsDir,
    examples,
    number,
    reporting,
)

app = typer.Typer()


@app.command(
    cls=GroupedOptions,
    epilog=examples(
        "osdc decode photo.osd",
        "osdc decode photo.osd -o out.webp --detail 0.5",
        "osdc decode photo.osd -o other.png --seed 7",
        "osdc decode photo.osd -o large.jpg --original-size",
        "osdc decode coded/ -o web/ --format webp --resize 1600",
        "osdc decode photo.osd -o small.jpg --preview",
        "osdc decode photo.osd -o out.png --partial",
        "osdc decode photo.osd -o out.png --trust trust.png",
        "osdc decode coded/ -o decoded/ --jobs 4 --quiet",
        "osdc decode - -o - < photo.osd > out.png",
    ),
)
def decode(
    sources: Annotated[
        list[str] | None, typer.Argument(metavar="INPUT...", help=".osd files, folders of them, or - for stdin.")
    ] = None,
    output: Output = None,
    seed: Annotated[int, typer.Option(min=0, max=2**64 - 1, help="Draws the noise that diffusion starts from.")] = 0,
    detail: Annotated[
        float, typer.Option(min=0, max=1.5, callback=number, help="0: the coarse picture, 1: denoised, above: more.")
    ] = 1.0,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Of the diffusion: refused unless the file's weights were trained for so many."),
    ] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Half the size, coarse, and much sooner; of cod-lite's files no sooner.")
    ] = False,
    original_size: Annotated[
        bool, typer.Option("--original-size", help="Enlarge a picture that was shrunk for its file to what it was.")
    ] = False,
    partial: Annotated[bool, typer.Option("--partial", help="Show what has arrived of a progressive file.")] = False,
    salvage: Annotated[
        bool, typer.Option("--salvage", help="Show what can be read of a damaged file, and end with 3.")
    ] = False,
    form: Annotated[
        Literal["png", "jpg", "webp", "avif", "tiff", "heic"] | None,
        typer.Option("--format", help="Of outputs whose names are not given (default: png)."),
    ] = None,
    resize: Annotated[
        str | None, typer.Option(metavar="N|WxH", help="Shrink to this longest side, or into this box.")
    ] = None,
    trust: Trust = None,
    trust_overlay: TrustOverlay = None,
    mark: Mark = True,
    files_from: FilesFrom = None,
    nul: Nul = False,
    comments: Comments = False,
    skip_existing: SkipExisting = False,
    jobs: Jobs = None,
    engine: Engine = "local",
    ray_address: RayAddress = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    as_json: Json = False,
    dry_run: DryRun = False,
    device: Device = "auto",
    compiled: Compiled = False,
    weights_dir: WeightsDir = None,
    max_pixels: MaxPixels = MAX_PIXELS,
    overwrite: Overwrite = None,
) -> None:
    """Decode .osd files, and all below folders, into pictures in the format of the output's suffix (else PNG)."""
    with reporting():
        inputs = named(sources, files_from, nul, quiet, comments)
        from ..batch.tasks import Decoding

        options = {
            "seed": seed,
            "detail": detail,
            "preview": preview,
            "partial": partial,
            "steps": steps,
            "salvage": salvage,
            "mark": mark,
            "original_size": original_size,
        }
        within = None if resize is None else values.within(resize)
        work = Decoding(
            options, device, weights_dir, max_pixels, compiled=compiled, format=form and f".{form}", within=within
        )
        many = files_from is not None
        planned = plan(inputs, output, (".osd",), f".{form or 'png'}", many, overwrite)
        if (trust or trust_overlay) and (many or len(planned.jobs) != 1):
            raise typer.BadParameter("--trust and --trust-overlay name a file, so give one input")
        work.trust, work.overlay = trust, trust_overlay
        style = style_of(quiet, verbose, as_json)
        batch = Batch(planned, work, style, many, skip_existing, jobs, engine, ray_address)
        batch.begin(dry_run)
        batch.run()
