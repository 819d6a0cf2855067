"""Reverse mode over ONNX graphs: from a network to one that also has the gradient of its output with respect to its input.

The search of an encoder needs no gradient of weights. So a gradient is made of ordinary inference operators only: that of a
convolution is a convolution with the kernel flipped and transposed, which is made of the one in the weights file when that is read.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ...weights.storage import TURNED

Shape = tuple[int, ...]
Rule = Callable[["Graph", onnx.NodeProto, str], dict[int, str]]  # gradient of the output -> of inputs, by place


class Graph:
    """An ONNX graph under construction: nodes in order, constants, and the names of tensors that lie outside."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.tensors: dict[str, onnx.TensorProto] = {}  # names, types and sizes of what lies in a weights file
        self.shapes: dict[str, Shape] = {}  # of values at an example size
        self.numbers: dict[str, list[int]] = {}  # vectors of integers at that size
        self.count = 0

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Appends a node; returns the name of its only output."""
        self.count += 1
        output = f"{kind.lower()}.{self.count}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, value: Any, kind: type = np.float32) -> str:
        """A small array; equal ones share a name."""
        array: np.ndarray = np.asarray(value, kind)
        name = f"constant.{array.dtype}.{array.shape}.{array.tobytes().hex()}"
        name = name if len(name) < 120 else f"constant.{hash(name) & 0xFFFFFFFFFFFF:x}"
        self.constants[name] = numpy_helper.from_array(array, name)
        return name

    def whole(self, *values: int) -> str:
        """A constant vector of integers."""
        return self.constant(values, np.int64)

    def outside(self, name: str, shape: Shape) -> str:
        """A float32 tensor of the weights file."""
        self.tensors[name] = helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        return name

    def include(self, proto: onnx.ModelProto, names: Sequence[str], prefix: str, inputs: dict[str, str]) -> list[str]:
        """Appends the graph of a model; returns the names of its outputs.

        Args:
            proto: A model, opset 17.
            names: Its tensors that lie outside.
            prefix: Goes before the names of all other values.
            inputs: Name of an input -> the value here that it becomes.
        """
        mapped = dict(inputs)
        for tensor in proto.graph.initializer:
            if tensor.name in names:
                mapped[tensor.name] = self.outside(tensor.name, tuple(tensor.dims))
            else:
                copy = onnx.TensorProto()
                copy.CopyFrom(tensor)
                copy.name = mapped[tensor.name] = prefix + tensor.name
                self.constants[copy.name] = copy
        for node in proto.graph.node:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.name = copy.doc_string = ""
            if node.op_type == "Constant":
                held = next(a.t for a in node.attribute if a.name == "value")
                mapped[node.output[0]] = self.constant(numpy_helper.to_array(held), numpy_helper.to_array(held).dtype)
                continue
            if node.op_type == "Identity":
                mapped[node.output[0]] = mapped[node.input[0]]
                continue
            copy.input[:] = [mapped.get(name, prefix + name) if name else "" for name in node.input]
            for name in node.output:
                mapped[name] = prefix + name
            copy.output[:] = [mapped[name] for name in node.output]
            self.nodes.append(copy)
        return [mapped[output.name] for output in proto.graph.output]

    def gradient(self, first: int, last: int, target: str, seeds: dict[str, str]) -> str:
        """Appends reverse mode over the nodes first .. last; returns the gradient with respect to `target`.

        Args:
            first: Place of the first node to go back through.
            last: Place behind the last one.
            target: Name of a value.
            seeds: Values -> their gradients, which are there already.
        """
        path, reached = self.nodes[first:last], {target}
        for node in path:
            if node.op_type not in ("Shape", "Size") and reached.intersection(node.input):
                reached.update(node.output)
        found = {name: [gradient] for name, gradient in seeds.items()}
        for node in reversed(path):
            given = [self._sum(found.pop(name)) if name in found else "" for name in node.output]
            if not any(given) or not reached.intersection(node.input):
                continue
            if node.op_type == "Split":
                parts = {0: self.add("Concat", *given, axis=attributes(node)["axis"])}
            elif node.op_type in RULES:
                parts = RULES[node.op_type](self, node, given[0])
            else:
                raise NotImplementedError(f"no gradient of {node.op_type}")
            for place, part in parts.items():
                name = node.input[place]
                if name in reached and part:
                    found.setdefault(name, []).append(self._fitted(part, name, node.output[0]))
        return self._sum(found[target])

    def _sum(self, parts: list[str]) -> str:
        total = parts[0]
        for part in parts[1:]:
            total = self.add("Add", total, part)
        return total

    def _fitted(self, part: str, name: str, output: str) -> str:
        """Sums what was broadcast on the way forward; of the elementwise operators only."""
        made = next(node for node in self.nodes if output in node.output)
        if made.op_type not in ("Add", "Sub", "Mul", "Div"):
            return part
        own, wide = self.shapes[name], self.shapes[output]
        if len(own) == len(wide):
            axes = [place for place, (a, b) in enumerate(zip(own, wide, strict=True)) if a == 1 and b != 1]
            return self.add("ReduceSum", part, self.whole(*axes), keepdims=1) if axes else part
        raise NotImplementedError(f"broadcasting of {own} to {wide}")

    def turned(self, kernel: str) -> str:
        """(out, in, k, k) -> (in, out, k, k), turned by half a turn: a tensor of its own to the graph, made when it is loaded."""
        rows, columns, *sides = self.shapes[kernel]
        return self.outside(kernel + TURNED, (columns, rows, *sides))

    def model(
        self, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]
    ) -> tuple[bytes, list[str]]:
        """The graph without the tensors that lie outside, and the names of these."""
        used = {name for node in self.nodes for name in node.input}
        names = [name for name in self.tensors if name in used]
        initializers = [tensor for name, tensor in self.constants.items() if name in used]
        for name in names:
            info = self.tensors[name].type.tensor_type
            tensor = onnx.TensorProto(name=name, data_type=info.elem_type, data_location=onnx.TensorProto.EXTERNAL)
            tensor.dims[:] = [axis.dim_value for axis in info.shape.dim]
            tensor.external_data.add(key="location", value="weights")
            initializers.append(tensor)
        graph = helper.make_graph(self.nodes, "search", inputs, outputs, initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return model.SerializeToString(), names


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _multiplication(graph: Graph, node: onnx.NodeProto, given: str) -> dict[int, str]:
    first, second = node.input
    for place, (sigmoid, value) in enumerate(((first, second), (second, first))):
        made = next((n for n in graph.nodes if sigmoid in n.output), None)
        if made is not None and made.op_type == "Sigmoid" and made.input[0] == value:
            # SiLU: the derivative of m = x s is s + m (1 - s).
            held = graph.add("Sub", node.output[0], graph.add("Mul", node.output[0], sigmoid))
            return {1 - place: graph.add("Mul", given, graph.add("Add", sigmoid, held))}
    return {0: graph.add("Mul", given, second), 1: graph.add("Mul", given, first)}


def _sigmoid(graph: Graph, node: onnx.NodeProto, given: str) -> dict[int, str]:
    output = node.output[0]
    return {0: graph.add("Mul", given, graph.add("Sub", output, graph.add("Mul", output, output)))}


def _convolution(graph: Graph, node: onnx.NodeProto, given: str) -> dict[int, str]:
    told, kernel = attributes(node), node.input[1]
    (rows, columns), stride = graph.shapes[kernel][2:], told.get("strides", [1, 1])[0]
    pad = told.get("pads", [0] * 4)[0]
    if stride == 1:
        return {0: graph.add("Conv", given, graph.turned(kernel), pads=[rows - 1 - pad, columns - 1 - pad] * 2)}
    before, after = (graph.shapes[name][2] for name in (node.input[0], node.output[0]))
    left = before - ((after - 1) * stride + rows - 2 * pad)  # the same for all sizes that a stride divides
    return {
        0: graph.add(
            "ConvTranspose", given, kernel, strides=[stride] * 2, pads=[pad] * 4, output_padding=[left] * 2
        )
    }  # fmt: skip


def _transposed_convolution(graph: Graph, node: onnx.NodeProto, given: str) -> dict[int, str]:
    told = attributes(node)
    return {0: graph.add("Conv", given, node.input[1], strides=told["strides"], pads=told.get("pads", [0] * 4))}


def _matrices(graph: Graph, node: onnx.NodeProto, given: str) -> dict[int, str]:
    first, second = node.input
    turned = [
        graph.add("Transpose", name, perm=[*range(rank - 2), rank - 1, rank - 2])
        for name in (first, second)
        for rank in [len(graph.shapes[name])]
    ]
    return {0: graph.add("MatMul", given, turned[1]), 1: graph.add("MatMul", turned[0], given)}


def _softmax(graph: Graph, node: onnx.NodeProto, given: str) -> dict[int, str]:
    product = graph.add("Mul", given, node.output[0])
    axis = attributes(node).get("axis", -1)
    total = graph.add("ReduceSum", product, graph.whole(axis), keepdims=1)
    return {0: graph.add("Sub", product, graph.add("Mul", node.output[0], total))}


def _error_function(graph: Graph, node: onnx.NodeProto, given: str) -> dict[int, str]:
    value = node.input[0]
    bell = graph.add("Exp", graph.add("Neg", graph.add("Mul", value, value)))
    return {0: graph.add("Mul", given, graph.add("Mul", bell, graph.constant(2 / np.sqrt(np.pi))))}


def _layer_norm(graph: Graph, node: onnx.NodeProto, given: str) -> dict[int, str]:
    value, scale = node.input[:2]
    centred = graph.add("Sub", value, graph.add("ReduceMean", value, axes=[-1], keepdims=1))
    variance = graph.add("ReduceMean", graph.add("Mul", centred, centred), axes=[-1], keepdims=1)
    small = graph.constant(attributes(node).get("epsilon", 1e-5))
    deviation = graph.add("Sqrt", graph.add("Add", variance, small))
    unit, scaled = graph.add("Div", centred, deviation), graph.add("Mul", given, scale)
    along = graph.add("ReduceMean", graph.add("Mul", scaled, unit), axes=[-1], keepdims=1)
    rest = graph.add("Sub", scaled, graph.add("ReduceMean", scaled, axes=[-1], keepdims=1))
    return {0: graph.add("Div", graph.add("Sub", rest, graph.add("Mul", unit, along)), deviation)}


def _reshape(graph: Graph, node: onnx.NodeProto, given: str) -> dict[int, str]:
    return {0: graph.add("Reshape", given, graph.add("Shape", node.input[0]))}


def _transpose(graph: Graph, node: onnx.NodeProto, given: str) -> dict[int, str]:
    return {0: graph.add("Transpose", given, perm=np.argsort(attributes(node)["perm"]).tolist())}


def _depth_to_space(graph: Graph, node: onnx.NodeProto, given: str) -> dict[int, str]:
    told, channels = attributes(node), graph.shapes[node.output[0]][1]
    side = told["blocksize"]
    if told.get("mode", b"DCR") == b"DCR":
        return {0: graph.add("SpaceToDepth", given, blocksize=side)}
    # Not by SpaceToDepth and Gather, which OpenVINO 2026.4 computes wrongly together.
    shape, one = graph.add("Shape", node.input[0]), graph.whole(side)
    height, width = (
        graph.add("Slice", shape, graph.whole(n), graph.whole(n + 1), graph.whole(0)) for n in (2, 3)
    )  # fmt: skip
    apart = graph.add("Concat", graph.whole(1, channels), height, one, width, one, axis=0)
    cells = graph.add("Transpose", graph.add("Reshape", given, apart), perm=[0, 1, 3, 5, 2, 4])
    return {0: graph.add("Reshape", cells, shape)}


def _tile(graph: Graph, node: onnx.NodeProto, given: str) -> dict[int, str]:
    """By slices and sums: a reduction over an axis in the middle is several times as slow."""
    before, after = graph.shapes[node.input[0]], graph.shapes[node.output[0]]
    (axis,) = (place for place, (a, b) in enumerate(zip(before, after, strict=True)) if a != b)
    own = before[axis]
    parts = [
        graph.add("Slice", given, graph.whole(start), graph.whole(start + own), graph.whole(axis))
        for start in range(0, after[axis], own)
    ]
    return {0: graph._sum(parts)}


def _concat(graph: Graph, node: onnx.NodeProto, given: str) -> dict[int, str]:
    axis, start, parts = attributes(node)["axis"], 0, {}
    for place, name in enumerate(node.input):
        stop = start + graph.shapes[name][axis]
        parts[place] = graph.add("Slice", given, graph.whole(start), graph.whole(stop), graph.whole(axis))
        start = stop
    return parts


def _slice(graph: Graph, node: onnx.NodeProto, given: str) -> dict[int, str]:
    """Of one axis whose length is the same for all pictures."""
    (start,), (stop,), (axis,) = (graph.numbers[name] for name in node.input[1:4])
    shape = graph.shapes[node.input[0]]
    pads = np.zeros((2, len(shape)), np.int64)
    pads[:, axis] = start, shape[axis] - min(stop, shape[axis])
    return {0: graph.add("Pad", given, graph.whole(*pads.ravel().tolist()))}


def _enlarge(graph: Graph, node: onnx.NodeProto, given: str) -> dict[int, str]:
    """Of repeating each value twice in both directions."""
    mean = graph.add("AveragePool", given, kernel_shape=[2, 2], strides=[2, 2])
    return {0: graph.add("Mul", mean, graph.constant(4.0))}


def _rectify(graph: Graph, node: onnx.NodeProto, given: str) -> dict[int, str]:
    zero = graph.constant(0.0)
    return {0: graph.add("Where", graph.add("Greater", node.output[0], zero), given, zero)}


def _max_pool(graph: Graph, node: onnx.NodeProto, given: str) -> dict[int, str]:
    """For windows of 2 or 3, two positions apart: each goes to the places that have the maximum."""
    value, side = node.input[0], attributes(node)["kernel_shape"][0]
    # As large as the output and one more position, in which there is nothing.
    size = graph.add("Slice", graph.add("Shape", node.output[0]), graph.whole(2), graph.whole(4), graph.whole(0))
    phases: dict[tuple[int, int], list[str]] = {}
    for i in range(side):
        for j in range(side):
            start = graph.whole(i, j)
            stop = graph.add("Add", graph.add("Mul", size, graph.whole(2)), graph.whole(i - 1, j - 1))
            seen = graph.add("Slice", value, start, stop, graph.whole(2, 3), graph.whole(2, 2))
            chosen = graph.add("Cast", graph.add("Equal", seen, node.output[0]), to=onnx.TensorProto.FLOAT)
            pads = graph.whole(0, 0, i // 2, j // 2, 0, 0, 1 - i // 2, 1 - j // 2)
            part = graph.add("Pad", graph.add("Mul", given, chosen), pads)
            phases.setdefault((i % 2, j % 2), []).append(part)
    parts = [graph._sum(phases[i, j]) for i in range(2) for j in range(2)]
    wide = graph.add("DepthToSpace", graph.add("Concat", *parts, axis=1), blocksize=2, mode="DCR")
    whole = graph.add("Slice", graph.add("Shape", value), graph.whole(2), graph.whole(4), graph.whole(0))
    return {0: graph.add("Slice", wide, graph.whole(0, 0), whole, graph.whole(2, 3))}


RULES: dict[str, Rule] = {
    "Add": lambda graph, node, given: {0: given, 1: given},
    "Sub": lambda graph, node, given: {0: given, 1: graph.add("Neg", given)},
    "Mul": _multiplication,
    "Div": lambda graph, node, given: {0: graph.add("Div", given, node.input[1])},
    "Cast": lambda graph, node, given: {0: given},
    "Sigmoid": _sigmoid,
    "Conv": _convolution,
    "ConvTranspose": _transposed_convolution,
    "MatMul": _matrices,
    "Softmax": _softmax,
    "Erf": _error_function,
    "LayerNormalization": _layer_norm,
    "Reshape": _reshape,
    "Unsqueeze": _reshape,
    "Squeeze": _reshape,
    "Transpose": _transpose,
    "DepthToSpace": _depth_to_space,
    "Tile": _tile,
    "Concat": _concat,
    "Slice": _slice,
    "Resize": _enlarge,
    "Relu": _rectify,
    "MaxPool": _max_pool,
}
