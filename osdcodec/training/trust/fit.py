"""Fits the network of the map to samples, and writes its graph.

Mean squares are fitted by the likelihood of a squared error that is exponential about its mean, log m + e / m: its least lies at the mean itself, of small
errors as of large ones, where a fit of logarithms would be too low. The order of the places of a window is fitted as well, by the correlation of what is
expected with the ranks of what is true: it is what a reader of the map sees. Texture is fitted by its squared error.
"""

import io
import math
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from ...entropy.prior import Prior
from ...profile import Profile
from ...trust.maps import CELL
from ...trust.reading import facts
from ...trust.truth import measure
from .network import Expected, TrustNetwork

SIDE = 24  # of a window, in places
BATCH = 8
RATE = 2e-3
KEPT = 0.998  # of the running mean of the weights, a step
ORDER = 2.0  # weight of the order
NOISE = 0.1  # squared levels: rounding, which no map can know of
PIVOT = 8.0  # levels: an expected error that no power changes
INPUTS = "picture", "z_c", "z_hat", "spread", "activity", "setting"


class Samples:
    """Those of .npz files in memory. network: makes the energies, which need not be made at each step."""

    def __init__(self, paths: list[Path], prior: Prior, network: TrustNetwork) -> None:
        self.inputs: list[tuple[np.ndarray, ...]] = []
        self.targets: list[np.ndarray] = []  # (3, rows, columns)
        for path in paths:
            with np.load(path) as file:
                held = {name: file[name] for name in file.files}
            z_c, z_hat = (held[name].astype(np.float32) for name in ("z_c", "z_hat"))
            detail, preview = float(held["detail"]), bool(held["preview"])
            known = facts(prior, held["rows"], held["latent"], held["q"].astype(int), detail, preview)
            x = held["x"].transpose(2, 0, 1)
            tensors = (torch.from_numpy(array)[None] for array in (x / np.float32(127.5) - 1, z_c, z_hat))
            with torch.no_grad():
                energies = network.energies(*tensors)[0].numpy()
            halves = (array[0].astype(np.float16) for array in known)
            self.inputs.append((x, held["z_c"], held["z_hat"], *halves, energies.astype(np.float16)))
            true = measure(Image.fromarray(held["original"]), Image.fromarray(held["x"]))
            self.targets.append(np.stack([np.square(true.luma), np.square(true.chroma), true.texture]))

    def __len__(self) -> int:
        return len(self.inputs)

    def batch(self, chosen: np.ndarray, random: np.random.Generator | None = None) -> tuple[list[Tensor], Tensor]:
        """Inputs and targets of these samples: random windows of SIDE x SIDE places, or all of one."""
        found = [self._window(n, random) for n in chosen]
        inputs = [torch.from_numpy(np.stack(arrays)) for arrays in zip(*(part for part, _ in found), strict=True)]
        inputs = [tensor.contiguous(memory_format=torch.channels_last) for tensor in inputs]
        return inputs, torch.from_numpy(np.stack([target for _, target in found]))

    def _window(self, n: int, random: np.random.Generator | None) -> tuple[list[np.ndarray], np.ndarray]:
        inputs, target = self.inputs[n], self.targets[n]
        rows, columns = target.shape[1:]
        top = left = 0
        if random is not None:  # at whole positions of y
            top, left = (2 * int(random.integers((length - SIDE) // 2 + 1)) for length in (rows, columns))
            rows = columns = SIDE

        def part(array: np.ndarray) -> np.ndarray:
            scale = array.shape[1] / target.shape[1]
            edges = [
                (int(start * scale), int((start + length) * scale)) for start, length in ((top, rows), (left, columns))
            ]
            return np.ascontiguousarray(array[:, slice(*edges[0]), slice(*edges[1])]).astype(np.float32)

        picture, *others = (part(array) for array in inputs)
        return [picture / np.float32(127.5) - 1, *others], part(target)


def order_loss(found: Tensor, true: Tensor) -> Tensor:
    """1 less the correlation of the ranks of true errors with expected ones, for windows (B, rows, columns) of logarithms and of mean squares."""
    ranks = true.flatten(1).argsort(1).argsort(1).float()
    ranks, values = ranks - ranks.mean(1, keepdim=True), found.flatten(1)
    values = values - values.mean(1, keepdim=True)
    values = torch.tanh(values / (1.5 * values.std(1, keepdim=True) + 0.5))  # near to ranks, whatever the spread
    return 1 - F.cosine_similarity(values - values.mean(1, keepdim=True), ranks).mean()


def loss_of(found: Tensor, target: Tensor) -> Tensor:
    squares = target[:, :2] + NOISE
    likelihood = found[:, :2] * math.log(2) + squares * torch.exp2(-found[:, :2])
    texture, order = (found[:, 2] - target[:, 2]).square().mean(), order_loss(found[:, 0], target[:, 0])
    return likelihood[:, 0].mean() + 0.5 * likelihood[:, 1].mean() + 3 * texture + ORDER * order


def fit(
    paths: list[Path],
    profile: Profile,
    tensors: Mapping[str, np.ndarray],
    minutes: float,
    seed: int = 1,
    start: dict[str, Tensor] | None = None,
    rate: float = RATE,
) -> TrustNetwork:
    """The network fitted to samples in so many minutes: the running mean of its weights. start: its state at the beginning."""
    torch.manual_seed(seed)
    network = TrustNetwork(profile, tensors).to(memory_format=torch.channels_last)
    samples = Samples(paths, Prior(tensors, profile), network)
    if start:
        network.load_state_dict(start)
    else:
        standardise(network, samples)
    mean = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=0.05)
    random, began, step, losses = np.random.default_rng(seed), time.monotonic(), 0, []
    while (share := (time.monotonic() - began) / (60 * minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, step / 100) * ((1 + math.cos(math.pi * share)) / 2 + 0.005)
        inputs, target = samples.batch(random.integers(len(samples), size=BATCH), random)
        loss = loss_of(network.train()(*inputs), target)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        step += 1
        with torch.no_grad():
            for name, value in network.state_dict().items():
                mean[name].lerp_(value, 1 - min(KEPT, step / (step + 50)))
        losses.append(loss.item())
        if step % 200 == 0:
            print(f"step {step}, {share:.0%}: {np.mean(losses[-200:]):.4f}", flush=True)
    network.load_state_dict(mean)
    return network.eval()


def standardise(network: TrustNetwork, samples: Samples) -> None:
    """Means and deviations of the latents' channels."""
    z = [
        np.concatenate([i[1], i[2].astype(np.float32) - i[1]]).reshape(2 * len(i[1]), -1)[:, ::7]
        for i in samples.inputs
    ]
    y = [np.concatenate([i[3], i[4]]).astype(np.float32).reshape(2 * len(i[3]), -1) for i in samples.inputs]
    for name, parts in (("z", z), ("y", y)):
        values = torch.from_numpy(np.concatenate(parts, 1).astype(np.float32))
        getattr(network, f"{name}_mean").copy_(values.mean(1)[None, :, None, None])
        getattr(network, f"{name}_deviation").copy_(values.std(1)[None, :, None, None] + 0.02)


def graph(network: TrustNetwork, model_id: bytes) -> bytes:
    """The ONNX graph of a network, its weights in half precision, with the id of the model that it belongs to."""
    rows, columns, fine = 4, 6, network.fine
    latent, y = network.z_mean.shape[1] // 2, network.y_mean.shape[1] // 2
    z, wide = torch.zeros(1, latent, rows, columns), torch.zeros(1, y, rows // fine, columns // fine)
    picture, setting = torch.zeros(1, 3, CELL * rows, CELL * columns), torch.zeros(1, 3, rows, columns)
    at_z, at_y = {2: "2h", 3: "2w"}, {2: "h", 3: "w"}
    axes = {"picture": {2: "H", 3: "W"}, "spread": at_y, "activity": at_y}
    axes |= dict.fromkeys(("z_c", "z_hat", "setting", "trust"), at_z)
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter warns of every size it traces
        torch.onnx.export(
            Expected(network).eval().to(memory_format=torch.contiguous_format), (picture, z, z, wide, wide, setting), cast(Any, buffer),
            input_names=list(INPUTS), output_names=["trust"], dynamic_axes=axes, opset_version=17, dynamo=False,
        )  # fmt: skip
    proto = onnx.load_from_string(buffer.getvalue())
    casts = []
    for tensor in proto.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size > 64:
            name, half = tensor.name, f"{tensor.name}.half"
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), half))
            casts.append(onnx.helper.make_node("Cast", [half], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    for node in proto.graph.node:
        node.doc_string = ""
    onnx.helper.set_model_props(proto, {"model_id": model_id.hex()})
    onnx.checker.check_model(proto)
    return proto.SerializeToString()


def recalibrate(network: TrustNetwork, factor: float, power: float) -> None:
    """Makes expected errors of luma e levels into factor * PIVOT * (e / PIVOT) ** power, in place: a calibration, which changes no order."""
    last = network.leave[2]
    assert isinstance(last, nn.Conv2d) and last.bias is not None
    with torch.no_grad():  # what leaves here is the logarithm (base 2) of a mean square
        last.weight[0] *= power
        last.bias[0] = power * last.bias[0] + 2 * (1 - power) * math.log2(PIVOT) + 2 * math.log2(factor)
