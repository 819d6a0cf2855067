"""What all commands share: options, errors as one line and an exit code, tables as text."""

import logging
import math
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from .. import devices
from ..console import OPTIONS, complaint, legible
from ..effort import HIGHEST, Effort, checked
from ..errors import FileError, InputError, OsdError, OsdWarning
from ..extras import unused_gpu

Device = Annotated[
    devices.Device,
    typer.Option(
        help="What the networks run in: cpu and cpu-int8 are ONNX Runtime, cpu-bf16 and cuda torch; auto takes the fastest."
    ),
]
Overwrite = Annotated[
    bool | None,
    typer.Option(
        "--overwrite/--no-overwrite",
        help="Replace outputs that exist (default: a file that -o names, in a folder what osdc wrote).",
    ),
]
Profile = Annotated[
    str, typer.Option(help="Which model encodes: small; cod-lite once it is pulled; turbo once it is trained.")
]
WeightsDir = Annotated[Path | None, typer.Option(help="Folder whose weights take precedence (else OSDC_WEIGHTS).")]


def _level(value: str) -> Effort:
    try:
        return checked("auto" if value == "auto" else int(value))
    except ValueError as error:
        raise typer.BadParameter(f"{value} is neither auto nor a whole number from 0 to {HIGHEST}") from error


EffortLevel = Annotated[
    str,
    typer.Option(
        metavar="auto|0..10",
        callback=_level,
        help="Search for better symbols: 0 not at all, 1 fast, 10 minutes and best; auto: by the picture's size.",
    ),
]
MaxPixels = Annotated[int, typer.Option(min=1, help="Refuse larger pictures.")]


Jobs = Annotated[
    int | None,
    typer.Option(
        "-j", "--jobs", min=1, help="Files in work at the same time (2; on a GPU 8; on a cluster all it can)."
    ),
]
Engine = Annotated[Literal["local", "ray"], typer.Option(help="This machine, or the machines of a Ray cluster.")]
RayAddress = Annotated[str | None, typer.Option(help="Of the cluster (default: one on this machine).")]
Compiled = Annotated[
    bool, typer.Option("--compile", help="torch compiles the networks: for many pictures of one size.")
]
TellErrors = Annotated[
    bool, typer.Option("--tell-errors", help="Put the true error of each 32x32 block into the file (1 to 5 % more).")
]
Trust = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Also draw how large the error is likely to be, and where; .npy: as numbers."),
]
TrustOverlay = Annotated[
    str | None, typer.Option(metavar="FILE", help="Also draw lines over what is most likely invented.")
]
Mark = Annotated[
    bool, typer.Option("--mark/--no-mark", help="Mark the picture as partly synthetic, in XMP and a comment.")
]

Output = Annotated[str | None, typer.Option("-o", "--output", help="File, folder, or - (default: beside the input).")]
FilesFrom = Annotated[
    str | None, typer.Option(metavar="FILE", help="Read names of inputs from a file, or - for stdin.")
]
Nul = Annotated[bool, typer.Option("-0", "--null", help="Names in --files-from end in NUL: `find -print0`.")]
Comments = Annotated[bool, typer.Option("--comments", help="Lines of --files-from that begin with # are comments.")]
SkipExisting = Annotated[bool, typer.Option("--skip-existing", help="Leave outputs that exist, and go on.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Print errors only.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Print a line for each file.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print which file would become which, and do nothing.")]
Json = Annotated[bool, typer.Option("--json", help="A JSON line for each file (on stderr if stdout has the output).")]


def examples(*lines: str) -> str:
    """The end of a help text, each line as it stands; tests/test_manual.py runs them."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


# What messages of the API call an argument, and what the command calls it.
ARGUMENTS = {
    "detail": "--detail", "device": "--device", "effort": "--effort", "engine": "--engine", "lmbda": "--lambda",
    "max_pixels": "--max-pixels", "original_size": "--original-size", "overwrite": "--overwrite", "partial": "--partial",
    "perceptual": "--perceptual", "progressive": "--progressive", "quality": "--quality", "rate": "--rate",
    "ray_address": "--ray-address", "roi": "--roi", "salvage": "--salvage", "shrink": "--shrink",
    "skip_existing": "--skip-existing", "steps": "--steps", "target": "a target", "trust": "--trust",
    "weights_dir": "--weights-dir",
}  # fmt: skip
OPTIONS.update(ARGUMENTS)


@contextmanager
def reporting(source: str | None = None) -> Iterator[None]:
    """Errors become one line on stderr and their exit code. source: what it is about, where errors may not know it."""
    try:
        yield
    except OsdError as error:
        raise typer.Exit(complain(error, source)) from error
    except OSError as error:  # a folder that must not be listed, a name too long to look up, …
        name = error.filename or source or "a file"
        refused = FileError(f"{name}: {error.strerror or error}; choose another file")
        raise typer.Exit(complain(refused, source)) from error
    except MemoryError as error:
        raise typer.Exit(complain(InputError("the picture is too large for this machine's memory"), source)) from error
    except KeyboardInterrupt as error:
        raise typer.Exit(130) from error


def complain(error: OsdError, source: str | None = None) -> int:
    """One line on stderr -> the exit code."""
    with suppress(OSError):  # nobody reads what is told
        print(legible(complaint(error, source), sys.stderr), file=sys.stderr, flush=True)
    return error.exit_code


def tell_of_gpu() -> None:
    """Says once which extra would use the GPU of this machine."""
    if advice := unused_gpu():
        warnings.warn(advice, OsdWarning, stacklevel=2)


def tell_of_search() -> None:
    """From now on says on stderr why an encoder did not search, or does not search with a device."""

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            print(legible(record.getMessage(), sys.stderr), file=sys.stderr, flush=True)

    log = logging.getLogger("osdcodec.search")
    log.setLevel(logging.INFO)
    log.handlers = [Lines()]


def number(value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):  # NaN is neither below a minimum nor above a maximum
        raise typer.BadParameter("not a finite number")
    return value


_SIZE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(?:([kmg])(i?))?b?", re.IGNORECASE)


def byte_count(text: str) -> int:
    """2000, 1.5k, 20kB, 1MiB -> bytes; k is 1000, Ki is 1024."""
    match = _SIZE.fullmatch(text.strip())
    if match:
        digits, unit, binary = match.groups()
        factor = (1024 if binary else 1000) ** (" kmg".index(unit.lower()) if unit else 0)
        if math.isfinite(wanted := float(digits) * factor) and wanted >= 1:
            return int(wanted)
    raise typer.BadParameter(f"{text!r} is no number of bytes; give one such as 2000, 1.5k or 20kB")


def printed(*tables: Any) -> str:
    """Tables of rich as text, each as wide as it needs to be."""
    from rich.console import Console

    text = StringIO()
    console = Console(file=text, force_terminal=bool(sys.stdout and sys.stdout.isatty()), highlight=False, width=1000)
    for table in tables:
        console.print(table, width=max(console.measure(table).maximum, len(table.title or "")))
    return text.getvalue()
