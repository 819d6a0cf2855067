"""The command line: parse, call the API, print. Whatever takes long to import is imported inside the commands."""

import json
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from . import files
from .container import MAX_PIXELS
from .errors import FileError, InputError, OsdError, OsdWarning, WeightsError, complaint


def _examples(*lines: str) -> str:
    """The end of a help text, each line as it stands; tests/test_manual.py runs them."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


app = typer.Typer(
    help="Photographs in 0.02 to 0.12 bits per pixel, brought back by one diffusion step.",
    epilog=_examples(
        "osdc encode photo.jpg                    makes photo.osd",
        "osdc info photo.osd                      says what is in it",
        "osdc decode photo.osd -o out.png         and back",
        "osdc encode pictures/ -o coded/          a whole tree",
        "osdc COMMAND --help                      all options of a command",
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@contextmanager
def _reporting(source: str = files.STREAM) -> Iterator[None]:
    """Errors become one line on stderr and their exit code."""
    try:
        yield
    except OsdError as error:
        raise typer.Exit(_complain(error, source)) from error
    except OSError as error:  # a folder that must not be listed, a name too long to look up, …
        refused = FileError(f"{error.filename or source}: {error.strerror or error}; choose another file")
        raise typer.Exit(_complain(refused, source)) from error
    except MemoryError as error:
        raise typer.Exit(_complain(InputError("the picture is too large for this machine's memory"), source)) from error
    except KeyboardInterrupt as error:
        raise typer.Exit(130) from error


def _complain(error: OsdError, source: str) -> int:
    print(complaint(error, source), file=sys.stderr)
    return error.exit_code


def _sources(sources: list[str] | None, files_from: str | None, nul: bool) -> list[str]:
    """What was named, and what a list names."""
    named = list(sources or [])
    if files_from is not None:
        named += files.names(files.read_input(files_from), nul)
        if not named:
            raise InputError(f"{files_from}: names no files; nothing to do")
    if not named:
        raise typer.BadParameter("name an input, or a list of inputs by --files-from")
    return named


def _target(lmbda: float | None, bpp: float | None, max_bytes: int | None, ms_ssim: float | None):
    """What is aimed at in place of a lambda, None for nothing."""
    if (given := sum(value is not None for value in (bpp, max_bytes, ms_ssim))) == 0:
        return None
    if given > 1 or lmbda is not None:
        raise typer.BadParameter("give one of --lambda, --target-bpp, --max-bytes, --target-ms-ssim")
    from .target import Target

    try:
        return Target(bpp, max_bytes, ms_ssim)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _warn(message: Warning | str, *_: object) -> None:
    print("osdc:", " ".join(str(message).split()), file=sys.stderr)


def _number(value: float | None) -> float | None:
    if value != value:  # NaN is neither below a minimum nor above a maximum
        raise typer.BadParameter("not a number")
    return value


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
        numbers = value.split(",")
        if len(numbers) != 4 or not all(number.strip().isdecimal() for number in numbers):
            raise typer.BadParameter(f"{value} is not x,y,width,height in pixels")
    return values


def _numbers(values: list[float] | None) -> list[float] | None:
    return values and [_number(value) for value in values]


def _print_version(wanted: bool) -> None:
    if wanted:
        from . import __version__

        typer.echo(f"osdc {__version__}")
        raise typer.Exit


Output = Annotated[str | None, typer.Option("-o", "--output", help="File, folder, or - (default: beside the input).")]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where the networks run.")]
Overwrite = Annotated[bool, typer.Option("--overwrite/--no-overwrite", help="Replace outputs that exist.")]
WeightsDir = Annotated[Path | None, typer.Option(help="Folder whose weights take precedence (else OSDC_WEIGHTS).")]
Compiled = Annotated[
    bool, typer.Option("--compile", help="torch compiles the networks: for many pictures of one size.")
]
MaxPixels = Annotated[int, typer.Option(min=1, help="Refuse larger pictures.")]
FilesFrom = Annotated[
    str | None, typer.Option(metavar="FILE", help="Read names of inputs from a file, or - for stdin.")
]
Nul = Annotated[bool, typer.Option("-0", "--null", help="Names in --files-from end in NUL: `find -print0`.")]
SkipExisting = Annotated[bool, typer.Option("--skip-existing", help="Leave outputs that exist, and go on.")]
Jobs = Annotated[
    int | None,
    typer.Option(
        "-j", "--jobs", min=1, help="Files in work at the same time (2; on a GPU 8; on a cluster all it can)."
    ),
]
Engine = Annotated[Literal["local", "ray"], typer.Option(help="This machine, or the machines of a Ray cluster.")]
RayAddress = Annotated[str | None, typer.Option(help="Of the cluster (default: one on this machine).")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Print errors only.")]
Json = Annotated[bool, typer.Option("--json", help="A JSON line for each file (on stderr if stdout has the output).")]


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True)] = False,
) -> None:
    pass


@app.command(
    epilog=_examples(
        "osdc encode photo.jpg",
        "osdc encode photo.jpg -o small.osd --lambda 2",
        "osdc encode photo.jpg --max-bytes 100000",
        "osdc encode photo.jpg --target-ms-ssim 0.6",
        "osdc encode photo.jpg --roi 60,20,90,120 --roi 0,0,40,40",
        "osdc encode photo.jpg logo.png pictures/ -o coded/ --skip-existing",
        "find pictures -name '*.png' -print0 | osdc encode --files-from - -0 -o coded/ --json",
        "cat photo.jpg | osdc encode - -o - > photo.osd",
    )
)
def encode(
    sources: Annotated[
        list[str] | None, typer.Argument(metavar="INPUT...", help="Pictures, folders of them, or - for stdin.")
    ] = None,
    output: Output = None,
    lmbda: Annotated[
        float | None,
        typer.Option("--lambda", min=0.1, max=2, callback=_number, help="0.1: best picture, 2: smallest file.  [1.0]"),
    ] = None,
    target_bpp: Annotated[
        float | None, typer.Option(callback=_number, help="Find the λ for these bits per pixel.")
    ] = None,
    max_bytes: Annotated[
        int | None, typer.Option(min=1, help="Find the λ for a file of at most so many bytes.")
    ] = None,
    target_ms_ssim: Annotated[
        float | None, typer.Option(max=1, callback=_number, help="Find the λ for this MS-SSIM of the result.")
    ] = None,
    roi: Annotated[
        list[str] | None,
        typer.Option(metavar="X,Y,W,H", callback=_boxes, help="More bits for these pixels (repeatable)."),
    ] = None,
    files_from: FilesFrom = None,
    nul: Nul = False,
    skip_existing: SkipExisting = False,
    jobs: Jobs = None,
    engine: Engine = "local",
    ray_address: RayAddress = None,
    quiet: Quiet = False,
    as_json: Json = False,
    device: Device = "auto",
    profile: Annotated[str, typer.Option(help="Which model encodes.")] = "small",
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
    verify: Annotated[bool, typer.Option("--verify/--no-verify", help="Decode the symbols before writing.")] = True,
    overwrite: Overwrite = True,
) -> None:
    """Encode pictures, and all below folders, into .osd files."""
    with _reporting(files.STREAM if not sources else sources[0]):
        from . import image
        from .work import Encoding

        named = _sources(sources, files_from, nul)
        aim = _target(lmbda, target_bpp, max_bytes, target_ms_ssim)
        boxes = [tuple(map(int, box.split(","))) for box in roi or ()]
        options = {"lmbda": lmbda or 1.0, "target": aim, "roi": boxes, "verify": verify}
        reading = {"alpha": alpha, "icc": icc, "keep_metadata": keep_metadata}
        work = Encoding(options | reading, device, weights_dir, max_pixels, overwrite, compiled, profile)
        pairs = files.jobs(named, output, image.SUFFIXES, ".osd", files_from is not None)
        _run(pairs, work, jobs, quiet, as_json, skip_existing, files_from is not None, engine, ray_address)


@app.command(
    epilog=_examples(
        "osdc decode photo.osd",
        "osdc decode photo.osd -o out.webp --detail 0.5",
        "osdc decode photo.osd -o other.png --seed 7",
        "osdc decode photo.osd -o small.jpg --preview",
        "osdc decode coded/ -o decoded/ --jobs 4 --quiet",
        "osdc decode - -o - < photo.osd > out.png",
    )
)
def decode(
    sources: Annotated[
        list[str] | None, typer.Argument(metavar="INPUT...", help=".osd files, folders of them, or - for stdin.")
    ] = None,
    output: Output = None,
    seed: Annotated[int, typer.Option(min=0, max=2**64 - 1, help="Draws the noise that diffusion starts from.")] = 0,
    detail: Annotated[
        float, typer.Option(min=0, max=1.5, callback=_number, help="0: the coarse picture, 1: denoised, above: more.")
    ] = 1.0,
    preview: Annotated[bool, typer.Option("--preview", help="Half the size, coarse, and much sooner.")] = False,
    files_from: FilesFrom = None,
    nul: Nul = False,
    skip_existing: SkipExisting = False,
    jobs: Jobs = None,
    engine: Engine = "local",
    ray_address: RayAddress = None,
    quiet: Quiet = False,
    as_json: Json = False,
    device: Device = "auto",
    compiled: Compiled = False,
    weights_dir: WeightsDir = None,
    max_pixels: MaxPixels = MAX_PIXELS,
    overwrite: Overwrite = True,
) -> None:
    """Decode .osd files, and all below folders, into pictures in the format of the output's suffix (else PNG)."""
    with _reporting(files.STREAM if not sources else sources[0]):
        from .work import Decoding

        named = _sources(sources, files_from, nul)
        work = Decoding(
            {"seed": seed, "detail": detail, "preview": preview}, device, weights_dir, max_pixels, overwrite, compiled
        )
        pairs = files.jobs(named, output, (".osd",), ".png", files_from is not None)
        _run(pairs, work, jobs, quiet, as_json, skip_existing, files_from is not None, engine, ray_address)


