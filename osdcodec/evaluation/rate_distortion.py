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
from .metrics import ms_ssim, psnr


def measure(paths: list[Path], lambdas: list[float], weights_dir: str | None = None, detail: float = 1.0) -> list[dict]:
    """One record per picture and lambda: name, lambda, bytes, bpp, psnr (dB), ms_ssim; bpp counts every byte of the file."""
    encoder, decoder = Encoder(device="cpu", weights_dir=weights_dir), Decoder(device="cpu", weights_dir=weights_dir)
    records = []
    for path in track(paths, "measuring", console=Console(stderr=True)):
        picture = open_image(path)
        for lmbda in lambdas:
            data = encoder.encode(picture, lmbda)
            decoded = decoder.decode(data, detail=detail)
            records.append(
                {
                    "name": path.name,
                    "lambda": lmbda,
                    "bytes": len(data),
                    "bpp": 8 * len(data) / (picture.width * picture.height),
                    "psnr": psnr(picture, decoded),
                    "ms_ssim": ms_ssim(picture, decoded),
                }
            )
    return records


def summary(records: list[dict]) -> list[dict]:
    """Means over the pictures, a row per lambda."""
    rows = []
    for lmbda in dict.fromkeys(record["lambda"] for record in records):
        chosen = [record for record in records if record["lambda"] == lmbda]
        means = {key: statistics.fmean(r[key] for r in chosen) for key in ("bytes", "bpp", "psnr", "ms_ssim")}
        rows.append({"lambda": lmbda, "pictures": len(chosen)} | means)
    return rows


def table(rows: list[dict]) -> Table:
    view = Table("λ", "pictures", "bytes", "bpp", "PSNR / dB", "MS-SSIM")
    for row in rows:
        view.add_row(
            f"{row['lambda']:g}", str(row["pictures"]), f"{row['bytes']:.0f}", f"{row['bpp']:.4f}",
            f"{row['psnr']:.2f}", f"{row['ms_ssim']:.4f}",
        )  # fmt: skip
    return view


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.evaluation.rate_distortion", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--lambda", dest="lambdas", type=float, action="append", help="repeatable (default: 2 1 0.5 0.25 0.1)"
    )
    parser.add_argument("--weights-dir")
    parser.add_argument("--detail", type=float, default=1.0)
    parser.add_argument("--json", type=Path, help="write every record here")
    options = parser.parse_args(arguments)
    paths = sorted(
        p for p in options.folder.iterdir() if p.suffix.lower() in {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
    )
    if not paths:
        sys.exit(f"no pictures in {options.folder}")
    records = measure(paths, options.lambdas or list(ANCHORS), options.weights_dir, options.detail)
    if options.json:
        options.json.write_text(json.dumps(records, indent=1), "utf-8")
    Console().print(table(summary(records)))


if __name__ == "__main__":
    main()
