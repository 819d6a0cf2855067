"""What the encoder's search runs, as one file: the gradient graph of the decoder, and the perceptual networks it asks, in 8 bits.

    look      picture -> features of AlexNet
    distance  symbols' values, noise, features, picture, prices -> distortion, its parts, and the gradient of the values

The decoder's part is made of the graphs in the weights file, so it computes what decoding computes; its tensors, and those of the
perceptual networks, lie outside.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save

from ...metrics.perceptual import Features, content, layers_of
from ...models.prior_twin import SYMBOL_LIMIT, TABLE_ROWS, probability, scale_of
from ...profile import Profile
from ...weights import Weights, deflate
from .gradients import Graph
from .tensors import quantise

STAGES = 3  # of VGG16: up to relu3_3
EXAMPLE = 96  # side of a picture at which sizes of channels are seen
WINDOW = 32  # pixels of a window in which texture is measured
Stage = list[tuple[Any, ...]]  # operators: ("Relu",), ("MaxPool", side), ("Conv", tensor, stride, padding)


def alexnet() -> list[Stage]:
    """The five stages whose features LPIPS compares."""
    first: Stage = [("Conv", "0", 4, 2), ("Relu",)]
    second: Stage = [("MaxPool", 3), ("Conv", "1", 1, 2), ("Relu",)]
    third: Stage = [("MaxPool", 3), ("Conv", "2", 1, 1), ("Relu",)]
    return [first, second, third, *([("Conv", n, 1, 1), ("Relu",)] for n in "34")]


def vgg16() -> list[Stage]:
    """The first three stages."""
    stages: list[Stage] = [[], [("MaxPool", 2)], [("MaxPool", 2)]]
    for n, stage in enumerate((0, 0, 1, 1, 2, 2, 2)):
        stages[stage] += [("Conv", str(n), 1, 1), ("Relu",)]
    return stages


def judge_tensors() -> dict[str, np.ndarray]:
    """Kernels in int8 with a scale for each output channel, biases and LPIPS's weights in half precision."""
    tensors: dict[str, np.ndarray] = {}
    for name, stages in (("alexnet", alexnet()), ("vgg16", vgg16())):
        layers, linear = layers_of(content(name))
        count = sum(operator[0] == "Conv" for stage in stages for operator in stage)
        for n, (kernel, bias) in enumerate(layers[:count]):
            tensors[f"{name}.{n}.weight"], tensors[f"{name}.{n}.weight|scale"] = quantise(kernel.numpy())
            tensors[f"{name}.{n}.bias"] = bias.numpy().astype(np.float16)
        for n, weights in enumerate(linear[: len(stages)]):
            tensors[f"{name}.linear.{n}"] = weights.numpy().astype(np.float16).reshape(1, -1, 1, 1)
    return tensors


