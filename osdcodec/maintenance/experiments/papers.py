"""The papers' systems side by side, from their runs: `python -m osdcodec.maintenance.experiments.papers KODAK RUN …`.

A RUN is a folder in which a recipe of the training left its weights and logs; the name of the folder is that of the row. Every picture is
coded as a file and decoded at each lambda. What was measured stays in RUN/papers.json, picture by picture, so that a run is measured
once and goes on where it was cut off. `--write FILE` puts the tables into a page, between the lines that mark their place.
"""

import argparse
import hashlib
import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import torch

from ... import weights
from ...codec import Decoder, Encoder
from ...console import run_command
from ...devices import Device
from ...errors import InputError, OsdError
from ...evaluation.baselines import Coding
from ...evaluation.curves import bd_rate
from ...evaluation.page import insert
from ...evaluation.protocols import PROTOCOLS, opener
from ...evaluation.rate_distortion import OsdcCoding, measure, summary
from ...evaluation.report import find_pictures
from ...files import write_output
from ...metrics.meter import METRICS, Meter
from ...models import CodecModel
from ...models.turbo import clip_tower
from ...profile import Profile
from ...weights import registry

LAMBDAS = (2.0, 1.0, 0.25)
SHOWN = ("psnr", "ms_ssim", "lpips", "dists", "niqe")
FOUND = "papers.json"
LOGS = ("codec.jsonl", "pixels.jsonl")  # of the stage that trains end to end


class System(NamedTuple):
    """One run. records: of rate_distortion.measure, of all pictures and lambdas asked for."""

    name: str
    records: list[dict]
    million: float  # parameters of all networks
    steps: tuple[int, ...]  # of the diffusion, one number or one for each anchor lambda
    trained: tuple[int, float] | None  # steps and minutes


def measured(
    run: Path,
    paths: list[Path],
    lambdas: tuple[float, ...],
    meter: Meter,
    protocol: str | None = None,
    device: Device = "cpu",
) -> System:
    """Measures what RUN/papers.json does not hold yet. InputError if the run has no weights of its own."""
    if not (run / registry.NAME).is_file():
        raise InputError(f"{run}: holds no {registry.NAME}; run the stage `export` first")
    model = registry.models(run / registry.NAME)[0]
    digest = hashlib.sha256((run / model["file"]).read_bytes()).hexdigest()
    state = {"weights": digest, "metrics": sorted(meter.compute), "protocol": protocol, "device": device}
    kept: list[dict] = []
    if (run / FOUND).is_file():
        told = json.loads((run / FOUND).read_text("utf-8"))
        kept = told["records"] if {key: told.get(key) for key in state} == state else []
    encoder = Encoder(model["profile"], device=device, weights_dir=run)
    decoder = Decoder(device=device, weights_dir=run)
    known = {(record["picture"], record["lambda"]) for record in kept}
    missing = {path: [value for value in lambdas if (path.name, value) not in known] for path in paths}
    warm, opened = False, opener(protocol)
    for path, values in missing.items():
        codings: list[Coding] = [OsdcCoding(value, encoder, decoder) for value in values]
        if codings and not warm:  # what happens only once, such as loading networks, is not to be timed
            first = opened(path)
            codings[0].decode(codings[0].encode(first), first.size)
            warm = True
        with tempfile.TemporaryDirectory() as folder:
            kept += [record for record, *_ in measure([path], codings, [], meter, Path(folder), opened)]
        if codings:
            write_output(run / FOUND, json.dumps(state | {"records": kept}, indent=1).encode("utf-8"))
    wanted = {(path.name, value) for path in paths for value in lambdas}
    records = [record for record in kept if (record["picture"], record["lambda"]) in wanted]
    profile = weights.load(model["profile"], run).profile
    return System(run.resolve().name, records, parameters(profile) / 1e6, profile.steps, training(run))


def parameters(profile: Profile) -> int:
    """Of all networks of a profile, those of its pretrained models included."""
    with torch.device("meta"):
        model = CodecModel(profile)
        towers = [clip_tower(None)] if profile.pretrained else []
    return sum(p.numel() for network in (model, *towers) for p in network.parameters())


