"""Stage `tower`: a small CLIP, contrastively, on labelled thumbnails; then the codebook over its features."""

import sys
from collections.abc import Iterator
from typing import NamedTuple

import open_clip
import torch
from open_clip import CLIP
from pydantic.dataclasses import dataclass
from torch import Tensor
from torch.nn import functional as F

from ...models.semantics import Semantics, contrastive_model
from ...weights import load
from ...weights.to_torch import load_model
from ..data import Photos, Thumbnails
from ..losses import full_precision
from ..recipe import STRICT, Run, Schedule
from ..trainer import Stage, Trainer


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TowerRecipe(Schedule):
    batch: int
    decay: float = 0.995


class Batch(NamedTuple):
    pictures: Tensor  # (B, 3, 64, 64) in [-1, 1]
    prompts: Tensor  # (B, length) tokens of CLIP's text side
    classes: Tensor  # (B,)


def contrastive_loss(images: Tensor, texts: Tensor, scale: Tensor, same: Tensor) -> Tensor:
    """CLIP's symmetric loss where several pairs of a batch may belong together (UniCL, Yang et al., 2022).

    images (B, d), texts (B, d) of unit length; same (B, B) boolean: which of them share a class.
    """
    logits = scale * images @ texts.T
    targets = same / same.sum(1, keepdim=True)
    return (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2


class Tower(Stage[CLIP]):
    def __init__(self, run: Run) -> None:
        super().__init__(contrastive_model(run.profile))
        self.thumbnails, self.size = Thumbnails(run.data / "thumbnails"), run.recipe.batch
        self.tokenizer = open_clip.SimpleTokenizer(context_length=self.model.context_length)

    def batches(self, seed: int) -> Iterator[Batch]:
        self.thumbnails.seed(seed)
        while True:
            pictures, labels = self.thumbnails.batch(self.size)
            yield Batch(pictures, self.tokenizer(self.thumbnails.prompts(labels)), torch.from_numpy(labels))

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        images, _ = self.model.visual(batch.pictures)
        images, texts = F.normalize(images, dim=-1), self.model.encode_text(batch.prompts, normalize=True)
        same = batch.classes[:, None] == batch.classes
        with full_precision(images):
            images, texts, scale = images.float(), texts.float(), self.model.logit_scale.exp().clamp(max=100)
            loss = contrastive_loss(images, texts, scale, same)
        hit = same.gather(1, (images @ texts.T).argmax(1, keepdim=True))
        return loss, {"hit": hit.float()}


def train_tower(run: Run) -> Semantics:
    """Trains tower and codebook; returns them and leaves out/semantics.pt. Without thumbnails both are the released ones."""
    if not Thumbnails.at(run.data / "thumbnails"):
        print(
            f"osdc: no thumbnails in {run.data / 'thumbnails'}: tower and codebook are the released ones",
            file=sys.stderr,
        )
        semantics = load_model(load(run.profile.name)).semantics
        torch.save(semantics.state_dict(), run.out / "semantics.pt")
        return semantics
    trainer, device = Trainer("tower", run, Tower(run)), run.accelerator.device
    trained = trainer.train()
    semantics = Semantics(run.profile).to(device).eval()
    # All but the projection to the text side.
    assert semantics.tower is not None
    semantics.tower.load_state_dict(trained.visual.state_dict(), strict=False)
    photos, enough = Photos(run.data), run.steps is None
    with torch.no_grad():  # the codebook is fitted to crops as the codec will see them: scenes, not single objects
        crops = [
            F.interpolate(photos.batch(64, 256), run.profile.thumb, mode="area") for _ in range(150 if enough else 5)
        ]
        features = torch.cat([semantics.features(c.to(device)).flatten(0, 1) for c in crops])
        cosine = semantics.fit(features)
    trainer.log({"codebook_cosine": round(cosine, 4), "features": len(features)})
    torch.save(semantics.state_dict(), run.out / "semantics.pt")
    return semantics
