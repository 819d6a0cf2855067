"""The file that the encoder's search needs beside a model: graphs with gradients, and perceptual networks in 8 bits.

[search]                     in weights.toml
profile = "small"            for models of this profile, whatever their weights
file = "search.safetensors"  in osdcodec/embedded/
sha256 = "…"                 of the file
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from ..errors import WeightsError
from ..profile import PROFILES
from . import registry
from .loading import EMBEDDED, Weights, read_listed, tensors_of
from .storage import TURNED


class Both(Mapping[str, np.ndarray]):
    """The tensors of two files without a common name. The file of a kernel makes the turned kernel too."""

    def __init__(self, first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> None:
        self.files = first, second

    def __getitem__(self, name: str) -> np.ndarray:
        first, second = self.files
        return first[name] if name.removesuffix(TURNED) in first else second[name]

    def __iter__(self) -> Iterator[str]:
        return (name for file in self.files for name in file)

    def __len__(self) -> int:
        return sum(map(len, self.files))


def with_search(model: Weights) -> Weights:
    """A model with the graphs of its search in place of its own, and their tensors beside its own.

    Raises:
        WeightsError: There is no search for this model, or the file is missing or damaged.
    """
    listed = registry.search()
    name = model.profile.name
    if listed.get("profile") != name or model.profile != PROFILES[name]:
        raise WeightsError(f"there is no search file for models like {model.path.name}")
    path = EMBEDDED / listed["file"]
    tensors = tensors_of(read_listed(path, listed["sha256"]), path)
    graphs = tensors.graphs()
    known = {*model.tensors, *tensors}
    for tensor in graphs["distance.tensors"].decode().split("\n"):
        if tensor.removesuffix(TURNED) not in known:
            raise WeightsError(f"there is no search file for models like {model.path.name}, which lacks {tensor}")
    return replace(
        model,
        tensors=Both(model.tensors, tensors),
        graphs=graphs,
        sha256=model.sha256 and model.sha256 + listed["sha256"],
    )
