"""What the stages of `turbo` share: how a model is opened, its recipe, its batches."""

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ...models import CodecModel
from ...models.turbo import of_pretrained
from ...weights import downloads
from ...weights.to_torch import new_model, open_tower
from ..checkpoints import averaged_learned, load_learned, read
from ..data import Crops, in_range
from ..rate import RateControl, qualities
from ..recipe import STRICT, Anchored, Run, Schedule
from ..trainer import Stage


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TurboRecipe(Schedule):
    batch: int  # of one process, and of one of the batches that make a step
    crop: int
    workers: int = 0  # processes that read pictures
    checkpointing: bool = True  # of activations: a third more time, far less memory
    warmup: int = 500
    save_minutes: float = 15.0
    bpp: Anchored  # targets, towards which each rate multiplier is steered
    rate: Anchored  # multipliers to start from
    steer: float


class Batch(NamedTuple):
    x: Tensor  # (B, 3, H, W) in [-1, 1]
    quality: Tensor  # (B,)


class TurboStage(Stage[CodecModel]):
    def __init__(self, run: Run, model: CodecModel) -> None:
        super().__init__(model.train())
        self.recipe, self.data = run.recipe, run.data
        self.control = RateControl(run.recipe.bpp, run.recipe.rate, run.recipe.steer)
        if run.recipe.checkpointing:
            names = ["denoiser.unet", "autoencoder.vae"] + ["denoiser.control.net"] * bool(model.profile.control)
            for network in map(cast(Any, model).get_submodule, names):
                network.enable_gradient_checkpointing()

    def beside(self) -> dict[str, nn.Module]:
        return {"control": self.control} | super().beside()

    def told(self) -> dict[str, float]:
        return self.control.record()

    def batches(self, seed: int) -> Iterator[Batch]:
        random, crops = np.random.default_rng([20, seed]), Crops(self.data, self.recipe.crop, seed)
        pinned = torch.cuda.is_available()
        for pixels in DataLoader(crops, self.recipe.batch, num_workers=self.recipe.workers, pin_memory=pinned):
            yield Batch(in_range(pixels), qualities(random, len(pixels)))


def start(run: Run, before: str | None) -> CodecModel:
    """The model as the earlier stages left it, its pretrained models in the precision that they are used in."""
    model = new_model(run.profile, downloads.folder_of)
    open_tower(model)
    load_learned(model, read(run.out / "tokens.pt"))
    if before:
        load_learned(model, averaged_learned(read(run.out / f"{before}.pt")))
    if run.accelerator.mixed_precision == "bf16":
        for name, parameter in model.named_parameters():
            if of_pretrained(name):
                parameter.data = parameter.data.bfloat16()
    return model.to(run.accelerator.device).to(memory_format=torch.channels_last)