def training(run: Path) -> tuple[int, float] | None:
    """Steps and minutes of the stage that trained end to end, by its log."""
    log = next((run / name for name in LOGS if (run / name).is_file()), None)
    lines = log.read_text("utf-8").splitlines() if log else []
    if not lines:
        return None
    last = json.loads(lines[-1])
    return last["step"], last["seconds"] / 60


def tables(systems: list[System], anchor: str) -> str:
    """Two tables in Markdown: what each system is worth at each lambda, and what it costs beside the anchor."""
    shown = [name for name in SHOWN if any(record.get(name) is not None for s in systems for record in s.records)]
    rows = [
        {"codec": system.name} | row
        for system in systems
        for row in [{key: value for key, value in row.items() if key != "codec"} for row in summary(system.records)]
    ]
    titles = ["", "λ", "bits per pixel", *(METRICS[name].label for name in shown), "decoding / s"]
    cells = [
        [
            row["codec"],
            f"{row['lambda']:g}",
            f"{row['bpp']:.4f}",
            *(METRICS[name].text(row[name]) for name in shown),
            f"{row['decode_seconds']:.2f}",
        ]
        for row in sorted(rows, key=lambda row: (-row["lambda"], [s.name for s in systems].index(row["codec"])))
    ]
    costs = [
        "",
        *(f"bits, by {METRICS[name].label.removesuffix(' / dB')}" for name in shown),
        "decoding / s",
        "diffusion steps",
        "million parameters",
        "steps of training",
        "minutes",
    ]
    beside = []
    for system in systems:
        seconds = [record["decode_seconds"] for record in system.records]
        steps, minutes = system.trained or (None, None)
        beside.append(
            [
                system.name,
                *(_percent(bd_rate(rows, anchor, system.name, name)) for name in shown),
                f"{sum(seconds) / len(seconds):.2f}",
                ", ".join(map(str, system.steps)),
                f"{system.million:.1f}",
                "–" if steps is None else f"{steps:,}",
                "–" if minutes is None else f"{minutes:.0f}",
            ]
        )
    count = len({record["picture"] for system in systems for record in system.records})
    note = (
        f"Means over {count} pictures, bits of whole files. Bits: how many more (+) or fewer (-) than `{anchor}` for equal quality "
        "(BD-rate over these λ); – where two curves share no range of quality, or one does not rise."
    )
    return "\n".join([*_table(titles, cells), "", *_table(costs, beside), "", note])


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:+.1f} %"


def _table(titles: list[str], rows: Iterable[list[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (titles, ["---"] * len(titles), *rows)]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.maintenance.experiments.papers", description=__doc__)
    parser.add_argument("pictures", type=Path, help="folder of pictures, or one picture")
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder with weights.toml and weights")
    parser.add_argument("--lambdas", type=float, nargs="+", default=LAMBDAS, help="default: 2 1 0.25")
    parser.add_argument("--anchor", help="run that BD-rates refer to (default: onestep, else the first)")
    parser.add_argument("--protocol", choices=PROTOCOLS, help="as of osdc evaluate")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--limit", type=int, help="number of pictures taken, the first")
    parser.add_argument("--write", type=Path, metavar="FILE", help="a page that has the marks")
    options = parser.parse_args(arguments)
    names = [run.resolve().name for run in options.runs]
    anchor = options.anchor or ("onestep" if "onestep" in names else names[0])
    if anchor not in names:
        parser.error(f"{anchor} is none of the runs: {', '.join(names)}")
    if len(set(names)) < len(names):
        parser.error("two runs have the same name: rename a folder")
    meter = Meter()
    meter.compute = {name: compute for name, compute in meter.compute.items() if name in SHOWN}
    try:
        paths = find_pictures([options.pictures], options.limit)
        lambdas = tuple(sorted(set(options.lambdas), reverse=True))
        told = paths, lambdas, meter, options.protocol, options.device
        text = tables([measured(run, *told) for run in options.runs], anchor)
        print(text)
        if options.write:
            insert(options.write, "papers", text)
    except OsdError as error:
        parser.exit(error.exit_code, f"osdc: {error}\n")


if __name__ == "__main__":
    run_command(main)
