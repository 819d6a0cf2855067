"""Files and the standard streams as bytes: '-' is stdin or stdout, and an output appears whole or not at all."""

import os
import secrets
import sys
from pathlib import Path

from .errors import FileError, InputError, OutputError

STREAM = "-"


def read_input(source: str | Path) -> bytes:
    """All bytes of a file, or of stdin for '-'. InputError if there is no such file, FileError if it cannot be read."""
    try:
        return sys.stdin.buffer.read() if str(source) == STREAM else Path(source).read_bytes()
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
    path = Path(target)
    if str(target) == STREAM:
        if sys.stdout.isatty():
            raise OutputError("standard output is a terminal; name a file with -o")
    elif path.is_dir():
        raise OutputError(f"{path}: a folder is there; name another file with -o")
    elif not path.parent.is_dir():
        raise OutputError(f"{path}: there is no folder {path.parent}; make it, or name another file with -o")
    elif path.exists():
        if not overwrite:
            raise OutputError(f"{path}: exists and --no-overwrite was given; name another file with -o")
        if source is not None and Path(source).exists() and path.samefile(source):
            raise OutputError(f"{path}: is the input itself; name another file with -o")
        if not os.access(path, os.W_OK):
            raise OutputError(f"{path}: is write-protected; name another file with -o")
    elif not os.access(path.parent, os.W_OK):
        raise OutputError(f"{path}: the folder is write-protected; name another file with -o")


def write_output(target: str | Path, data: bytes, overwrite: bool = True) -> None:
    """data -> a file, or stdout for '-'. Whole or not at all: a temporary file beside the target, then a rename."""
    try:
        if str(target) == STREAM:
            _write_stdout(data)
        else:
            _write_file(Path(os.path.realpath(target)), data, overwrite)  # a link stays a link
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


def jobs(source: str, output: str | None, inputs: tuple[str, ...], suffix: str) -> list[tuple[str, str]]:
    """(input, output) names for a file, '-', or a folder, of which the files whose suffix is among `inputs` are taken.

    Without `output` a file lands beside its input with the other suffix, and stdin goes to stdout. InputError if a
    folder holds nothing to do, OutputError if two inputs would become one file or the output folder cannot be made.
    """
    path = Path(source)
    if source != STREAM and path.is_dir():
        return _folder_jobs(path, output, inputs, suffix)
    beside = source if source == STREAM else path.with_suffix(suffix)
    if output is None:
        return [(source, str(beside))]
    if output != STREAM and source != STREAM and Path(output).is_dir():
        return [(source, str(Path(output, beside.name)))]
    return [(source, output)]


def _folder_jobs(folder: Path, output: str | None, inputs: tuple[str, ...], suffix: str) -> list[tuple[str, str]]:
    if output == STREAM:
        raise OutputError("a folder cannot go to standard output; name a folder with -o")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in inputs and path.is_file())
    if not found:
        raise InputError(f"{folder}: no file in this folder ends in {' '.join(inputs)}")
    into = folder if output is None else Path(output)
    targets: dict[Path, Path] = {}
    for path in found:
        other = targets.setdefault(into / f"{path.stem}{suffix}", path)
        if other != path:
            raise OutputError(f"{other} and {path.name} would both become {path.stem}{suffix}; rename one of them")
    try:
        into.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{into}: cannot be made ({error.strerror or error}); name another folder with -o") from error
    return [(str(path), str(target)) for target, path in targets.items()]