class Judges(Graph):
    """The perceptual networks, their distances, and the gradients of these."""

    def __init__(self, sizes: dict[str, tuple[int, ...]]) -> None:
        super().__init__()
        self.sizes = sizes

    def features(self, network: str, x: str) -> list[str]:
        """Picture in [-1, 1] -> what each stage of a network says of it."""
        mean, deviation = (np.reshape(v, (1, 3, 1, 1)) for v in (Features.MEAN, Features.DEVIATION))
        x = self.add("Mul", self.add("Sub", x, self.constant(mean)), self.constant(1 / np.asarray(deviation)))
        found = []
        for stage in {"alexnet": alexnet, "vgg16": vgg16}[network]():
            for kind, *told in stage:
                if kind == "Conv":
                    name, stride, padding = told
                    kernel, bias = (f"{network}.{name}.{part}" for part in ("weight", "bias"))
                    for part in (kernel, bias):
                        self.outside(part, self.sizes[part])
                    x = self.add("Conv", x, kernel, bias, strides=[stride] * 2, pads=[padding] * 4)
                elif kind == "MaxPool":
                    x = self.add("MaxPool", x, kernel_shape=told * 2, strides=[2, 2])
                else:
                    x = self.add("Relu", x)
            found.append(x)
        return found

    def total(self, x: str, channels: int) -> str:
        """Sum over the channels, by a convolution: reductions over them are slow."""
        return self.add("Conv", x, self.constant(np.ones((1, channels, 1, 1))))

    def unit(self, x: str, channels: int) -> tuple[str, str]:
        """Features at unit length over the channels, and one over the length."""
        length = self.add("Sqrt", self.add("Add", self.total(self.add("Mul", x, x), channels), self.constant(1e-10)))
        inverse = self.add("Reciprocal", length)
        return self.add("Mul", x, inverse), inverse

    def unit_gradient(self, given: str, unit: str, inverse: str, channels: int) -> str:
        along = self.total(self.add("Mul", given, unit), channels)
        return self.add("Mul", inverse, self.add("Sub", given, self.add("Mul", unit, along)))

    def lpips(self, ours: str, theirs: str, linear: str, price: str) -> tuple[str, str]:
        """A stage of LPIPS, from features at unit length, and its gradient times a price."""
        shape = self.sizes[linear]
        apart = self.add("Sub", ours, theirs)
        weighed = self.add("Mul", apart, self.outside(linear, shape))
        distance = self.mean(self.total(self.add("Mul", weighed, apart), shape[1]))
        places = self.add("Slice", self.add("Shape", ours), self.whole(2), self.whole(4), self.whole(0))
        count = self.add("Cast", self.add("ReduceProd", places, keepdims=0), to=TensorProto.FLOAT)
        factor = self.add("Div", self.add("Mul", price, self.constant(2.0)), count)
        return distance, self.add("Mul", weighed, factor)

    def mean(self, x: str) -> str:
        return self.add("ReduceMean", x, keepdims=0)

    def averaged(self, x: str, side: int) -> str:
        """Means in windows of `side` positions, half of that apart."""
        half = side // 2
        coarse = self.add("AveragePool", x, kernel_shape=[half] * 2, strides=[half] * 2)
        return self.add("AveragePool", coarse, kernel_shape=[2, 2], strides=[1, 1])

    def spread(self, given: str, side: int) -> str:
        """The gradient of `averaged`."""
        half = side // 2
        coarse = self.add("AveragePool", given, kernel_shape=[2, 2], strides=[1, 1], pads=[1] * 4, count_include_pad=1)
        scales = self.constant([1, 1, half, half])
        wide = self.add(
            "Resize", coarse, "", scales,
            mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor",
        )  # fmt: skip
        return self.add("Mul", wide, self.constant(1 / half**2))

    def texture(self, ours: str, theirs: str, side: int, price: str) -> tuple[str, str]:
        """A stage of metrics/texture.py, and its gradient times a price."""

        def variance(x: str) -> tuple[str, str]:
            mean = self.averaged(x, side)
            square = self.averaged(self.add("Mul", x, x), side)
            return self.add("Relu", self.add("Sub", square, self.add("Mul", mean, mean))), mean

        (o, mean), (t, _) = variance(ours), variance(theirs)
        level = self.add("ReduceMean", t, axes=[2, 3], keepdims=1)
        small = self.add("Add", self.add("Mul", level, self.constant(0.01)), self.constant(1e-6))
        root = self.add("Sqrt", self.add("Add", self.add("Mul", o, t), self.add("Mul", small, small)))
        above = self.add("Add", self.add("Mul", root, self.constant(2.0)), small)
        below = self.add("Add", self.add("Add", o, t), self.add("Mul", small, self.constant(3.0)))
        similarity = self.add("Div", above, below)
        distance = self.add("Sub", self.constant(1.0), self.mean(similarity))
        # d similarity / d o = (t / root - similarity) / below
        slope = self.add("Div", self.add("Sub", self.add("Div", t, root), similarity), below)
        count = self.add("Cast", self.add("Size", o), to=TensorProto.FLOAT)
        slope = self.add("Mul", slope, self.add("Neg", self.add("Div", price, count)))
        slope = self.add("Mul", slope, self.add("Sign", o))
        square = self.add("Mul", ours, self.spread(slope, side))
        flat = self.spread(self.add("Mul", slope, mean), side)
        return distance, self.add("Mul", self.add("Sub", square, flat), self.constant(2.0))


def value(name: str, *axes: int | str, whole: bool = False) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.INT64 if whole else TensorProto.FLOAT, axes)


def look_graph(sizes: dict[str, tuple[int, ...]]) -> tuple[bytes, list[str]]:
    """Picture -> features of AlexNet at unit length."""
    graph = Judges(sizes)
    outputs = []
    for n, part in enumerate(graph.features("alexnet", "x")):
        name, channels = f"features.{n}", sizes[f"alexnet.linear.{n}"][1]
        graph.nodes.append(helper.make_node("Identity", [graph.unit(part, channels)[0]], [name]))
        outputs.append(value(name, 1, channels, f"f{n}h", f"f{n}w"))
    return graph.model([value("x", 1, 3, "H", "W")], outputs)


