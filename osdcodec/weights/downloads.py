"""Pretrained models that a profile is built on: found on this machine, fetched when asked for, checked.

    [[component]]
    name = "sd-turbo"                    its folder inside a folder of weights
    profiles = ["turbo"]                 which need it
    repository = "stabilityai/sd-turbo"  on the Hugging Face hub
    revision = "b261…"                   a commit; of a branch the first download settles which
    licence = "…"                        for people
    mirrors = ["https://…", "who/what"]  other endpoints and repositories, tried in this order
    rate = "0.0312"                      a checkpoint of this rate, to be converted: see cod_lite/install.py
    [component.files]
    "unet/config.json" = ""              SHA-256, where it is known

A model lies in WEIGHTS/name, where WEIGHTS is named by `weights_dir` or OSDC_WEIGHTS, else in the cache of huggingface_hub. The
first time a file is seen its SHA-256 is written to a lock beside that place, and held against the file from then on; a
file whose size and time have not changed since is not read again. Only JSON and safetensors are touched, nothing that could run
code when it is loaded; but for checkpoints with a rate, which are read as data, once, and may also lie in WEIGHTS itself.
"""

import hashlib
import json
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import WeightsError
from ..files import write_output
from . import registry as catalogue

LOCK = "osdc.lock.json"
SUFFIXES = (".json", ".safetensors")
OF_CHECKPOINTS = (".pt", ".yaml")
_COMMIT = re.compile("[0-9a-f]{40}")
PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")


@dataclass(frozen=True)
class Component:
    name: str
    profiles: tuple[str, ...]
    repository: str
    revision: str
    files: dict[str, str]  # path inside its folder -> SHA-256 or ""
    licence: str = ""
    mirrors: tuple[str, ...] = ()
    rate: str = ""  # in bits per pixel, of a checkpoint


def components(weights_dir: str | Path | None = None, registry: str | Path | None = None) -> list[Component]:
    """All listed: those of the folder's own weights.toml, then ours. WeightsError if a list is not usable.

    registry: another weights.toml in place of the installed one.
    """
    by_name: dict[str, Component] = {}
    for path in catalogue.lists(weights_dir, registry):
        for component in _read(path):
            by_name.setdefault(component.name, component)
    return list(by_name.values())


def _read(path: Path) -> list[Component]:
    try:
        listed = []
        for entry in catalogue.components(path):
            values: dict[str, Any] = {
                key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()
            }
            listed.append(Component(**values))
    except (TypeError, AttributeError) as error:
        raise WeightsError(f"{path} is not a list of components: {error}") from error
    for component in listed:
        for file in component.files:
            allowed = OF_CHECKPOINTS if component.rate else SUFFIXES
            if not file.endswith(allowed) or Path(file).is_absolute() or ".." in Path(file).parts:
                raise WeightsError(f"{path}: {file} is refused: only {' and '.join(allowed)} files, which run no code")
    return listed


def folder_of(name: str, weights_dir: str | Path | None = None, registry: str | Path | None = None) -> Path:
    """Where a component lies, its files checked. WeightsError if it is not available, or not the one listed."""
    component = next((entry for entry in components(weights_dir, registry) if entry.name == name), None)
    if component is None:
        raise WeightsError(f"no component {name} is listed in weights.toml: update osdc")
    placed = place(component, weights_dir)
    if placed is None:
        raise WeightsError(
            f"the pretrained model {name} ({component.repository}) is not here: "
            f"`osdc weights pull {component.profiles[0]}`, or put it into {_home(weights_dir) or 'a folder'}/{name}"
            f"{'' if _home(weights_dir) else ' named by `weights_dir`'}"
        )
    check(component, *placed)
    return placed[0]


def place(component: Component, weights_dir: str | Path | None = None) -> tuple[Path, Path] | None:
    """The folder that a component lies in and the lock that tells of it, or None. WeightsError if it holds pickles only."""
    home = _home(weights_dir)
    if home and component.rate:
        for folder in (home / component.name, home):
            if any((folder / file).is_file() for file in component.files):
                return folder, home / LOCK
    elif home and (folder := home / component.name).is_dir():
        stored = [path for path in folder.rglob("*") if path.suffix in (*PICKLES, ".safetensors")]
        if stored and all(path.suffix in PICKLES for path in stored):
            raise WeightsError(f"{stored[0]} is refused: pickles can run code; convert it to safetensors")
        return (folder, home / LOCK) if stored else None
    cache = _cache()
    if cache is None:
        return None
    locked = _lock(_beside(cache)).get(component.name, {})
    for repository in (component.repository, *(m for m in component.mirrors if not _is_endpoint(m))):
        root = cache / f"models--{repository.replace('/', '--')}"
        revision = locked.get("commit") or component.revision
        if (root / "refs" / revision).is_file():  # a branch
            revision = (root / "refs" / revision).read_text().strip()
        folder = root / "snapshots" / revision
        if all((folder / file).is_file() for file in component.files):
            return folder, _beside(cache)
    return None


