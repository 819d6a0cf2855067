"""A model's graphs in int8, from a small file beside it without tensors: the model's own file has its kernels in int8 as it is.

[[model]]                  in weights.toml, of the model whose activations were measured
int8 = "int8.safetensors"  beside the file, else in osdcodec/embedded/
int8_sha256 = "…"          of the file
"""

from dataclasses import replace

from .loading import Weights, int8_graphs


def with_int8(model: Weights, runtime: str) -> Weights:
    """A model with int8 graphs in place of its own, as far as there are any.

    Args:
        model: As it was loaded.
        runtime: "onnxruntime" or "openvino", whose graphs quantise in different places.

    Raises:
        WeightsError: The file is missing or not the one listed.
    """
    file = int8_graphs(model)
    if file is None:
        return model
    start = f"{runtime}."
    own = {name.removeprefix(start): graph for name, graph in file.graphs().items() if name.startswith(start)}
    return replace(model, graphs=model.graphs | own)
