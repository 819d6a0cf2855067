"""weights.toml -> verified tensors. No torch, and no pickle: safetensors only.

    [[model]]
    profile = "small"              whose sizes the tensors have
    file = "small.safetensors"     in osdcodec/embedded/
    model_id = "0a1b2c3d"          what .osd files call it
    sha256 = "…"                   of the file
    bytes = 24000000
    trust = "trust.onnx"           beside the file, else in osdcodec/embedded/: the map of trust that was fitted to it, if one was
    trust_sha256 = "…"
    int8 = "int8.safetensors"      likewise: its graphs in int8, see int8.py
    int8_sha256 = "…"
    revision = 1                   and terms, data, results: for people

What a profile is built on beside its own file, `[[component]]`, is the business of downloads.py.

A folder named by `weights_dir` or OSDC_WEIGHTS goes first: what its own weights.toml lists, else its copies of the
files that ours lists. Then comes what `osdc weights pull` made in the user's cache, if it made anything.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from safetensors import SafetensorError

from ..entropy import indices
from ..entropy.prior import Prior
from ..entropy.prior import model_id as latent_model_id
from ..errors import WeightsError
from ..profile import FIELDS, PROFILES, Profile, changed, changes
from . import downloads
from . import registry as catalogue
from .registry import VARIABLE
from .storage import Tensors, parse

SUFFIX = ".safetensors"
EMBEDDED = Path(__file__).parents[1] / "embedded"
_MARGINS = "margins"  # in the metadata: JSON of how far each verb reaches, in positions of y
_VERBS = {"analyse", "synthesise", "denoise", "render"}
_CHANGES = "changes"  # in the metadata: JSON of what the profile has otherwise than the one of its name
_FIELDS = "fields"  # and of what each of these fields is, for readers that do not know its name: see profile.Field


@dataclass(frozen=True)
class Weights:
    """One model. Network tensors are float32, those of the prior and the gains as they are stored."""

    profile: Profile
    tensors: Mapping[str, np.ndarray]
    graphs: dict[str, bytes]  # by name, without "graph."
    model_id: bytes
    path: Path
    weights_dir: Path | None = None
    sha256: str = ""  # of the file; empty if the tensors come from none
    margins: dict[str, int] | None = None  # of tiles, by verb, in positions of y, where the file tells them

    @cached_property
    def prior(self) -> Prior:
        """The integer prior of a latent model. WeightsError if it is not usable."""
        return Prior(self.tensors, self.profile)

    def pretrained(self, name: str) -> Path:
        """Folder of a pretrained model that the profile is built on. WeightsError if it is not available."""
        return downloads.folder_of(name, self.weights_dir)


def load(profile: str = "small", weights_dir: str | Path | None = None, registry: str | Path | None = None) -> Weights:
    """Opens the model that encodes for a profile.

    Args:
        profile: "small", "turbo" or "cod-lite".
        weights_dir: Folder whose weights take precedence.
        registry: Another weights.toml in place of the installed one; files are then looked for beside it.

    Raises:
        WeightsError: There is no such model here, or the file is not the one listed.
    """
    if profile not in PROFILES:
        raise WeightsError(f"profile {profile} is not known here: choose one of {', '.join(PROFILES)}")
    for model, path in _models(weights_dir, registry):
        if model["profile"] == profile:
            return _open(model, path, weights_dir)
    if PROFILES[profile].pretrained:
        raise WeightsError(
            f"the codec layers of profile {profile} are not trained yet, so it cannot encode: train them by "
            f"`python -m osdcodec.training --profile {profile}` (osdcodec/training/README.md, Profile turbo), then name their folder by `weights_dir`"
        )
    if PROFILES[profile].family == "indices":
        raise WeightsError(f"no weights of profile {profile} are here: `osdc weights pull {profile}` fetches them")
    raise WeightsError(f"no weights of profile {profile} are listed: reinstall osdc, or name a folder by `weights_dir`")


def rates(profile: str, weights_dir: str | Path | None = None) -> dict[float, bytes]:
    """Bits per pixel -> model id of the models of a profile that has one for each rate, as far as they are here."""
    ids: dict[float, bytes] = {}
    for model, path in _models(weights_dir):
        if model["profile"] == profile and path.is_file():
            if not isinstance(model.get("bpp"), float):
                raise WeightsError(f"the list that has {path} does not tell its bpp, a number: correct it")
            ids.setdefault(model["bpp"], bytes.fromhex(model["model_id"]))
    return ids


def for_model(wanted: bytes, weights_dir: str | Path | None = None, registry: str | Path | None = None) -> Weights:
    """Opens the model that an .osd file names by its id.

    Args:
        wanted: The four bytes of the id.
        weights_dir: Folder whose weights take precedence.
        registry: Another weights.toml in place of the installed one.

    Raises:
        WeightsError: The model is not available, or its file is not the one listed.
    """
    for model, path in _models(weights_dir, registry):
        if model["model_id"] == wanted.hex():
            return _open(model, path, weights_dir)
    if found := catalogue.released(registry).get(wanted.hex()):
        raise WeightsError(f"model {wanted.hex()}, {found['name']}, is not here: `{found['get']}` brings it")
    raise WeightsError(f"model {wanted.hex()} is not available: update osdc, or name its folder by `weights_dir`")


def inventory(weights_dir: str | Path | None = None) -> list[dict[str, str]]:
    """All that is listed, models and the pretrained ones they are built on: name, profile, terms, source and place."""
    rows = []
    for model, path in _models(weights_dir):
        profile = f"{model['profile']} {model['rate']}" if "rate" in model else model["profile"]
        row = {"name": model["file"], "profile": profile, "terms": model.get("terms", "")}
        rows.append(
            row | {"source": f"model {model['model_id']}", "place": str(path) if path.is_file() else "not here"}
        )
    for part in downloads.components(weights_dir):
        placed = downloads.place(part, weights_dir)
        row = {"name": part.name, "profile": ", ".join(part.profiles), "terms": part.licence}
        source = f"{part.repository} @ {part.revision[:12]}"
        rows.append(row | {"source": source, "place": str(placed[0]) if placed else "not here"})
    return rows


def verify(weights_dir: str | Path | None = None, registry: str | Path | None = None) -> Iterator[tuple[str, str]]:
    """(name, state) of all that is listed, read whole. WeightsError at the first file that is not the one listed."""
    for model, path in _models(weights_dir, registry):
        weights = _open(model, path)
        dict(weights.tensors)  # makes each of them
        yield model["file"], f"{path}: whole"
        for kind in ("trust", "int8"):
            if kind in model:
                _beside(model, path, kind)
                yield model[kind], "whole"
    yield from downloads.verify(weights_dir, registry)


def int8_graphs(weights: Weights) -> Tensors | None:
    """The file of int8 graphs that was made for the very file of a model; None if none was. WeightsError if it is not the one listed."""
    for model, path in _models(weights.weights_dir) if weights.sha256 else ():
        if model["sha256"] == weights.sha256 and isinstance(model.get("int8"), str):
            return tensors_of(_beside(model, path, "int8"), path.with_name(model["int8"]))
    return None


def trust_graph(weights: Weights) -> bytes:
    """The graph of the map of trust that was fitted to a model. WeightsError if there is none, or it is not the one listed."""
    for model, path in _models(weights.weights_dir):
        if model["model_id"] == weights.model_id.hex() and isinstance(model.get("trust"), str):
            return _beside(model, path, "trust")
    raise WeightsError(
        f"no map of trust was fitted to model {weights.model_id.hex()}: leave `trust` out, or fit one (osdcodec/trust/README.md)"
    )


def _beside(model: dict, path: Path, kind: str) -> bytes:
    """The bytes of a file that was made for a model, "trust" or "int8"."""
    place = path.with_name(model[kind])
    place = place if place.is_file() else EMBEDDED / model[kind]
    return read_listed(place, model.get(f"{kind}_sha256"))


def read_listed(path: Path, sha256: str | None) -> bytes:
    """The bytes of a file. WeightsError if it cannot be read, or is not the one listed, before anything looks inside."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror}): reinstall osdc, or see `weights_dir`") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise WeightsError(f"{path} is not the file listed ({len(data)} bytes, SHA-256 differs): fetch it again")
    return data


