"""A trained model -> one safetensors file: integer prior, gains, codebook, networks in int8, four ONNX graphs."""

import io
import json
import math
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from accelerate import Accelerator
from PIL import Image
from safetensors.numpy import save
from torch import Tensor, nn
from torch.nn import functional as F
from torch.onnx import register_custom_op_symbolic, symbolic_helper

from ..image import thumbnail, to_array
from ..models import CodecModel
from ..models.prior import SYMBOL_LIMIT, TABLE_ROWS, frequencies
from ..profile import Profile
from ..runtime.torch import load_model
from ..weights import deflate, entry, load
from .data import Photos

PREVIEW_PICTURES = 60  # 9,408 numbers need no more
STEPS = 36  # of a quantised weight in the root mean square of its channel
MIN_QUANTISED = 2048  # smaller tensors stay in half precision
REGISTRY_HEADER = """# The released models. The file of a profile lies in osdcodec/embedded/; an .osd file names its model by model_id.
# results: bits per pixel of whole files, PSNR in dB and MS-SSIM, means over the 24 Kodak photographs.
"""


@symbolic_helper.parse_args("v", "t", "t")
def _movedim(g, x, source: Tensor, destination: Tensor):
    """Axes counted from the front. The exporter's own symbol counts from the back, and its fusion of two transposes then
    reads beyond an array: the graph it writes is right or broken by chance."""
    rank = symbolic_helper._get_tensor_rank(x)
    moved = {d % rank: s % rank for d, s in zip(destination.flatten().tolist(), source.flatten().tolist(), strict=True)}
    others = (axis for axis in range(rank) if axis not in moved.values())
    return g.op("Transpose", x, perm_i=[moved[axis] if axis in moved else next(others) for axis in range(rank)])


register_custom_op_symbolic("aten::movedim", _movedim, 17)


class Verb(nn.Module):
    """One of the four verbs of a model as a module, for the exporter."""

    def __init__(self, model: CodecModel, verb: str) -> None:
        super().__init__()
        self.model, self.verb = model, verb

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        return getattr(self.model, self.verb)(*inputs)


def verbs(profile: Profile) -> dict[str, tuple[dict[str, Tensor], dict[str, list[str]], list[str]]]:
    """Verb -> example inputs by name, names of their dynamic axes, output names."""
    rows, columns, size = 3, 5, profile.stride
    latent = torch.zeros(1, profile.autoencoder_channels, 2 * rows, 2 * columns)
    tokens, picture = torch.zeros(1, profile.tokens, dtype=torch.int64), {2: "H", 3: "W"}
    fine, coarse = {2: "2h", 3: "2w"}, {2: "h", 3: "w"}
    return {
        "analyse": (
            {
                "x": torch.zeros(1, 3, rows * size, columns * size),
                "thumb": torch.zeros(1, 3, profile.thumb, profile.thumb),
            },
            {"x": picture, "y": coarse, "hyper": {2: "hh", 3: "hw"}},
            ["y", "hyper", "tokens"],
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
            },
            {"z_c": fine, "condition": fine, "noise": fine, "z_hat": fine},
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
            Verb(model, verb).eval(), tuple(inputs.values()), buffer, input_names=list(inputs), output_names=outputs,
            dynamic_axes=axes, opset_version=17, do_constant_folding=False, dynamo=False,
        )  # fmt: skip
    proto = onnx.load_from_string(buffer.getvalue())
    for node in proto.graph.node:
        node.input[:] = [name.removeprefix("model.") for name in node.input]
        node.output[:] = [
            name.removeprefix("model.") for name in node.output
        ]  # equal tensors become an Identity of one
        node.doc_string = ""
        if node.op_type == "Transpose":
            assert sorted(node.attribute[0].ints) == list(range(len(node.attribute[0].ints))), node
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


