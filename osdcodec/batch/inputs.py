"""Inputs: names from a list, files that were named, and all files below folders."""

import os
from collections.abc import Iterable, Iterator
from pathlib import PurePath

from .. import urls

LeftOut = list[tuple[str, str]]  # (file, why it is no input)


def names(text: bytes, nul: bool = False) -> list[str]:
    """Names from a list, one a line, or each ended by a NUL byte as `find -print0` writes them."""
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):  # as a list from PowerShell begins
        text = os.fsencode(text.decode("utf-16", "replace"))
    text = text.removeprefix(b"\xef\xbb\xbf")
    parts = text.split(b"\0") if nul else text.splitlines()
    return [os.fsdecode(part) for part in parts if part]


def expand(source: str, left_out: LeftOut) -> Iterator[tuple[str, str | None]]:
    """A file that was named, and None; or all files below a folder and their names in it, in the order of these."""
    if urls.is_folder(source):
        within = sorted(urls.walk(source, lambda path, why: left_out.append((path, why))))
        yield from ((urls.join(urls.bare(source), name), urls.without_query(source, name)) for name in within)
    elif urls.is_url(source):
        yield source, None
    else:
        yield urls.join(urls.parent(source), PurePath(source).name), None


def places(
    sources: Iterable[str], inputs: tuple[str, ...], suffix: str, reasons: dict[str, str]
) -> tuple[dict[str, str], LeftOut]:
    """Expands files and folders -> the inputs with their places below an output folder, and what is left out of folders.

    Args:
        sources: Files and folders that were named.
        inputs: Suffixes, in lower case, of the files that are taken from folders.
        suffix: That of the outputs. Such files below folders are passed over without a word.
        reasons: Why files with these suffixes are left out.
    """
    found: dict[str, str] = {}
    known: set[str] = set()  # a file that is named twice, in two ways, is taken once
    left_out: LeftOut = []
    for source in sources:
        for path, name in expand(source, left_out):
            if name is not None and PurePath(name).name.startswith("._"):  # what macOS keeps beside a file
                continue
            spelled = path if urls.is_url(path) else os.path.abspath(urls.plain(path))
            if spelled in known:
                continue
            known.add(spelled)
            if name is None:
                found[path] = urls.base_name(path)
                continue
            kind = PurePath(name).suffix.lower()
            if kind in inputs:
                found[path] = name
            elif kind != suffix:
                left_out.append((path, reasons.get(kind, "unknown suffix")))
    return found, left_out