def tensors_of(data: bytes, path: Path) -> Tensors:
    """The bytes of a weights file -> its tensors. WeightsError if it is no safetensors file, or has an unknown type."""
    try:
        return Tensors(parse(data), path)
    except SafetensorError as error:
        raise WeightsError(f"{path} is not a safetensors file: {error}") from error
    except KeyError as error:
        raise WeightsError(f"{path} holds a tensor of the unknown type {error}") from error


def entry(path: str | Path, profile: str) -> dict:
    """What weights.toml has to say of a file: profile, file, model_id, sha256, bytes."""
    data = Path(path).read_bytes()
    return {
        "profile": profile,
        "file": Path(path).name,
        "model_id": model_id(parse(data)).hex(),
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
    }


def model_id(tensors: Mapping[str, np.ndarray]) -> bytes:
    """What .osd files call the model of these tensors. KeyError if it has neither kind of codebook."""
    return indices.model_id(tensors) if "code.codebook" in tensors else latent_model_id(tensors)


def models_in(folder: Path) -> list[tuple[dict, Path]]:
    """The models that a folder's own list has, if it has one, and their files."""
    path = folder / catalogue.NAME
    return [(model, folder / model["file"]) for model in catalogue.models(path)] if path.is_file() else []


def _models(weights_dir: str | Path | None, registry: str | Path | None = None) -> Iterator[tuple[dict, Path]]:
    """Every listed model and where its file should be, in order of precedence."""
    folder = catalogue.folder(weights_dir)
    own: list[tuple[dict, Path]] = []
    if folder:
        if not folder.is_dir():
            raise WeightsError(f"the weights folder {folder} is not there: correct `weights_dir` or {VARIABLE}")
        own = models_in(folder)
        yield from own
    if not registry:
        yield from models_in(catalogue.cache())
    ours = catalogue.installed(registry)
    home, taken = ours.parent if registry else EMBEDDED, {model["file"] for model, _ in own}
    for model in catalogue.models(ours):
        copy = folder / model["file"] if folder else None
        yield model, copy if copy and copy.is_file() and model["file"] not in taken else home / model["file"]


