"""Which input becomes which output."""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import PurePath

from .. import files, urls
from ..errors import InputError, OsdError, OutputError
from ..file_info import NOTE
from ..files import STREAM
from .inputs import LeftOut, places
from .overwrite import Overwrite, may_replace, policy

Job = tuple[str, str]  # input, output


@dataclass
class Plan:
    """jobs: (input, output) names. overwrite: which outputs that exist may be replaced. left_out: (file, why) below folders."""

    jobs: list[Job]
    overwrite: Overwrite = Overwrite.EVERYTHING
    left_out: LeftOut = field(default_factory=list)
    note: str = ""  # what a person should hear of it
    folders: list[str] = field(default_factory=list)

    def make_folders(self) -> None:
        """The folders of the outputs. OutputError."""
        for folder in self.folders:
            urls.make_folder(folder)

    def refuse_existing(self) -> None:
        """OutputError if an output exists that may not be replaced."""
        found = [target for _, target in self.jobs if not may_replace(target, self.overwrite)]
        if not found:
            return
        if len(self.jobs) == 1:
            files.check_output(found[0], False, self.jobs[0][0])
        more = f", and so do {len(found) - 1} more of the outputs" if len(found) > 1 else ""
        raise OutputError(
            f"{found[0]}: exists{more}; name a folder with -o, keep what is there by `skip_existing`, or replace it by `overwrite`"
        )

    @property
    def replaces(self) -> bool:
        """True if some outputs that exist may be replaced."""
        return self.overwrite is not Overwrite.NOTHING

    @property
    def unread(self) -> bool:
        """True if a folder that was named, or one below it, could not be read."""
        return any(why.startswith(urls.UNREAD) for _, why in self.left_out)

    def summary(self) -> str:
        """What was left out, by reason; "" if nothing was."""
        known = [pair for pair in self.left_out if not pair[1].startswith(urls.UNREAD)]
        counts = Counter((PurePath(name).suffix.lower() or "without suffix", why) for name, why in known)
        reasons = [f"{count} {suffix} ({why})" for (suffix, why), count in sorted(counts.items())]
        reasons += [f"{name} ({why})" for name, why in self.left_out if why.startswith(urls.UNREAD)]
        return f"left out: {', '.join(reasons)}" if reasons else ""


def plan(
    sources: Iterable[str],
    output: str | None,
    inputs: tuple[str, ...],
    suffix: str,
    many: bool = False,
    overwrite: bool | None = None,
    reasons: dict[str, str] | None = None,
) -> Plan:
    """Pairs inputs with outputs. Writes nothing.

    What lies below a folder keeps its place there below `output`. Without `output` a file lands beside its input, and a
    stream goes to stdout. Two files in one folder that differ in their suffixes only keep these, whether both are named or
    one: a.jpg.osd and a.png.osd.

    Args:
        sources: Files, "-", and folders.
        output: A file, if one file is the only input; else a folder.
        inputs: Suffixes, in lower case, of the files that are taken from folders.
        suffix: That of the outputs.
        many: Whether `output` is a folder even for one file.
        overwrite: Whether outputs that exist may be replaced. None: an output that `output` names is replaced; an
            output with a default name is not, unless osdc wrote it into the folder `output`.
        reasons: Why files with these suffixes are left out of folders.

    Raises:
        InputError: There is nothing to do.
        OutputError: Two inputs would become one file, or the output cannot hold several.
    """
    sources = [_plain_stream(source, 0) for source in sources]
    if "" in sources:
        raise InputError("an input without a name: name a file")
    if output == "":
        raise OutputError("an output without a name: name a file with -o")
    output = output and _plain_stream(output, 1)
    if len(sources) == 1 and not many and not urls.is_folder(sources[0]):
        return _plan_of_one(sources[0], output, suffix, inputs, overwrite)
    if STREAM in sources:
        raise InputError("standard input must be the only input; leave - out, or give it alone")
    if output is not None and files.is_stream(output):
        raise OutputError("only one picture can go to standard output or a pipe; name a folder with -o")
    found, left_out = places(sources, inputs, suffix, reasons or {})
    jobs, kept = _jobs(found, output, suffix, inputs)
    if not jobs:
        which = sources[0] if len(sources) == 1 else "the inputs"
        told = Plan([], left_out=left_out).summary() or "name another"
        raise InputError(f"{which}: no file in this folder ends in {' '.join(inputs)}; {told}")
    note = f"{len(kept)} inputs differ in their suffixes only, which their outputs keep: {kept[0]}, …" if kept else ""
    folders = sorted({urls.parent(target) for _, target in jobs})
    beside = output is None or any(_lies_beside(path, target, suffix) for path, target in jobs)
    replaced = policy(overwrite, Overwrite.NOTHING if beside else Overwrite.OWN)
    return Plan(jobs, replaced, left_out, note, folders)


