"""The conformance vectors of a code of indices: `python -m osdcodec.maintenance.vectors.cod_lite FOLDER`. Made once: they stay for ever."""

import argparse
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import save_file

from ... import container, weights
from ...checks.conformance import Vector, write
from ...cod_lite.checkpoint import weights_file
from ...cod_lite.coder import CodLiteSymbolCoder
from ...cod_lite.networks import Networks
from ...cod_lite.sizes import Sizes
from ...console import run_command
from ...container import Osd, Regions
from ...weights.writer import registry_text

# As small as may be, and no two sizes alike where a mix-up could go unnoticed. With noise, which the seed draws.
TINY = Sizes(
    stride=32, entries=16, dimension=6, encoder_width=32, width=32, blocks=2, pixel_width=5, pixel_blocks=2, bottleneck=7,
    noise_level=0.5, adds_noise=True,
)  # fmt: skip
SEED = 4
FILE = "cod-lite.safetensors"


def model(folder: Path) -> weights.Weights:
    """A weights file of random numbers, in half precision but for the code, without an encoder."""
    networks, random = Networks(TINY).eval().requires_grad_(False), np.random.Generator(np.random.PCG64(SEED))
    for name, value in sorted(networks.state_dict().items()):
        drawn = random.standard_normal(tuple(value.shape))
        drawn = drawn * value[0].numel() ** -0.5 if value.ndim > 1 else 0.1 * drawn + name.endswith("norm.weight")
        value.copy_(torch.from_numpy(drawn.astype(np.float16)))
    codebook = torch.from_numpy(random.standard_normal((TINY.entries, TINY.dimension)).astype(np.float32))
    tensors = weights_file(TINY, codebook, networks, encodes=False)
    halved = {
        name: array.astype(np.float16) if array.dtype == np.float32 and not name.startswith("code.") else array
        for name, array in tensors.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(halved, folder / FILE, {"profile": "cod-lite"})
    entry = weights.entry(folder / FILE, "cod-lite") | {
        "bpp": TINY.bpp,
        "rate": f"{TINY.bpp:.4f}",
        "terms": "Apache-2.0",
    }
    header = "# Of these conformance vectors only. Random numbers; nothing trains or changes them.\n"
    (folder / "weights.toml").write_text(registry_text([entry], header), "utf-8")
    return weights.load("cod-lite", folder)


def vectors(made: weights.Weights) -> tuple[list[Vector], list[Vector]]:
    """Files that decode, and files that are refused."""
    code, random = CodLiteSymbolCoder(made).code, np.random.Generator(np.random.PCG64(SEED))

    def file(width: int, height: int, grid: np.ndarray | None = None, **fields: Any) -> Osd:
        size = code.grid(width, height)
        payload = code.encode(random.integers(0, TINY.entries, size) if grid is None else np.broadcast_to(grid, size))
        return replace(Osd(made.model_id, width, height, code.quality, payload), **fields)

    alpha = io.BytesIO()
    Image.linear_gradient("L").resize((70, 40)).save(alpha, "WEBP", lossless=True)
    kept = ("A", alpha.getvalue()), ("e", b"II*\0\x08\0\0\0\0\0"), ("x", b"<x/>"), ("z", b"of a later version")
    good = {
        "one-pixel": ("1x1", file(1, 1)),
        "odd": ("an odd size", file(101, 67)),
        "wide": ("wider than a window of attention", file(1057, 20)),
        "tall": ("higher than a window of attention", file(20, 1057)),
        "zeros": ("index 0 everywhere: a payload whose end is stripped", file(64, 64, np.array(0))),
        "last": ("the last index everywhere", file(64, 96, np.array(TINY.entries - 1))),
        "grey": ("flag bit 2", file(48, 33, grey=True)),
        "sections": ("sections, one of them unknown", file(70, 40, sections=kept)),
    }
    plain = file(90, 60)
    bad = {
        "quality": ("another quality than that of the model", replace(plain, quality=254)),
        "regions": ("a section G", replace(plain, sections=(("G", Regions(3, ((0, 0, 1, 1),)).to_bytes()),))),
        "progressive": ("flag bit 1", replace(plain, progressive=True)),
        "short": ("a payload that lacks its first byte", replace(plain, payload=plain.payload[1:])),
        "long": ("a payload with a byte too many", replace(plain, payload=plain.payload + b"\1")),
        "other-size": ("a payload for more indices", replace(plain, width=30)),
    }

    def packed(group: dict[str, tuple[str, Osd]]) -> list[Vector]:
        return [(name, what, container.pack(osd)) for name, (what, osd) in group.items()]

    return packed(good), packed(bad)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.maintenance.vectors.cod_lite", description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args(arguments).folder
    decoded, refused = vectors(model(folder))
    write(folder, "cod-lite", decoded, folder, refused)


if __name__ == "__main__":
    run_command(main)
