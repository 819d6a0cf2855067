"""A weights file as a model in torch, and the other way of its pretrained parts."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ..errors import WeightsError
from ..models import CodecModel
from ..models.growth import grown
from ..profile import Profile
from .loading import Weights


def new_model(profile: Profile, pretrained: Callable[[str], Path]) -> CodecModel:
    """An untrained model on pretrained ones. WeightsError if these are not available, or not what the profile is built on."""
    try:
        return CodecModel(profile, pretrained)
    except ValueError as error:
        raise WeightsError(str(error)) from error


def open_tower(model: CodecModel) -> None:
    """Loads the CLIP tower, where only an encoder needs it. WeightsError if it is not available."""
    try:
        model.semantics.open()
    except ValueError as error:
        raise WeightsError(str(error)) from error


def load_model(weights: Weights, profile: Profile | None = None) -> CodecModel:
    """The torch model of a weights file, prior included: training resumes from it.

    profile: another one, with more residual blocks, which are zero-initialised. WeightsError if the file is not of such a model.
    """
    model = new_model(profile or weights.profile, weights.pretrained)
    elsewhere = ("prior.", "gains.", "preview.")
    networks = {
        n: torch.from_numpy(np.array(weights.tensors[n])) for n in weights.tensors if not n.startswith(elsewhere)
    }
    kept = {name: tensor for name, tensor in model.state_dict().items() if name.startswith(elsewhere)}
    if model.profile.pretrained:
        from ..models.turbo import of_pretrained

        kept |= {name: tensor for name, tensor in model.state_dict().items() if of_pretrained(name)}
    try:
        state = grown(networks | kept, model)
    except ValueError as error:
        raise WeightsError(f"{weights.path} does not fit profile {model.profile.name}: {error}") from error
    model.load_state_dict({name: tensor for name, tensor in state.items() if name not in kept}, strict=False)
    model.prior.load(weights.tensors)
    with torch.no_grad():
        for name in ("latent", "inverse", "hyper"):
            getattr(model.gains, name).copy_(torch.from_numpy(np.log(weights.tensors[f"gains.{name}"])))
    return model
