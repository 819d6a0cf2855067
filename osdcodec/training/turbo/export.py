"""Stage `export`: what was learned as a weights file; the pretrained models lie beside it, as they were published."""

import numpy as np
import torch
from safetensors.torch import save_file

from ...weights import metadata_for
from ..checkpoints import learned
from ..data import Photos
from ..export.stage import list_alone
from ..export.tensors import count_symbols, count_tokens, kept_symbols, normative, watched
from ..recipe import Run
from .stages import start

FIXED = "prior.", "gains."  # as integers, and as factors


def export_turbo(run: Run) -> None:
    """The average of stage `pixels` -> out/turbo.safetensors, listed by a weights.toml beside it: `--weights-dir out`."""
    if not run.accelerator.is_main_process:
        return
    model = start(run, "pixels").eval()
    if run.keep_symbols:
        made = kept_symbols(model.float(), run.keep_symbols)
    else:
        pictures = run.recipe.pictures if run.steps is None else 5
        photos = Photos(run.data, seed=12, memory=0)
        with torch.inference_mode(), run.accelerator.autocast():
            watch = watched(run.quiet, run.minutes / 2)
            counts = count_tokens(model, photos, pictures, watch), *count_symbols(model, photos, pictures, watch)
        made = normative(model.float(), *counts)
    tensors = {
        name: tensor.half().cpu().contiguous() for name, tensor in learned(model).items() if not name.startswith(FIXED)
    }
    tensors |= {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in made.items()}
    path = run.out / f"{run.profile.name}.safetensors"
    save_file(tensors, path, metadata_for(run.profile))
    list_alone(path, run)
    print(f"{path}: {path.stat().st_size / 2**20:.2f} MiB")
