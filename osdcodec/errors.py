"""The errors of osdc, each one line that says what, where and what to do.

    OsdError               exit code 3
     ├─ InputError                   3   missing, not a picture, damaged, too large
     │   └─ FormatError              3   not a valid .osd file; names the field and its offset
     ├─ TargetError                  3   the asked-for size is out of reach
     ├─ WeightsError                 4   missing, not the ones listed, unknown model id or profile
     ├─ FileError                    5   reading failed
     │   └─ OutputError              5   writing failed
     │       └─ OutputExistsError    5   the output exists and must stay
     └─ Fault                        1   what nobody foresaw: a fault of osdc itself

The exit codes are those of the command line; 2 is a wrong usage and 130 an interrupt (SIGTERM 143, SIGHUP 129). What is no error, but not quite
what was asked for either, is an OsdWarning.
"""

import os
import re
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn


class OsdWarning(UserWarning):
    """Something of the picture was left out; the rest was done."""


class OsdError(Exception):
    """Root of all errors that osdc raises on purpose."""

    exit_code = 3


class InputError(OsdError):
    """The input cannot be used."""


class FormatError(InputError):
    """The bytes are not a valid .osd file.

    field: its name in the specification; offset: its first byte in the file, None if it has no place of its own.
    """

    def __init__(self, message: str, field: str, offset: int | None = None) -> None:
        super().__init__(message, field, offset)  # all three, so that the error survives pickling
        self.message, self.field, self.offset = message, field, offset

    def __str__(self) -> str:
        where = self.field if self.offset is None else f"{self.field} at byte {self.offset}"
        return f"{where}: {self.message}"


class TargetError(OsdError):
    """No quality of the model reaches the asked-for size."""


class WeightsError(OsdError):
    """The weights are missing or not the ones that the file or the profile names."""

    exit_code = 4


class FileError(OsdError):
    """The system refused to read or write a file."""

    exit_code = 5


class OutputError(FileError):
    """The output could not be written."""


class OutputExistsError(OutputError):
    """The output exists and must not be overwritten."""


class Fault(OsdError):
    """An exception that nobody foresaw."""

    exit_code = 1


class Ended(KeyboardInterrupt):
    """What a signal that asks the process to end becomes: nothing is left half-written then either."""

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.exit_code = 128 + signal


def unforeseen(error: Exception) -> Fault:
    """What a user is told of an exception that is none of ours; OSDC_DEBUG=1 shows where it came from."""
    if os.environ.get("OSDC_DEBUG"):
        traceback.print_exception(error)
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Fault(f"a fault of osdc itself ({what}); please report it, with what OSDC_DEBUG=1 shows")


def run_command(main: Callable[[], None]) -> None:
    """A command of `python -m`: an error, ours or of the system, becomes one line on stderr and an exit code, as with `osdc`."""
    try:
        main()
    except OSError as error:
        name = error.filename or "a file"
        _leave(FileError(f"{name}: {error.strerror or error}; choose another file"))
    except OsdError as error:
        _leave(error)


def _leave(error: OsdError) -> NoReturn:
    print(legible(complaint(error), sys.stderr), file=sys.stderr, flush=True)
    sys.exit(error.exit_code)


def complaint(error: OsdError, source: str | None = None) -> str:
    """The one line on stderr. It names the file that it is about, which some errors do not know: those of bytes."""
    text, name = str(error), printable(label(source)) if source else ""
    if source:  # a line break in a name is told as one, not what others say in several lines
        text = text.replace(label(source), name)
    if name and not isinstance(error, FileError) and not text.startswith(name):
        text = f"{name}: {text}"
    return "osdc: " + printable(re.sub(r"\s*[\r\n]+\s*", " ", text.strip()))


def label(name: object) -> str:
    """A file as messages name it."""
    return "standard input" if str(name) == "-" else str(name)


def printable(text: str) -> str:
    """Text that any terminal takes on one line: control characters, and bytes of a name that are no UTF-8, are escaped."""
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    byte = ord(character) - 0xDC00  # how Python keeps a byte that it cannot decode
    return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else character.encode("unicode_escape").decode("ascii")


def legible(text: str, stream: Any) -> str:
    """The same text in what a stream can show: an arrow and a lambda are no letters of cp1252."""
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return text.replace("→", "->").replace("λ", "lambda")
    except LookupError:
        pass
    return text


def without_surrogates(json: str) -> str:
    """JSON that is valid UTF-8: what Python keeps of other bytes in names is written as JSON writes any code unit."""
    return re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", json)
