"""A photo beside what osdc and other codecs make of it at the same bytes: a page (`osdc compare`), or one picture in a row.

`python -m osdcodec.evaluation.comparison PHOTO -o OUT` makes the picture of the README.
"""

import argparse
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, features

from ..codec import Decoder, Encoder
from ..console import run_command
from ..image import open_image
from ..metrics.meter import METRICS, Meter, psnr
from ..trust.drawing import tinted
from ..trust.maps import TrustMap
from . import page
from .baselines import Found, avif_within, best_within, jpeg2000_within

PUBLISHED = {"lpips", "lpips_vgg", "dists"}  # metrics that papers tell, so that the page says why it has not got them
LOSSLESS_PIXELS = 2**21  # larger pictures are embedded with some loss, else the page would be too large to open


def compare_page(
    name: str, original: Image.Image, data: bytes, decoded: Image.Image, meter: Meter, trust: TrustMap | None = None
) -> str:
    """A page with slider, difference and numbers for a photo, what the .osd file `data` decodes to, AVIF and JPEG 2000.

    These two are as good as they can be in no more bytes than the .osd file has, at full, half or quarter size (shrunk before
    and enlarged after), or as small as they go; the page says which. trust: the map of the decoded picture, for a button that shows it.
    """
    lossless = original.width * original.height <= LOSSLESS_PIXELS
    coded = [("osdc", decoded, len(data), "")]
    missing = []
    for label, module, search in (("AVIF", "avif", avif_within), ("JPEG 2000", "jpg_2000", jpeg2000_within)):
        if not features.check(module):
            missing.append(f"{label} is not available: this Pillow was built without it.")
            continue
        try:
            found = best_within(original, len(data), search)
            picture = found.coding.decode(found.data, original.size)
        except (OSError, ValueError):  # AVIF ends at sides of 32768 pixels, and says so in words of its own
            missing.append(f"{label} does not take a picture of {original.width} x {original.height} pixels.")
        else:
            coded.append((label, picture, len(found.data), _said(found, len(data))))
    views, rows = [page.view("original", original, {"size": f"{original.width} x {original.height}"}, lossless)], []
    for label, picture, size, said in coded:
        values = meter(original, picture)
        facts = {"bytes": f"{size:,}", "bits per pixel": f"{8 * size / (original.width * original.height):.4f}"}
        facts |= {METRICS[key].label: METRICS[key].text(value) for key, value in values.items()}
        invented = tinted(picture, trust) if trust and label == "osdc" else None
        views.append(page.view(label + (f" ({said})" if said else ""), picture, facts, lossless, invented))
        rows.append([label, *facts.values()])
    missing += [
        f"{METRICS[key].label} is not available: {meter.unavailable[key]}."
        for key in sorted(PUBLISHED & meter.unavailable.keys())
    ]
    notes = [f"{label}: {said}." for label, _, _, said in coded if said] + missing
    head = page.table(["codec", *views[1].facts], rows) + "".join(page.paragraph(note) for note in notes)
    how = (
        "without loss" if lossless else f"as WebP of quality {page.QUALITY}; the numbers are of the pixels before that"
    )
    return page.page(f"{name}: osdc at {len(data):,} bytes", [head], {name: views}, f"The pictures are embedded {how}.")


def _said(found: Found, size: int) -> str:
    if not found.within:
        return f"cannot go as low as {size:,} bytes; this is its smallest"
    return {1: "", 2: "at half size, enlarged", 4: "at quarter size, enlarged"}[found.coding.scale]


def side_by_side(pictures: list[tuple[str, Image.Image]], gap: int = 8) -> Image.Image:
    """Pictures of one size in a row on white, each with its caption below."""
    font, (width, height) = ImageFont.load_default(18), pictures[0][1].size
    sheet = Image.new("RGB", (len(pictures) * (width + gap) - gap, height + 32), "white")
    draw = ImageDraw.Draw(sheet)
    for column, (caption, picture) in enumerate(pictures):
        sheet.paste(picture, (column * (width + gap), 0))
        draw.text((column * (width + gap) + 4, height + 5), caption, fill="black", font=font)
    return sheet


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.evaluation.comparison", description=__doc__)
    parser.add_argument("photo", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--lambda", dest="lmbda", type=float, default=1.0)
    parser.add_argument("--weights-dir")
    options = parser.parse_args(arguments)
    picture = open_image(options.photo)
    data = Encoder(device="cpu", weights_dir=options.weights_dir).encode(picture, options.lmbda)
    decoded = Decoder(device="cpu", weights_dir=options.weights_dir).decode(data).convert("RGB")
    found = jpeg2000_within(picture, len(data))
    other = found.coding.decode(found.data, picture.size)
    bpp = 8 * len(data) / (picture.width * picture.height)
    sheet = side_by_side(
        [
            ("original", picture),
            (f"JPEG 2000, {len(found.data)} bytes, {psnr(picture, other):.1f} dB", other),
            (
                f"osdc lambda {options.lmbda:g}, {len(data)} bytes, {bpp:.3f} bpp, {psnr(picture, decoded):.1f} dB",
                decoded,
            ),
        ]
    )
    sheet.save(options.output, quality=90)
    print(options.output)


if __name__ == "__main__":
    run_command(main)
