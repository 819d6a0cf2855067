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
from .errors import FileError, FormatError, InputError, OsdError

app = typer.Typer(
    help="Photographs in 0.02 to 0.12 bits per pixel, brought back by one diffusion step.",
    no_args_is_help=True,
    add_completion=False,
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


def _each(jobs: list[tuple[str, str]], work: Callable[[str, str], None]) -> None:
    """work(input, output) for each job. A bad input costs its own line, any other error the rest of the jobs."""
    code = 0
    for source, target in jobs:
        try:
            work(source, target)
        except InputError as error:
            code = _complain(error, source)
    if code:
        raise typer.Exit(code)


def _complain(error: OsdError, source: str) -> int:
    # An error of format knows the bytes only, not whose they are.
    text = f"{source}: {error}" if isinstance(error, FormatError) else str(error)
    print("osdc:", " ".join(text.split()), file=sys.stderr)
    return error.exit_code


def _number(value: float) -> float:
    if value != value:  # NaN is neither below a minimum nor above a maximum
        raise typer.BadParameter("not a number")
    return value


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
MaxPixels = Annotated[int, typer.Option(min=1, help="Refuse larger pictures.")]


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True)] = False,
) -> None:
    pass


@app.command()
def encode(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="Picture, folder of pictures, or - for stdin.")],
    output: Output = None,
    lmbda: Annotated[
        float, typer.Option("--lambda", min=0.1, max=2, callback=_number, help="0.1: best picture, 2: smallest file.")
    ] = 1.0,
    device: Device = "auto",
    profile: Annotated[str, typer.Option(help="Which model encodes.")] = "small",
    weights_dir: WeightsDir = None,
    max_pixels: MaxPixels = MAX_PIXELS,
    overwrite: Overwrite = True,
) -> None:
    """Encode a picture, or each picture of a folder, into an .osd file."""
    with _reporting(source):
        from . import image

        encoder = None

        def work(origin: str, target: str) -> None:
            nonlocal encoder
            files.check_output(target, overwrite, origin)
            picture = image.open_image(origin, max_pixels)
            if encoder is None:
                from .codec import Encoder

                encoder = Encoder(profile, device=device, weights_dir=weights_dir)
            files.write_output(target, encoder.encode(picture, lmbda=lmbda), overwrite)

        _each(files.jobs(source, output, image.SUFFIXES, ".osd"), work)


@app.command()
def decode(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="An .osd file, folder of them, or - for stdin.")],
    output: Output = None,
    device: Device = "auto",
    seed: Annotated[int, typer.Option(min=0, max=2**64 - 1, help="Draws the noise that diffusion starts from.")] = 0,
    detail: Annotated[
        float, typer.Option(min=0, max=1.5, callback=_number, help="0: the coarse picture, 1: denoised, above: more.")
    ] = 1.0,
    weights_dir: WeightsDir = None,
    max_pixels: MaxPixels = MAX_PIXELS,
    overwrite: Overwrite = True,
) -> None:
    """Decode an .osd file, or each in a folder, into a picture in the format of the output's suffix (PNG to stdout)."""
    with _reporting(source):
        from . import image
        from .codec import Decoder

        decoder = Decoder(device=device, weights_dir=weights_dir)

        def work(origin: str, target: str) -> None:
            image.output_format(target)
            files.check_output(target, overwrite, origin)
            data = files.read_input(origin)
            picture = decoder.decode(data, seed=seed, detail=detail, max_pixels=max_pixels)
            image.save_image(picture, target, overwrite)

        _each(files.jobs(source, output, (".osd",), ".png"), work)


@app.command()
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
    from io import StringIO

    from rich.console import Console
    from rich.table import Table

    rows = {
        "version": str(facts["version"]),
        "size": f"{facts['width']} x {facts['height']} pixels",
        "bytes": f"{facts['bytes']:,}",
        "rate": f"{facts['bpp']:.4f} bits per pixel",
        "lambda": f"{facts['lambda']:.3f} (quality {facts['quality']})",
        "model": f"{facts['model_id']} ({facts['profile'] or 'not known here'})",
    }
    shown = {"version", "width", "height", "bytes", "bpp", "quality", "lambda", "model_id", "profile"}
    for key, value in facts.items():
        if key not in shown:  # header_bytes, tokens_bits, …
            name, _, unit = key.rpartition("_")
            rows[name] = f"{value:,} {unit}" if isinstance(value, int) else f"{value:,.1f} {unit}"
    table = Table.grid(padding=(0, 2))
    for name, value in rows.items():
        table.add_row(f"[bold]{name}[/bold]", value)
    console = Console(file=StringIO(), force_terminal=sys.stdout.isatty(), highlight=False)
    console.print(table)
    return console.file.getvalue()


@app.command()
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
        [(_, target)] = files.jobs(coded, output, (".osd",), ".html")
        files.check_output(target, overwrite, coded)
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


@app.command()
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


def main() -> None:
    """Entry point of the `osdc` command."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # one line on stderr, and ours
    app()


if __name__ == "__main__":
    main()
