"""Stages `export` and `unpack`: from a checkpoint to a weights file, and from the released one to a checkpoint."""

from pathlib import Path

import torch
from pydantic.dataclasses import dataclass

from ...models import CodecModel
from ...weights import entry, load, metadata_for
from ...weights.to_torch import load_model
from ...weights.writer import components_text, registry_text
from ..checkpoints import averaged, fill, newest, read
from ..data import Photos
from ..recipe import STRICT, Plain, Run
from .reach import margins
from .tensors import count_symbols, count_tokens, export, fit_preview, kept_symbols, normative, watched

PREVIEW_PICTURES = 60  # 9,408 numbers need no more


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ExportRecipe(Plain):
    pictures: int  # photographs over which frequencies of tokens and symbols are counted


def unpack_weights(run: Run) -> CodecModel:
    """The released weights -> out/start.pt, from which stage `codec` goes on. Residual blocks that they lack are zero-initialised."""
    model = load_model(load(run.profile.name), run.profile)
    torch.save(model.state_dict(), run.out / "start.pt")
    return model


def export_small(run: Run) -> Path:
    """The newest model in `out` -> out/<profile>.safetensors, listed by a weights.toml beside it: `--weights-dir out`."""
    source, model = newest(run.out), CodecModel(run.profile)
    state = read(source)
    fill(model.eval(), averaged(state) if "average" in state else state, source)
    photos, pictures = Photos(run.data, seed=4), run.recipe.pictures if run.steps is None else 5
    watch = watched(run.quiet, run.minutes / 3)  # there are three walks over the photographs
    preview = fit_preview(model, photos, min(pictures, PREVIEW_PICTURES), watch)
    if run.keep_symbols:
        fixed = kept_symbols(model, run.keep_symbols)
    else:
        fixed = normative(
            model, count_tokens(model, photos, pictures, watch), *count_symbols(model, photos, pictures, watch)
        )
    path = run.out / f"{run.profile.name}.safetensors"
    size = export(model, fixed, path, metadata_for(run.profile, margins(model)), preview)
    list_alone(path, run)
    print(f"{path}: {source.name}, {size / 2**20:.2f} MiB")
    return path


def list_alone(path: Path, run: Run) -> None:
    """Writes a weights.toml beside the file that lists it, and keeps what it says of pretrained models."""
    told = {"revision": 0, "terms": "not released", "data": str(run.data), "results": []}
    registry = path.with_name("weights.toml")
    text = registry_text([entry(path, run.profile.name) | told])
    registry.write_text(text + "\n" + components_text(registry), "utf-8")
