"""`osdc weights pull cod-lite`: a checkpoint that was fetched or copied -> a model that encodes and decodes, converted once.

The model lies in the folder that `--weights-dir` or OSDC_WEIGHTS names, else in the user's cache, beside the weights.toml that lists it.
Its file is named by the checkpoint's SHA-256, so that another checkpoint of the same rate never takes its place.
"""

import hashlib
from pathlib import Path

from .. import weights
from ..errors import WeightsError
from ..extras import require
from ..files import write_output
from ..weights import registry
from ..weights.downloads import Component


def install(component: Component, folder: Path, weights_dir: str | Path | None = None) -> Path:
    """The files of a component in a folder -> the weights file made of them. WeightsError if they are not of such a model."""
    checkpoint, recipe = _files(component, folder)
    with open(checkpoint, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    home = registry.home(weights_dir)
    target = home / f"{component.name}-{digest[:12]}{weights.SUFFIX}"
    if any(path == target and path.is_file() for _, path in weights.models_in(home)):
        return target
    require("converting a checkpoint", "torch", "onnx", "tomlkit")
    from safetensors.numpy import save_file

    from ..weights.writer import registry_text
    from .checkpoint import convert

    sizes, tensors = convert(checkpoint, recipe)
    if abs(sizes.bpp - float(component.rate)) > 1e-4:
        raise WeightsError(f"{checkpoint} is of {sizes.bpp:.5f} bits per pixel, not of {component.rate} as listed")
    home.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    try:
        save_file(tensors, partial)
        partial.replace(target)
    except OSError as error:
        raise WeightsError(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
    entry = weights.entry(target, "cod-lite") | {
        "bpp": sizes.bpp,
        "rate": component.rate,
        "checkpoint": f"SHA-256 {digest}, {component.repository}",
        "terms": component.licence,
    }
    path = home / registry.NAME  # which may be the user's own, and keeps what else it says
    before = path.read_text("utf-8") if path.is_file() else "# Models that `osdc weights pull` made here.\n"
    write_output(path, registry_text([entry], before.rstrip("\n") + "\n\n").encode())
    return target


def _files(component: Component, folder: Path) -> tuple[Path, Path | None]:
    checkpoint = next(folder / name for name in component.files if name.endswith(".pt"))
    recipe = next((folder / name for name in component.files if name.endswith(".yaml")), None)
    if not checkpoint.is_file():
        raise WeightsError(f"{checkpoint} is not here: fetch it again")
    return checkpoint, recipe if recipe and recipe.is_file() else None
