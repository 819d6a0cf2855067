"""Batches, previews and large pictures beside their budgets: `python -m osdcodec.evaluation.everyday [--huge]`."""

import argparse
import os
import tempfile

from PIL import Image
from rich.console import Console
from rich.table import Table

from .benchmark import median_seconds, process, rendered

BATCH = 16


def measure(huge: bool = False) -> list[tuple[str, float, float, str]]:
    """(what, measured, budget, unit); huge: 12000x9000 as well, which takes minutes."""
    from ..codec import Decoder, Encoder

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


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.evaluation.everyday", description=__doc__)
    parser.add_argument("--huge", action="store_true", help="12000x9000 as well")
    table = Table("what", "measured", "budget", "")
    for what, measured, budget, unit in measure(parser.parse_args(arguments).huge):
        verdict = "ok" if measured <= budget else "over"
        table.add_row(what, f"{measured:.2f} {unit}", f"{budget:.2f} {unit}", verdict)
    Console().print(table)


if __name__ == "__main__":
    main()
