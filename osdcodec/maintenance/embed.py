"""Makes a trained file the embedded one: `python -m osdcodec.maintenance.embed RUNS REPORT --terms "…" --data "…"`.

REPORT is the folder that `osdc evaluate KODAK --weights-dir RUNS -o REPORT` made with RUNS/<profile>.safetensors. That file goes into the
package, its entry into weights.toml, its results into the tables of README, evaluation page and model card; then the picture
and the plots, and the conformance vectors of the embedded weights are made anew.
"""

import argparse
import json
import math
import re
import shutil
import tomllib
from pathlib import Path

import numpy as np

from ..checks.conformance import renew
from ..console import run_command
from ..evaluation import comparison
from ..evaluation.baselines import SHRUNK
from ..evaluation.curves import curve
from ..metrics.meter import METRICS
from ..weights import entry
from ..weights.writer import components_text, registry_text

PACKAGE = Path(__file__).parents[1]
RIVALS = {"avif": "AVIF", "webp": "WebP"}
PLOTS = "psnr", "ms-ssim", "perceptual", "lpips", "dists"  # those that were measured
SHOWN = (
    "psnr",
    "ms_ssim",
    "haarpsi",
    "detail_ratio",
    "detail_correlation",
    "lpips",
    "lpips_vgg",
    "dists",
    "perceptual",
)
TABLE = re.compile(r"(<!-- results -->\n).*?(<!-- end of results -->)", re.DOTALL)
SIZES = re.compile(r"(<!-- sizes -->\n).*?(<!-- end of sizes -->)", re.DOTALL)
LOOKS = {  # to be looked at again with each new model
    2.0: "shapes and colours; surfaces invented, small things gone",
    1.0: "the scene at a glance; edges crisp and in place, textures invented",
    0.5: "the same with smaller things",
    0.25: "texture where it was, more painted than photographed",
    0.1: "fine edges and most of the texture; from here on AVIF is nearer",
}


def table(summary: list[dict]) -> str:
    """Markdown of a report's summary: osdc at each lambda, then the others at its bytes."""
    equal = {row["setting"]: row for row in summary if row["codec"] == "jpeg2000-equal"}
    rows = []
    for row in summary:
        if row["codec"] == "osdc":
            rows.append((f"**osdc, {row['setting']}**", row))
            rows += [("JPEG 2000, same bytes", equal[name]) for name in equal if name == f"bytes of {row['setting']}"]
            rows += [
                (f"{name}, interpolated", found) for f, name in RIVALS.items() if (found := at_rate(summary, f, row))
            ]
    keys = [key for key in SHOWN if any(row.get(key) is not None for _, row in rows)]
    lines = [
        "| | " + " | ".join(["bits per pixel", "bytes", *(METRICS[key].label for key in keys)]) + " |",
        "| --- |" + " --- |" * (len(keys) + 2),
    ]
    for name, row in rows:
        values = [f"{row['bpp']:.4f}", f"{row['bytes']:.0f}", *(METRICS[key].text(row.get(key)) for key in keys)]
        lines.append(f"| {name} | " + " | ".join(values) + " |")
    return "\n".join(lines) + "\n"


def sizes(summary: list[dict]) -> str:
    """Markdown of what a lambda comes to, for people who have not heard of it."""
    rows = {row["lambda"]: row for row in summary if row["codec"] == "osdc"}
    lpips = any(row.get("lpips") is not None for row in rows.values())
    head = [
        "λ",
        "768x512",
        "12 megapixels",
        "bits per pixel",
        "PSNR",
        *(["LPIPS"] if lpips else []),
        "what it looks like",
    ]
    lines = [f"| {' | '.join(head)} |", "| --- |" + " --- |" * (len(head) - 1)]
    for lmbda, row in sorted(rows.items(), reverse=True):
        sizes = (f"{pixels * row['bpp'] / 8000:.{digits}f} kB" for pixels, digits in ((768 * 512, 1), (12e6, 0)))
        values = [f"{lmbda:g}", *sizes, f"{row['bpp']:.3f}", f"{row['psnr']:.1f} dB"]
        values += [f"{row['lpips']:.3f}"] if lpips else []
        lines.append(f"| {' | '.join([*values, LOOKS.get(lmbda, '')])} |")
    return "\n".join(lines) + "\n"


def at_rate(summary: list[dict], family: str, ours: dict) -> dict | None:
    """What a codec reaches at the rate of one of our rows; None where it was not measured so low.

    Linear in the logarithm of the rate between its settings; of its curves at full, half and quarter size the one that is
    best in that metric.
    """
    found = {}
    for key in SHOWN:
        values = []
        for codec in (family, *(family + scale for scale in SHRUNK)):
            rates, points = curve(summary, codec, key)
            if rates and rates[0] <= ours["bpp"] <= rates[-1]:
                values.append(float(np.interp(math.log(ours["bpp"]), np.log(rates), points)))
        if values:
            found[key] = max(values) if METRICS[key].better > 0 else min(values)
    return {"bpp": ours["bpp"], "bytes": ours["bytes"]} | found if found else None


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.maintenance.embed", description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("report", type=Path)
    parser.add_argument("--profile", default="small")
    parser.add_argument("--terms", required=True)
    parser.add_argument("--data", required=True)
    options = parser.parse_args(arguments)
    summary = json.loads((options.report / "records.json").read_text("utf-8"))["summary"]

    registry, name = PACKAGE.parent / "weights.toml", f"{options.profile}.safetensors"
    models = tomllib.loads(registry.read_text("utf-8"))["model"]
    others = components_text(registry)
    previous = [model for model in models if model["profile"] == options.profile]
    shutil.copyfile(options.runs / name, PACKAGE / "embedded" / name)
    digits = {"lambda": None, "bpp": 4, "psnr": 2, "ms_ssim": 4}
    results = [
        {key: row[key] if places is None else round(row[key], places) for key, places in digits.items()}
        for row in summary
        if row["codec"] == "osdc"
    ]
    model = entry(PACKAGE / "embedded" / name, options.profile) | {
        "revision": max((model["revision"] for model in previous), default=0) + 1,
        "terms": options.terms,
        "data": options.data,
        "results": results,
    }
    # Until the first release a profile has one model: the new one takes the place of the old.
    models = [other for other in models if other["profile"] != options.profile] + [model]
    registry.write_text(registry_text(models) + "\n" + others, "utf-8")

    readme = PACKAGE.parent / "README.md"
    readme.write_text(SIZES.sub(lambda found: found[1] + sizes(summary) + found[2], readme.read_text("utf-8")), "utf-8")
    for page in (PACKAGE / "evaluation" / "README.md", PACKAGE / "embedded" / "README.md"):
        page.write_text(TABLE.sub(lambda found: found[1] + table(summary) + found[2], page.read_text("utf-8")), "utf-8")
    examples = PACKAGE.parent / "examples"
    for plot in PLOTS:
        if (drawn := options.report / f"rd-{plot}.svg").is_file():
            shutil.copyfile(drawn, examples / drawn.name)
    comparison.main([str(examples / "coffee.png"), "-o", str(examples / "comparison.jpg")])
    renew()
    print(f"{registry}: {options.profile} revision {model['revision']}, model id {model['model_id']}")


if __name__ == "__main__":
    run_command(main)
