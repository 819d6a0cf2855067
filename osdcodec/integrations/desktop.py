"""Linux file managers know .osd files once these three small files are in the user's data folder.

Their formats are freedesktop.org's: shared-mime-info, thumbnailer entries, and desktop entries. `install` writes them,
`remove` takes them away; a file of that name that osdc did not write is never touched.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from ..container import MAGIC
from ..errors import FileError, OutputError

MIME, WRITTEN = "image/x-osd", "Written by osdc install-desktop"
_THUMBNAILER = """[Thumbnailer Entry]
# {written}
TryExec={program}
Exec={command} thumbnail %i %o %s
MimeType={mime};
"""
_ENTRY = """[Desktop Entry]
# {written}
Type=Application
Name=osdc
Comment=View an .osd picture in the browser
Exec={command} view %f
Terminal=true
NoDisplay=true
MimeType={mime};
"""
_TYPE = """<?xml version="1.0" encoding="UTF-8"?>
<!-- {written} -->
<mime-info xmlns="http://www.freedesktop.org/standards/shared-mime-info">
  <mime-type type="{mime}">
    <comment>osdc picture</comment>
    <magic priority="60"><match type="string" offset="0" value="{magic}"/></magic>
    <glob pattern="*.osd"/>
  </mime-type>
</mime-info>
"""
_PLACES = {
    "mime/packages/osdc.xml": _TYPE,
    "thumbnailers/osdc.thumbnailer": _THUMBNAILER,
    "applications/osdc.desktop": _ENTRY,
}


def data_home() -> Path:
    """The user's data folder: $XDG_DATA_HOME, or ~/.local/share."""
    named = os.environ.get("XDG_DATA_HOME", "")
    return Path(named) if Path(named).is_absolute() else Path.home() / ".local" / "share"


def install(folder: Path | None = None) -> list[Path]:
    """Writes the three files into a data folder, by default the user's, and returns their places.

    Raises:
        OutputError: one of the names is taken by a file that osdc did not write; then nothing is written.
        FileError: the folder cannot be written.
    """
    folder = folder or data_home()
    files = {folder / name: _filled(text) for name, text in _PLACES.items()}
    for path in files:
        if path.exists() and not _ours(path):
            raise OutputError(f"{path}: exists, and osdc did not write it; move it away first")
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".{path.name}.part")
            part.write_text(text, "utf-8")
            part.replace(path)
    except OSError as error:
        raise FileError(f"{error.filename or folder}: {error.strerror or error}; choose another folder") from error
    _refresh(folder)
    return list(files)


def remove(folder: Path | None = None) -> list[Path]:
    """Removes what `install` wrote, and returns what was there. FileError if a file cannot be removed."""
    folder = folder or data_home()
    found = [path for path in (folder / name for name in _PLACES) if path.is_file() and _ours(path)]
    try:
        for path in found:
            path.unlink()
    except OSError as error:
        raise FileError(f"{error.filename}: {error.strerror or error}; remove it by hand") from error
    if found:
        _refresh(folder)
    return found


def _ours(path: Path) -> bool:
    try:
        return path.is_file() and WRITTEN in path.read_text("utf-8", "replace")
    except OSError:
        return False


def _filled(text: str) -> str:
    beside = Path(sys.executable).with_name("osdc")
    words = [str(beside)] if beside.is_file() else [sys.executable, "-m", "osdcodec"]
    magic = "".join(chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in MAGIC)
    command = " ".join(_quoted(word) for word in words)
    return text.format(written=WRITTEN, mime=MIME, magic=magic, program=words[0], command=command)


def _quoted(word: str) -> str:
    """One argument of an Exec key: quoted where it holds more than plain characters."""
    if all(letter.isalnum() or letter in "/._-+" for letter in word):
        return word
    escaped = "".join("\\" + letter if letter in '"`$\\' else letter for letter in word)
    return '"' + escaped.replace("\\", "\\\\").replace("%", "%%") + '"'


def _refresh(folder: Path) -> None:
    """Tells the desktop's caches, where their tools are installed; without them file managers notice at the next login."""
    for tool, name in (("update-mime-database", "mime"), ("update-desktop-database", "applications")):
        if (program := shutil.which(tool)) and (folder / name).is_dir():
            subprocess.run([program, str(folder / name)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
