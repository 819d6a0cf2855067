"""weights.toml: which lists of models there are, and what they hold. The only reader of these files; standard library only.

A folder that `weights_dir` or OSDC_WEIGHTS names may hold a list of its own, which goes first; then comes that of the models which
`osdc weights pull` made in the user's cache, if it made any; then ours.
"""

import os
import tomllib
from pathlib import Path
from typing import Any

from ..errors import WeightsError

NAME = "weights.toml"
VARIABLE = "OSDC_WEIGHTS"
NEEDED = "profile", "file", "model_id", "sha256"  # texts that a model has which is to be loaded
TOLD = "profile", "model_id"  # and one that is to be named
RELEASED = "name", "model_id", "file", "sha256", "decoder", "get"  # texts that every release has
_PACKAGE = Path(__file__).parents[1]


def folder(weights_dir: str | Path | None) -> Path | None:
    """The folder of weights that the user named, None if there is none."""
    named = weights_dir or os.environ.get(VARIABLE)
    return Path(named) if named else None


def installed(registry: str | Path | None = None) -> Path:
    """Our own list, or `registry` in its place. WeightsError if it is missing."""
    for path in _places(registry):
        if path.is_file():
            return path
    raise WeightsError(
        f"{_places(registry)[0]} is missing: reinstall osdc, or name a folder of weights by `weights_dir`"
    )


def home(weights_dir: str | Path | None = None) -> Path:
    """Where models are made: the folder that the user named, else one in the user's cache."""
    return folder(weights_dir) or cache()


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "osdc"


def lists(weights_dir: str | Path | None = None, registry: str | Path | None = None) -> list[Path]:
    """Every list available, in order of precedence; with `registry` in place of ours what was made in the cache does not count."""
    named = folder(weights_dir)
    homes = dict.fromkeys(each for each in (named, None if registry else cache()) if each)
    own = [each / NAME for each in homes if (each / NAME).is_file()]
    return own + [path for path in _places(registry) if path.is_file()][:1]


def _places(registry: str | Path | None) -> list[Path]:
    # An editable install has the list at the root of the source tree only.
    return [Path(registry)] if registry else [_PACKAGE / NAME, _PACKAGE.parent / NAME]


def models(path: Path, needed: tuple[str, ...] = NEEDED) -> list[dict[str, Any]]:
    """The models of a list. WeightsError if it cannot be read or an entry lacks a text that is needed."""
    tables = _tables(path, "models")
    try:
        listed = tables.get("model", []) if "component" in tables else tables["model"]
        for model in listed:
            for key in needed:
                if not isinstance(model[key], str):
                    raise TypeError(f"{key} is not a text")
    except (KeyError, TypeError) as error:
        raise WeightsError(f"{path} is not a list of models: {error}") from error
    return listed


def components(path: Path) -> list[dict[str, Any]]:
    """The pretrained models of a list, as they stand there. WeightsError if it cannot be read."""
    return _tables(path, "components").get("component", [])


def released(registry: str | Path | None = None) -> dict[str, dict[str, Any]]:
    """Model id -> what the list says of the revision that was released under it; `registry` in place of the installed list.

    Raises:
        WeightsError: the list cannot be read, or an entry lacks a text that is needed.
    """
    path = installed(registry)
    entries = _tables(path, "models").get("released", [])
    for entry in entries:
        if not all(isinstance(entry.get(key), str) for key in RELEASED):
            raise WeightsError(f"{path} does not tell {', '.join(RELEASED)} of each release")
    return {entry["model_id"]: entry for entry in entries}


def search() -> dict[str, str]:
    """What the installed list says of the encoder's search, {} for nothing. WeightsError if it cannot be read."""
    path = installed()
    found = _tables(path, "models").get("search", {})
    if found and not all(isinstance(found.get(key), str) for key in ("profile", "file", "sha256")):
        raise WeightsError(f"{path} does not tell profile, file and sha256 of the search")
    return found


def _tables(path: Path, wanted: str) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} is not a list of {wanted}: {error}") from error
