"""A picture, JPEG 2000 at the same bytes, and osdc, side by side: `python -m osdcodec.evaluation.comparison PHOTO -o OUT`."""

import argparse
import io
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ..codec import Decoder, Encoder
from ..image import open_image
from .metrics import psnr


def jpeg2000(picture: Image.Image, size: int) -> bytes:
    """The best JPEG 2000 file of at most `size` bytes (bisection over the compression ratio; bare codestream)."""
    low, high, best = 1.0, 4000.0, b""
    for _ in range(12):
        ratio = (low * high) ** 0.5
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG2000", quality_mode="rates", quality_layers=[ratio], irreversible=True, no_jp2=True)
        if buffer.tell() <= size:
            best, high = buffer.getvalue(), ratio
        else:
            low = ratio
    if not best:
        raise ValueError(f"JPEG 2000 cannot go down to {size} bytes")
    return best


def open_rival(data: bytes) -> Image.Image:
    """The bytes of a picture file -> RGB picture."""
    return Image.open(io.BytesIO(data)).convert("RGB")


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
    parser.add_argument("--lambda", dest="lmbda", type=float, default=0.5)
    parser.add_argument("--weights-dir")
    options = parser.parse_args(arguments)
    picture = open_image(options.photo)
    data = Encoder(device="cpu", weights_dir=options.weights_dir).encode(picture, options.lmbda)
    decoded = Decoder(device="cpu", weights_dir=options.weights_dir).decode(data)
    other = jpeg2000(picture, len(data))
    rival = open_rival(other)
    bpp = 8 * len(data) / (picture.width * picture.height)
    sheet = side_by_side(
        [
            ("original", picture),
            (f"JPEG 2000, {len(other)} bytes, {psnr(picture, rival):.1f} dB", rival),
            (
                f"osdc lambda {options.lmbda:g}, {len(data)} bytes, {bpp:.3f} bpp, {psnr(picture, decoded):.1f} dB",
                decoded,
            ),
        ]
    )
    sheet.save(options.output, quality=90)
    print(options.output)


if __name__ == "__main__":
    main()
