"""Temporary files beside outputs, and those that a killed process left behind.

Whoever writes one holds a lock on it. So a file that can be locked is left over, and is removed.
"""

import os
import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows, where an open file cannot be removed anyway
    fcntl = None  # type: ignore[assignment]

_NAME = re.compile(r"\.osdc-[0-9a-f]{16}")
_AGE = 60  # seconds that one is left alone where locks tell nothing
_seen: set[Path] = set()  # folders whose files this process has looked at


def create(folder: Path, opened: Callable[[Path], BinaryIO]) -> tuple[Path, BinaryIO]:
    """A new file in the folder, open and locked."""
    while True:
        path = folder / f".osdc-{secrets.token_hex(8)}"
        file = opened(path)
        if fcntl is None or not hasattr(file, "fileno"):
            return path, file
        with suppress(OSError):  # not all file systems have locks
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.exists():  # else another process took it for a leftover before it was locked
            return path, file
        file.close()


def remove(folder: Path) -> None:
    """Remove what killed processes left in a folder; it is looked through once."""
    if folder in _seen:
        return
    _seen.add(folder)
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with suppress(OSError):
                    _remove(entry)


def _remove(entry: os.DirEntry) -> None:
    if fcntl is None:
        if time.time() - entry.stat().st_mtime > _AGE:
            os.unlink(entry.path)
        return
    with open(entry.path, "rb") as file:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(entry.path)
