"""The command line: parse, call the API, print. Whatever takes long to import is imported inside the commands."""

import sys
import warnings
from typing import Annotated

import typer

from ..errors import OsdWarning
from . import browser, coding, measuring, weights
from .shared import examples

app = typer.Typer(
    help="Photographs in 0.02 to 0.12 bits per pixel, brought back by one diffusion step.",
    epilog=examples(
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
app.add_typer(coding.app)
app.add_typer(measuring.app)
app.add_typer(browser.app)
app.add_typer(weights.app, name="weights")


def _print_version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        typer.echo(f"osdc {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True)] = False,
) -> None:
    pass


def _warn(message: Warning | str, *_: object) -> None:
    print("osdc:", " ".join(str(message).split()), file=sys.stderr)


def main() -> None:
    """Entry point of the `osdc` command."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # one line on stderr, and ours
        warnings.simplefilter("always", OsdWarning)
        warnings.showwarning = _warn
    app(prog_name="osdc")  # also for `python -m osdcodec`
