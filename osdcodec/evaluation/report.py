"""`osdc evaluate`: measures osdc and its baselines over photographs, and writes what was found for people and for programs."""

import csv
import io
import json
import math
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import PIL
from PIL import features
from rich.table import Table

from ..codec import Decoder, Encoder
from ..devices import Device
from ..effort import Effort
from ..errors import InputError, OutputError
from ..files import write_output
from ..image import SUFFIXES, open_image
from ..metrics.meter import METRICS, Meter, PatchStatistics
from ..urls import make_folder
from ..version import version
from . import curves, page
from .baselines import ARCHITECTURES, PILLOW, SHRUNK, Coding, codings
from .protocols import opener
from .rate_distortion import EqualCoding, OsdcCoding, as_table, measure, peak_memory, summary

ORIGINAL = "original"
RECORDS, PAGE = "records.json", "report.html"
TITLES = {"codec": "codec", "encode": "encoding / MiB", "decode": "decoding / MiB"}
NOT_MEASURED = "not available: {}"


@dataclass(frozen=True)
class Plan:
    """What is measured. paths: pictures; lambdas: of osdc; families: of baselines; anchor: the codec that BD-rates refer to,
    None for JPEG 2000 where it is measured; perceptual: the project's own network; memory: also measure peak memory;
    page_pictures: number of pictures in the page, spread over the set; page_all: at all settings there; protocol: what is
    done to pictures before, a name of protocols.py."""

    paths: list[Path]
    lambdas: tuple[float, ...]
    families: tuple[str, ...]
    anchor: str | None = None
    perceptual: Path | None = None
    detail: float = 1.0
    effort: Effort = "auto"
    memory: bool = True
    page_pictures: int = 24
    page_all: bool = False
    device: Device = "auto"
    profile: str = "small"
    weights_dir: Path | None = None
    protocol: str | None = None


@dataclass(frozen=True)
class Evaluation:
    """What was found. memory: MiB by codec; unavailable: what could not be measured, and why."""

    records: list[dict]
    summary: list[dict]
    anchor: str
    bd_rates: list[dict]
    memory: dict[str, dict[str, float]]
    unavailable: dict[str, str]
    environment: dict[str, str]


