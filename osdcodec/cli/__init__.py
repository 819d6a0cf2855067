"""The command line: parse, call the API, print. Whatever takes long to import is imported inside the commands."""

import os
import signal
import sys
import warnings
from contextlib import suppress
from io import TextIOWrapper
from typing import Annotated, Any

import typer

from .. import files
from ..console import as_fault, by_options, legible, printable
from ..errors import Ended, FileError, OsdWarning
from . import browser, decoding, desktop, encoding, info, links, measuring, weights
from .help import Summaries
from .shared import complain, examples, reporting

UsageError: Any = typer.BadParameter.__base__  # Typer has Click's, or its own copy of them

_ENDED: list[int] = []  # the signal that asked this process to end

app = typer.Typer(
    cls=Summaries,
    help="Photographs in 0.02 to 0.12 bits per pixel, brought back by one diffusion step.",
    epilog=examples(
        "osdc encode photo.jpg                    makes photo.osd",
        "osdc info photo.osd                      says what is in it",
        "osdc decode photo.osd -o out.png         and back",
        "osdc encode pictures/ -o coded/          a whole tree",
        "osdc COMMAND --help                      all options of a command",
    ),
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(encoding.app)
app.add_typer(decoding.app)
app.add_typer(info.app)
app.add_typer(links.app)
app.add_typer(measuring.app)
app.add_typer(browser.app)
app.add_typer(desktop.app)
app.add_typer(weights.app, name="weights")


def _print_version(wanted: bool) -> None:
    if wanted:
        from ..version import version

        with reporting():
            files.write_output(files.STREAM, f"osdc {version()}\n".encode())
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("-V", "--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _warn(message: Warning | str, *_: object) -> None:
    _say("osdc: " + printable(" ".join(by_options(str(message)).split())))


def _say(line: str) -> None:
    with suppress(OSError):  # nobody reads what is told
        # In one piece, for two threads may tell something at a time.
        print(legible(f"{line}\n", sys.stderr), file=sys.stderr, end="", flush=True)


def _hear_of_the_end() -> None:
    """An interrupt, and what asks the process to end, comes as an exception: whoever writes finishes, or takes away what is there.

    What is ignored, as under nohup, stays so.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _end)


def _end(number: int, _: object) -> None:
    _ENDED.append(number)
    raise Ended(number)


def _open_standard_streams() -> None:
    """Names of any encoding can be printed, and a stream that was closed takes what is told to nowhere.

    A closed descriptor would else be that of the next file that is opened.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def main() -> None:
    """Entry point of the `osdc` command."""
    _open_standard_streams()
    _hear_of_the_end()
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # one line on stderr, and ours
        warnings.simplefilter("always", OsdWarning)
        warnings.showwarning = _warn  # type: ignore[assignment]
    try:
        code = app(prog_name="osdc", standalone_mode=False)  # "osdc" also for `python -m osdcodec`
    except UsageError as error:
        code = _usage(error)
    except KeyboardInterrupt:
        code = 130
    except OSError as error:  # a full disk, say
        code = complain(FileError(f"{error.filename or 'the output'}: {error.strerror or error}; name another file"))
    except Exception as error:
        code = complain(as_fault(error))
    # Of any such exception 130 is made, here, in the commands, and by Typer while it reads the command line.
    sys.exit(128 + _ENDED[0] if code == 130 and _ENDED else code or 0)


def _usage(error: Any) -> int:
    """What is wrong in one line, and where the help is."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return error.exit_code
    command = error.ctx.command_path if error.ctx else "osdc"
    _say(printable(f"osdc: {' '.join(error.format_message().split()).rstrip('.')}. Usage: {command} --help"))
    return error.exit_code
