"""Checks every conformance vector: `python -m osdcodec.checks.conformance`.

A folder of spec/vectors holds .osd files, the pictures they decode to, and vectors.json: the SHA-256 of each file's
symbols and how far the pixels may be away. They stay as they are for ever: `conformance` and `cod-lite`, which have weights of
their own, `progressive`, which borrows these and has files that are cut or damaged too, `symbols` and `base`, which have weights without
networks, hence no pictures. Only `embedded` is made with the weights in the package, anew with every revision: `--renew`.
"""

import argparse
import importlib.util
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from .. import container, weights
from ..codec import Decoder, Encoder
from ..console import run_command
from ..devices import DEVICES, Device
from ..errors import FormatError, InputError, OsdError, WeightsError
from ..families import open_symbol_coder
from ..image import open_image
from ..runtime import choose
from ..weights import registry

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "spec" / "vectors"
MANIFEST, REFERENCE = "vectors.json", "reference.py"
# Of decoded pixels in float32, 0 .. 255, with seed 0 and detail 1. Another runtime or processor moves a pixel by a rounding.
TOLERANCE = {"rmse": 0.5, "peak": 3}
# In bfloat16, whatever is listed: of the latent models; for latents far beyond those of pictures, whose symbols reach the ends of their range;
# and of the code of indices, whose networks are random there.
BFLOAT16, EXTREME, RANDOM = (0.75, 4), (3.0, 64), (5.0, 128)
INT8 = 2.0, 32  # of the embedded model, which alone has graphs in int8
EXTREMES = "scales-high", "limits"

Vector = tuple[str, str, bytes]  # name, what it is for, the file


@dataclass(frozen=True)
class Result:
    """What was found of one vector."""

    name: str
    what: str
    size: str
    bytes: int
    package: bool  # symbols are those listed, as the package decodes them
    reference: bool  # and as spec/reference.py does
    rmse: float | None  # None if there is no picture
    peak: int | None
    within: bool  # the picture's tolerances

    @property
    def good(self) -> bool:
        return self.package and self.reference and self.within


def reference(folder: Path) -> ModuleType:
    """spec/reference.py: the one above this folder of vectors, for an installed package has none, else that of the checkout.

    Raises:
        InputError: There is neither.
    """
    beside = folder.absolute().parents[1] / REFERENCE
    spec = importlib.util.spec_from_file_location(
        "reference", beside if beside.is_file() else ROOT / "spec" / REFERENCE
    )
    if spec is None or spec.loader is None or not Path(spec.origin or "").is_file():
        raise InputError(
            f"{folder}: {REFERENCE} is not two folders above it; take the vectors from the folder spec of a checkout"
        )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check(folder: Path, device: Device = "cpu", pictures: bool = True) -> list[Result]:
    """Every vector of a folder through the package, through spec/reference.py, and, if `pictures`, to pixels."""
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    directory, partial = _weights_dir(folder, manifest), manifest.get("partial", False)
    if directory and manifest.get("unusable"):
        return _unusable(folder, manifest, directory)
    decoder, plain = Decoder(device, directory), reference(folder)
    model = weights.load(manifest["profile"], directory)
    precision = choose(device, bool(model.profile.pretrained)).precision
    code, tensors = open_symbol_coder(model), plain.read_safetensors(model.path.read_bytes())
    read = container.unpack_prefix if partial else container.unpack
    results = []
    for vector in manifest["vectors"]:
        data = (folder / f"{vector['name']}.osd").read_bytes()
        osd = read(data)
        symbols = code.symbols(osd)
        rmse, peak, near = None, None, True
        if "rmse" in manifest and pictures:
            picture = decoder.decode(data, partial=partial)
            rmse, peak = distance(picture, open_image(folder / f"{vector['name']}.png"))
            near = within(rmse, peak, limits(vector["name"], manifest, precision))
        results.append(
            Result(
                vector["name"],
                vector["what"],
                f"{osd.width}x{osd.height}",
                len(data),
                symbols.digest() == vector["symbols"],
                plain.digest(plain.decode(tensors, data, partial)) == vector["symbols"],
                rmse,
                peak,
                near,
            )
        )
    for vector in manifest.get("refused", []):
        data = (folder / f"{vector['name']}.osd").read_bytes()
        ours = _refuses(FormatError, lambda: code.symbols(read(data)))  # noqa: B023  # called at once
        theirs = _refuses(ValueError, lambda: plain.decode(tensors, data, partial))  # noqa: B023
        results.append(Result(vector["name"], vector["what"], "refused", len(data), ours, theirs, None, None, True))
    return results


def _unusable(folder: Path, manifest: dict, directory: Path) -> list[Result]:
    """Files whose weights no reader may use."""
    plain, results = reference(folder), []
    tensors = plain.read_safetensors((directory / f"{manifest['profile']}{weights.SUFFIX}").read_bytes())
    for vector in manifest["refused"]:
        data = (folder / f"{vector['name']}.osd").read_bytes()
        ours = _refuses(WeightsError, lambda: open_symbol_coder(weights.load(manifest["profile"], directory)))
        theirs = _refuses(ValueError, lambda: plain.decode(tensors, data))  # noqa: B023  # called at once
        results.append(Result(vector["name"], vector["what"], "refused", len(data), ours, theirs, None, None, True))
    return results


