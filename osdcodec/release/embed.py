"""Makes a trained file the embedded one: `python -m osdcodec.release.embed RUNS REPORT --terms "…" --data "…"`.

REPORT is what `osdc evaluate KODAK --weights-dir RUNS -o REPORT` measured with RUNS/<profile>.safetensors. That file goes into the
package, its entry into weights.toml, its results into the tables of README and model card; then the README's picture and plots
and the conformance vectors of the embedded weights are made anew.
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
from ..evaluation import comparison
from ..evaluation.curves import curve
from ..evaluation.metrics import METRICS
from ..evaluation.rivals import SHRUNK
from ..training.export.listing import components_text, registry_text
from ..weights import entry

PACKAGE = Path(__file__).parents[1]
RIVALS = {"avif": "AVIF", "webp": "WebP"}
PLOTS = "psnr", "ms-ssim", "perceptual", "lpips", "dists"  # those that were measured
SHOWN = ("psnr", "ms_ssim", "haarpsi", "detail_ratio", "detail_correlation", "lpips", "dists", "perceptual")
TABLE = re.compile(r"(<!-- results -->\n).*?(<!-- end of results -->)", re.DOTALL)


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
    parser = argparse.ArgumentParser("python -m osdcodec.release.embed", description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("report", type=Path)
    parser.add_argument("--profile", default="small")
    parser.add_argument("--terms", required=True)
    parser.add_argument("--data", required=True)
    options = parser.parse_args(arguments)
    summary = json.loads((options.report / "records.json").read_text("utf-8"))["summary"]

    registry, name = PACKAGE.parent / "weights.toml", f"{options.profile}.safetensors"
    models = tomllib.loads(registry.read_text("utf-8"))["model"]
    bases = components_text(registry)
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
    registry.write_text(registry_text(models) + bases, "utf-8")

    for page in (PACKAGE.parent / "README.md", PACKAGE / "embedded" / "README.md"):
        page.write_text(TABLE.sub(lambda found: found[1] + table(summary) + found[2], page.read_text("utf-8")), "utf-8")
    examples = PACKAGE.parent / "examples"
    for plot in PLOTS:
        if (drawn := options.report / f"rd-{plot}.svg").is_file():
            shutil.copyfile(drawn, examples / drawn.name)
    comparison.main([str(examples / "coffee.png"), "-o", str(examples / "comparison.jpg")])
    renew()
    print(f"{registry}: {options.profile} revision {model['revision']}, model id {model['model_id']}")


if __name__ == "__main__":
    main()
