"""A public checkpoint of CoD-Lite -> the weights file of a model: read as data, checked, what is constant multiplied out.

The state dict is that of `OneStepCoD` in the authors' code, all names after `net.`:

    y_embedder.encoder.*  y_embedder.bottleneck.embedding  y_embedder.decoder.*       encoder, entries, condition decoder
    t_embedder.*  s_embedder.*  blocks.*                                              trunk
    y_embedder_x  x_embedder.*  dec_net.*  final_layer.*                              pixels

What a loader of the file needs beside tensors (the noise of the start, what the step predicts) stands in the YAML beside it.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..entropy.indices import normative
from ..errors import WeightsError
from .graphs import graphs
from .networks import Networks
from .sizes import FREQUENCIES, PATCH, Layer, Sizes

TIMES = 256  # numbers that tell the network the time, half of them cosines
SIZES = "sizes"  # name, in the weights file, of the sizes as JSON

State = dict[str, Tensor]


def read(path: Path, recipe: Path | None = None) -> tuple[Sizes, State]:
    """A .pt file, and the .yaml file beside it -> sizes, state dict in float32. WeightsError if it is not such a checkpoint.

    Nothing of the file is run: whatever it holds beside tensors and plain containers is refused.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # zip, pickle, and torch's own errors
        told = str(error).split("\n")[0]
        raise WeightsError(f"{path} is refused: not a file of tensors and nothing else ({told})") from error
    for name in ("module", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
    found = content if isinstance(content, dict) else {}
    state = {
        name.removeprefix("net."): value.float()
        for name, value in found.items()
        if isinstance(name, str) and name.startswith("net.") and isinstance(value, Tensor)
    }
    try:
        return sizes_of(state, settings(recipe)), state
    except (KeyError, ValueError, IndexError, AttributeError, TypeError) as error:
        raise WeightsError(f"{path} is not a checkpoint of CoD-Lite: {error} is missing or not as expected") from error


def settings(recipe: Path | None) -> dict[str, Any]:
    """What the YAML file says of the network. ValueError or WeightsError if it asks for what is not built here."""
    if recipe is None:
        return {}
    import yaml

    try:
        told = yaml.safe_load(recipe.read_text("utf-8"))["model"]["net"].get("init_args") or {}
    except (OSError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise WeightsError(f"{recipe} does not tell of a network: fetch it again") from error
    for name, wanted in (("up2x", True), ("light", True), ("patch_size", PATCH), ("in_channels", 3)):
        if told.get(name, wanted) != wanted:
            raise WeightsError(f"{recipe}: {name} = {told[name]} is not built here")
    if told.get("pred", "x") not in ("x", "v"):
        raise WeightsError(f"{recipe}: pred = {told['pred']} is not built here")
    return {"noise_level": float(told.get("noise_level", 0.0)), "adds_noise": told.get("pred", "x") == "v"}


def sizes_of(state: State, told: dict[str, Any]) -> Sizes:
    """All but what `told` says follows from the shapes."""
    entries, dimension = state["y_embedder.bottleneck.embedding.weight"].shape
    stride = 4 * 2 ** sum(f"y_embedder.encoder.down_block_{stage}.2.conv.weight" in state for stage in (1, 2, 3))
    bottleneck = state["s_embedder.proj1.weight"].shape[0]
    return Sizes(
        stride=stride,
        entries=entries,
        dimension=dimension,
        encoder_width=state["y_embedder.encoder.conv_in.weight"].shape[0],
        width=state["s_embedder.proj2.weight"].shape[0],
        blocks=count(state, "blocks"),
        pixel_width=state["final_layer.linear.weight"].shape[1],
        pixel_blocks=count(state, "dec_net.res_blocks"),
        bottleneck=bottleneck,
        **told,
    )


def count(state: State, prefix: str) -> int:
    return len({name[len(prefix) + 1 :].split(".")[0] for name in state if name.startswith(f"{prefix}.")})


def networks(sizes: Sizes, state: State) -> Networks:
    """The networks with the numbers of a public state dict. WeightsError if a tensor is missing or has another shape."""
    model, moved = Networks(sizes), State()
    try:
        for part, source, layers in (
            ("encoder", "y_embedder.encoder", sizes.encoder()),
            ("condition", "y_embedder.decoder", sizes.condition()),
        ):
            for index, layer in enumerate(layers):
                moved |= {f"{part}.{index}.{ours}": state[f"{source}.{theirs}"] for ours, theirs in names(layer)}
        moved |= {f"trunk.{name}": value for name, value in trunk(sizes, state)}
        moved |= {f"pixels.{name}": value for name, value in pixels(sizes, state)}
        wanted = model.state_dict()
        for name, value in moved.items():
            moved[name] = value.reshape(wanted[name].shape)  # 1x1 convolutions are linear layers here
    except KeyError as error:
        raise WeightsError(f"the checkpoint lacks the tensor {error}") from error
    except RuntimeError as error:
        raise WeightsError(f"a tensor of the checkpoint is not of the expected shape: {error}") from error
    model.load_state_dict(moved)
    return model.eval().requires_grad_(False)


def names(layer: Layer) -> Iterator[tuple[str, str]]:
    """(our name, public name) of each tensor of a layer, without the prefix of its network."""
    if layer.kind == "conv":
        pairs = [("conv", layer.source)]
    elif layer.kind == "out":
        norm, conv = layer.source.split()
        pairs = [("norm", norm), ("conv", conv)]
    elif layer.kind == "attend":
        pairs = [(ours, f"{layer.source}.{theirs}") for ours, theirs in zip(
            ("norm", "q", "k", "v", "out"), ("norm", "q", "k", "v", "proj_out"), strict=True)]  # fmt: skip
    else:
        ours = "block." if layer.kind == "up" else ""
        pairs = [
            (f"{ours}{half}.{part}", f"{layer.source}.{part}{number}")
            for number, half in enumerate(("first", "second"), 1)
            for part in ("norm", "conv")
        ]
        if layer.inputs != layer.outputs:
            pairs.append((f"{ours}shortcut", f"{layer.source}.nin_shortcut"))
    for ours, theirs in pairs:
        yield from ((f"{ours}.{kind}", f"{theirs}.{kind}") for kind in ("weight", "bias"))


def trunk(sizes: Sizes, state: State) -> Iterator[tuple[str, Tensor]]:
    """The blocks, with the scale, shift and gate of the one time there is multiplied into the layers beside them."""

    def linear(name: str) -> tuple[Tensor, Tensor]:
        return state[f"{name}.weight"].double().flatten(1), state[f"{name}.bias"].double()

    def scaled(name: str, scale: Tensor, shift: Tensor) -> Iterator[tuple[str, Tensor]]:
        weight, bias = linear(name)
        yield from ((".weight", weight * (1 + scale)), (".bias", bias + weight @ shift))

    def gated(name: str, gate: Tensor) -> Iterator[tuple[str, Tensor]]:
        weight, bias = linear(name)
        yield from ((".weight", weight * gate[:, None]), (".bias", bias * gate))

    time = torch.cat([torch.ones(TIMES // 2), torch.zeros(TIMES // 2)]).double()  # cosines and sines of t = 0
    for name in ("t_embedder.mlp.0", "t_embedder.mlp.2"):
        weight, bias = linear(name)
        time = torch.nn.functional.silu(weight @ time + bias)  # the second SiLU is that before each modulation

    noise, enter = state["s_embedder.proj1.weight"].flatten(1), state["s_embedder.proj2.weight"].flatten(1)
    if sizes.noise_level:
        yield "noise.weight", noise
    yield "enter.weight", enter if sizes.noise_level else enter[:, len(noise) :]
    yield "enter.bias", state["s_embedder.proj2.bias"]
    for index in range(sizes.blocks):
        theirs, ours = f"blocks.{index}", f"blocks.{index}"
        weight, bias = linear(f"{theirs}.adaLN_modulation.1")
        shift, scale, gate, shift_wide, scale_wide, gate_wide = (weight @ time + bias).chunk(6)
        parts = {
            "enter": scaled(f"{theirs}.conv1", scale, shift),
            "leave": gated(f"{theirs}.conv3", gate),
            "widen": scaled(f"{theirs}.conv4", scale_wide, shift_wide),
            "narrow": gated(f"{theirs}.conv5", gate_wide),
        }
        for part, tensors in parts.items():
            yield from ((f"{ours}.{part}{kind}", value.float()) for kind, value in tensors)
        for part, name in (("around", "conv2"), ("attention", "ca.1")):
            for kind in ("weight", "bias"):
                yield f"{ours}.{part}.{kind}", state[f"{theirs}.{name}.{kind}"]


def pixels(sizes: Sizes, state: State) -> Iterator[tuple[str, Tensor]]:
    """The network of each pixel, its first three layers, which nothing but sums stand between, in one."""
    width, places = sizes.pixel_width, PATCH**2
    embed, into = state["x_embedder.embedder.0.weight"].double(), state["dec_net.input_proj.weight"].double()
    first = into @ embed  # (c, 3 + c + 64): of the noise, the condition, the cosines
    bias = into @ state["x_embedder.embedder.0.bias"].double() + state["dec_net.input_proj.bias"].double()
    if sizes.noise_level:
        yield "noise.weight", first[:, :3].float()
    of_condition = first[:, 3 : 3 + width]
    given = state["y_embedder_x.weight"].double().flatten(1).reshape(width, places, sizes.width)
    given_bias = state["y_embedder_x.bias"].double().reshape(width, places)
    yield "given.weight", torch.einsum("oc,cpi->poi", of_condition, given).flatten(0, 1).float()
    constant = torch.einsum("oc,cp->po", of_condition, given_bias) + cosines() @ first[:, 3 + width :].T + bias
    yield "given.bias", constant.flatten().float()
    for kind in ("weight", "bias"):
        yield f"told.{kind}", state[f"dec_net.cond_embed.{kind}"]
        blocks = [f"dec_net.res_blocks.{index}" for index in range(sizes.pixel_blocks)]
        yield f"modulation.{kind}", torch.cat([state[f"{block}.adaLN_modulation.1.{kind}"] for block in blocks])
        for index, block in enumerate(blocks):
            for ours, theirs in (("norm", "in_ln"), ("mlp.0", "mlp.0"), ("mlp.2", "mlp.2")):
                yield f"blocks.{index}.{ours}.{kind}", state[f"{block}.{theirs}.{kind}"]
    yield "out.weight", state["final_layer.linear.weight"] * state["final_layer.norm.weight"]
    yield "out.bias", state["final_layer.linear.bias"]


def cosines() -> Tensor:
    """(256, 64): what a pixel hears of its place in its patch. Frequencies are 0 .. 8 in eight steps, as published."""
    place, frequency = torch.linspace(0, 1, PATCH).double(), torch.linspace(0, FREQUENCIES, FREQUENCIES).double()
    waves = torch.cos(math.pi * place[:, None] * frequency)  # (16, 8)
    falling = 1 / (1 + frequency[:, None] * frequency)  # (8, 8)
    return torch.einsum("xf,yg,fg->yxfg", waves, waves, falling).reshape(PATCH**2, FREQUENCIES**2)


def weights_file(sizes: Sizes, codebook: Tensor, model: Networks, encodes: bool = True) -> dict[str, np.ndarray]:
    """All that the file of a model holds, by name. encodes: with the encoder; without, it can only decode."""
    tensors = {name: value.numpy() for name, value in model.state_dict().items()}
    tensors |= normative(codebook.numpy(), sizes.stride, sizes.quality)
    for name, (graph, inside) in graphs(model).items():
        tensors[f"graph.{name}"] = np.frombuffer(graph, np.uint8)
        tensors[f"graph.{name}.tensors"] = np.frombuffer("\n".join(inside).encode(), np.uint8)
    tensors[SIZES] = np.frombuffer(json.dumps(sizes.to_dict()).encode(), np.uint8)
    if not encodes:
        tensors = {
            name: value for name, value in tensors.items() if not name.removeprefix("graph.").startswith("encoder.")
        }
    return tensors


def convert(checkpoint: Path, recipe: Path | None) -> tuple[Sizes, dict[str, np.ndarray]]:
    """A checkpoint -> sizes, and all that the weights file of its model holds."""
    sizes, state = read(checkpoint, recipe)
    model = networks(sizes, state)
    return sizes, weights_file(sizes, state["y_embedder.bottleneck.embedding.weight"], model)
