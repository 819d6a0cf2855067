"""Names of files and folders, local or URLs: `s3://bucket/a.png`, `memory://a.osd`. fsspec knows what lies behind a URL.

Local names, and file:// URLs, need no fsspec.
"""

import errno
import os
import posixpath
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from .errors import FileError, InputError, OsdError, OutputError, PackageError
from .extras import install

MOST_PAGES = 10_000  # of a listing on the web
UNREAD = "cannot be read"  # begins the reason why a folder that could not be read was left out
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)  # two letters at least: C:// is a drive


def plain(name: str | os.PathLike) -> str:
    """The name as the functions here take it: a local path, or a URL of anything but local files."""
    name = os.fspath(name)
    return unquote(name[7:]) if name.lower().startswith("file:///") else name


def is_web(name: str) -> bool:
    """Whether it is a web address, from which can be read only."""
    return name.lower().startswith(("http://", "https://"))


def bare(name: str) -> str:
    """A name without the query and fragment of a web address, which are no part of any file's name."""
    return re.split(r"[?#]", name, maxsplit=1)[0] if is_web(name) else name


def without_query(folder: str, name: str) -> str:
    """A name below a folder, as a file may be called."""
    return bare(join(bare(folder), name))[len(bare(folder).rstrip("/")) + 1 :] if is_web(folder) else name


def base_name(name: str) -> str:
    """The last part of a name."""
    return bare(name).rstrip("/").rpartition("/")[2] if is_url(name) else Path(plain(name)).name


def is_url(name: str | os.PathLike) -> bool:
    return isinstance(name, str) and bool(_URL.match(plain(name)))


def read(url: str) -> bytes:
    """All bytes behind a URL. OSError as for a local file that is not there, FileError for anything else that fails."""
    with _told(url):
        system, path = _system(url)
        return system.cat_file(path)


def write(url: str, data: bytes) -> None:
    """data -> what the URL names. Stores of objects show an object when it is whole."""
    with _told(url):
        system, path = _system(url)
        system.pipe_file(path, data)


def exists(url: str) -> bool:
    with _told(url):
        system, path = _system(url)
        return system.exists(path)


def is_folder(name: str) -> bool:
    """Whether it is known to be one: a URL that cannot be asked fails when it is read."""
    name = plain(name)
    if not is_url(name):
        return os.path.isdir(name)
    if is_web(name):  # to ask would be to fetch it, which is done once
        return bare(name).endswith("/")
    try:
        with _told(name):
            system, path = _system(name)
            return system.isdir(path)
    except (OSError, OsdError):
        return False


def walk(folder: str, leave_out: Callable[[str, str], None] = lambda path, why: None) -> Iterator[str]:
    """Names of all files below a folder, relative to it, with / between their parts.

    leave_out(path, why) is told of folders that cannot be read or are links, and of what is no regular file.
    """
    folder = plain(folder)
    if not is_url(folder):
        yield from _walk_here(folder, leave_out)
        return
    with _told(folder):
        system, path = _system(folder)
        if is_web(folder):
            yield from _walk_web(system, path)
            return
        root = PurePosixPath(path)
        yield from (PurePosixPath(file).relative_to(root).as_posix() for file in system.find(path))


def _normal(url: str) -> str:
    """Without /./ and /../ in it."""
    host = "/".join(url.split("/")[:3])
    path = posixpath.normpath("/" + url[len(host) :].lstrip("/"))
    return host + path + ("/" if url.endswith(("/", "/.")) and path != "/" else "")


def _walk_web(system: Any, folder: str) -> Iterator[str]:
    """Pages that list files. One may link to itself, under the names of orders too, and a server may have no end of folders."""
    root = bare(folder)
    waiting, seen = [root], {root}
    while waiting:
        page = waiting.pop(0)
        if len(seen) > MOST_PAGES:
            raise InputError(f"{root}: its listing has no end; name the files")
        for entry in system.ls(page, detail=True):
            name = entry["name"]
            plainly = _normal(bare(name))
            if plainly in seen or not plainly.startswith(root) or plainly == root.rstrip("/"):
                continue
            seen.add(plainly)
            if plainly.endswith("/"):
                waiting.append(plainly)
            else:
                yield name[len(root) :]


def _walk_here(folder: str, leave_out: Callable[[str, str], None]) -> Iterator[str]:
    def unreadable(error: OSError) -> None:
        leave_out(error.filename, f"{UNREAD} ({error.strerror})")

    for place, folders, files in os.walk(folder, onerror=unreadable):
        for name in folders:
            if os.path.islink(path := os.path.join(place, name)):
                leave_out(path, "a link to a folder")
        for name in files:
            path = os.path.join(place, name)
            if os.path.exists(path) and not os.path.isfile(path):  # to read a pipe would wait for ever
                leave_out(path, "no regular file")
            else:
                yield Path(path).relative_to(folder).as_posix()


def join(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}" if is_url(folder) else str(Path(plain(folder), name))


def parent(name: str) -> str:
    return bare(name).rpartition("/")[0] if is_url(name) else str(Path(name).parent)


def with_suffix(name: str, suffix: str) -> str:
    return (
        join(parent(name), Path(bare(name)).stem + suffix)
        if is_url(name)
        else str(Path(plain(name)).with_suffix(suffix))
    )


def check_folder(folder: str) -> None:
    """OutputError if `make_folder` is bound to fail; of URLs nothing is known."""
    if is_url(folder):
        return
    place = wanted = Path(plain(folder)).absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK):
        number = errno.EEXIST if place == wanted else errno.ENOTDIR
        if place.is_dir():
            number = errno.EACCES
        raise _unmakeable(folder, OSError(number, os.strerror(number)))


def make_folder(folder: str) -> None:
    """The folder and those above it, unless they exist. OutputError."""
    try:
        if is_url(folder):
            with _told(folder):
                system, path = _system(folder)
                system.makedirs(path, exist_ok=True)
        else:
            Path(plain(folder)).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unmakeable(folder, error) from error


def _unmakeable(folder: str, error: OSError) -> OutputError:
    return OutputError(f"{folder}: cannot be made ({error.strerror or error}); name another with -o")


def _system(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise PackageError(f"{url}: URLs need the package fsspec: {install('fsspec')}") from error
    try:
        return url_to_fs(url)
    except (ImportError, ValueError) as error:  # a protocol that is unknown, or needs a package of its own
        raise FileError(f"{url}: {error}") from error


@contextmanager
def _told(url: str) -> Iterator[None]:
    """What file systems raise, which is anything, becomes a line that names the URL."""
    try:
        yield
    except (OsdError, FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise
    except Exception as error:
        raise FileError(f"{url}: {error or type(error).__name__}; check the address") from error