def find_pictures(sources: list[Path], limit: int | None = None) -> list[Path]:
    """Pictures, and those in folders, each opened once. InputError if there is none, or one cannot be used."""
    paths: list[Path] = []
    for source in sources:
        if source.is_dir():
            pictures = sorted(p for p in source.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
            if not pictures:
                raise InputError(f"{source}: no picture in this folder; name one that holds PNG or JPEG files")
            paths += pictures
        else:
            paths.append(source)
    paths = list(dict.fromkeys(paths))[:limit]
    for path in paths:
        open_image(path)
    return paths


def evaluate(plan: Plan, folder: Path, advance: Callable[[int, int, str], None]) -> Evaluation:
    """Measures, and writes records.json, records.csv, files/, rd-METRIC.svg and report.html into `folder`.

    advance(done, total, what) is told of each picture and coding. OutputError if the folder cannot be written to.
    """
    baselines, unavailable = codings(plan.families)
    meter, patches = Meter(plan.perceptual), PatchStatistics()
    ours = _ours(plan)
    equals = [EqualCoding(coding) for coding in ours] if "jpeg2000" in plan.families else []
    every: list[Coding] = [*ours, *baselines]
    anchor = plan.anchor or ("jpeg2000" if "jpeg2000" in plan.families else "osdc")
    unavailable |= meter.unavailable
    if patches.unavailable:
        unavailable |= {"fid": patches.unavailable, "kid": patches.unavailable}
    environment = _environment(plan, ours[0])
    _refuse_foreign(folder)
    _make_folder(folder)
    # From here on the folder is known as one of ours, even if this is interrupted.
    write_output(folder / RECORDS, json.dumps({"environment": environment}).encode("utf-8"))
    files = _make_folder(folder / "files")

    opened = opener(plan.protocol)
    first = opened(plan.paths[0])  # what happens only once, such as loading a library, is not to be timed
    for coding in {coding.codec: coding for coding in every}.values():
        coding.decode(coding.encode(first), first.size)

    by_name = {f"{coding.codec} {coding.name}": coding for coding in ours}
    records: list[dict] = []
    pictures: dict[str, list[page.View]] = {}
    shown = _spread(len(plan.paths), plan.page_pictures)
    settings = None if plan.page_all else _settings_shown(every)
    total = len(plan.paths) * (len(every) + len(equals))
    measured = measure(plan.paths, every, equals, meter, files, opened)
    for done, (record, original, decoded, data) in enumerate(measured):
        advance(done, total, f"{record['picture']}, {record['codec']} {record['setting']}")
        records.append(record)
        index, key = done // (len(every) + len(equals)), f"{record['codec']} {record['setting']}"
        if done % (len(every) + len(equals)) == 0:
            patches.add(ORIGINAL, original)
            if index in shown:
                pictures[record["picture"]] = [page.view(ORIGINAL, original)]
        patches.add(key, decoded)
        if index in shown and (settings is None or key in settings or record["codec"] == "jpeg2000-equal"):
            invented = by_name[key].invented(data) if key in by_name else None
            pictures[record["picture"]].append(page.view(key, decoded, facts(record), invented=invented))
    rows = summary(records)
    for row in rows:
        row |= patches.compare(ORIGINAL, f"{row['codec']} {row['setting']}")

    memory: dict[str, dict[str, float]] = {}
    if plan.memory and sys.platform == "linux":
        advance(total, total, "peak memory")
        largest = max((opened(path) for path in plan.paths), key=lambda picture: math.prod(picture.size))
        options = ["--quiet", "--device", plan.device]
        options += ["--weights-dir", str(plan.weights_dir)] if plan.weights_dir else []
        memory = peak_memory(largest, every, ["--profile", plan.profile, "--effort", str(plan.effort)], options)
    elif plan.memory:
        unavailable["peak memory"] = "measured on Linux only"
    advance(total, total, "report")
    evaluation = Evaluation(records, rows, anchor, curves.bd_rates(rows, anchor), memory, unavailable, environment)
    _write(evaluation, pictures, folder)
    return evaluation


def curve_names(families: tuple[str, ...]) -> list[str]:
    """The codecs, in the words of the tables, that an evaluation with these families has."""
    baselines = dict.fromkeys(coding.codec for family in families for coding in PILLOW.get(family, ()))
    learned = ARCHITECTURES if "compressai" in families else ()
    return ["osdc", *baselines, *learned, *(["jpeg2000-equal"] if "jpeg2000" in families else [])]


def _ours(plan: Plan) -> list[OsdcCoding]:
    encoder = Encoder(plan.profile, device=plan.device, weights_dir=plan.weights_dir)
    decoder = Decoder(device=plan.device, weights_dir=plan.weights_dir)
    return [OsdcCoding(lmbda, encoder, decoder, plan.detail, plan.effort) for lmbda in plan.lambdas]


def _refuse_foreign(folder: Path) -> None:
    """OutputError if reports would be written over that are none of ours: a report of ours has records that tell so."""
    try:
        ours = "osdc" in json.loads((folder / RECORDS).read_text("utf-8"))["environment"]
    except (OSError, ValueError, KeyError, TypeError):
        ours = False
    there = [path for name in (RECORDS, "records.csv", PAGE, "files") if (path := folder / name).exists()]
    there += folder.glob("rd-*.svg")
    if there and not ours:
        raise OutputError(f"{there[0]}: exists, and is no report of osdc; name another folder with -o")


def _make_folder(folder: Path) -> Path:
    make_folder(str(folder))
    if not os.access(folder, os.W_OK):
        raise OutputError(f"{folder}: the folder is write-protected; name another one with -o")
    return folder


def _spread(count: int, wanted: int) -> set[int]:
    """At most `wanted` indices of `count`, evenly spread."""
    wanted = min(count, wanted)
    return {index * count // wanted for index in range(wanted)}


def _settings_shown(every: list[Coding]) -> set[str]:
    """osdc at each lambda, and each baseline as small as it goes at full size."""
    whole = [coding for coding in every if not coding.codec.endswith(SHRUNK)]
    smallest = {coding.codec: coding for coding in whole}  # the finest come first
    chosen = [*smallest.values(), *(coding for coding in whole if isinstance(coding, OsdcCoding))]
    return {f"{coding.codec} {coding.name}" for coding in chosen}


def facts(record: dict) -> dict[str, str]:
    """The numbers of one record as texts, for below its picture."""
    texts = {"bytes": f"{record['bytes']:,}", "bits per pixel": f"{record['bpp']:.4f}"}
    texts |= {METRICS[key].label: METRICS[key].text(record[key]) for key in METRICS if key in record}
    if record.get("encode_seconds") is not None:
        texts["encoding / s"] = f"{record['encode_seconds']:.3f}"
    if record.get("decode_seconds") is not None:
        texts["decoding / s"] = f"{record['decode_seconds']:.3f}"
    return texts


def is_kodak(records: list[dict]) -> bool:
    """Returns True if the pictures look like the 24 of Kodak. The published curves are means over these."""
    sizes = {record["picture"]: {record["width"], record["height"]} for record in records}
    return len(sizes) == 24 and all(size == {768, 512} for size in sizes.values())


def _environment(plan: Plan, ours: OsdcCoding) -> dict[str, str]:
    libraries = {name: features.version(name) for name in ("jpg", "jpg_2000", "webp", "avif")}
    return {
        "osdc": version(),
        "model": f"{plan.profile}, {', '.join(each.hex() for each in ours.encoder.coder.model_ids)}",
        "detail": f"{plan.detail:g}",
        "effort": f"{plan.effort}",
        "protocol": plan.protocol or "pictures as they are",
        "device": plan.device,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        "python": platform.python_version(),
        "pillow": f"{PIL.__version__} ({', '.join(f'{name} {number}' for name, number in libraries.items())})",
    }


def _write(evaluation: Evaluation, pictures: dict[str, list[page.View]], folder: Path) -> None:
    write_output(folder / RECORDS, as_json(evaluation).encode("utf-8"))
    write_output(folder / "records.csv", as_csv(evaluation.records).encode("utf-8"))
    beside = curves.published() if is_kodak(evaluation.records) else []
    drawings = {
        metric: curves.draw(evaluation.summary, metric, beside)
        for metric in METRICS
        if any(row.get(metric) is not None for row in evaluation.summary)
    }
    for metric, svg in drawings.items():
        write_output(folder / f"rd-{metric.replace('_', '-')}.svg", svg)
    write_output(folder / PAGE, as_page(evaluation, drawings, pictures, beside).encode("utf-8"))


def as_json(evaluation: Evaluation) -> str:
    fields = {key: getattr(evaluation, key) for key in Evaluation.__dataclass_fields__}
    return json.dumps(fields, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def as_csv(records: list[dict]) -> str:
    """A line per picture and coding; what does not apply is empty."""
    buffer = io.StringIO()
    columns = list(dict.fromkeys(key for record in records for key in record))
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return buffer.getvalue()


def tables(evaluation: Evaluation) -> list[Table]:
    """Means, BD-rates and memory for a terminal, and what could not be measured."""
    parts = [("means", as_table(evaluation.summary))]
    if evaluation.bd_rates:
        parts.append((f"BD-rate against {evaluation.anchor}", bd_table(evaluation)))
    if evaluation.memory:
        parts.append(("peak memory, whole process", memory_table(evaluation)))
    if evaluation.unavailable:
        parts.append(("not available", (["what", "why"], [list(pair) for pair in evaluation.unavailable.items()])))
    views = []
    for title, (titles, rows) in parts:
        view = Table(title=title, title_justify="left")
        for column, text in enumerate(titles):
            view.add_column(text, justify="right" if column and title != "not available" else "left", no_wrap=True)
        for row in rows:
            view.add_row(*row)
        views.append(view)
    return views


def bd_table(evaluation: Evaluation) -> tuple[list[str], list[list[str]]]:
    """Titles and texts: BD-rates in percent, – where the curves cannot be compared."""
    keys = [key for key in evaluation.bd_rates[0] if key != "codec"] if evaluation.bd_rates else []
    texts = [
        [row["codec"], *("–" if row[k] is None else f"{row[k]:+.1f} %" for k in keys)] for row in evaluation.bd_rates
    ]
    return ["codec", *(METRICS[key].label.removesuffix(" / dB") for key in keys)], texts


def memory_table(evaluation: Evaluation) -> tuple[list[str], list[list[str]]]:
    """Titles and texts: MiB."""
    texts = [[codec, f"{peak['encode']:.0f}", f"{peak['decode']:.0f}"] for codec, peak in evaluation.memory.items()]
    return list(TITLES.values()), texts


def as_page(
    evaluation: Evaluation, drawings: dict[str, bytes], pictures: dict[str, list[page.View]], beside: list[dict]
) -> str:
    """The report: means, BD-rates, plots, memory, what is missing, and the pictures."""
    count = len({record["picture"] for record in evaluation.records})
    first = [row for row in evaluation.summary if row["codec"] in ("osdc", "jpeg2000-equal")]
    caption = f" Grey: {curves.PUBLISHED}, means over the 24 Kodak pictures."
    figures = [
        page.figure(svg, METRICS[metric].label + "." + (caption if any(metric in c for c in beside) else ""))
        for metric, svg in drawings.items()
    ]
    head = [
        page.paragraph(
            f"Means over {count} picture{'s' * (count > 1)}. Bytes and bits per pixel are those of whole files. Times are of one "
            "coding in a running process with its libraries loaded; those of osdc include the encoder's own check. "
            "A picture for which a measure does not apply to what one of the codecs made of it, as PSNR to an exact copy, is left out "
            "of that measure's means for all. half and quarter: the picture is shrunk before coding and enlarged after it, both by Lanczos. jpeg2000-equal: for each "
            "picture the best JPEG 2000 file that is no larger than that of osdc."
        ),
        page.table(*as_table(first)),
        page.section("Rate and distortion", '<div class="figures">', *figures, "</div>"),
    ]
    tail = [page.section("All settings", page.table(*as_table(evaluation.summary)))]
    if evaluation.bd_rates:
        words = (
            f"Bits more (+) or fewer (-) than {evaluation.anchor} for equal quality, on the curves of means (Akima interpolation); "
            f"– where two curves share less than {curves.SHARED:.0%} of the shorter one's range of quality or one does not rise."
        )
        tail.append(
            page.section(
                f"BD-rate against {evaluation.anchor}", page.paragraph(words), page.table(*bd_table(evaluation))
            )
        )
    if beside:
        rows = [
            [c["codec"], c["source"], "  ".join(f"{b:g}: {p:g}" for b, p in zip(c["bpp"], c["psnr"], strict=True))]
            for c in beside
        ]
        tail.append(
            page.section(
                f"Curves that were {curves.PUBLISHED}", page.table(["codec", "source", "bpp: PSNR / dB"], rows)
            )
        )
    if evaluation.memory:
        words = "Of a process that codes the largest picture at the codec's finest setting; interpreter and libraries included."
        tail.append(page.section("Peak resident memory", page.paragraph(words), page.table(*memory_table(evaluation))))
    missing = [
        [METRICS[key].label if key in METRICS else key, NOT_MEASURED.format(why)]
        for key, why in evaluation.unavailable.items()
    ]
    if missing:
        tail.append(page.section("Not available", page.table(["what", "why"], missing)))
    tail.append(
        page.section("Made with", page.table(["", ""], [list(pair) for pair in evaluation.environment.items()]))
    )
    notes = f"{len(pictures)} of {count} pictures. They are embedded as WebP of quality {page.QUALITY}; the numbers are of the pixels before that."
    return page.page("osdc: evaluation", ["\n".join(head), *tail], pictures, notes)
