"""Stage `tower`: a small CLIP, contrastively, on labelled thumbnails; then the codebook over its features."""

from pathlib import Path

import open_clip
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn import functional as F

from ..models.semantics import Semantics, contrastive_model
from ..profile import Profile
from .data import Photos, Thumbnails
from .trainer import Trainer


def contrastive_loss(images: Tensor, texts: Tensor, scale: Tensor, same: Tensor) -> Tensor:
    """CLIP's symmetric loss where several pairs of a batch may belong together (UniCL, Yang et al., 2022).

    images (B, d), texts (B, d) of unit length; same (B, B) boolean: which of them share a class.
    """
    logits = scale * images @ texts.T
    targets = same / same.sum(1, keepdim=True)
    return (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2


def train_tower(
    profile: Profile, config: dict, data: Path, out: Path, accelerator: Accelerator, minutes: float, steps: int | None
) -> Semantics:
    """Trains tower and codebook; returns them and leaves out/semantics.pt."""
    thumbnails = Thumbnails(data / "thumbnails")
    model = contrastive_model(profile).to(accelerator.device)
    trainer = Trainer("tower", out, model, accelerator, config, decay=0.995)
    tokenizer = open_clip.SimpleTokenizer(context_length=model.context_length)

    def step(_: int) -> tuple[Tensor, dict[str, float]]:
        pictures, labels = thumbnails.batch(config["batch"])
        prompts = tokenizer(thumbnails.prompts(labels)).to(accelerator.device)
        with accelerator.autocast():
            images, _ = model.visual(pictures.to(accelerator.device))
            images, texts = F.normalize(images, dim=-1), model.encode_text(prompts, normalize=True)
        classes = torch.from_numpy(labels).to(accelerator.device)
        same = classes[:, None] == classes
        loss = contrastive_loss(images.float(), texts.float(), model.logit_scale.exp().clamp(max=100), same)
        with torch.no_grad():
            hit = same.gather(1, (images @ texts.T).argmax(1, keepdim=True)).float().mean()
        return loss, {"hit": hit.item()}

    trained = trainer.run(step, minutes, steps)
    semantics = Semantics(profile).to(accelerator.device).eval()
    semantics.tower.load_state_dict(
        trained.visual.state_dict(), strict=False
    )  # all but the projection to the text side
    photos = Photos(data / "train")
    with (
        torch.no_grad()
    ):  # the codebook is fitted to crops as the codec will see them: small scenes, not single objects
        enough = steps is None
        crops = [F.interpolate(photos.batch(64, 256), profile.thumb, mode="area") for _ in range(150 if enough else 5)]
        features = torch.cat([semantics.features(c.to(accelerator.device)).flatten(0, 1) for c in crops])
        cosine = semantics.fit(features)
    trainer.log({"codebook_cosine": round(cosine, 4), "features": len(features)})
    torch.save(semantics.state_dict(), out / "semantics.pt")
    return semantics
