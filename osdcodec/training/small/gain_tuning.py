"""Stage `gain_tuning`: along the line of fidelity and detail, towards detail at those lambdas that have too little of it.

Only the inverse gains learn, 160 numbers for each lambda, so symbols and bits stay as they are. So few numbers hardly feel the noise
of small batches: minutes suffice, and detail costs half of what it does in stage `codec` (lab book, revision 7).
"""

from collections.abc import Iterator

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from ...models import CodecModel
from ...models.transforms import Gains
from ...rate_control import ANCHORS, quality_byte
from ..checkpoints import fill, read
from ..data import Photos
from ..losses import Losses, Seen, Terms
from ..recipe import STRICT, Anchored, Run, Schedule
from ..trainer import Stage, Trainer


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GainTuningRecipe(Schedule):
    share: Anchored  # of what the gains have learned, kept at each lambda
    crop: int
    losses: Terms


class GainTuning(Stage[Gains]):
    """A batch has a picture for each anchor lambda."""

    quality: Tensor

    def __init__(self, run: Run, codec: CodecModel) -> None:
        super().__init__(codec.gains)
        self.codec, self.crop, self.photos = codec, run.recipe.crop, Photos(run.data, seed=5)
        self.losses = Losses(run.recipe.losses, run.data, codec)
        quality = torch.tensor([float(quality_byte(lmbda)) for lmbda in ANCHORS])
        self.register_buffer("quality", quality, persistent=False)

    def batches(self, seed: int) -> Iterator[Tensor]:
        self.photos.seed(5, seed)
        while True:
            yield self.photos.batch(len(ANCHORS), self.crop)

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        x = x.contiguous(memory_format=torch.channels_last)
        x_hat = self.codec(x, self.quality).x_hat.float()
        return self.losses(Seen(x, x_hat), self.model.weights(self.quality), self.steps, self.done)


def train_gains(run: Run) -> CodecModel:
    """out/fitted.pt, with `share` of what the gains learn, is then out/model.pt."""
    model = CodecModel(run.profile)
    fill(model, read(run.out / "fitted.pt"), run.out / "fitted.pt")
    model.to(run.accelerator.device).to(memory_format=torch.channels_last).requires_grad_(False).eval()
    start = model.gains.inverse.clone()
    model.gains.inverse.requires_grad_(True)
    learned = Trainer("gain_tuning", run, GainTuning(run, model)).train().inverse.detach()
    share = torch.tensor(run.recipe.share, device=run.accelerator.device)[:, None]
    model.gains.inverse.requires_grad_(False).copy_(start + share * (learned - start))
    torch.save(model.state_dict(), run.out / "model.pt")
    return model
