"""What people read on stderr: an error in one line that says what, where and what to do; and how far long work is."""

import os
import re
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from .errors import Fault, FileError, OsdError

# Arguments of the API -> options of the command that is speaking; `osdc` fills it (cli/shared.py).
OPTIONS: dict[str, str] = {}


def by_options(text: str) -> str:
    """A message of the API, which names arguments as `name`, in the words of the command."""
    return re.sub(r"`(\w+)`", lambda found: OPTIONS.get(found[1], found[0]), text)


def as_fault(error: Exception) -> Fault:
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
    text, name = by_options(str(error)), printable(label(source)) if source else ""
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


class Progress:
    """Tells on stderr how far long work is: by a bar on a terminal, elsewhere by a line every ten seconds.

    title: of the work, such as the name of a stage; quiet: tells nothing. Use it as a context.
    """

    SECONDS = 10.0  # between two lines
    LIVE = 0.5  # and between two movements of a bar

    def __init__(self, title: str, quiet: bool = False) -> None:
        self.title, self.quiet = title, quiet
        self.begun = self.told = time.monotonic()
        self.first: float | None = None  # share that was done when the work began, if it goes on with earlier work
        self.bar: Any = None

    def __enter__(self) -> "Progress":
        if not self.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bar

            columns = (
                TextColumn(self.title, markup=False),
                BarColumn(),
                TextColumn("{task.description}", markup=False),
            )
            self.bar = Bar(*columns, console=Console(stderr=True), transient=True)
            self.bar.add_task("", total=1.0)
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()

    def due(self) -> bool:
        """Returns True if `tell` would show something now, for what it is told may cost time to find out."""
        return not self.quiet and time.monotonic() - self.told >= (self.LIVE if self.bar else self.SECONDS)

    def tell(self, share: float, what: str = "") -> None:
        """Shows, if it is due, the share 0 .. 1 of the work that is done, what is in work, and the time left."""
        self.first = share if self.first is None else self.first
        if not self.due():
            return
        self.told = time.monotonic()
        text = ", ".join(part for part in (what, f"{share:.0%}", self._left(share)) if part)
        if self.bar:
            self.bar.update(self.bar.task_ids[0], completed=share, description=legible(text, sys.stderr))
        else:
            print(legible(printable(f"osdc: {self.title}: {text}"), sys.stderr), file=sys.stderr, flush=True)

    def _left(self, share: float) -> str:
        """The time left at the pace of this run; "" before there is a pace."""
        done = share - (self.first or 0.0)
        if done <= 0:
            return ""
        seconds = (time.monotonic() - self.begun) * (1 - share) / done
        return f"{seconds:.0f} s left" if seconds < 90 else f"{seconds / 60:.0f} min left"
