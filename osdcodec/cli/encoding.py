"""`osdc encode`."""

from typing import Annotated, Literal, cast

import typer

from .. import files
from ..batch.jobs import plan
from ..container import MAX_PIXELS
from ..effort import Effort
from ..errors import OutputError, WeightsError
from . import values
from .batches import Batch, named, style_of
from .help import GroupedOptions
from .links import RegionName, Repair
from .shared import (
    Comments,
    Compiled,
    Device,
    DryRun,
    EffortLevel,
    Engine,
    FilesFrom,
    Jobs,
    Json,
    MaxPixels,
    Nul,
    Output,
    Overwrite,
    Profile,
    Quiet,
    RayAddress,
    SkipExisting,
    TellErrors,
    Verbose,
    WeightsDir,
    byte_count,
    examples,
    number,
    reporting,
    tell_of_search,
)
from .values import boxes, colour

app = typer.Typer()


@app.command(
    cls=GroupedOptions,
    epilog=examples(
        "osdc encode photo.jpg",
        "osdc encode photo.jpg -o small.osd --lambda 2",
        "osdc encode photo.jpg -o good.osd --quality 80",
        "osdc encode photo.jpg --max-bytes 100000",
        "osdc encode photo.jpg --max-bytes 340 --show 1024",
        "osdc encode photo.jpg --resize 1600 --crop 10,10,200,150",
        "osdc encode photo.jpg --target-ms-ssim 0.6",
        "osdc encode pictures/ -o coded2/ --total-bytes 20k",
        "osdc encode photo.jpg -o thin.osd --progressive --link lora-longfast --seconds 30",
        "osdc encode photo.jpg --roi 60,20,90,120 --roi 0,0,40,40",
        "osdc encode photo.jpg logo.png pictures/ -o coded/ --skip-existing",
        "find pictures -name '*.png' -print0 | osdc encode --files-from - -0 -o coded/ --json",
        "cat photo.jpg | osdc encode - -o - > photo.osd",
    ),
)
def encode(
    sources: Annotated[
        list[str] | None, typer.Argument(metavar="INPUT...", help="Pictures, folders of them, or - for stdin.")
    ] = None,
    output: Output = None,
    lmbda: Annotated[
        float | None,
        typer.Option(
            "--lambda",
            min=0.1,
            max=2,
            callback=number,
            help="λ multiplies the rate: larger λ, smaller file. 0.1: best, 2: smallest.  [1.0]",
        ),
    ] = None,
    quality: Annotated[
        float | None,
        typer.Option(min=0, max=100, callback=number, help="0: smallest file, 100: best; in place of --lambda."),
    ] = None,
    target_bpp: Annotated[
        float | None, typer.Option(callback=number, help="Find the λ for these bits per pixel.")
    ] = None,
    max_bytes: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Find the λ for a file of at most so many bytes: 2000, 1.5k, 20kB."),
    ] = None,
    total_bytes: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Find the λ for so many bytes of all files together: 200k, 3MB."),
    ] = None,
    target_ms_ssim: Annotated[
        float | None, typer.Option(max=1, callback=number, help="Find the λ for this MS-SSIM of the result (0 to 1).")
    ] = None,
    roi: Annotated[
        list[str] | None,
        typer.Option(metavar="X,Y,W,H", callback=boxes, help="More bits for these pixels (repeatable)."),
    ] = None,
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
    profile: Profile = "small",
    compiled: Compiled = False,
    weights_dir: WeightsDir = None,
    max_pixels: MaxPixels = MAX_PIXELS,
    alpha: Annotated[
        str,
        typer.Option(
            metavar="keep|drop|COLOUR", callback=colour, help="COLOUR lies under clear places: a name or #rrggbb."
        ),
    ] = "white",
    icc: Annotated[Literal["srgb", "keep"], typer.Option(help="Convert to sRGB, or keep the colour profile.")] = "srgb",
    keep_metadata: Annotated[
        bool, typer.Option("--keep-metadata", help="Keep EXIF and XMP (place, camera, …).")
    ] = False,
    link: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="With --seconds: find the λ for this link; `osdc info FILE --link all` lists them."
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(min=0, callback=number, help="Time that the file may take on --link, repair packets included."),
    ] = None,
    packets: Annotated[int | None, typer.Option(min=1, help="Packets that the file may take on --link.")] = None,
    repair: Repair = None,
    region: RegionName = None,
    resize: Annotated[
        str | None,
        typer.Option("--resize", "--max-side", metavar="N|WxH", help="Shrink to this longest side, or into this box."),
    ] = None,
    scale: Annotated[str | None, typer.Option(metavar="SHARE", help="Shrink each side to this: 50% or 0.5.")] = None,
    crop: Annotated[str | None, typer.Option(metavar="X,Y,W,H", help="Code these pixels only.")] = None,
    show: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Longest side at which the picture will be shown: more is not coded."),
    ] = None,
    shrink: Annotated[
        bool, typer.Option("--shrink/--no-shrink", help="Code fewer pixels where a size is out of reach.")
    ] = True,
    progressive: Annotated[
        bool, typer.Option("--progressive", help="Any beginning of the file shows the picture, ever better.")
    ] = False,
    effort: EffortLevel = "auto",
    strict: Annotated[bool, typer.Option("--strict", help="Refuse pictures whose files end early.")] = False,
    tell_errors: TellErrors = False,
    verify: Annotated[bool, typer.Option("--verify/--no-verify", help="Decode the symbols before writing.")] = True,
    overwrite: Overwrite = None,
) -> None:
    """Encode pictures, and all below folders, into .osd files."""
    with reporting():
        from ..profile import OFFERED

        if verbose:
            tell_of_search()
        inputs = named(sources, files_from, nul, quiet, comments)
        carried = values.largest(link, seconds, packets, repair, region)
        if carried and max_bytes is not None:
            raise typer.BadParameter("give one of --max-bytes and --link")
        most = max_bytes if carried is None else str(carried)
        target = values.target(lmbda, quality, target_bpp, most, target_ms_ssim)
        total = None if total_bytes is None else byte_count(total_bytes)
        if total and (target or lmbda is not None or quality is not None):
            raise typer.BadParameter("--total-bytes finds the λ; leave the other options for it out")
        if profile not in OFFERED:
            raise WeightsError(f"profile {profile} is not known here: choose one of {', '.join(OFFERED)}")
        from .. import image
        from ..batch.tasks import Encoding
        from ..options import EncodeOptions

        options = EncodeOptions(
            lmbda=lmbda,
            quality=quality,
            target=target,
            roi=[values.box(each) for each in roi or ()],
            alpha=alpha,
            icc=icc,
            keep_metadata=keep_metadata,
            progressive=progressive,
            effort=cast(Effort, effort),  # which its callback has made of the text
            tell_errors=tell_errors,
            verify=verify,
            crop=None if crop is None else values.box(crop),
            resize=None if resize is None else values.within(resize),
            scale=values.scale(scale),
            show=show,
            shrink=shrink,
            strict=strict,
        )
        work = Encoding(options, device, weights_dir, max_pixels, compiled=compiled, profile=profile)
        many, suffixes = files_from is not None, image.suffixes()
        planned = plan(inputs, output, suffixes, ".osd", many, overwrite, image.why_left_out())
        a_picture = output is not None and output.lower().endswith(suffixes) and files.exists(output)
        if a_picture and output not in inputs and not overwrite:
            raise OutputError(
                f"{output}: exists, and is named as a picture; name an .osd file with -o, or replace it by --overwrite"
            )
        style = style_of(quiet, verbose, as_json)
        batch = Batch(planned, work, style, many, skip_existing, jobs, engine, ray_address)
        batch.begin(dry_run)
        if total:
            batch.limit(work, total)
        batch.run()
