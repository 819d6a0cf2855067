"""Rate-distortion curves: the measured and the published ones, drawn, and BD-rates between them."""

import io
import itertools
import math
import tomllib
import warnings
from pathlib import Path
from typing import Any

import bjontegaard
import matplotlib
from matplotlib.figure import Figure

from ..metrics.meter import METRICS

PUBLISHED = "published, not measured here"
SHARED = 0.25  # of the range of a curve, below which a BD-rate would rest on a sliver of it
COLOURS = {
    "osdc": "#d62728",
    "jpeg": "#8c564b",
    "jpeg2000": "#ff7f0e",
    "webp": "#2ca02c",
    "avif": "#1f77b4",
    "jxl": "#9467bd",
}
LINES = {"half": "--", "quarter": ":", "equal": "-."}


def published() -> list[dict]:
    """The published curves: codec, source, and lists bpp, psnr, ms_ssim, lpips, dists; means over Kodak."""
    return tomllib.loads(Path(__file__).with_name("published.toml").read_text("utf-8"))["curve"]


def curve(rows: list[dict], codec: str, metric: str) -> tuple[list[float], list[float]]:
    """(bpp, values of the metric) of the points of one codec in a summary, in order of bpp."""
    points = [(row["bpp"], row[metric]) for row in rows if row["codec"] == codec and row.get(metric) is not None]
    rates, values = zip(*sorted(points), strict=True) if points else ((), ())
    return list(rates), list(values)


def bd_rate(rows: list[dict], anchor: str, codec: str, metric: str) -> float | None:
    """Percent of bits that `codec` takes more than `anchor` for equal values of a metric, on the curves of means.

    Bjøntegaard's measure with Akima interpolation. None where the curves have fewer than two points, share less than SHARED of
    the shorter one's range of the metric, or fall where they should rise.
    """
    sign = METRICS[metric].better
    (rates, values), (other_rates, other_values) = (curve(rows, name, metric) for name in (anchor, codec))
    values, other_values = [sign * v for v in values], [sign * v for v in other_values]
    for found in (values, other_values):
        if len(found) < 2 or any(a >= b for a, b in itertools.pairwise(found)):
            return None
    shared = min(values[-1], other_values[-1]) - max(values[0], other_values[0])
    if shared < SHARED * min(values[-1] - values[0], other_values[-1] - other_values[0]):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about an overlap that is small beside the longer one's range
        percent = bjontegaard.bd_rate(
            rates, values, other_rates, other_values, method="akima", require_matching_points=False, min_overlap=0
        )
    return float(percent) if math.isfinite(percent) else None


def bd_rates(rows: list[dict], anchor: str) -> list[dict]:
    """A row per codec but the anchor: codec, and the BD-rate in percent by each metric of quality."""
    metrics = [
        key for key, metric in METRICS.items() if metric.better and any(row.get(key) is not None for row in rows)
    ]
    codecs = [codec for codec in dict.fromkeys(row["codec"] for row in rows) if codec != anchor]
    return [{"codec": codec} | {key: bd_rate(rows, anchor, codec, key) for key in metrics} for codec in codecs]


def draw(rows: list[dict], metric: str, beside: list[dict]) -> bytes:
    """One metric over the rate -> an SVG file. beside: published curves, drawn thin and grey and named as such."""
    with matplotlib.rc_context({"svg.hashsalt": "osdc", "font.size": 9}):
        figure = Figure((7.2, 4.6), layout="constrained")
        axes = figure.add_subplot()
        for codec in dict.fromkeys(row["codec"] for row in rows):
            rates, values = curve(rows, codec, metric)
            family, _, variant = codec.partition("-")
            style: dict[str, Any] = {"color": COLOURS.get(family, "black"), "linestyle": LINES.get(variant, "-")}
            if codec == "osdc":
                style |= {"linewidth": 2.4, "zorder": 3}
            axes.plot(rates, values, marker="o", markersize=4, label=codec, **style)
        shown = [found for found in beside if metric in found]
        for found, mark in zip(shown, "1234+x|_.,*^v<>", strict=False):
            label = f"{found['codec']} ({PUBLISHED})"
            axes.plot(found["bpp"], found[metric], color="0.6", linewidth=0.8, marker=mark, label=label, zorder=1)
        rates = [row["bpp"] for row in rows if row.get(metric) is not None]
        rates += [rate for found in shown for rate in found["bpp"]]
        axes.set_xscale("log")
        ticks = [
            tick
            for tick in (0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5)
            if 0.7 * min(rates) <= tick <= 1.4 * max(rates)
        ]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        better = {1: ", more is better", -1: ", less is better", 0: ""}[METRICS[metric].better]
        axes.set(xlabel="bits per pixel, of whole files", ylabel=METRICS[metric].label + better)
        axes.grid(True, color="0.92")
        figure.legend(loc="outside right upper", fontsize=6.5, frameon=False)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
