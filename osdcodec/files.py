"""Files and the standard streams as bytes: '-' is stdin or stdout, and an output appears whole or not at all."""

import os
import secrets
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath

from . import urls
from .errors import FileError, InputError, OutputError

STREAM = "-"
writing = threading.Lock()  # whoever holds it knows that no output is half-written


def read_input(source: str | Path) -> bytes:
    """All bytes of a file, or of stdin for '-'. InputError if there is no such file, FileError if it cannot be read."""
    try:
        if urls.is_url(source):
            return urls.read(source)
        return sys.stdin.buffer.read() if str(source) == STREAM else Path(urls.plain(source)).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{source}: no such file; check the path") from error
    except IsADirectoryError as error:
        raise InputError(f"{source}: a folder, not a file; name a file in it") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        raise FileError(f"{source}: cannot be read ({getattr(error, 'strerror', None) or error})") from error


def check_output(target: str | Path, overwrite: bool = True, source: str | Path | None = None) -> None:
    """OutputError if writing `target` is bound to fail: to be asked before the work, not after it.

    source: the input, which an output must not replace.
    """
    path = Path(urls.plain(target))
    if urls.is_url(target):
        if not overwrite and urls.exists(target):
            raise OutputError(f"{target}: exists and --no-overwrite was given; name another file with -o")
        if str(source) == str(target):
            raise OutputError(f"{target}: is the input itself; name another file with -o")
    elif str(target) == STREAM:
        if sys.stdout.isatty():
            raise OutputError("standard output is a terminal; name a file with -o")
    elif path.is_dir():
        raise OutputError(f"{path}: a folder is there; name another file with -o")
    elif not path.parent.is_dir():
        raise OutputError(f"{path}: there is no folder {path.parent}; make it, or name another file with -o")
    elif path.exists():
        if not overwrite:
            raise OutputError(f"{path}: exists and --no-overwrite was given; name another file with -o")
        if source is not None and os.path.exists(origin := urls.plain(source)) and path.samefile(origin):
            raise OutputError(f"{path}: is the input itself; name another file with -o")
        if not os.access(path, os.W_OK):
            raise OutputError(f"{path}: is write-protected; name another file with -o")
    elif not os.access(path.parent, os.W_OK):
        raise OutputError(f"{path}: the folder is write-protected; name another file with -o")


def exists(target: str) -> bool:
    """Whether an output is there already; a stream never is."""
    return target != STREAM and (urls.exists(target) if urls.is_url(target) else os.path.exists(urls.plain(target)))


def write_output(target: str | Path, data: bytes, overwrite: bool = True) -> None:
    """data -> a file, or stdout for '-'. Whole or not at all: a temporary file beside the target, then a rename."""
    try:
        if urls.is_url(target):
            check_output(target, overwrite)
            urls.write(target, data)
        elif str(target) == STREAM:
            _write_stdout(data)
        else:
            with writing:
                _write_file(Path(os.path.realpath(urls.plain(target))), data, overwrite)  # a link stays a link
    except BrokenPipeError as error:
        raise OutputError("standard output was closed by its reader; the output is not complete") from error
    except OSError as error:
        raise OutputError(f"{target}: cannot be written ({error.strerror or error}); name another with -o") from error


def _write_file(path: Path, data: bytes, overwrite: bool) -> None:
    if path.exists() and not path.is_file():  # a device or a pipe: never to be replaced by a file
        path.write_bytes(data)
        return
    temporary = path.with_name(f".osdc-{secrets.token_hex(8)}")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if overwrite:
            os.replace(temporary, path)
        else:
            check_output(path, overwrite)
            os.rename(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _write_stdout(data: bytes) -> None:
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # What is left in the buffer would raise once more when the interpreter closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def jobs(
    sources: Iterable[str], output: str | None, inputs: tuple[str, ...], suffix: str, many: bool = False
) -> list[tuple[str, str]]:
    """(input, output) names for files, '-', and folders, of which all files below with a suffix among `inputs` are taken.

    What lies below a folder keeps its place there below `output`. One file may have one as its output; several (or `many`)
    have a folder, which is made. Without `output` a file lands beside its input, and stdin goes to stdout. InputError if
    there is nothing to do, OutputError if two inputs would become one file or a folder cannot be made; nothing is
    written then.
    """
    sources = list(sources)
    if len(sources) == 1 and not many and not urls.is_folder(sources[0]):
        return [(sources[0], _target(sources[0], output, suffix))]
    if STREAM in sources:
        raise InputError("standard input must be the only input; leave - out, or give it alone")
    if output == STREAM:
        raise OutputError("only one picture can go to standard output; name a folder with -o")
    targets: dict[str, str] = {}
    for source in sources:
        for path, name in _found(source, inputs):
            target = urls.with_suffix(path if output is None else urls.join(output, name), suffix)
            other = targets.setdefault(target, path)
            if other != path:
                raise OutputError(f"{other} and {path} would both become {target}; rename one of them")
    if not targets:
        which = sources[0] if len(sources) == 1 else "the inputs"
        raise InputError(f"{which}: no file in this folder ends in {' '.join(inputs)}")
    for folder in sorted({urls.parent(target) for target in targets}):
        _make_folder(folder)
    return [(path, target) for target, path in targets.items()]


def names(text: bytes, nul: bool = False) -> list[str]:
    """Names from a list, one a line, or each ended by a NUL byte as `find -print0` writes them."""
    parts = text.split(b"\0") if nul else text.splitlines()
    return [os.fsdecode(part) for part in parts if part]


def _target(source: str, output: str | None, suffix: str) -> str:
    """The output of one file, or of stdin."""
    if output is None and source == STREAM:
        return STREAM
    beside = urls.with_suffix(source, suffix)
    if output is None:
        return beside
    if output.endswith(("/", os.sep)) and output != STREAM:
        _make_folder(output)
    if output != STREAM and source != STREAM and urls.is_folder(output):
        return urls.join(output, PurePath(beside).name)
    return output


def _found(source: str, inputs: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """A file that was named and its name, or all files below a folder and their names in it, in the order of these."""
    if urls.is_folder(source):
        names = (name for name in urls.walk(source) if PurePath(name).suffix.lower() in inputs)
        yield from ((urls.join(source, name), name) for name in sorted(names))
    else:
        name = PurePath(source).name
        yield urls.join(urls.parent(source), name), name


def _make_folder(folder: str) -> None:
    try:
        urls.make_folder(folder)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be made ({error.strerror or error}); name another folder with -o"
        ) from error
