"""The four verbs of a model as ONNX graphs, whose tensors lie outside of them."""

import io
import math
import warnings
from typing import Any, cast

import onnx
import torch
from torch import Tensor, nn
from torch.onnx import symbolic_helper
from torch.onnx.utils import register_custom_op_symbolic

from ...errors import OsdError
from ...models import CodecModel
from ...profile import Profile


@symbolic_helper.parse_args("v", "t", "t")
def _movedim(g: Any, x: Any, source: Tensor, destination: Tensor) -> Any:
    """Axes counted from the front. The exporter's own symbol counts from the back, and its fusion of two transposes then
    reads beyond an array: the graph it writes is right or broken by chance."""
    rank = int(symbolic_helper._get_tensor_rank(x) or 0)
    moved = {d % rank: s % rank for d, s in zip(destination.flatten().tolist(), source.flatten().tolist(), strict=True)}
    others = (axis for axis in range(rank) if axis not in moved.values())
    return g.op("Transpose", x, perm_i=[moved[axis] if axis in moved else next(others) for axis in range(rank)])


register_custom_op_symbolic("aten::movedim", _movedim, 17)


Axes = dict[str, dict[int, str]]  # by the name of an input or output: which axes are free, and what they are called


class Verb(nn.Module):
    """One of the four verbs of a model as a module, for the exporter."""

    def __init__(self, model: CodecModel, verb: str) -> None:
        super().__init__()
        self.model, self.verb = model, verb

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        return getattr(self.model, self.verb)(*inputs)


def verbs(profile: Profile) -> dict[str, tuple[dict[str, Tensor], Axes, list[str]]]:
    """Verb -> example inputs by name, names of their dynamic axes, output names."""
    rows, columns, size = 3, 5, profile.stride
    latent = torch.zeros(1, profile.autoencoder_channels, 2 * rows, 2 * columns)
    tokens, picture = torch.zeros(1, profile.tokens, dtype=torch.int64), {2: "H", 3: "W"}
    fine, coarse = {2: "2h", 3: "2w"}, {2: "h", 3: "w"}
    base, seen = (["base"] if profile.base_codes else []), dict[str, Tensor]()
    if profile.decoder_semantics:
        seen = {
            "coarse": torch.zeros(1, 3, rows * size, columns * size),
            "coarse_thumb": torch.zeros(1, 3, profile.thumb, profile.thumb),
        }
    return {
        "analyse": (
            {
                "x": torch.zeros(1, 3, rows * size, columns * size),
                "thumb": torch.zeros(1, 3, profile.thumb, profile.thumb),
            },
            {"x": picture, "y": coarse, "hyper": {2: "hh", 3: "hw"}} | {key: {1: "bh", 2: "bw"} for key in base},
            ["y", "hyper", "tokens", *base],
        ),
        "synthesise": (
            {"y_hat": torch.zeros(1, profile.latent_channels, rows, columns), "tokens": tokens},
            {"y_hat": coarse, "z_c": fine, "condition": fine},
            ["z_c", "condition"],
        ),
        "denoise": (
            {
                "z_c": latent,
                "condition": torch.zeros(1, profile.condition_channels, 2 * rows, 2 * columns),
                "tokens": tokens,
                "noise": latent,
                "level": torch.zeros(1),
                "alpha_bar": torch.full((1, 1, 1, 1), 0.5),
                **seen,
            },
            {"z_c": fine, "condition": fine, "noise": fine, "z_hat": fine} | ({"coarse": picture} if seen else {}),
            ["z_hat"],
        ),
        "render": ({"z": latent}, {"z": fine, "x": picture}, ["x"]),
    }


def graph(model: CodecModel, verb: str) -> tuple[bytes, list[str]]:
    """One verb as an ONNX graph whose tensors lie outside, and their names, which are those of the model's state dict.

    Outside is a file "weights" that holds them as float32, one behind the other in the order of the names: spec/weights.md.
    """
    inputs, axes, outputs = verbs(model.profile)[verb]
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter warns of every size it traces; those are wanted as they are
        torch.onnx.export(
            Verb(model, verb).eval(), tuple(inputs.values()), cast(Any, buffer), input_names=list(inputs), output_names=outputs,
            dynamic_axes=axes, opset_version=17, do_constant_folding=False, dynamo=False,
        )  # fmt: skip
    proto = onnx.load_from_string(buffer.getvalue())
    for node in proto.graph.node:
        node.input[:] = [name.removeprefix("model.") for name in node.input]
        # Equal tensors become an Identity of one.
        node.output[:] = [name.removeprefix("model.") for name in node.output]
        node.doc_string = ""
        if node.op_type == "Transpose" and sorted(axes := node.attribute[0].ints) != list(range(len(axes))):
            raise OsdError(
                f"the exporter of torch wrote {node.name} without axes that a runtime takes: use another torch"
            )
    names, offset = [], 0
    for tensor in proto.graph.initializer:
        if tensor.name.startswith("model."):
            tensor.name = tensor.name.removeprefix("model.")
            names.append(tensor.name)
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            # The runtime of browsers cannot take tensors by name; it finds them by their places in one file of them all.
            place = {"location": "weights", "offset": str(offset), "length": str(4 * math.prod(tensor.dims))}
            for key, value in place.items():
                tensor.external_data.add(key=key, value=value)
            offset += int(place["length"])
    return proto.SerializeToString(), names
