"""Batches, previews and large pictures beside their budgets: `python -m osdcodec.maintenance.benchmarks.batch [--huge]`.

With `--photo PHOTO --roi x,y,width,height` instead: what a region of interest does to a photo, at equal bytes.
"""

import argparse
import os
import tempfile

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from ...console import run_command
from ...evaluation.timing import median_seconds, process, rendered

BATCH = 16


def measure(huge: bool = False) -> list[tuple[str, float, float, str]]:
    """(what, measured, budget, unit); huge: 12000x9000 as well, which takes minutes."""
    from ...codec import Decoder, Encoder

    wide = rendered(1536, 1024)
    rows: list[tuple[str, float, float, str]] = []
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(f"{folder}/in")
        for index in range(BATCH):
            wide.crop((40 * index, 20 * index, 40 * index + 768, 20 * index + 512)).save(f"{folder}/in/{index:02}.png")
        seconds, peak = process("encode", f"{folder}/in", "-o", f"{folder}/coded", "-q")
        rows.append((f"encode 768x512, in a batch of {BATCH}", seconds / BATCH, 1 / 1.5, "s"))
        rows.append(("its peak memory", peak, 2048, "MiB"))
        seconds, _ = process("decode", f"{folder}/coded", "-o", f"{folder}/decoded", "-q")
        rows.append((f"decode 768x512, in a batch of {BATCH}", seconds / BATCH, 1.0, "s"))

        decoder, data = Decoder(device="cpu"), Encoder(device="cpu").encode(rendered(768, 512))
        whole = median_seconds(lambda: decoder.decode(data))
        rows.append(
            ("preview 768x512, warm", median_seconds(lambda: decoder.decode(data, preview=True)), whole / 2, "s")
        )

        sizes = [((3840, 2160), 3072)] + [((12000, 9000), 6144)] * huge
        for (width, height), budget in sizes:
            picture = rendered(width // 4, height // 4).resize((width, height), Image.Resampling.BICUBIC)
            picture.save(f"{folder}/large.png", compress_level=1)
            del picture
            for verb, names in (("encode", ("large.png", "large.osd")), ("decode", ("large.osd", "large.jpg"))):
                seconds, peak = process(verb, f"{folder}/{names[0]}", "-o", f"{folder}/{names[1]}")
                rows.append((f"{verb} {width}x{height}, peak memory", peak, budget, "MiB"))
                rows.append((f"{verb} {width}x{height}, a megapixel", seconds / (width * height / 1e6), 5.0, "s"))
    return rows


def region(photo: str, box: tuple[int, int, int, int], lmbda: float = 1.0) -> Table:
    """Bytes, and PSNR inside and outside the box, of a file with this region of interest and of one of no more bytes without."""
    from ...codec import Decoder, Encoder
    from ...image import open_image
    from ...rate_control import Target

    picture, encoder, decoder = open_image(photo), Encoder(device="cpu"), Decoder(device="cpu")
    regional = encoder.encode(picture, lmbda, roi=[box])
    plain = encoder.encode(picture, target=Target(max_bytes=len(regional)))
    x, y, width, height = box
    inside = np.zeros((picture.height, picture.width), bool)
    inside[y : y + height, x : x + width] = True
    table = Table("", "bytes", "inside / dB", "outside / dB")
    for name, data in (("with the region", regional), ("without", plain)):
        shown = np.asarray(decoder.decode(data).convert("RGB"), np.float64)
        error = np.square(shown - np.asarray(picture, np.float64)).mean(2)
        decibels = (f"{10 * np.log10(255**2 / error[where].mean()):.2f}" for where in (inside, ~inside))
        table.add_row(name, f"{len(data):,}", *decibels)
    return table


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.maintenance.benchmarks.batch", description=__doc__)
    parser.add_argument("--huge", action="store_true", help="12000x9000 as well")
    parser.add_argument("--photo")
    parser.add_argument("--roi", type=lambda text: tuple(map(int, text.split(","))))
    options = parser.parse_args(arguments)
    if options.photo:
        Console().print(region(options.photo, options.roi))
        return
    table = Table("what", "measured", "budget", "")
    for what, measured, budget, unit in measure(options.huge):
        state = "ok" if measured <= budget else "over"
        table.add_row(what, f"{measured:.2f} {unit}", f"{budget:.2f} {unit}", state)
    Console().print(table)


if __name__ == "__main__":
    run_command(main)
