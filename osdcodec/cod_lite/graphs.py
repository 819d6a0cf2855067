"""The layers as ONNX graphs that hold no tensors, only their names in the weights file: what `runtime.onnx` opens.

A graph is a layer, or half of one where the statistics of the whole picture stand between its halves, so that a picture can be
worked on by bands: see bands.py. For pictures that are small enough to need no bands there are graphs of many layers beside them,
of the same tensors.
"""

import copy
import io
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, cast

import onnx
import torch
from torch import Tensor, nn

from .networks import Networks
from .sizes import PATCH, Layer, runs

Graph = tuple[bytes, list[str]]
OPSET = 17


class Method(nn.Module):
    """A method of a module as a module, for the exporter."""

    def __init__(self, owner: nn.Module, name: str) -> None:
        super().__init__()
        self.owner, self.name = owner, name

    def forward(self, *inputs: Tensor) -> Tensor:
        return getattr(self.owner, self.name)(*inputs)


def graphs(model: Networks) -> dict[str, Graph]:
    """Every graph of a model by its name: part.index, .first and .second of a layer in halves, part.first-last of several."""
    made: dict[str, Graph] = {}
    for part, layers in (("encoder", model.sizes.encoder()), ("condition", model.sizes.condition())):
        network = getattr(model, part)
        for index, layer in enumerate(layers):
            for name, owner, method, inputs in pieces(layer, network[index]):
                made[f"{part}.{index}{name}"] = export(owner, method, inputs, f"{part}.{index}{owner_name(layer)}")
        for first, last in runs(layers):
            if layers[first].kind != "attend":
                stretch = nn.Sequential(OrderedDict((str(index), network[index]) for index in range(first, last + 1)))
                x = torch.zeros(1, layers[first].inputs, 2 * model.sizes.stride, 4 * model.sizes.stride)
                made[f"{part}.{first}-{last}"] = export(stretch, "forward", {"x": x}, part)
    sizes, trunk = model.sizes, model.trunk
    map_, mean = torch.zeros(1, 3, 5, sizes.width), torch.zeros(1, 1, 1, sizes.width)
    noisy = bool(sizes.noise_level)
    noise = {"noise": torch.zeros(1, 3, 5, 3 * PATCH**2)} if noisy else {}
    made["trunk.begin"] = export(trunk, "begin", {"condition": map_} | noise, "trunk")
    for index, block in enumerate(trunk.blocks):
        name = f"trunk.blocks.{index}"
        made[f"{name}.looked"] = export(block, "looked", {"x": map_}, name)
        made[f"{name}.joined"] = export(block, "joined", {"x": map_, "seen": map_, "mean": mean}, name)
    made["trunk"] = export(trunk, "forward", {"condition": map_} | noise, "trunk")
    flat = torch.zeros(7, sizes.width)
    noise = {"noise": torch.zeros(7, PATCH**2, 3)} if noisy else {}
    made["pixels"] = export(model.pixels, "forward", {"trunk": flat, "condition": flat} | noise, "pixels")
    return made


def owner_name(layer: Layer) -> str:
    return ".block" if layer.kind == "up" else ""


def pieces(layer: Layer, module: nn.Module) -> Iterator[tuple[str, nn.Module, str, dict[str, Tensor]]]:
    """(suffix of the name, module, method, example inputs) of the graphs of a layer."""

    def map_(channels: int) -> Tensor:
        return torch.zeros(1, channels, 6, 10)

    def norm(channels: int) -> dict[str, Tensor]:
        return {"scale": torch.ones(1, channels, 1, 1), "shift": torch.zeros(1, channels, 1, 1)}

    inputs = {"x": map_(layer.inputs)}
    if layer.kind == "conv":
        yield "", module, "forward", inputs
    elif layer.kind == "out":
        yield "", module, "convolved", inputs | norm(layer.inputs)
    elif layer.kind == "attend":
        yield "", module, "within", inputs | norm(layer.inputs)
    else:
        block = module.get_submodule("block") if layer.kind == "up" else module
        yield ".first", block, "begun", inputs | norm(layer.inputs)
        yield ".second", block, "joined", {"h": map_(layer.outputs)} | norm(layer.outputs) | inputs


def export(owner: nn.Module, method: str, inputs: dict[str, Tensor], prefix: str) -> Graph:
    """One method as a graph with the output `y`, and the names of its tensors. All axes but that of the channels are free."""
    key = repr(owner), method, tuple((name, value.shape) for name, value in inputs.items())
    if key not in _MADE:  # modules of one kind and size have one graph, with other names of tensors
        _MADE[key] = traced(owner, method, inputs)
    proto = onnx.load_from_string(_MADE[key])

    def renamed(name: str) -> str:
        return f"{prefix}.{name.removeprefix('owner.')}" if name.startswith("owner.") else name

    names = []
    for node in proto.graph.node:
        node.input[:], node.output[:] = map(renamed, node.input), map(renamed, node.output)
    for tensor in proto.graph.initializer:
        if tensor.name.startswith("owner."):
            tensor.name = renamed(tensor.name)
            names.append(tensor.name)
    return proto.SerializeToString(), names


_MADE: dict[tuple, bytes] = {}


def traced(owner: nn.Module, method: str, inputs: dict[str, Tensor]) -> bytes:
    """The graph, with tensors that are called owner.* and lie outside."""
    # Of a twin full of random numbers: of tensors that are equal by chance the exporter would keep one.
    twin = copy.deepcopy(owner).eval()
    for parameter in twin.parameters():
        nn.init.normal_(parameter)
    fixed = {-1} if owner.__class__.__name__ in ("Trunk", "Block", "Pixels") else {1}
    axes = {name: {axis: f"{name}_{axis}" for axis in free(value, fixed)} for name, value in inputs.items()}
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter warns of every size it traces; those are wanted as they are
        torch.onnx.export(
            Method(twin, method).eval(), tuple(inputs.values()), cast(Any, buffer), input_names=list(inputs), output_names=["y"],
            dynamic_axes=axes, opset_version=OPSET, do_constant_folding=False, dynamo=False,
        )  # fmt: skip
    proto = onnx.load_from_string(buffer.getvalue())
    for node in proto.graph.node:
        node.doc_string = ""
    for tensor in proto.graph.initializer:
        if tensor.name.startswith("owner."):
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value="weights")
    return proto.SerializeToString()


def free(value: Tensor, fixed: set[int]) -> list[int]:
    """Axes that may have any length: those longer than one, but for the channels."""
    kept = {axis % value.ndim for axis in fixed}
    return [axis for axis in range(value.ndim) if axis not in kept and (value.shape[axis] > 1 or value.ndim < 4)]