def limits(name: str, manifest: dict, precision: str) -> tuple[float, float]:
    """The largest RMSE and difference of a vector's picture in a precision of runtime/choice.py."""
    if precision == "int8" and manifest["profile"] == "small":  # others have no graphs in int8
        return INT8
    if precision not in ("float", "int8"):
        if manifest["profile"] == "cod-lite":
            return RANDOM
        return EXTREME if name in EXTREMES else BFLOAT16
    return manifest["rmse"], manifest["peak"]


def within(rmse: float, peak: float, largest: tuple[float, float]) -> bool:
    return rmse <= largest[0] and peak <= largest[1]


def _refuses(error: type[Exception], decode: Callable[[], object]) -> bool:
    try:
        decode()
    except error:
        return True
    return False


def distance(picture: Image.Image, other: Image.Image) -> tuple[float, int]:
    """Root of the mean squared difference and largest difference of two pictures' colours, 0 .. 255; alpha aside."""
    a, b = (np.asarray(p.convert("RGB"), np.int32) for p in (picture, other))
    if a.shape != b.shape:
        return float("inf"), 255
    return float(np.sqrt(np.square(a - b).mean())), int(np.abs(a - b).max())


def write(
    folder: Path,
    profile: str,
    vectors: list[Vector],
    weights_dir: str | Path | None = None,
    refused: Sequence[Vector] = (),
    pictures: bool = True,
    **manifest: object,
) -> None:
    """Writes the files, what they decode to, and the list of them.

    Args:
        folder: Where to.
        profile: Whose weights decode the files.
        vectors: Those that decode.
        weights_dir: Folder of these weights; None for those of the package.
        refused: Those that a reader refuses.
        pictures: Whether the model has networks, hence pictures.
        manifest: What else vectors.json is to say.
    """
    folder.mkdir(parents=True, exist_ok=True)
    partial = bool(manifest.get("partial"))
    model, decoder, entries = weights.load(profile, weights_dir), Decoder("cpu", weights_dir), []
    code, read = open_symbol_coder(model), container.unpack_prefix if partial else container.unpack
    for name, what, data in vectors:
        (folder / f"{name}.osd").write_bytes(data)
        if pictures:
            decoder.decode(data, partial=partial).convert("RGB").save(folder / f"{name}.png", optimize=True)
        entries.append({"name": name, "what": what, "symbols": code.symbols(read(data)).digest()})
    for name, _, data in refused:
        (folder / f"{name}.osd").write_bytes(data)
    write_list(
        folder, {"profile": profile} | manifest | (TOLERANCE if pictures else {}) | {"vectors": entries}, refused
    )


def write_list(folder: Path, told: dict, refused: Sequence[Vector]) -> None:
    """Writes vectors.json."""
    if refused:
        told = told | {"refused": [{"name": name, "what": what} for name, what, _ in refused]}
    (folder / MANIFEST).write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", "utf-8")


def renew(folder: Path = VECTORS / "embedded") -> None:
    """The four vectors of the embedded weights, made anew; a release calls this."""
    astronaut, chelsea, coffee = (open_image(path) for path in sorted((ROOT / "examples").glob("*.png")))
    chosen = [
        ("astronaut", "64x64, λ = 1", astronaut.resize((64, 64)), 1.0),
        ("chelsea", "an odd size, λ = 0.1", chelsea.resize((75, 51)), 0.1),
        ("coffee", "λ = 2", coffee.resize((96, 64)), 2.0),
        ("one-pixel", "1x1, λ = 0.37", coffee.resize((1, 1)), 0.37),
    ]
    encoder = Encoder(device="cpu")
    vectors = [(name, what, encoder.encode(picture, lmbda, effort=0)) for name, what, picture, lmbda in chosen]
    write(folder, "small", vectors)


def _weights_dir(folder: Path, manifest: dict) -> Path | None:
    """Of the vectors of this folder; None for the weights in the package."""
    owner = folder.parent / manifest["weights"] if "weights" in manifest else folder
    return owner if (owner / registry.NAME).exists() else None


def table(results: list[Result]) -> Table:
    view = Table("vector", "for", "size", "bytes", "symbols", "reference.py", "RMSE", "peak")
    for r in results:
        said = ["equal" if equal else "[red]DIFFER[/red]" for equal in (r.package, r.reference)]
        pixels = ["", ""] if r.rmse is None else [f"{r.rmse:.3f}", str(r.peak)]
        if not r.within:
            pixels = [f"[red]{pixel}[/red]" for pixel in pixels]
        view.add_row(r.name, r.what, r.size, str(r.bytes), *said, *pixels)
    return view


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.checks.conformance", description=__doc__)
    parser.add_argument("folders", type=Path, nargs="*", help=f"(default: those of {VECTORS})")
    parser.add_argument("--device", default="cpu", choices=DEVICES)
    parser.add_argument("--symbols", action="store_true", help="no pictures, which take ONNX Runtime")
    parser.add_argument("--renew", action="store_true", help="make the vectors of the embedded weights anew, and stop")
    options = parser.parse_args(arguments)
    if options.renew:
        return renew()
    bad = 0
    for folder in options.folders or sorted(path.parent for path in VECTORS.glob(f"*/{MANIFEST}")):
        try:
            results = check(folder, options.device, not options.symbols)
        except OsdError as error:
            sys.exit(f"{folder}: {error}")
        print(folder.name)
        Console(width=None if sys.stdout.isatty() else 120).print(table(results))
        bad += sum(not result.good for result in results)
    sys.exit(f"{bad} vectors failed" if bad else 0)


if __name__ == "__main__":
    run_command(main)