def check(component: Component, folder: Path, lock: Path, again: bool = False) -> None:
    """Every file against its SHA-256, listed or locked; locks what is seen for the first time. WeightsError if one differs.

    again: reads files whose size and time are those of the lock too.
    """
    locks = _lock(lock)
    told = locks.get(component.name, {})
    seen = dict(told.get("files", {})) if told.get("folder") == str(folder) else {}
    known = {name: entry["sha256"] for name, entry in told.get("files", {}).items()}
    for name in sorted(_present(component, folder)):
        path = folder / name
        try:
            stat = path.stat()
            stamp = {"bytes": stat.st_size, "time": stat.st_mtime_ns}
            if not again and {key: seen.get(name, {}).get(key) for key in stamp} == stamp:
                digest = seen[name]["sha256"]
            else:
                with open(path, "rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise WeightsError(f"{path} cannot be read ({error.strerror}): fetch it again") from error
        expected = component.files.get(name) or known.get(name)
        if expected and digest != expected:
            source = "weights.toml" if component.files.get(name) else str(lock)
            raise WeightsError(f"{path} is not the file that {source} tells of (its SHA-256 differs): fetch it again")
        seen[name] = {"sha256": digest} | stamp
    entry = told | {"folder": str(folder), "files": seen}
    if entry != told:
        try:
            write_output(lock, json.dumps(locks | {component.name: entry}, indent=2).encode())
        except Exception as error:  # a folder that must not be written to is as good; it is only read more often
            if os.access(lock.parent, os.W_OK):
                raise WeightsError(f"{lock} cannot be written: {error}") from error


def pull(
    profile: str,
    weights_dir: str | Path | None = None,
    registry: str | Path | None = None,
    rates: Collection[str] = (),
) -> Iterator[tuple[Component, Path]]:
    """Fetches what a profile is built on, showing progress on stderr and going on where it stopped; yields what, and its folder.

    rates: of checkpoints these only. WeightsError if nothing of the kind is listed, if there is no way to the hub, or if what comes is not what is listed.
    """
    listed = [component for component in components(weights_dir, registry) if profile in component.profiles]
    if unknown := [rate for rate in rates if rate not in {component.rate for component in listed}]:
        known = ", ".join(component.rate for component in listed if component.rate)
        raise WeightsError(
            f"profile {profile} has no rate {unknown[0]}: {f'choose of {known}' if known else 'leave `rate` out'}"
        )
    for component in listed:
        if not rates or component.rate in rates:
            placed = place(component, weights_dir)
            if placed is None or any(not (placed[0] / file).is_file() for file in component.files):
                placed = _fetch(component, weights_dir)
            check(component, *placed)
            yield component, placed[0]


def _fetch(component: Component, weights_dir: str | Path | None) -> tuple[Path, Path]:
    cache, home = _cache(), _home(weights_dir)
    if cache is None:
        raise WeightsError("huggingface_hub is needed to fetch weights: pip install 'osdc[pull]'")
    import huggingface_hub as hub

    where = f"copy {component.repository} at {component.revision} into FOLDER/{component.name}, and name FOLDER by `weights_dir`"
    if hub.constants.HF_HUB_OFFLINE:
        raise WeightsError(f"{component.name} is not here and HF_HUB_OFFLINE forbids to fetch it: unset it, or {where}")
    lock = home / LOCK if home else _beside(cache)
    locked, failures = _lock(lock).get(component.name, {}), []
    for source in ("", *component.mirrors):
        endpoint = source if _is_endpoint(source) else None
        repository = component.repository if endpoint else source or component.repository
        try:  # asked first: it fails at once where there is no network, the download would try for a minute
            wanted = locked.get("commit") or component.revision
            commit = hub.HfApi(endpoint).model_info(repository, revision=wanted, timeout=20).sha
            if _COMMIT.fullmatch(wanted) and commit != wanted:
                raise ValueError(f"{commit} is not {wanted}")
            folder = hub.snapshot_download(
                repository, revision=commit, allow_patterns=list(component.files), endpoint=endpoint,
                local_dir=home / component.name if home else None,
            )  # fmt: skip
        except Exception as error:  # of the hub's client, of its HTTP library, or of the system
            failures.append(f"{source or repository}: {type(error).__name__}")
            continue
        missing = [file for file in component.files if not (Path(folder) / file).is_file()]
        if missing:
            failures.append(f"{source or repository}: it has no {missing[0]}")
            continue
        locks = _lock(lock)
        entry = locked | {"repository": repository, "commit": commit}
        lock.parent.mkdir(parents=True, exist_ok=True)
        write_output(lock, json.dumps(locks | {component.name: entry}, indent=2).encode())
        return Path(folder), lock
    raise WeightsError(f"{component.name} cannot be fetched ({'; '.join(failures)}): try again when online, or {where}")


def verify(weights_dir: str | Path | None = None, registry: str | Path | None = None) -> Iterator[tuple[str, str]]:
    """(component, where it lies and that it is whole, or that it is not here). WeightsError if a file is not the one listed."""
    for component in components(weights_dir, registry):
        placed = place(component, weights_dir)
        if placed is None:
            yield component.name, "not here"
        else:
            check(component, *placed, again=True)
            missing = [file for file in component.files if not (placed[0] / file).is_file()]
            yield component.name, f"{placed[0]}: {f'without {missing[0]}' if missing else 'whole'}"


def _present(component: Component, folder: Path) -> set[str]:
    """What is there to be checked: the listed files, and whatever else a loader might take."""
    if component.rate:
        return {name for name in component.files if (folder / name).is_file()}
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix in SUFFIXES}
    names = {name for name in names if not any(part.startswith(".") for part in Path(name).parts)}
    folders = {Path(name).parent for name in component.files}
    return {name for name in names if Path(name).parent in folders}


def _is_endpoint(mirror: str) -> bool:
    return "://" in mirror


def _home(weights_dir: str | Path | None) -> Path | None:
    return catalogue.folder(weights_dir)


def _cache() -> Path | None:
    """Where huggingface_hub keeps files, None without it: the light installation."""
    try:
        from huggingface_hub import constants
    except ImportError:
        return None
    return Path(constants.HF_HUB_CACHE)


def _beside(cache: Path) -> Path:
    return cache.parent / LOCK


def _lock(path: Path) -> dict:
    try:
        return json.loads(path.read_text("utf-8")) if path.is_file() else {}
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} is damaged ({error}): delete it if you trust the files beside it") from error
