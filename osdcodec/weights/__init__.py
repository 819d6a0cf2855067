"""Models: the list of them (registry), verified tensors (loading, storage), and the pretrained models that some are built on (downloads).

What loading.py offers is found here when it is first used, for `osdc info` asks for the list alone and must not wait for NumPy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .loading import (
        SUFFIX,
        Weights,
        entry,
        for_model,
        inventory,
        load,
        metadata,
        metadata_for,
        model_id,
        models_in,
        rates,
        trust_graph,
        verify,
    )
    from .storage import Tensors, deflate, parse

__all__ = [
    "SUFFIX",
    "Tensors",
    "Weights",
    "deflate",
    "entry",
    "for_model",
    "inventory",
    "load",
    "metadata",
    "metadata_for",
    "model_id",
    "models_in",
    "parse",
    "rates",
    "trust_graph",
    "verify",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in __all__:
        home = "storage" if name in ("Tensors", "deflate", "parse") else "loading"
        return getattr(import_module(f".{home}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
