"""Stage `tokens`: the codebook, by spherical k-means over features of the CLIP tower."""

import torch
from pydantic.dataclasses import dataclass
from torch.nn import functional as F

from ...weights import downloads
from ...weights.to_torch import new_model, open_tower
from ..data import Photos
from ..recipe import STRICT, Plain, Run


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TokensRecipe(Plain):
    batch: int
    batches: int = 400  # as many features as a batch has pictures and a picture tokens


def train_tokens(run: Run) -> None:
    """Fits the codebook and leaves it in out/tokens.pt."""
    if (run.out / "tokens.pt").exists() or not run.accelerator.is_main_process:
        return run.accelerator.wait_for_everyone()
    profile, device = run.profile, run.accelerator.device
    model = new_model(profile, downloads.folder_of)
    model.semantics.to(device)
    open_tower(model)
    photos, features = Photos(run.data, seed=10, memory=0), []
    with torch.inference_mode(), run.accelerator.autocast():
        for _ in range(run.recipe.batches if run.steps is None else run.steps):
            x = F.interpolate(photos.batch(run.recipe.batch, 2 * profile.thumb), profile.thumb, mode="area")
            features.append(model.semantics.features(x.to(device)).flatten(0, 1).float())
        cosine = model.semantics.fit(torch.cat(features))
    print(f"codebook: mean cosine {cosine:.4f} over {sum(len(part) for part in features)} features")
    torch.save({"semantics.codebook": model.semantics.codebook.cpu().clone()}, run.out / "tokens.pt")
    return run.accelerator.wait_for_everyone()
