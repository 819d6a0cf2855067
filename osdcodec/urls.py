"""Names of files and folders, local or URLs: `s3://bucket/a.png`, `memory://a.osd`. fsspec knows what lies behind a URL.

Local names, and file:// URLs, need no fsspec.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from .errors import FileError, OutputError
from .extras import install

_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)  # two letters at least: C:// is a drive


def plain(name: str | os.PathLike) -> str:
    """The name as the functions here take it: a local path, or a URL of anything but local files."""
    name = os.fspath(name)
    return unquote(name[7:]) if name.lower().startswith("file:///") else name


def is_url(name: str | os.PathLike) -> bool:
    return isinstance(name, str) and bool(_URL.match(plain(name)))


def read(url: str) -> bytes:
    """All bytes behind a URL. OSError as for a local file."""
    system, path = _system(url)
    return system.cat_file(path)


def write(url: str, data: bytes) -> None:
    """data -> what the URL names. Stores of objects show an object when it is whole."""
    system, path = _system(url)
    system.pipe_file(path, data)


def exists(url: str) -> bool:
    system, path = _system(url)
    return system.exists(path)


def is_folder(name: str) -> bool:
    name = plain(name)
    if not is_url(name):
        return os.path.isdir(name)
    system, path = _system(name)
    return system.isdir(path)


def walk(folder: str) -> Iterator[str]:
    """Names of all files below a folder, relative to it, with / between their parts; links to folders are not followed."""
    folder = plain(folder)
    if not is_url(folder):
        for place, _, files in os.walk(folder, onerror=_refuse):
            yield from (Path(place, file).relative_to(folder).as_posix() for file in files)
        return
    system, path = _system(folder)
    root = PurePosixPath(path)
    yield from (PurePosixPath(file).relative_to(root).as_posix() for file in system.find(path))


def join(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}" if is_url(folder) else str(Path(plain(folder), name))


def parent(name: str) -> str:
    return name.rpartition("/")[0] if is_url(name) else str(Path(name).parent)


def with_suffix(name: str, suffix: str) -> str:
    return join(parent(name), Path(name).stem + suffix) if is_url(name) else str(Path(plain(name)).with_suffix(suffix))


def make_folder(folder: str) -> None:
    """The folder and those above it, unless they exist. OutputError."""
    try:
        if is_url(folder):
            system, path = _system(folder)
            system.makedirs(path, exist_ok=True)
        else:
            Path(plain(folder)).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror or error}); name another with -o") from error


def _system(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise FileError(f"{url}: URLs need the package fsspec: {install('fsspec')}") from error
    try:
        return url_to_fs(url)
    except (ImportError, ValueError) as error:  # a protocol that is unknown, or needs a package of its own
        raise FileError(f"{url}: {error}") from error


def _refuse(error: OSError) -> None:
    raise error