def _run(
    pairs: list[tuple[str, str]],
    work,
    jobs: int | None,
    quiet: bool,
    as_json: bool,
    skip_existing: bool,
    listed: bool,
    engine: str,
    ray_address: str | None,
) -> None:
    from . import batch
    from .runtime import sees_cuda

    outcomes = None
    if engine == "ray":
        from .integrations import ray

        outcomes = ray.outcomes(pairs, work, skip_existing, ray_address, jobs)
    style = "json" if as_json else "quiet" if quiet else "plain"
    jobs = jobs or (8 if work.device != "cpu" and sees_cuda() else 2)  # on a GPU pictures of one size go in batches
    if code := batch.run(pairs, work, jobs, style, skip_existing, listed or None, outcomes):
        raise typer.Exit(code)


@app.command(
    epilog=_examples(
        "osdc info photo.osd",
        "osdc info photo.osd --parts",
        "osdc info photo.osd --json",
        "osdc info - < photo.osd",
    )
)
def info(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="An .osd file, or - for stdin.")],
    parts: Annotated[bool, typer.Option("--parts", help="Entropy-decode, and add the bits of each part.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
    weights_dir: WeightsDir = None,
    max_pixels: MaxPixels = MAX_PIXELS,
) -> None:
    """Tell what an .osd file says of itself."""
    with _reporting(source):
        data = files.read_input(source)
        if parts:
            from .codec import info as describe_with_parts

            facts = describe_with_parts(data, parts=True, weights_dir=weights_dir, max_pixels=max_pixels)
        else:
            from .description import describe

            facts = describe(data, max_pixels, weights_dir)
        text = json.dumps(facts, indent=2) + "\n" if as_json else _table(facts)
        files.write_output(files.STREAM, text.encode("utf-8"))


def _table(facts: dict) -> str:
    from rich.table import Table

    rows = {
        "version": str(facts["version"]),
        "size": f"{facts['width']} x {facts['height']} pixels",
        "bytes": f"{facts['bytes']:,}",
        "rate": f"{facts['bpp']:.4f} bits per pixel",
        "lambda": f"{facts['lambda']:.3f} (quality {facts['quality']})",
        "model": f"{facts['model_id']} ({facts['profile'] or 'not known here'})",
    }
    shown = {"version", "width", "height", "bytes", "bpp", "quality", "lambda", "model_id", "profile", "sections"}
    for key, value in facts.items():
        if key not in shown:  # header_bytes, tokens_bits, …
            name, _, unit = key.rpartition("_")
            rows[name] = f"{value:,} {unit}" if isinstance(value, int) else f"{value:,.1f} {unit}"
    names = {"A": "alpha", "G": "regions", "i": "ICC", "e": "EXIF", "x": "XMP"}
    rows |= {names.get(kind, kind): f"{count:,} bytes" for kind, count in facts["sections"].items()}
    table = Table.grid(padding=(0, 2))
    for name, value in rows.items():
        table.add_row(f"[bold]{name}[/bold]", value)
    return _printed(table)


@app.command(
    epilog=_examples(
        "osdc compare photo.jpg photo.osd",
        "osdc compare photo.jpg photo.osd -o page.html --detail 0.5",
    )
)
def compare(
    photo: Annotated[str, typer.Argument(metavar="PHOTO", help="The original picture.")],
    coded: Annotated[str, typer.Argument(metavar="FILE.osd", help="What osdc made of it.")],
    output: Annotated[str | None, typer.Option("-o", "--output", help="Page (default: beside FILE.osd).")] = None,
    device: Device = "auto",
    seed: Annotated[int, typer.Option(min=0, max=2**64 - 1, help="As of osdc decode.")] = 0,
    detail: Annotated[float, typer.Option(min=0, max=1.5, callback=_number, help="As of osdc decode.")] = 1.0,
    weights_dir: WeightsDir = None,
    max_pixels: MaxPixels = MAX_PIXELS,
    overwrite: Overwrite = True,
) -> None:
    """Make one HTML page: a photo, its .osd file, and AVIF and JPEG 2000 at the same bytes, with a slider."""
    with _reporting(coded):
        [(_, target)] = files.jobs([coded], output, (".osd",), ".html")
        for source in (photo, coded):
            files.check_output(target, overwrite, source)
        data = files.read_input(coded)

        from . import image
        from .codec import Decoder

        original = image.open_image(photo, max_pixels)
        decoded = image.open_image(Decoder(device, weights_dir).decode(data, seed, detail, max_pixels), max_pixels)
        if decoded.size != original.size:
            sizes = [f"{picture.width}x{picture.height}" for picture in (original, decoded)]
            raise InputError(
                f"{coded}: holds a picture of {sizes[1]} pixels, {photo} has {sizes[0]}; name its original"
            )

        from .evaluation.comparison import compare_page
        from .evaluation.metrics import Meter

        try:
            meter = Meter()
        except ModuleNotFoundError:  # the three metrics that need NumPy only will do
            print("osdc: more metrics are shown after pip install 'osdc[eval]'", file=sys.stderr)
            meter = Meter(plain=True)
        page = compare_page(Path(photo).name, original, data, decoded, meter)
        files.write_output(target, page.encode("utf-8"), overwrite)


@app.command(
    epilog=_examples(
        "osdc evaluate pictures/ -o report --codec none",
        "osdc evaluate photo.jpg -o report --codec jpeg --lambda 2 --lambda 0.5 --page-pictures 1 --no-memory",
    )
)
def evaluate(
    sources: Annotated[list[Path], typer.Argument(metavar="DIR", help="Folders of pictures, or pictures.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the report.")] = Path("report"),
    lambdas: Annotated[
        list[float] | None,
        typer.Option("--lambda", min=0.1, max=2, callback=_numbers, help="Repeatable (default: 2 1 0.5 0.25 0.1)."),
    ] = None,
    codecs: Annotated[
        list[str] | None,
        typer.Option(
            "--codec", help="Beside osdc: jpeg, jpeg2000, webp, avif, jxl, compressai, none; repeatable (default: all)."
        ),
    ] = None,
    anchor: Annotated[str | None, typer.Option(help="What BD-rates refer to (default: jpeg2000).")] = None,
    perceptual: Annotated[
        Path | None, typer.Option(help="Safetensors file of the perceptual network; without it, no such distance.")
    ] = None,
    detail: Annotated[float, typer.Option(min=0, max=1.5, callback=_number, help="As of osdc decode.")] = 1.0,
    limit: Annotated[int | None, typer.Option(min=1, help="Take so many pictures only.")] = None,
    page_pictures: Annotated[int, typer.Option(min=0, help="So many pictures in the page.")] = 24,
    page_all: Annotated[bool, typer.Option("--page-all", help="All settings in the page: a large file.")] = False,
    memory: Annotated[bool, typer.Option("--memory/--no-memory", help="Measure peak memory of processes.")] = True,
    device: Device = "auto",
    profile: Annotated[str, typer.Option(help="Which model encodes.")] = "small",
    weights_dir: WeightsDir = None,
) -> None:
    """Measure osdc and everyday codecs over photographs: a table, and a folder with records, plots and a page."""
    with _reporting(), _extra("eval"):
        from .evaluation import report
        from .evaluation.rivals import FAMILIES
        from .profile import ANCHORS

        if unknown := set(codecs or ()) - {*FAMILIES, "none"}:
            raise typer.BadParameter(f"{unknown.pop()} is no codec known here; choose of {', '.join(FAMILIES)}, none")
        families = tuple(f for f in FAMILIES if not codecs or f in codecs)
        if anchor not in (None, *report.curve_names(families)):
            raise typer.BadParameter(
                f"{anchor} is not measured; choose one of {', '.join(report.curve_names(families))}"
            )
        plan = report.Plan(
            paths=report.find_pictures(sources, limit),
            lambdas=tuple(sorted(set(lambdas or ANCHORS), reverse=True)),
            families=families,
            anchor=anchor,
            perceptual=perceptual,
            detail=detail,
            memory=memory,
            page_pictures=page_pictures,
            page_all=page_all,
            device=device,
            profile=profile,
            weights_dir=weights_dir,
        )
        with _progress("measuring") as advance:
            found = report.evaluate(plan, output, advance)
        files.write_output(files.STREAM, _printed(*report.tables(found)).encode("utf-8"))


@contextmanager
def _extra(name: str) -> Iterator[None]:
    """A package that is not installed becomes one line on stderr, and a wrong usage."""
    try:
        yield
    except ModuleNotFoundError as error:
        print(f"osdc: this needs the package {error.name}; install it by pip install 'osdc[{name}]'", file=sys.stderr)
        raise typer.Exit(2) from error


@contextmanager
def _progress(title: str) -> Iterator[Callable[[int, int, str], None]]:
    """advance(done, total, what) moves a bar on stderr, if that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total, what: progress.update(task, completed=done, total=total, description=what)


def _printed(*tables) -> str:
    """Tables of rich as text, each as wide as it needs to be."""
    from io import StringIO

    from rich.console import Console

    console = Console(file=StringIO(), force_terminal=sys.stdout.isatty(), highlight=False, width=1000)
    for table in tables:
        console.print(table, width=max(console.measure(table).maximum, len(table.title or "")))
    return console.file.getvalue()


weights_app = typer.Typer(
    help="The models: what there is, where it lies, fetching and checking it.",
    epilog=_examples(
        "osdc weights list                         terms and places too; --json for machines",
        "osdc weights path small.safetensors",
        "osdc weights verify                       SHA-256 of all that is here",
        "osdc weights pull small                   fetches what a profile is built on: turbo needs 5.8 GB",
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(weights_app, name="weights")


@weights_app.command("list")
def list_weights(
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
    weights_dir: WeightsDir = None,
) -> None:
    """Every model and base model, its terms, and where it lies on this machine."""
    with _reporting("weights"):
        from . import weights

        rows = weights.inventory(weights_dir)
        lines = [json.dumps(rows, indent=2)] if as_json else [_entry(row) for row in rows]
        files.write_output(files.STREAM, ("\n".join(lines) + "\n").encode("utf-8"))


def _entry(row: dict[str, str]) -> str:
    return f"{row['name']}  ({row['profile']}, {row['source']})\n    terms: {row['terms']}\n    {row['place']}"


@weights_app.command("pull")
def pull_weights(
    profile: Annotated[str, typer.Argument(help="small or turbo.")], weights_dir: WeightsDir = None
) -> None:
    """Fetch the base models that a profile is built on: into a folder of weights, else into the hub's cache."""
    with _reporting("weights"):
        from . import downloads
        from .profile import PROFILES

        if profile not in PROFILES:
            raise WeightsError(f"profile {profile} is not known here: choose one of {', '.join(PROFILES)}")
        folders = list(downloads.pull(profile, weights_dir))
        for folder in folders:
            print(folder)
        if not folders:
            print(f"osdc: nothing to fetch: {profile} is built on no other model", file=sys.stderr)


@weights_app.command("verify")
def verify_weights(weights_dir: WeightsDir = None) -> None:
    """Read all that is here and compare it with what is listed; what is not here is no error."""
    with _reporting("weights"):
        from . import weights

        for name, state in weights.verify(weights_dir):
            print(f"{name}: {state}")


@weights_app.command("path")
def path_of_weights(
    name: Annotated[str, typer.Argument(help="As `osdc weights list` names it.")], weights_dir: WeightsDir = None
) -> None:
    """Print where a model or base model lies."""
    with _reporting("weights"):
        from . import weights

        places = {row["name"]: row["place"] for row in weights.inventory(weights_dir)}
        if name not in places:
            raise WeightsError(f"{name} is not listed: choose one of {', '.join(places)}")
        if not Path(places[name]).exists():
            raise WeightsError(f"{name} is not here: `osdc weights pull PROFILE` fetches what a profile is built on")
        print(places[name])


def main() -> None:
    """Entry point of the `osdc` command."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # one line on stderr, and ours
        warnings.simplefilter("always", OsdWarning)
        warnings.showwarning = _warn
    app(prog_name="osdc")  # also for `python -m osdcodec`


if __name__ == "__main__":
    main()