def _plan_of_one(source: str, output: str | None, suffix: str, inputs: tuple[str, ...], overwrite: bool | None) -> Plan:
    """The plan for one file or stream, whose output may be one."""
    target, named = _target(source, output, suffix, inputs)
    folders = [urls.parent(target)] if output is not None and output.endswith(("/", os.sep)) else []
    own, note = PurePath(urls.base_name(source)).suffix, ""
    if own and target.endswith(own + suffix) and target != output:
        note = f"a picture of the same name lies beside it, so its output keeps its suffix: {target}"
    otherwise = Overwrite.NOTHING
    if named:
        otherwise = Overwrite.EVERYTHING if target in (output, STREAM) else Overwrite.OWN
    return Plan([(source, target)], policy(overwrite, otherwise), note=note, folders=folders)


def _lies_beside(path: str, target: str, suffix: str) -> bool:
    """Returns True if an output has the default name, beside its input."""
    return target in (urls.with_suffix(path, suffix), path + suffix)


def _jobs(
    found: dict[str, str], output: str | None, suffix: str, inputs: tuple[str, ...]
) -> tuple[list[Job], list[str]]:
    """(input, output) for inputs and their places, and the outputs that keep their inputs' suffixes."""

    def place(path: str, name: str) -> str:
        if output is None:
            return name if urls.is_web(path) else path
        return urls.join(output, name)

    remote = {path: name for path, name in found.items() if urls.is_url(path)}
    counts = Counter(urls.with_suffix(place(path, name), suffix) for path, name in remote.items())
    targets, kept = {}, []
    for path, name in found.items():
        target = urls.with_suffix(place(path, name), suffix)
        if counts[target] > 1 or (path not in remote and has_namesake(path, inputs)):
            target = place(path, name) + suffix
            kept.append(path)
        targets[path] = target
    owners: dict[str, str] = {}
    for path, target in targets.items():
        if (other := owners.setdefault(target, path)) != path:
            raise OutputError(f"{other} and {path} would both become {target}; rename one of them")
    return list(targets.items()), [targets[path] for path in kept]


def has_namesake(path: str, inputs: tuple[str, ...]) -> bool:
    """Returns True if another input in the same folder differs from this one in its suffix only, so that both keep theirs.

    It is the folder that decides, not what else is named: an input has the same output name alone and in a batch. A picture
    that osdc decoded counts only beside others of that kind.
    """
    folder, name = os.path.split(os.path.abspath(urls.plain(path)))
    stem = PurePath(name).stem
    try:
        beside = [other for other in _names_in(folder) if other != name and PurePath(other).stem == stem]
    except OSError:
        return False
    beside = [other for other in beside if PurePath(other).suffix.lower() in inputs]
    if not beside:
        return False
    return _was_decoded(path) or not all(_was_decoded(os.path.join(folder, other)) for other in beside)


def _names_in(folder: str) -> list[str]:
    return _names_at(folder, os.stat(folder).st_mtime_ns)


@lru_cache(maxsize=4)
def _names_at(folder: str, changed: int) -> list[str]:
    """The names in a folder that was changed at this time, in nanoseconds."""
    return os.listdir(folder)


def _was_decoded(path: str) -> bool:
    try:
        return NOTE.encode() in files.read_input(path)
    except OsdError:
        return False


def _plain_stream(name: str, number: int) -> str:
    return STREAM if files.descriptor(name) == number else name


def _target(source: str, output: str | None, suffix: str, inputs: tuple[str, ...]) -> tuple[str, bool]:
    """The output of one file or stream, and whether the user chose its name."""
    whole = not urls.is_url(source) and not files.is_stream(source) and has_namesake(source, inputs)
    beside = source + suffix if whole else urls.with_suffix(source, suffix)
    if output is None and urls.is_web(source):  # where nothing can be written
        return urls.base_name(beside), False
    if output is None:
        return (STREAM, True) if files.is_stream(source) else (beside, False)
    folder = output.endswith(("/", os.sep)) or urls.is_folder(output)
    if folder and not files.is_stream(source):
        target = urls.join(output, urls.base_name(beside))
        return target, target != beside
    return output, True
