"""What all commands share: options, errors as one line and an exit code, tables as text."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Annotated, Literal

import typer

from .. import files
from ..errors import FileError, InputError, OsdError, complaint

Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where the networks run.")]
Overwrite = Annotated[bool, typer.Option("--overwrite/--no-overwrite", help="Replace outputs that exist.")]
WeightsDir = Annotated[Path | None, typer.Option(help="Folder whose weights take precedence (else OSDC_WEIGHTS).")]
MaxPixels = Annotated[int, typer.Option(min=1, help="Refuse larger pictures.")]


def examples(*lines: str) -> str:
    """The end of a help text, each line as it stands; tests/test_manual.py runs them."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


@contextmanager
def reporting(source: str = files.STREAM) -> Iterator[None]:
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


def number(value: float | None) -> float | None:
    if value != value:  # NaN is neither below a minimum nor above a maximum
        raise typer.BadParameter("not a number")
    return value


def printed(*tables) -> str:
    """Tables of rich as text, each as wide as it needs to be."""
    from rich.console import Console

    console = Console(file=StringIO(), force_terminal=sys.stdout.isatty(), highlight=False, width=1000)
    for table in tables:
        console.print(table, width=max(console.measure(table).maximum, len(table.title or "")))
    return console.file.getvalue()
