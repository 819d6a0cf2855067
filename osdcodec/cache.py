"""What may be kept between processes, and thrown away at any time: compiled networks. Standard library only.

The folder is OSDC_CACHE, or osdc/compiled in the user's cache folder. If OSDC_CACHE is empty, nothing is read or written. A folder
that cannot be written, or a file that is damaged, is as good as none.
"""

import contextlib
import hashlib
import mmap
import os
import tempfile
from pathlib import Path

VARIABLE = "OSDC_CACHE"
LARGEST = 2**29  # bytes that the folder may hold; of more, the entries that were not used for longest go
_SUFFIX = ".bin"
_DIGEST = 32  # bytes of the SHA-256 of what follows, at the beginning of a file


def user_folder() -> Path:
    """The folder of osdc in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "osdc"


def folder() -> Path | None:
    """The folder of compiled networks, None if nothing is to be kept."""
    named = os.environ.get(VARIABLE)
    if named is not None:
        return Path(named) if named else None
    try:
        return user_folder() / "compiled"
    except RuntimeError:  # no home
        return None


def read(*key: str) -> memoryview | None:
    """Returns what was kept under a key, None if nothing was or it is damaged."""
    place = folder()
    if place is None:
        return None
    path = place / _name(key)
    try:
        with path.open("rb") as file:
            whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
        content = whole[_DIGEST:]
        if hashlib.sha256(content).digest() != whole[:_DIGEST]:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # used just now
    except (OSError, ValueError):
        return None
    return content


def write(content: bytes | memoryview, *key: str) -> None:
    """Keeps something under a key, if that can be done; other entries go if the folder becomes too large."""
    place = folder()
    if place is None or len(content) + _DIGEST > LARGEST:
        return
    part = None
    try:
        place.mkdir(0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place, suffix=".part", delete=False) as file:
            part = Path(file.name)
            file.write(hashlib.sha256(content).digest())
            file.write(content)
        part.replace(place / _name(key))
        _bound(place)
    except OSError:
        if part is not None:
            with contextlib.suppress(OSError):
                part.unlink()


def _name(key: tuple[str, ...]) -> str:
    return hashlib.sha256("\0".join(key).encode()).hexdigest()[:32] + _SUFFIX


def _bound(place: Path) -> None:
    """Removes the entries that were not used for longest, and what an ended process left half-written."""
    found = []
    for path in place.iterdir():
        if path.suffix in (_SUFFIX, ".part"):
            with contextlib.suppress(OSError):
                state = path.stat()
                found.append((state.st_mtime, state.st_size, path))
    held = 0
    for _, size, path in sorted(found, reverse=True):
        held += size
        if held > LARGEST:
            with contextlib.suppress(OSError):
                path.unlink()