def quantise(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float32 (out, …) -> int8 (out, …), float16 scale (out,): symmetric, per output channel.

    A step is a 36th of the channel's root mean square, or more where int8 needs that: 7 bits a weight once deflated.
    """
    flat = weight.reshape(len(weight), -1)
    scale = np.maximum(np.abs(flat).max(1) / 127, np.sqrt(np.square(flat).mean(1)) / STEPS)
    scale = scale.clip(1e-7).astype(np.float16).clip(6e-8)
    steps = np.rint(flat / scale.astype(np.float32)[:, None]).clip(-127, 127)
    return steps.astype(np.int8).reshape(weight.shape), scale


def networks(model: CodecModel) -> dict[str, np.ndarray]:
    """Every float tensor that some verb uses: large ones in int8, the rest in half precision."""
    tensors = {}
    for name, value in model.state_dict().items():
        if name.startswith(("prior.", "gains.")):
            continue
        array = value.detach().float().cpu().numpy()
        if array.ndim > 1 and array.size >= MIN_QUANTISED and name != "semantics.codebook":
            tensors[name], tensors[f"{name}|scale"] = quantise(array)
        else:
            tensors[name] = array.astype(np.float16)
    return tensors


def normative(
    model: CodecModel, token_counts: np.ndarray, symbol_counts: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """The tensors that fix the symbols: integer prior, tables, gains.

    token_counts (K, V), symbol_counts (64, 129): how often each token and symbol was seen, see `count_tokens`, `count_symbols`.
    """
    gains = {
        f"gains.{n}": getattr(model.gains, n).detach().exp().float().cpu().numpy()
        for n in ("latent", "inverse", "hyper")
    }
    # Half a count for what was never seen: every token must remain codable.
    token_tables = np.stack([frequencies(row + 0.5) for row in token_counts])
    return model.prior.export(symbol_counts) | gains | {"prior.token_tables": token_tables}


@torch.no_grad()
def fit_preview(model: CodecModel, photos: Photos, pictures: int) -> dict[str, np.ndarray]:
    """The linear map of a position of z_c to its block of the picture at half the size, by least squares over photographs."""
    channels, side = model.profile.autoencoder_channels, model.profile.autoencoder_factor // 2
    device = model.semantics.codebook.device
    products = torch.eye(channels + 1, dtype=torch.float64)
    seen = torch.zeros(channels + 1, 3 * side**2, dtype=torch.float64)
    for index in range(min(pictures, len(photos))):
        picture = Image.fromarray(photos.picture(index))
        x = torch.from_numpy(to_array(picture, model.profile.stride)).to(device)
        y, _, tokens = model.analyse(x, torch.from_numpy(thumbnail(picture, model.profile.thumb)).to(device))
        gain, inverse, _ = model.gains(torch.tensor([255.0 * (index % 5) / 4], device=device))
        z_c, _ = model.synthesise(torch.round(y * gain) * inverse, tokens)
        blocks = F.pixel_unshuffle(F.avg_pool2d(model.render(z_c), 2), side)[0].flatten(1).double().cpu()
        z = F.pad(z_c[0].flatten(1), (0, 0, 0, 1), value=1.0).double().cpu()
        products += z @ z.T
        seen += z @ blocks.T
    fitted = torch.linalg.solve(products, seen).float().numpy()  # (C_z + 1, 3 side²)
    weight, scale = quantise(fitted[:-1].T.copy())
    return {"preview.weight": weight, "preview.weight|scale": scale, "preview.bias": fitted[-1].astype(np.float16)}


def export(
    model: CodecModel,
    token_counts: np.ndarray,
    path: Path,
    metadata: dict[str, str],
    preview: dict[str, np.ndarray] | None = None,
    symbol_counts: np.ndarray | None = None,
) -> int:
    """Writes the weights file; returns its size in bytes."""
    model = model.float().cpu().eval()
    torch.backends.mha.set_fastpath_enabled(False)  # its fused operator has no ONNX form
    graphs = {}
    for verb in verbs(model.profile):
        proto, names = graph(model, verb)
        graphs[f"graph.{verb}"] = np.frombuffer(proto, np.uint8)
        graphs[f"graph.{verb}.tensors"] = np.frombuffer("\n".join(names).encode(), np.uint8)
    beside = deflate(networks(model) | (preview or {}) | graphs)
    data = save(beside | normative(model, token_counts, symbol_counts), metadata)
    path.write_bytes(data)
    return len(data)


@torch.no_grad()
def count_tokens(model: CodecModel, photos: Photos, pictures: int) -> np.ndarray:
    """How often each token occurs at each place, (K, V), over whole photographs and random crops of them."""
    profile = model.profile
    counts = np.zeros((profile.tokens, profile.codebook_size))
    for index in range(min(pictures, len(photos))):
        views = [photos.picture(index)] + [photos.crop(256) for _ in range(3)]
        thumbs = np.concatenate([thumbnail(Image.fromarray(view), profile.thumb) for view in views])
        tokens = model.semantics(torch.from_numpy(thumbs).to(model.semantics.codebook.device))[1].cpu().numpy()
        np.add.at(counts, (np.arange(profile.tokens), tokens), 1)
    return counts


@torch.no_grad()
def count_symbols(model: CodecModel, photos: Photos, pictures: int) -> np.ndarray:
    """How often each symbol is coded with each row of the tables, (64, 129), over crops of photographs at all rates."""
    prior, device = model.prior, model.semantics.codebook.device
    counts = np.zeros((TABLE_ROWS, 2 * SYMBOL_LIMIT + 1))
    for index in range(pictures):
        picture = Image.fromarray(photos.crop(256))
        x, thumb = to_array(picture, model.profile.stride), thumbnail(picture, model.profile.thumb)
        y, hyper, _ = model.analyse(torch.from_numpy(x).to(device), torch.from_numpy(thumb).to(device))
        quality = torch.tensor([float(97 * index % 256)], device=device)
        gain, _, hyper_gain = model.gains(quality)
        for symbols, row, mask in prior.walk((y * gain).float(), (hyper * hyper_gain).float(), quality)[2]:
            rows, columns = (value[mask].round().long().cpu().numpy() for value in (row, symbols))
            np.add.at(counts, (rows, columns + SYMBOL_LIMIT), 1)
    return counts


def export_profile(
    profile: Profile, config: dict, data: Path, out: Path, accelerator: Accelerator, minutes: float, steps: int | None
) -> Path:
    """Stage `export`: out/model.pt -> out/<profile>.safetensors, listed by a weights.toml beside it: `--weights-dir out`."""
    model = CodecModel(profile)
    model.load_state_dict(torch.load(out / "model.pt", map_location="cpu", weights_only=True))
    photos, pictures = Photos(data / "train", seed=4), config["pictures"] if steps is None else 5
    counts = count_tokens(model.eval(), photos, pictures)
    symbols = count_symbols(model, photos, pictures)
    preview = fit_preview(model, photos, min(pictures, PREVIEW_PICTURES))
    path = out / f"{profile.name}.safetensors"
    size = export(model, counts, path, {"profile": profile.name}, preview, symbols)
    told = {"revision": 0, "terms": "not released", "data": str(data), "results": []}
    (out / "weights.toml").write_text(registry_text([entry(path, profile.name) | told]), "utf-8")
    print(f"{path}: {size / 2**20:.2f} MiB")
    return path


def unpack_weights(
    profile: Profile, config: dict, data: Path, out: Path, accelerator: Accelerator, minutes: float, steps: int | None
) -> CodecModel:
    """Stage `unpack`: the released weights -> out/start.pt, from which stage `codec` goes on."""
    model = load_model(load(profile.name))
    torch.save(model.state_dict(), out / "start.pt")
    return model


def components_text(registry: Path) -> str:
    """What a weights.toml says of base models, to be kept when its models are written anew."""
    text = registry.read_text("utf-8") if registry.exists() else ""
    place = min((text.find(mark) for mark in ("# The base models", "[[component]]") if mark in text), default=len(text))
    return text[place:]


def registry_text(models: list[dict]) -> str:
    """The text of weights.toml."""
    lines = [REGISTRY_HEADER]
    for model in models:
        lines.append("[[model]]")
        lines += [
            f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in model.items() if key != "results"
        ]
        rows = [
            "    { " + ", ".join(f"{key} = {value}" for key, value in row.items()) + " }," for row in model["results"]
        ]
        lines += ["results = [", *rows, "]", ""]
    return "\n".join(lines)