def distance_graph(weights: Weights, sizes: dict[str, tuple[int, ...]]) -> tuple[bytes, list[str]]:
    """Values of the latent, and what decoding needs beside them -> distortion, its three parts, and their gradient.

    Inputs: values (1, C_y, h, w), y_hat over the gains; tokens; noise; level; alpha_bar; picture x; features.0 .. 4 of `look`; place,
    top, left, bottom and right of where VGG16 looks, multiples of nothing but 32 or more apart; and the prices of squared error, LPIPS,
    and what VGG16 says, of which the first says LPIPS and the second texture.
    """
    graph, profile = Judges(sizes), weights.profile

    def include(verb: str, **inputs: str) -> list[str]:
        names = weights.graphs[f"{verb}.tensors"].decode().split("\n")
        return graph.include(onnx.load_from_string(weights.graphs[verb]), names, f"{verb}.", inputs)

    z_c, condition = include("synthesise", y_hat="values", tokens="tokens")
    told = {"z_c": z_c, "condition": condition, "tokens": "tokens", "noise": "noise"}
    (z,) = include("denoise", **told, level="level", alpha_bar="alpha_bar")
    (x_hat,) = include("render", z=z)
    apart = graph.add("Sub", x_hat, "x")
    squared = graph.mean(graph.add("Mul", apart, apart))
    decoded = len(graph.nodes)
    alex = graph.features("alexnet", x_hat)
    alex_end = len(graph.nodes)
    top, bottom = (graph.add("Slice", "place", graph.whole(n), graph.whole(n + 2), graph.whole(0)) for n in (0, 2))
    shown, true = (graph.add("Slice", name, top, bottom, graph.whole(2, 3)) for name in (x_hat, "x"))
    theirs = graph.features("vgg16", true)
    close_start = len(graph.nodes)
    close = graph.features("vgg16", shown)
    close_end = len(graph.nodes)
    run_example(graph, profile)

    lpips, alex_seeds = [], {}
    for n, part in enumerate(alex):
        channels = sizes[f"alexnet.linear.{n}"][1]
        unit, inverse = graph.unit(part, channels)
        distance, given = graph.lpips(unit, f"features.{n}", f"alexnet.linear.{n}", "perceived_price")
        lpips.append(distance)
        alex_seeds[part] = graph.unit_gradient(given, unit, inverse, channels)
    near, texture, near_seeds = [], [], {}
    third = graph.add("Mul", "texture_price", graph.constant(1 / STAGES))
    for n, (part, true_part) in enumerate(zip(close, theirs, strict=True)):
        channels = sizes[f"vgg16.linear.{n}"][1]
        unit, inverse = graph.unit(part, channels)
        true_unit, _ = graph.unit(true_part, channels)
        distance, given = graph.lpips(unit, true_unit, f"vgg16.linear.{n}", "near_price")
        near.append(distance)
        distance, more = graph.texture(unit, true_unit, max(4, WINDOW >> n), third)
        texture.append(graph.add("Mul", distance, graph.constant(1 / STAGES)))
        near_seeds[part] = graph.unit_gradient(graph.add("Add", given, more), unit, inverse, channels)

    of_near = graph.gradient(close_start, close_end, shown, near_seeds)
    of_alex = graph.gradient(decoded, alex_end, x_hat, alex_seeds)
    # What was seen in one place goes back to that place.
    size = graph.add("Slice", graph.add("Shape", x_hat), graph.whole(2), graph.whole(4), graph.whole(0))
    pads = graph.add(
        "Concat", graph.whole(0, 0), top, graph.whole(0, 0), graph.add("Sub", size, bottom), axis=0
    )  # fmt: skip
    of_near = graph.add("Pad", of_near, pads)
    count = graph.add("Cast", graph.add("Size", x_hat), to=TensorProto.FLOAT)
    factor = graph.add("Div", graph.add("Mul", "squared_price", graph.constant(2.0)), count)
    of_picture = graph.add("Add", graph.add("Add", graph.add("Mul", apart, factor), of_alex), of_near)
    gradient = graph.gradient(0, decoded, "values", {x_hat: of_picture})
    outputs = {
        "squared": squared, "perceived": graph._sum(lpips), "near": graph._sum(near), "texture": graph._sum(texture),
    }  # fmt: skip
    for name, made in (outputs | {"gradient": gradient}).items():
        graph.nodes.append(helper.make_node("Identity", [made], [name]))
    channels = profile.latent_channels
    inputs = [
        value("values", 1, channels, "h", "w"),
        value("tokens", 1, profile.tokens, whole=True),
        value("noise", 1, profile.autoencoder_channels, "2h", "2w"),
        value("level", 1),
        value("alpha_bar", 1, 1, 1, 1),
        value("x", 1, 3, "H", "W"),
        *(value(f"features.{n}", 1, sizes[f"alexnet.linear.{n}"][1], f"f{n}h", f"f{n}w") for n in range(5)),
        value("place", 4, whole=True),
        *(value(f"{name}_price", 1) for name in ("squared", "perceived", "near", "texture")),
    ]
    return graph.model(inputs, [value(name) for name in outputs] + [value("gradient", 1, channels, "h", "w")])


