"""What trainings leave behind: how models lie in checkpoints, and how they are found and opened again."""

from collections.abc import Callable
from pathlib import Path

import torch
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ..errors import InputError
from ..models import CodecModel
from ..models.growth import grown
from ..profile import SMALL, Profile, changed

FINISHED = "model.pt", "fitted.pt", "averaged.pt", "codec.pt", "start.pt"  # what can be exported


def read(path: Path) -> dict:
    """The content of a checkpoint, on the CPU. InputError if there is none."""
    if not path.is_file():
        raise InputError(f"{path} is missing: run the earlier stages first")
    return torch.load(path, map_location="cpu", weights_only=True)


def fill(model: nn.Module, state: dict[str, Tensor], source: Path | str) -> None:
    """Loads a state dict, of a model with fewer residual blocks too. InputError if it is of another model."""
    try:
        model.load_state_dict(grown(state, model))
    except (ValueError, RuntimeError) as error:
        raise InputError(f"{source} is of another model: {error}") from error


def averaged(state: dict) -> dict[str, Tensor]:
    """The state dict of the averaged model of a stage's checkpoint."""
    average = state["average"]
    return {name.removeprefix("module."): v for name, v in average.items() if name.startswith("module.")}


def load(path: Path, profile: Profile = SMALL) -> CodecModel:
    """The model of codec.pt, of which the averaged one is taken, averaged.pt, fitted.pt, model.pt or start.pt.

    codec.pt tells what its recipe has changed of the profile; of the others, which are a state alone, `profile` has to be that.
    """
    state = read(path)
    model = CodecModel(changed(profile, state.get("changes", {})))
    fill(model, averaged(state) if "average" in state else state, path)
    return model


def newest(out: Path) -> Path:
    """The model of a run that was made last. InputError if there is none."""
    found = [path for name in FINISHED if (path := out / name).is_file()]
    if not found:
        raise InputError(f"{out} holds no model: run the stage `codec`, or `unpack`, first")
    return max(found, key=lambda path: path.stat().st_mtime)


Tensors = tuple[Tensor, ...] | list[Tensor]


def warm_average(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """Exponential moving average whose decay rises from a quarter to `decay`: the first steps must not linger in it."""

    @torch.no_grad()
    def update(averages: Tensors, currents: Tensors, count: Tensor | int) -> None:
        share = 1 - min(decay, (1 + float(count)) / (4 + float(count)))
        torch._foreach_lerp_(averages, currents, share)

    return update


class Whole:
    """A model and its average, all of both: `model` and `average` of a checkpoint."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = model
        self.average = AveragedModel(model, multi_avg_fn=warm_average(decay), use_buffers=True)

    def update(self) -> None:
        self.average.update_parameters(self.model)

    def averaged(self) -> nn.Module:
        return self.average.module

    def state(self) -> dict:
        return {"model": self.model.state_dict(), "average": self.average.state_dict()}

    def load(self, state: dict) -> None:
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])


class Learned:
    """Of a model on pretrained ones what these do not bring, and an average of what is trained: `learned`, `names`, `average`."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = model
        trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self.names, self.parameters = [name for name, _ in trained], [p for _, p in trained]
        self.average = EMAModel(self.parameters, decay=decay, use_ema_warmup=True)

    def update(self) -> None:
        self.average.step(self.parameters)

    def averaged(self) -> nn.Module:
        """The model itself, which takes the values of the average."""
        self.average.copy_to(self.parameters)
        return self.model

    def state(self) -> dict:
        return {"learned": learned(self.model), "names": self.names, "average": self.average.state_dict()}

    def load(self, state: dict) -> None:
        load_learned(self.model, state["learned"])
        self.average.load_state_dict(state["average"])


def learned(model: nn.Module) -> dict[str, Tensor]:
    """Of the state dict what no pretrained model brings."""
    from ..models.turbo import of_pretrained

    return {name: tensor for name, tensor in model.state_dict().items() if not of_pretrained(name)}


def load_learned(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """InputError if there is a tensor that the model does not have."""
    if unknown := model.load_state_dict(tensors, strict=False).unexpected_keys:
        raise InputError(f"the checkpoint is of another model: it has {unknown[0]}")


def averaged_learned(state: dict) -> dict[str, Tensor]:
    """What was learned, averaged, of a checkpoint of a profile on pretrained models."""
    return state["learned"] | dict(zip(state["names"], state["average"]["shadow_params"], strict=True))
