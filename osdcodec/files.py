"""Files and the standard streams as bytes: '-' is stdin or stdout, and an output appears whole or not at all."""

import errno
import os
import re
import stat
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from . import leftovers, urls
from .console import label
from .errors import FileError, InputError, OutputError, OutputExistsError

STREAM = "-"
Source = bytes | bytearray | memoryview | str | Path | BinaryIO
writing = threading.Lock()  # whoever holds it knows that no output is half-written
_DESCRIPTOR = re.compile(
    rf"(?:/dev/(?:fd/(\d+)|(stdin)|(stdout)|(stderr))|/proc/(?:self|thread-self|{os.getpid()})/fd/(\d+))$"
)
# What says that a folder takes no second file, or that the name is not to be changed.
_NOT_BESIDE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.EXDEV, errno.ETXTBSY}
_OF_ANOTHER = re.compile(r"/proc/\d+/fd/\d+$")


def descriptor(name: str | Path) -> int | None:
    """The open file that a name such as /dev/stdout, /dev/fd/3 or a link to one stands for, None for any other name.

    To open such a name anew would start a file from its beginning that a shell has opened to append to it.
    """
    path = urls.plain(name)
    if path == STREAM or urls.is_url(name):
        return None
    for _ in range(40):  # as many links as Linux follows
        if found := _DESCRIPTOR.match(path):
            number, *standard, process = found.groups()
            return int(number or process) if number or process else [bool(s) for s in standard].index(True)
        if not os.path.islink(path):
            return None
        path = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path)))
    return None


def is_stream(name: str | Path) -> bool:
    """'-', an open file of the shell's, a pipe or a device: what is written there replaces nothing."""
    if str(name) == STREAM or descriptor(name) is not None:
        return True
    path = urls.plain(name)
    if urls.is_url(name) or not os.path.exists(path) or os.path.isdir(path):
        return False
    return not os.path.isfile(path) or bool(_OF_ANOTHER.match(path))


def read_input(source: str | Path) -> bytes:
    """All bytes of a file, or of stdin for '-'. InputError if there is no such file, FileError if it cannot be read."""
    if str(source) == "":
        raise InputError("an input without a name: name a file")
    try:
        if urls.is_url(source):
            return urls.read(str(source))
        if str(source) != STREAM:
            return Path(urls.plain(source)).read_bytes()
        if sys.stdin is None:
            raise InputError("standard input is closed; name a file")
        return sys.stdin.buffer.read()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{source}: no such file; check the path") from error
    except IsADirectoryError as error:
        raise InputError(f"{label(source)}: a folder, not a file; name a file in it") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        said = getattr(error, "strerror", None) or error
        raise FileError(f"{label(source)}: cannot be read ({said}); name another file") from error


def bytes_of(source: Source) -> bytes:
    """What a caller gives as a file: its bytes, a path or URL, or a file that is open in binary mode. As `read_input`."""
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if isinstance(source, str | os.PathLike):
        return read_input(os.fspath(source))
    if not hasattr(source, "read"):
        raise TypeError(f"give bytes, a path or a binary file, not {type(source).__name__}")
    data = source.read()
    if not isinstance(data, bytes):
        raise TypeError("the file is open as text; open it in binary mode")
    return data


def check_output(target: str | Path, overwrite: bool = True, source: str | Path | None = None) -> None:
    """OutputError if writing `target` is bound to fail: to be asked before the work, not after it.

    source: the input, which an output must not replace.
    """
    path = Path(urls.plain(target))
    if str(target) == "":
        raise OutputError("an output without a name: name a file with -o")
    if urls.is_url(target):
        if not overwrite and urls.exists(str(target)):
            raise _in_the_way(target)
        if str(source) == str(target):
            raise OutputError(f"{target}: is the input itself; name another file with -o")
    elif is_stream(target):
        if _is_terminal(target):
            raise OutputError("standard output is a terminal; name a file with -o")
    elif _too_long(path):
        raise OutputError(f"{path}: is too long a name; name another file with -o")
    elif path.is_dir():
        raise OutputError(f"{path}: a folder is there; name another file with -o")
    elif str(target).endswith(("/", os.sep)):
        raise OutputError(f"{target}: names a folder; name a file with -o")
    elif not path.parent.is_dir():
        raise OutputError(f"{path}: there is no folder {path.parent}; make it, or name another file with -o")
    elif path.exists():
        if source is not None and os.path.exists(origin := urls.plain(source)) and path.samefile(origin):
            raise OutputError(f"{path}: is the input itself; name another file with -o")
        if not overwrite:
            raise _in_the_way(target)
        if not _may_be_written(path):
            raise OutputError(f"{path}: is write-protected; name another file with -o")
    elif not os.access(path.parent, os.W_OK):
        raise OutputError(f"{path}: the folder is write-protected; name another file with -o")


def _may_be_written(path: Path) -> bool:
    """Told by opening it: the superuser may write to all files but those that are marked as immutable."""
    try:
        os.close(os.open(path, os.O_WRONLY))
    except OSError:
        return False
    return True


