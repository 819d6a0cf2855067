"""What the encoder's search runs on, after a look whether the gradient that comes out is one."""

import logging
from importlib.metadata import version
from typing import Protocol

import numpy as np

from .. import cache
from ..errors import WeightsError
from ..extras import require
from ..weights import Weights
from ..weights.search import with_search
from . import Choice, Machine, choose, open_graphs
from .choice import TITLES

LOG = logging.getLogger("osdcodec.search")  # the command line shows it with --verbose
SIDE = 64  # of the picture at which a gradient is checked, in pixels
STEP = 0.1  # of the walk along it, in the root mean square of the values
NEAR = 0.5, 1.5  # what the slope may be of the one that the gradient foretells; half precision is that far from it


class SearchNetworks(Protocol):
    """Runs a graph of the search file by its name: see training/export/search.py."""

    def preload(self, *verbs: str) -> None:
        """That these graphs will be asked for."""

    def fit(self, verb: str, **inputs: np.ndarray) -> None:
        """That this graph will be asked for, with inputs of these shapes."""

    def run(self, verb: str, **inputs: np.ndarray) -> list[np.ndarray]:
        """The outputs of a graph for arrays by the names of its inputs."""


def open_search(model: Weights, machine: Machine) -> tuple[Weights, SearchNetworks]:
    """The model with its search file, and what runs its graphs: on the device of the networks if its gradient is right there.

    Raises:
        WeightsError: There is no search for this model, or no backend whose gradient is right.
        OsdError: The device needs an extra that is not installed.
    """
    weights = with_search(model)
    first = choose(machine.device)
    for choice in (first, choose("cpu")) if first.runtime != "onnxruntime" else (first,):
        networks = _networks(model, weights, choice, machine.threads)
        networks.preload("look", "distance")
        if _right(networks, weights, choice):
            return weights, networks
        LOG.info("the gradient of %s is wrong on this machine: it is not searched with", TITLES[choice.runtime])
    raise WeightsError("no runtime here has a right gradient: the encoder does not search")


def _networks(model: Weights, weights: Weights, choice: Choice, threads: int | None) -> SearchNetworks:
    if choice.runtime != "torch":
        return open_graphs(weights, choice, threads)
    require("searching in torch", "torch", "diffusers", "open_clip")
    from .torch_search import TorchNetworks

    return TorchNetworks(model, weights.tensors, choice.place, choice.precision != "float")


def _right(networks: SearchNetworks, weights: Weights, choice: Choice) -> bool:
    """Whether the gradient is right, told from a cache where it was found before."""
    key = "gradient", *choice[:3], weights.sha256, version(choice.runtime)  # each is called as its package
    known = cache.read(*key) if weights.sha256 else None
    if known is not None:
        return bytes(known) == b"right"
    right = NEAR[0] < slope_ratio(networks, weights) < NEAR[1]
    if weights.sha256:
        cache.write(b"right" if right else b"wrong", *key)
    return right


def slope_ratio(networks: SearchNetworks, weights: Weights) -> float:
    """How steeply the distortion grows along the gradient, over how steeply it should: 1 if the gradient is right.

    By finite differences at a small random place.
    """
    random, profile = np.random.default_rng(0), weights.profile
    side = SIDE // profile.stride
    x = random.uniform(-1, 1, (1, 3, SIDE, SIDE)).astype(np.float32)
    fine = side * profile.z_per_y
    known = {f"features.{n}": part for n, part in enumerate(networks.run("look", x=x))} | {
        "x": x,
        "noise": random.standard_normal((1, profile.autoencoder_channels, fine, fine), np.float32),
        "tokens": np.zeros((1, profile.tokens), np.int64),
        "level": np.array([200], np.float32),
        "alpha_bar": np.full((1, 1, 1, 1), profile.alpha_bar(200), np.float32),
        "place": np.array([0, 0, SIDE, SIDE]),
        **{f"{name}_price": np.ones(1, np.float32) for name in ("squared", "perceived", "near", "texture")},
    }

    def look(values: np.ndarray) -> tuple[float, np.ndarray]:
        *parts, gradient = networks.run("distance", values=values, **known)
        return float(sum(part.sum() for part in parts)), gradient

    values = random.standard_normal((1, profile.latent_channels, side, side), np.float32)
    gradient = look(values)[1]
    length = float(np.sqrt(np.square(gradient, dtype=np.float64).sum()))
    if not (np.isfinite(length) and length > 0):
        return float("nan")
    walk = (STEP * np.sqrt(values.size) / length * gradient).astype(np.float32)
    grown = look(values + walk / 2)[0] - look(values - walk / 2)[0]
    return grown / (STEP * np.sqrt(values.size) * length)
