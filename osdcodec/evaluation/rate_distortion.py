"""Rate and distortion over a folder of photographs, from real files: `python -m osdcodec.evaluation.rate_distortion DIR`."""

import argparse
import json
import statistics
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from ..codec import Decoder, Encoder
from ..image import open_image
from ..profile import ANCHORS
from .comparison import jpeg2000, open_rival
from .metrics import ms_ssim, psnr


def measure(
    paths: list[Path], lambdas: list[float], weights_dir: str | None = None, detail: float = 1.0, rival: bool = False
) -> list[dict]:
    """One record per picture and lambda: name, lambda, bytes, bpp, psnr (dB), ms_ssim; bpp counts every byte of the file.

    rival adds jpeg2000_psnr and jpeg2000_ms_ssim: those of the best JPEG 2000 file of no more bytes.
    """
    encoder, decoder = Encoder(device="cpu", weights_dir=weights_dir), Decoder(device="cpu", weights_dir=weights_dir)
    records = []
    for path in track(paths, "measuring", console=Console(stderr=True)):
        picture = open_image(path)
        for lmbda in lambdas:
            data = encoder.encode(picture, lmbda)
            decoded = decoder.decode(data, detail=detail)
            record = {"name": path.name, "lambda": lmbda, "bytes": len(data)}
            record |= {"bpp": 8 * len(data) / (picture.width * picture.height)}
            record |= {"psnr": psnr(picture, decoded), "ms_ssim": ms_ssim(picture, decoded)}
            if rival:
                other = open_rival(jpeg2000(picture, len(data)))
                record |= {"jpeg2000_psnr": psnr(picture, other), "jpeg2000_ms_ssim": ms_ssim(picture, other)}
            records.append(record)
    return records


def summary(records: list[dict]) -> list[dict]:
    """Means over the pictures, a row per lambda."""
    rows = []
    for lmbda in dict.fromkeys(record["lambda"] for record in records):
        chosen = [record for record in records if record["lambda"] == lmbda]
        keys = [key for key in chosen[0] if key not in ("name", "lambda")]
        means = {key: statistics.fmean(record[key] for record in chosen) for key in keys}
        rows.append({"lambda": lmbda, "pictures": len(chosen)} | means)
    return rows


FORMATS = {
    "lambda": ("λ", "{:g}"),
    "pictures": ("pictures", "{}"),
    "bytes": ("bytes", "{:.0f}"),
    "bpp": ("bpp", "{:.4f}"),
    "psnr": ("PSNR / dB", "{:.2f}"),
    "ms_ssim": ("MS-SSIM", "{:.4f}"),
    "jpeg2000_psnr": ("JPEG 2000 PSNR / dB", "{:.2f}"),
    "jpeg2000_ms_ssim": ("JPEG 2000 MS-SSIM", "{:.4f}"),
}


def table(rows: list[dict]) -> Table:
    view = Table(*(FORMATS[key][0] for key in rows[0]))
    for row in rows:
        view.add_row(*(FORMATS[key][1].format(value) for key, value in row.items()))
    return view


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.evaluation.rate_distortion", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--lambda", dest="lambdas", type=float, action="append", help="repeatable (default: 2 1 0.5 0.25 0.1)"
    )
    parser.add_argument("--weights-dir")
    parser.add_argument("--detail", type=float, default=1.0)
    parser.add_argument("--jpeg2000", action="store_true", help="measure JPEG 2000 at the same bytes as well")
    parser.add_argument("--json", type=Path, help="write every record here")
    options = parser.parse_args(arguments)
    paths = sorted(
        p for p in options.folder.iterdir() if p.suffix.lower() in {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
    )
    if not paths:
        sys.exit(f"no pictures in {options.folder}")
    records = measure(paths, options.lambdas or list(ANCHORS), options.weights_dir, options.detail, options.jpeg2000)
    if options.json:
        options.json.write_text(json.dumps(records, indent=1), "utf-8")
    Console().print(table(summary(records)))


if __name__ == "__main__":
    main()