def check_input(source: str | Path) -> None:
    """InputError if there is no such file, before anything is said of its output. What a URL names shows when it is read."""
    if urls.is_url(source) or is_stream(source):
        return
    try:
        os.stat(urls.plain(source))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{source}: no such file; check the path") from error
    except (OSError, ValueError):  # a name too long, a NUL byte: said when it is read
        pass


def _in_the_way(target: str | Path) -> OutputExistsError:
    return OutputExistsError(f"{target}: exists; name another file with -o, or replace it by `overwrite`")


def _is_terminal(target: str | Path) -> bool:
    number = descriptor(target)
    if str(target) != STREAM and number is None:
        return False
    return number in (None, 1) and sys.stdout is not None and sys.stdout.isatty()


def _too_long(path: Path) -> bool:
    try:
        os.lstat(path)
    except OSError as error:
        return error.errno == errno.ENAMETOOLONG
    except ValueError:  # a NUL byte: said where it is written
        return False
    return False


def exists(target: str) -> bool:
    """Whether a file is there already; a stream never is, and a folder is none."""
    if urls.is_url(target):
        return urls.exists(target)
    path = urls.plain(target)
    return not is_stream(target) and os.path.exists(path) and not os.path.isdir(path)


def write_output(target: str | Path, data: bytes, overwrite: bool = True) -> None:
    """data -> a file, or stdout for '-'. Whole or not at all: a temporary file beside the target, then a rename.

    A file that cannot be replaced so, but may be written, is written to. Owner, group and mode of a replaced file stay.
    Pipes, devices and open files of the shell's are written to as they are.
    """
    try:
        if urls.is_url(target):
            check_output(target, overwrite)
            urls.write(str(target), data)
        elif (number := descriptor(target)) is not None:
            if sys.stdout:
                sys.stdout.flush()
            _write_all(number, data)
        elif str(target) == STREAM:
            _write_stdout(data)
        elif is_stream(target):
            with open(
                urls.plain(target), "ab"
            ) as stream:  # of another process it may be a file, which is not ours to begin anew
                stream.write(data)
        else:
            with writing:
                _write_file(Path(os.path.realpath(urls.plain(target))), data, overwrite)  # a link stays a link
    except BrokenPipeError as error:
        name = "standard output" if str(target) == STREAM else target
        raise OutputError(f"{name} was closed by its reader; the output is not complete") from error
    except FileExistsError as error:
        raise _in_the_way(target) from error
    except (OSError, ValueError) as error:
        said, name = getattr(error, "strerror", None) or error, "standard output" if str(target) == STREAM else target
        raise OutputError(f"{name}: cannot be written ({said}); name another with -o") from error


def _write_file(path: Path, data: bytes, overwrite: bool) -> None:
    """Beside the file and then in its place; where that is impossible, but the file may be written, into the file itself.

    So it is with a single file that is mounted, one in a folder of somebody else's, and one whose owner cannot be kept.
    """
    try:
        before = os.stat(path)
    except FileNotFoundError:
        before = None
    if before and not overwrite:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    try:
        leftovers.remove(path.parent)
        temporary, file = leftovers.create(path.parent, lambda name: open(name, "xb"))  # noqa: SIM115
    except OSError as error:
        if before and error.errno in _NOT_BESIDE:
            _write_into(path, data)
            return
        raise
    try:
        with file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            if os.name == "nt":  # where an open file has a name that cannot be changed
                file.close()
            if not overwrite:
                _take_name(temporary, path)
            elif before is None:
                os.replace(temporary, path)
            else:
                _replace(temporary, path, before, data)
    finally:
        temporary.unlink(missing_ok=True)


def _replace(temporary: Path, path: Path, before: os.stat_result, data: bytes) -> None:
    """Owner, group and mode stay as they were."""
    try:
        made = os.stat(temporary)
        if hasattr(os, "chown") and (made.st_uid, made.st_gid) != (before.st_uid, before.st_gid):
            os.chown(temporary, before.st_uid, before.st_gid)
        os.chmod(temporary, stat.S_IMODE(before.st_mode))
        os.replace(temporary, path)
    except OSError as error:
        if error.errno not in _NOT_BESIDE:
            raise
        _write_into(path, data)


def _write_into(path: Path, data: bytes) -> None:
    """Into a file that exists. If that fails, on a full disk for one, it gets back what it held."""
    with open(path, "r+b") as file:
        held = file.read()
        try:
            _refill(file, data)
        except OSError:
            with suppress(OSError):
                _refill(file, held)
            raise


def _refill(file: BinaryIO, data: bytes) -> None:
    file.seek(0)
    file.write(data)
    file.truncate()
    file.flush()
    os.fsync(file.fileno())


def _take_name(temporary: Path, path: Path) -> None:
    """FileExistsError if the name is taken, even if that happened a moment ago, wherever the file system has hard links."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        os.rename(temporary, path)


def _write_stdout(data: bytes) -> None:
    if sys.stdout is None:
        raise OutputError("standard output is closed, so nothing can be written to it")
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # What is left in the buffer would raise once more when the interpreter closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def _write_all(number: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(number, left) :]
