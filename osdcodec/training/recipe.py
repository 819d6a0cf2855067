"""What a stage is told: its table of the recipe, checked before the first step, and the run that it belongs to.

A recipe is a TOML file with one table for each stage. What a table may hold stands in the stage's own dataclass; a key that is
not there, a missing one and a value of the wrong kind are errors that name them. With `like = "other.toml"` in its first line a
recipe tells only what it has otherwise than the other one, beside it.
"""

import dataclasses
import tomllib
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from accelerate import Accelerator
from annotated_types import Len
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from ..errors import InputError
from ..profile import FIELDS, Profile, changed
from ..rate_control import ANCHORS

STRICT = ConfigDict(extra="forbid")
UNKNOWN = "unexpected_keyword_argument"  # pydantic's name of a key that is not known
# Stages, keys and losses of recipes that were written before 1.0 -> what they are called now.
ALIASES = {
    "balance": "gain_tuning",
    "judges": "discriminator",
    "emphasis": "residual_gain",
    "detail": "local_contrast",
    "weave": "grid_artefacts",
    "unrest": "flat_region_error",
    "tint": "grey_chroma_error",
}
Anchored = Annotated[list[float], Len(len(ANCHORS), len(ANCHORS))]  # a number for each anchor lambda, 2 first


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Plain:
    """The recipe of a stage without anything to say, and what all others may say too."""

    minutes: float = 0.0  # of wall time, unless the command line says otherwise


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Schedule(Plain):
    """What the Trainer needs to know. Learning rates fall on a half cosine over the stage."""

    learning_rate: float
    # Part of the model -> factor of its learning rate.
    rate_factors: dict[str, float] = dataclasses.field(default_factory=dict)
    weight_decay: float = 0.0
    warmup: int = 100  # steps over which the learning rate rises
    decay: float = 0.9999  # of the average of the weights
    accumulate: int = 1  # batches whose gradients make one step
    save_minutes: float = 4.0  # between checkpoints


@dataclasses.dataclass(frozen=True)
class Run:
    """One stage of a training. recipe: of the class that the stage names; data: see data.py; out: folder of its checkpoints."""

    profile: Profile
    recipe: Any
    data: Path
    out: Path
    accelerator: Accelerator
    minutes: float = 0.0
    steps: int | None = None  # in place of the minutes
    compiled: bool = False
    keep_symbols: Path | None = None  # weights file whose integers the export carries over
    quiet: bool = False  # says nothing of its progress


class Entry(NamedTuple):
    """A stage of a profile: what runs it, and the class of its table."""

    train: Callable[[Run], object]
    recipe: type


def read(path: Path, profile: Profile, stages: dict[str, Entry]) -> tuple[Profile, dict[str, Any]]:
    """A recipe -> the profile as its table [profile] changes it, and the recipe of every stage. InputError names what is wrong.

    `profile.FIELDS` says what the table may change. Residual blocks and parts that a checkpoint does not have are
    zero-initialised.
    """
    tables = _tables(path)
    if unknown := [name for name in tables if name not in (*stages, "profile")]:
        raise InputError(f"{path}: there is no stage [{unknown[0]}]{_meant(unknown[0], list(stages))}")
    changes = tables.get("profile", {})
    if unknown := [name for name in changes if name not in FIELDS]:
        raise InputError(f"{path}: [profile] {unknown[0]}: is not known{_meant(unknown[0], list(FIELDS))}")
    try:
        own = changed(profile, changes)
    except ValueError as error:
        raise InputError(f"{path}: [profile] {error}") from error
    recipes = {name: check(entry.recipe, tables.get(name), f"{path}: [{name}]") for name, entry in stages.items()}
    return own, recipes


def _tables(path: Path) -> dict[str, Any]:
    """The tables of a recipe, those that it takes over from another one included."""
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: is not a recipe ({error}); see osdcodec/training/README.md") from error
    tables = _renamed(tables)
    other = tables.pop("like", None)
    return _merged(_tables(path.parent / str(other)), tables) if other else tables


def _renamed(table: dict[str, Any]) -> dict[str, Any]:
    """A table with the present names of all its keys, those of the tables in it included."""
    present = {name: _renamed(value) if isinstance(value, dict) else value for name, value in table.items()}
    return {ALIASES.get(name, name): value for name, value in present.items()}


def _merged(before: dict, after: dict) -> dict:
    """after over before, table by table and key by key."""
    both = {
        name
        for name in before.keys() & after.keys()
        if isinstance(before[name], dict) and isinstance(after[name], dict)
    }
    return before | after | {name: _merged(before[name], after[name]) for name in both}


def check(recipe: type, table: dict | None, where: str) -> Any:
    """A table as the dataclass `recipe`. InputError names the key. None stands for a table that is not there: then for None,
    unless the dataclass needs nothing."""
    adapter: TypeAdapter[Any] = TypeAdapter(recipe)
    try:
        return adapter.validate_python(table or {})
    except ValidationError as found:
        if table is None:
            return None
        # Of a value that may be of several kinds pydantic gives an error for each: the first one is meant.
        error = min(
            found.errors(), key=lambda e: (e["type"] != UNKNOWN, e["type"].endswith("_type"), e["type"] == "missing")
        )
        key = ".".join(str(part) for part in error["loc"] if not _is_type(part))
        if error["type"] == UNKNOWN:
            schema = adapter.json_schema()
            parts = [schema] if len(error["loc"]) == 1 else schema.get("$defs", {}).values()
            names = [name for part in parts for name in part.get("properties", {})]
            raise InputError(f"{where} {key}: is not known{_meant(str(error['loc'][-1]), names)}") from found
        raise InputError(
            f"{where} {key}: {'is missing' if error['type'] == 'missing' else error['msg'].removeprefix('Value error, ')}"
        ) from found


def _is_type(part: str | int) -> bool:
    """Whether a part of pydantic's path is a branch of a union and not a key."""
    return isinstance(part, str) and ("[" in part or part in ("float", "int", "Term"))


def _meant(word: str, names: list[str]) -> str:
    close = get_close_matches(word, names, 1)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(sorted(names))}"