def _open(model: dict, path: Path, weights_dir: str | Path | None = None) -> Weights:
    """Reads the file once, compares its hash, and only then looks inside."""
    if path.suffix != SUFFIX:
        raise WeightsError(f"{path} is refused: weights are {SUFFIX} files, which cannot run code")
    if model["profile"] not in PROFILES:
        raise WeightsError(f"{path} is of profile {model['profile']}, which is not known here: update osdc")
    data = read_listed(path, model["sha256"])
    tensors = tensors_of(data, path)
    try:
        identity = model_id(tensors)
    except KeyError as error:
        raise WeightsError(f"{path} lacks the tensor or the type {error}") from error
    if "code.table" in tensors and any(name.startswith("prior.") for name in tensors):
        raise WeightsError(f"{path} has two codes, code.* and prior.*, so its symbols are not known here: update osdc")
    if identity.hex() != model["model_id"]:
        raise WeightsError(f"{path} holds model {identity.hex()}, not {model['model_id']} as listed: fetch it again")
    folder = Path(weights_dir) if weights_dir else None
    try:
        profile = changed(PROFILES[model["profile"]], json.loads(metadata(data).get(_CHANGES, "{}")))
    except (ValueError, AttributeError) as error:
        raise WeightsError(f"{path} is of a profile that is not known here ({error}): update osdc") from error
    try:
        margins = read_margins(metadata(data).get(_MARGINS), profile)
    except ValueError as error:
        raise WeightsError(f"{path} tells margins of tiles that cannot be ({error}): fetch it again") from error
    return Weights(profile, tensors, tensors.graphs(), identity, path, folder, model["sha256"], margins)


def read_margins(told: str | None, profile: Profile) -> dict[str, int] | None:
    """The margins of tiles that a weights file tells; None if it tells none. ValueError if they cannot be."""
    if told is None:
        return None
    margins = json.loads(told)
    if not isinstance(margins, dict) or margins.keys() != _VERBS:
        raise ValueError(f"not those of {', '.join(sorted(_VERBS))}")
    if not all(type(margin) is int and 0 <= margin < 2**12 for margin in margins.values()):
        raise ValueError("not whole numbers of positions")
    if margins["analyse"] % profile.hyper_factor:
        raise ValueError(f"that of analyse is no multiple of {profile.hyper_factor}")
    return margins


def metadata(data: bytes) -> dict[str, str]:
    """The metadata of a safetensors file whose tensors could be read."""
    return dict(json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__") or {})


def metadata_for(profile: Profile, margins: dict[str, int] | None = None) -> dict[str, str]:
    """The metadata of a weights file.

    Args:
        profile: Told by its name, and by what it has otherwise than the one of that name.
        margins: Of tiles, by verb, in positions of y; None if they are not known.
    """
    made, other = {"profile": profile.name}, changes(profile)
    if other:
        about = {name: FIELDS[name]._asdict() for name in other}
        made |= {_CHANGES: json.dumps(other), _FIELDS: json.dumps(about)}
    return made | ({_MARGINS: json.dumps(margins)} if margins else {})
