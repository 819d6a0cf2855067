"""`osdc encode` and `osdc decode`."""

import math
import re
from typing import Annotated, Any, Literal

import typer

from .. import files
from ..batch.jobs import plan
from ..container import MAX_PIXELS
from ..errors import OutputError, WeightsError
from .batches import Batch, named, style_of
from .help import GroupedOptions
from .links import RegionName, Repair, link_of, share_of
from .shared import (
    Compiled,
    Device,
    EffortLevel,
    Engine,
    Jobs,
    Mark,
    MaxPixels,
    Overwrite,
    Profile,
    RayAddress,
    TellErrors,
    Trust,
    TrustOverlay,
    WeightsDir,
    byte_count,
    examples,
    number,
    reporting,
    tell_of_search,
)

Output = Annotated[str | None, typer.Option("-o", "--output", help="File, folder, or - (default: beside the input).")]
FilesFrom = Annotated[
    str | None, typer.Option(metavar="FILE", help="Read names of inputs from a file, or - for stdin.")
]
Nul = Annotated[bool, typer.Option("-0", "--null", help="Names in --files-from end in NUL: `find -print0`.")]
Comments = Annotated[bool, typer.Option("--comments", help="Lines of --files-from that begin with # are comments.")]
SkipExisting = Annotated[bool, typer.Option("--skip-existing", help="Leave outputs that exist, and go on.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Print errors only. (Quality is --lambda.)")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Print a line for each file.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print which file would become which, and do nothing.")]
Json = Annotated[bool, typer.Option("--json", help="A JSON line for each file (on stderr if stdout has the output).")]

app = typer.Typer()


def _largest(
    link: str | None, seconds: float | None, packets: int | None, repair: str | None, region: str | None
) -> int | None:
    """Bytes of the largest file that this link carries in this time, or in so many packets, those for repair included."""
    if (link is None) != (seconds is None and packets is None):
        raise typer.BadParameter("--link and --seconds, or --packets, go together")
    if link is None:
        if repair or region:
            raise typer.BadParameter("--repair and --region go with --link")
        return None
    most = link_of(link, region).largest(math.inf if seconds is None else seconds, packets, share_of(repair))
    if not most:
        what = " and ".join(
            f"{n:g} {unit}" for n, unit in ((seconds, "seconds"), (packets, "packets")) if n is not None
        )
        raise typer.BadParameter(f"{what} are too few for a file on {link}")
    return most


def _target(lmbda: float | None, bpp: float | None, most: str | None, ms_ssim: float | None) -> Any:
    """What is aimed at in place of a lambda, None for nothing."""
    if (given := sum(value is not None for value in (bpp, most, ms_ssim))) == 0:
        return None
    if given > 1 or lmbda is not None:
        raise typer.BadParameter("give one of --lambda, --target-bpp, --max-bytes, --target-ms-ssim")
    from ..rate_control import Target

    try:
        return Target(bpp, None if most is None else byte_count(most), ms_ssim)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _colour(value: str) -> str:
    if value not in ("keep", "drop", "white"):
        from PIL import ImageColor

        try:
            ImageColor.getrgb(value)
        except ValueError as error:
            raise typer.BadParameter("give keep, drop, or a colour by name or as #rrggbb") from error
    return value


def _boxes(values: list[str] | None) -> list[str] | None:
    for value in values or ():
        _box(value)
    return values


def _box(value: str | None) -> tuple[int, int, int, int] | None:
    if value is None:
        return None
    numbers = value.split(",")
    if len(numbers) != 4 or not all(number.strip().isdecimal() for number in numbers):
        raise typer.BadParameter(f"{value} is not x,y,width,height in pixels")
    x, y, width, height = map(int, numbers)
    return x, y, width, height


def _scale(value: str | None) -> float:
    """50% or 0.5 -> 0.5"""
    match = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)(%?)", value or "1")
    share = float(match[1]) / (100 if match[2] else 1) if match else 0.0
    if not 0 < share <= 1:
        raise typer.BadParameter(f"{value} is no share of the size; give one such as 50% or 0.5")
    return share


@app.command(
    cls=GroupedOptions,
    epilog=examples(
        "osdc encode photo.jpg",
        "osdc encode photo.jpg -o small.osd --lambda 2",
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
        typer.Option(metavar="X,Y,W,H", callback=_boxes, help="More bits for these pixels (repeatable)."),
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
            metavar="keep|drop|COLOUR", callback=_colour, help="COLOUR lies under clear places: a name or #rrggbb."
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
        within = _largest(link, seconds, packets, repair, region)
        if within and max_bytes is not None:
            raise typer.BadParameter("give one of --max-bytes and --link")
        aim = _target(lmbda, target_bpp, max_bytes if within is None else str(within), target_ms_ssim)
        total = None if total_bytes is None else byte_count(total_bytes)
        if total and (aim or lmbda is not None):
            raise typer.BadParameter("--total-bytes finds the λ; leave the other options for it out")
        if profile not in OFFERED:
            raise WeightsError(f"profile {profile} is not known here: choose one of {', '.join(OFFERED)}")
        from .. import image
        from ..batch.tasks import Encoding

        boxes = [_box(box) for box in roi or ()]
        options = {
            "lmbda": lmbda or 1.0,
            "target": aim,
            "roi": boxes,
            "verify": verify,
            "progressive": progressive,
            "effort": effort,
            "crop": _box(crop),
            "resize": _within(resize),
            "scale": _scale(scale),
            "show": show,
            "shrink": shrink,
            "tell_errors": tell_errors,
        }
        reading = {"alpha": alpha, "icc": icc, "keep_metadata": keep_metadata, "strict": strict}
        work = Encoding(options | reading, device, weights_dir, max_pixels, compiled=compiled, profile=profile)
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
        }
        options["original_size"] = original_size
        within = _within(resize)
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


def _within(resize: str | None) -> tuple[int, int] | None:
    """N or WxH -> the largest width and height."""
    if resize is None:
        return None
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", resize)
    width, height = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not (width and height):
        raise typer.BadParameter(f"{resize} is no size; give the longest side, 1600, or width and height, 1280x720")
    return width, height