def run_example(graph: Graph, profile: Profile) -> None:
    """Notes the sizes of all values so far, and of the tensors, for a picture of EXAMPLE pixels: the graph is run once, on zeros."""
    side = EXAMPLE // profile.stride
    fine = side * profile.z_per_y
    example: dict[str, np.ndarray] = {
        "values": np.zeros((1, profile.latent_channels, side, side), np.float32),
        "tokens": np.zeros((1, profile.tokens), np.int64),
        "noise": np.zeros((1, profile.autoencoder_channels, fine, fine), np.float32),
        "level": np.zeros(1, np.float32),
        "alpha_bar": np.full((1, 1, 1, 1), 0.5, np.float32),
        "x": np.zeros((1, 3, EXAMPLE, EXAMPLE), np.float32),
        "place": np.array([0, 0, EXAMPLE, EXAMPLE]),
    }
    inputs = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in example.items()
    ]
    made = [name for node in graph.nodes for name in node.output if name]
    stored, names = graph.model(inputs, [onnx.ValueInfoProto(name=name) for name in made])
    tensors = {name: tuple(a.dim_value for a in graph.tensors[name].type.tensor_type.shape.dim) for name in names}
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    values = [ort.OrtValue.ortvalue_from_numpy(np.zeros(shape, np.float32)) for shape in tensors.values()]
    options.add_external_initializers(names, values)
    session = ort.InferenceSession(stored, options, providers=["CPUExecutionProvider"])
    found = example | dict(zip(made, session.run(made, example), strict=True))
    found |= {name: numpy_helper.to_array(tensor) for name, tensor in graph.constants.items()}
    graph.shapes = tensors | {name: array.shape for name, array in found.items()}
    graph.numbers = {n: a.tolist() for n, a in found.items() if a.dtype == np.int64 and a.ndim == 1}


def slopes() -> dict[str, np.ndarray]:
    """How the bits of a symbol change with it and with its row, (64, 129) each: see entropy/price.py."""
    limit = SYMBOL_LIMIT
    symbol = torch.arange(-limit, limit + 1.0).repeat(TABLE_ROWS, 1).requires_grad_()
    row = torch.arange(0.0, TABLE_ROWS)[:, None].repeat(1, 2 * limit + 1).requires_grad_()
    bits = -torch.log2(probability(symbol.double(), scale_of(row.double())).clamp_min(2.0**-24))
    found = torch.autograd.grad(bits.sum(), [symbol, row])
    return {f"slopes.{n}": part.float().numpy() for n, part in zip(("symbol", "row"), found, strict=True)}


def export_search(weights: Weights, path: Path) -> int:
    """Writes the file that the search needs beside these weights; returns its size in bytes. WeightsError without LPIPS's weights."""
    tensors = judge_tensors() | slopes()
    sizes = {name: array.shape for name, array in tensors.items() if not name.endswith("|scale")}
    graphs = {"look": look_graph(sizes), "distance": distance_graph(weights, sizes)}
    for name, (proto, names) in graphs.items():
        tensors[f"graph.{name}"] = np.frombuffer(proto, np.uint8)
        tensors[f"graph.{name}.tensors"] = np.frombuffer("\n".join(names).encode(), np.uint8)
    data = save(deflate(tensors), {"model_id": weights.model_id.hex()})
    path.write_bytes(data)
    return len(data)
