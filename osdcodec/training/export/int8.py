"""Graphs in int8: convolutions of the decoder's networks take activations in 8 bits and kernels as the weights file has them.

Static quantisation by QuantizeLinear and DequantizeLinear ("QDQ"): unsigned activations with one scale for a tensor, measured on
training photographs; signed kernels with one scale for each output channel, those of the weights file, so they lose nothing. Each
runtime joins these operators with a convolution by rules of its own: OpenVINO quantises what goes in, ONNX Runtime also what comes out.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from PIL import Image
from safetensors.numpy import save

from ...latent.coder import LatentModel
from ...options import EncodeOptions
from ...runtime import Machine
from ...runtime.onnx import OnnxRuntime
from ...weights import Weights, deflate
from ...weights.storage import INT8, SCALE

VERBS = "denoise", "render"  # the others lose too much
# Which lose most: the ends of the networks.
FLOAT = (
    "denoiser.unet.conv_out.weight",
    "autoencoder.dc.decoder.conv_in.weight",
    "autoencoder.dc.decoder.conv_out.conv.weight",
)
LAMBDAS = 2.0, 1.0, 0.5, 0.25, 0.1  # of the photographs, in turn
SAMPLE = 20000  # values of a tensor that are kept of each photograph
LEVELS = 255  # steps of an activation
SHARES = 1.1, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5  # of the range that was seen, of which the one with the least error is taken
SILU_END = -6.5  # SiLU of less is nearly nothing: it need not be told apart

Ranges = Mapping[str, tuple[float, float]]  # tensor of a graph -> least and largest value


def convolutions(graph: onnx.GraphProto, tensors: Mapping[str, np.ndarray]) -> list[onnx.NodeProto]:
    """The convolutions whose kernels are in int8 among these tensors, but those that stay in single precision."""
    kernels = [node for node in graph.node if node.op_type == "Conv" and node.input[1] not in FLOAT]
    return [node for node in kernels if node.input[1] + SCALE in tensors]


class Observer(OnnxRuntime):
    """Runs the graphs in single precision, and keeps samples of what goes into their convolutions and comes out."""

    def __init__(self, weights: Weights, threads: int | None = None) -> None:
        self.random = np.random.default_rng(0)
        self.samples: dict[tuple[str, str], list[np.ndarray]] = defaultdict(list)
        self.names: dict[str, list[str]] = {}  # all outputs of a graph that is observed
        self.own: dict[str, int] = {}  # and how many of them it had before
        graphs = dict(weights.graphs)
        for verb in VERBS:
            proto = onnx.load_from_string(graphs[verb])
            self.own[verb] = len(proto.graph.output)
            known = {value.name for value in [*proto.graph.input, *proto.graph.output]}
            for node in convolutions(proto.graph, weights.tensors):
                for name in (node.input[0], node.output[0]):
                    if name not in known:
                        proto.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
                        known.add(name)
            self.names[verb] = [value.name for value in proto.graph.output]
            graphs[verb] = proto.SerializeToString()
        super().__init__(replace(weights, graphs=graphs), threads)

    def run(self, verb: str, **inputs: np.ndarray) -> list[np.ndarray]:
        made = super().run(verb, **inputs)
        if verb not in VERBS:
            return made
        for name, array in zip(self.names[verb], made, strict=True):
            flat = array.ravel()
            sample = self.random.choice(flat, min(SAMPLE, flat.size), replace=False)
            self.samples[verb, name].append(np.append(sample, [flat.min(), flat.max()]))
        return made[: self.own[verb]]

    def ranges(self, verb: str) -> dict[str, tuple[float, float]]:
        """Tensor of a graph -> the range of its values that 8 bits serve best."""
        found = {name: best_range(np.concatenate(s)) for (of, name), s in self.samples.items() if of == verb}
        proto = onnx.load_from_string(self.weights.graphs[verb])
        for node in proto.graph.node:
            if node.op_type == "Sigmoid" and node.input[0] in found:
                low, high = found[node.input[0]]
                found[node.input[0]] = max(low, SILU_END), high
        return found


def best_range(values: np.ndarray) -> tuple[float, float]:
    """The range whose 256 levels have the least squared error for these values. It holds zero."""
    low, high = min(0.0, float(values.min())), max(1e-6, float(values.max()))
    found = []
    for share in SHARES:
        # What ends softly in SiLU's least value is not cut there.
        first, last = low * share if low < -0.3 else low, high * share
        step = (last - first) / LEVELS
        zero = np.round(-first / step)
        error = (np.clip(np.round(values / step) + zero, 0, LEVELS) - zero) * step - values
        found.append((float(np.square(error).mean()), (first, last)))
    return min(found)[1]


def quantised(
    data: bytes, names: Sequence[str], weights: Weights, ranges: Ranges, outputs: bool
) -> tuple[bytes, list[str]]:
    """A graph with its convolutions in int8.

    Args:
        data: The serialised graph.
        names: Of the tensors that it takes from the weights file.
        weights: Whose file that is.
        ranges: Of what goes into convolutions and comes out of them.
        outputs: What comes out is quantised too.

    Returns:
        The graph, and the names of the tensors that it takes.
    """
    proto = onnx.load_from_string(data)
    graph, nodes, taken = proto.graph, [], list(names)
    kernels = {tensor.name: tensor for tensor in graph.initializer}
    chosen = {node.output[0] for node in convolutions(graph, weights.tensors)}
    shared: dict[str, str] = {}

    def quantise(name: str, made: str) -> None:
        low, high = ranges[name if name in ranges else made]
        step = (high - low) / LEVELS
        scale, zero = f"{made}|step", f"{made}|zero"
        graph.initializer.append(helper.make_tensor(scale, TensorProto.FLOAT, [], [step]))
        graph.initializer.append(helper.make_tensor(zero, TensorProto.UINT8, [], [round(-low / step)]))
        nodes.append(helper.make_node("QuantizeLinear", [name, scale, zero], [f"{made}|byte"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"{made}|byte", scale, zero], [made]))

    for node in graph.node:
        if node.output[0] not in chosen:
            nodes.append(node)
            continue
        source, kernel, result = node.input[0], node.input[1], node.output[0]
        if source not in shared:
            shared[source] = f"{source}|quantised"
            quantise(source, shared[source])
        tensor = kernels.pop(kernel, None)
        if tensor is not None:  # else another convolution has had the same
            taken[taken.index(kernel)] = tensor.name = kernel + INT8
            tensor.data_type = TensorProto.INT8
            del tensor.external_data[:]
            tensor.external_data.add(key="location", value="weights")
            rows = onnx.TensorProto(
                name=kernel + SCALE,
                data_type=TensorProto.FLOAT,
                dims=tensor.dims[:1],
                data_location=TensorProto.EXTERNAL,
            )
            rows.external_data.add(key="location", value="weights")
            graph.initializer.append(rows)
            taken.append(kernel + SCALE)
            zeros = helper.make_tensor(
                f"{kernel}|zero", TensorProto.INT8, tensor.dims[:1], bytes(tensor.dims[0]), raw=True
            )
            graph.initializer.append(zeros)
            parts = [kernel + INT8, kernel + SCALE, f"{kernel}|zero"]
            nodes.append(helper.make_node("DequantizeLinear", parts, [f"{kernel}|quantised"], axis=0))
        node.input[0], node.input[1] = shared[source], f"{kernel}|quantised"
        nodes.append(node)
        if outputs:
            node.output[0] = f"{result}|float"
            quantise(node.output[0], result)
    del graph.node[:]
    graph.node.extend(nodes)
    return proto.SerializeToString(), taken


def export_int8(weights: Weights, pictures: Sequence[Image.Image], path: Path, threads: int | None = None) -> int:
    """Writes the file of a model's int8 graphs, by what its networks do with these photographs; returns its size in bytes."""
    coder = LatentModel(weights, Machine("cpu", threads=threads))
    coder.runtime = observer = Observer(weights, threads)
    for index, picture in enumerate(pictures):
        coder.reconstruct(*coder.code(picture, EncodeOptions(lmbda=LAMBDAS[index % len(LAMBDAS)], effort=0)))
    stored = {}
    for verb in VERBS:
        ranges, names = observer.ranges(verb), weights.graphs[f"{verb}.tensors"].decode().split("\n")
        for runtime, outputs in (("onnxruntime", True), ("openvino", False)):
            graph, taken = quantised(weights.graphs[verb], names, weights, ranges, outputs)
            stored[f"graph.{runtime}.{verb}"] = np.frombuffer(graph, np.uint8)
            stored[f"graph.{runtime}.{verb}.tensors"] = np.frombuffer("\n".join(taken).encode(), np.uint8)
    data = save(deflate(stored), {"sha256": weights.sha256})
    path.write_bytes(data)
    return len(data)
