"""A trained model as the tensors of its weights file: integer prior, gains, codebook, networks in int8, four ONNX graphs."""

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import save
from torch.nn import functional as F

from ...console import Progress
from ...errors import WeightsError
from ...image import network_inputs, thumbnail
from ...models import CodecModel
from ...models.prior_twin import SYMBOL_LIMIT, TABLE_ROWS, Prior, frequencies
from ...weights import deflate, parse
from ..data import Photos
from .graphs import graph, verbs

STEPS = 30  # of a quantised weight in the root mean square of its channel
MIN_QUANTISED = 2048  # smaller tensors stay in half precision
CODEBOOKS = "semantics.codebook", "base.codebook"  # stored in half precision, whatever their size
FIXED = "prior.", "gains.", *CODEBOOKS  # what fixes the symbols, and so the model id
FEWEST = 20  # pictures that are looked at, whatever the minutes


def quantise(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float32 (out, …) -> int8 (out, …), float16 scale (out,): symmetric, per output channel.

    A step is a 30th of the channel's root mean square, or more where int8 needs that: 6.8 bits a weight once deflated.
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
        if array.ndim > 1 and array.size >= MIN_QUANTISED and name not in CODEBOOKS:
            tensors[name], tensors[f"{name}|scale"] = quantise(array)
        else:
            tensors[name] = array.astype(np.float16)
    return tensors


def normative(
    model: CodecModel,
    token_counts: np.ndarray,
    symbol_counts: np.ndarray | None = None,
    base_counts: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """The tensors that fix the symbols: integer prior, tables, gains.

    token_counts (K, V), symbol_counts (64, 129), base_counts (V_b,): how often each token, symbol and code of the base was seen, see
    `count_tokens`, `count_symbols`.
    """
    gains = {
        f"gains.{n}": getattr(model.gains, n).detach().exp().float().cpu().numpy()
        for n in ("latent", "inverse", "hyper")
    }
    # Half a count for what was never seen: every token must remain codable.
    token_tables = np.stack([frequencies(row + 0.5) for row in token_counts])
    tables = {"prior.token_tables": token_tables}
    if model.base is not None:
        seen = np.ones(model.profile.base_codes) if base_counts is None else base_counts + 0.5
        tables["prior.base_table"] = frequencies(seen)
        tables["prior.base_factor"] = np.array([model.profile.base_factor], np.int32)
    return model.prior.export(symbol_counts) | gains | tables


Item = TypeVar("Item")
Watch = Callable[
    [str, Iterable[Item], int], Iterator[Item]
]  # (title, items, how many at most) -> the items, one by one


def unwatched(title: str, items: Iterable[Item], count: int) -> Iterator[Item]:
    """Yields all items, and tells nobody."""
    yield from items


def watched(quiet: bool, minutes: float) -> Watch:
    """Returns what yields items, tells how far they are, and ends after so many minutes (0: never) with what there was by then."""

    def watch(title: str, items: Iterable[Item], count: int) -> Iterator[Item]:
        begun = time.monotonic()
        with Progress(title, quiet) as progress:
            for index, item in enumerate(items):
                if minutes and index >= FEWEST and time.monotonic() - begun > 60 * minutes:
                    return
                progress.tell(index / count, f"picture {index + 1} of {count}")
                yield item

    return watch


@torch.no_grad()
def fit_preview(model: CodecModel, photos: Photos, pictures: int, watch: Watch = unwatched) -> dict[str, np.ndarray]:
    """The linear map of a position of z_c to its block of the picture at half the size, by least squares over photographs."""
    channels, side = model.profile.autoencoder_channels, model.profile.autoencoder_factor // 2
    device = model.semantics.codebook.device
    products = torch.eye(channels + 1, dtype=torch.float64)
    seen = torch.zeros(channels + 1, 3 * side**2, dtype=torch.float64)
    for index, pixels in enumerate(watch("preview", photos.pictures(pictures), pictures)):
        picture = Image.fromarray(pixels)
        y, _, tokens, *codes = analyse(model, picture)
        gain, inverse, _ = model.gains(torch.tensor([255.0 * (index % 5) / 4], device=device))
        y_hat = torch.round(y * gain)
        if model.base is not None:
            y_hat = y_hat + model.base.decode(model.base.codebook[codes[0]], y) * gain
        z_c, _ = model.synthesise(y_hat * inverse, tokens)
        blocks = F.pixel_unshuffle(F.avg_pool2d(model.render(z_c), 2), side)[0].flatten(1).double().cpu()
        z = F.pad(z_c[0].flatten(1), (0, 0, 0, 1), value=1.0).double().cpu()
        products += z @ z.T
        seen += z @ blocks.T
    fitted = torch.linalg.solve(products, seen).float().numpy()  # (C_z + 1, 3 side²)
    weight, scale = quantise(fitted[:-1].T.copy())
    return {"preview.weight": weight, "preview.weight|scale": scale, "preview.bias": fitted[-1].astype(np.float16)}


@torch.no_grad()
def kept_symbols(model: CodecModel, path: Path) -> dict[str, np.ndarray]:
    """What fixes the symbols, byte for byte that of another weights file, so that the model id stays.

    For a model of which only decoder networks were trained. WeightsError if its prior, gains or codebook are not those of the
    file, or the file is none.
    """
    try:
        old = parse(path.read_bytes())
        prior = Prior(model.profile)
        prior.load(old)
        pairs = [(model.semantics.codebook, torch.from_numpy(old["semantics.codebook"]), 1e-3)]
        if model.base is not None:
            pairs.append((model.base.codebook, torch.from_numpy(old["base.codebook"]), 1e-2))
        for name in ("latent", "inverse", "hyper"):
            pairs.append((getattr(model.gains, name).exp(), torch.from_numpy(old[f"gains.{name}"]), 1e-4))
    except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
        raise WeightsError(
            f"{path} holds no symbols that this model could keep ({error}): correct --keep-symbols"
        ) from error
    for layer, former in zip(model.prior.layers().values(), prior.layers().values(), strict=True):
        step = 2.0**-former.weight_bits / float(former.input_scale.min())
        pairs.append((layer.conv.weight, former.conv.weight, step))
    for now, then, tolerance in pairs:
        if now.shape != then.shape or not torch.allclose(now.cpu().float(), then.float(), 1e-3, tolerance):
            raise WeightsError(
                f"the model does not code with the prior, gains and codebook of {path}: leave out --keep-symbols"
            )
    return {name: array for name, array in old.items() if name.startswith(FIXED)}


def export(
    model: CodecModel,
    fixed: dict[str, np.ndarray],
    path: Path,
    metadata: dict[str, str],
    preview: dict[str, np.ndarray] | None = None,
) -> int:
    """Writes the weights file; returns its size in bytes. fixed: what fixes the symbols, of `normative` or `kept_symbols`."""
    model = model.float().cpu().eval()
    torch.backends.mha.set_fastpath_enabled(False)  # its fused operator has no ONNX form
    graphs = {}
    for verb in verbs(model.profile):
        proto, names = graph(model, verb)
        graphs[f"graph.{verb}"] = np.frombuffer(proto, np.uint8)
        graphs[f"graph.{verb}.tensors"] = np.frombuffer("\n".join(names).encode(), np.uint8)
    beside = deflate(networks(model) | (preview or {}) | graphs)
    data = save(beside | fixed, metadata)
    path.write_bytes(data)
    return len(data)


@torch.no_grad()
def count_tokens(model: CodecModel, photos: Photos, pictures: int, watch: Watch = unwatched) -> np.ndarray:
    """How often each token occurs at each place, (K, V), over whole photographs and random crops of them."""
    profile = model.profile
    counts = np.zeros((profile.tokens, profile.codebook_size))
    for picture in watch("frequencies of tokens", photos.pictures(pictures), pictures):
        views = [picture] + [photos.crop(256) for _ in range(3)]
        thumbs = np.concatenate([thumbnail(Image.fromarray(view), profile.thumb) for view in views])
        tokens = model.semantics(torch.from_numpy(thumbs).to(model.semantics.codebook.device))[1].cpu().numpy()
        np.add.at(counts, (np.arange(profile.tokens), tokens), 1)
    return counts


@torch.no_grad()
def count_symbols(
    model: CodecModel, photos: Photos, pictures: int, watch: Watch = unwatched
) -> tuple[np.ndarray, np.ndarray]:
    """How often each symbol is coded with each row of the tables, (64, 129), over crops of photographs at all rates; and how often
    each code of the base occurs in them, (V_b,)."""
    prior, device = model.prior, model.semantics.codebook.device
    counts, base_counts = np.zeros((TABLE_ROWS, 2 * SYMBOL_LIMIT + 1)), np.zeros(model.profile.base_codes)
    for index in watch("frequencies of symbols", range(pictures), pictures):
        picture = Image.fromarray(photos.crop(256))
        y, hyper, _, *codes = analyse(model, picture)
        for part in codes:
            np.add.at(base_counts, part.flatten().cpu().numpy(), 1)
        quality = torch.tensor([float(97 * index % 256)], device=device)
        gain, _, hyper_gain = model.gains(quality)
        for symbols, row, mask in prior.walk((y * gain).float(), (hyper * hyper_gain).float(), quality)[2]:
            rows, columns = (value[mask].round().long().cpu().numpy() for value in (row, symbols))
            np.add.at(counts, (rows, columns + SYMBOL_LIMIT), 1)
    return counts, base_counts


def analyse(model: CodecModel, picture: Image.Image) -> tuple[torch.Tensor, ...]:
    """RGB picture, seen whole -> y (1, C_y, h, w), hyper (1, C_h, hh, hw), tokens (1, K) and, with a base, its codes; on the model's device."""
    device = model.semantics.codebook.device
    x, thumb = (torch.from_numpy(array).to(device) for array in network_inputs(picture, model.profile))
    return model.analyse(x, thumb)
