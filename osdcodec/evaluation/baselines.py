"""The codecs that osdc is measured beside, each as files: Pillow's formats, and CompressAI's models where they are available.

`python -m osdcodec.evaluation.baselines encode|decode CODEC NAME INPUT OUTPUT` runs one in a process of its own, whose memory can
be measured.
"""

import argparse
import io
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from PIL import Image, features

from .. import extras
from ..console import run_command
from ..metrics.meter import psnr

FAMILIES = ("jpeg", "jpeg2000", "webp", "avif", "jxl", "compressai")
SCALES = {1: "", 2: "-half", 4: "-quarter"}
SHRUNK = tuple(SCALES.values())[1:]


class Coding(Protocol):
    """A codec at one setting. Codings of one `codec` are the points of one curve."""

    @property
    def codec(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def suffix(self) -> str: ...

    def encode(self, picture: Image.Image) -> bytes: ...

    def decode(self, data: bytes, size: tuple[int, int]) -> Image.Image: ...


@dataclass(frozen=True)
class PillowCoding:
    """A format of Pillow. At scale 2 or 4 the picture is shrunk by Lanczos before, and enlarged so after."""

    family: str
    name: str
    options: dict = field(default_factory=dict)
    scale: int = 1

    @property
    def codec(self) -> str:
        return self.family + SCALES[self.scale]

    @property
    def suffix(self) -> str:
        return {"jpeg": ".jpg", "jpeg2000": ".j2k"}.get(self.family, f".{self.family}")

    def encode(self, picture: Image.Image) -> bytes:
        """RGB picture -> the bytes of a file."""
        if self.scale > 1:
            small = (-(-picture.width // self.scale), -(-picture.height // self.scale))
            picture = picture.resize(small, Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        picture.save(buffer, self.family, **self.options)
        return buffer.getvalue()

    def decode(self, data: bytes, size: tuple[int, int]) -> Image.Image:
        """The bytes of a file -> RGB picture of (width, height)."""
        picture = Image.open(io.BytesIO(data)).convert("RGB")
        return picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS)


def _jpeg(quality: int, scale: int = 1) -> PillowCoding:
    return PillowCoding("jpeg", f"q{quality}", {"quality": quality, "optimize": True, "subsampling": "4:2:0"}, scale)


def _jpeg2000(ratio: float, name: str, scale: int = 1) -> PillowCoding:
    options = {"quality_mode": "rates", "quality_layers": [ratio], "irreversible": True, "no_jp2": True}
    return PillowCoding("jpeg2000", name, options, scale)


def _webp(quality: int, scale: int = 1) -> PillowCoding:
    return PillowCoding("webp", f"q{quality}", {"quality": quality, "method": 6}, scale)


def _avif(quality: int, scale: int = 1) -> PillowCoding:
    return PillowCoding("avif", f"q{quality}", {"quality": quality}, scale)


def _jxl(quality: int, scale: int = 1) -> PillowCoding:
    return PillowCoding("jxl", f"q{quality}", {"quality": quality}, scale)


# The finest first. Where a codec cannot go as low as osdc at full size, there are curves at half and quarter size, too.
PILLOW: dict[str, list[PillowCoding]] = {
    "jpeg": [
        *(_jpeg(quality) for quality in (20, 10, 5, 1)),
        *(_jpeg(quality, 2) for quality in (25, 12, 5)),
        *(_jpeg(quality, 4) for quality in (50, 25, 10)),
    ],
    "jpeg2000": [_jpeg2000(24 / bpp, f"{bpp:g} bpp") for bpp in (0.5, 0.25, 0.15, 0.1, 0.06, 0.03)],
    "webp": [
        *(_webp(quality) for quality in (20, 5, 0)),
        *(_webp(quality, 2) for quality in (30, 10, 0)),
        *(_webp(quality, 4) for quality in (40, 0)),
    ],
    "avif": [
        *(_avif(quality) for quality in (25, 14, 8, 3, 0)),
        *(_avif(quality, 2) for quality in (30, 15, 3)),
        *(_avif(quality, 4) for quality in (40, 20)),
    ],
    "jxl": [
        *(_jxl(quality) for quality in (20, 8, 1)),
        *(_jxl(quality, 2) for quality in (30, 15, 1)),
        *(_jxl(quality, 4) for quality in (60, 40, 15)),
    ],
}
ARCHITECTURES = ("bmshj2018-hyperprior", "cheng2020-anchor")
LEARNED_QUALITIES = (3, 2, 1)


class LearnedCoding:
    """A model of CompressAI's zoo, trained for MSE, on the CPU.

    The zoo has no file format: here a file is the sizes of picture and hyper-latent, the length of each string, the strings.
    """

    suffix = ".bin"

    def __init__(self, architecture: str, quality: int) -> None:
        from compressai.zoo import image_models

        self.codec, self.name = architecture, f"q{quality}"
        self.model = image_models[architecture](quality, "mse", pretrained=True).eval()
        self.model.update()

    def encode(self, picture: Image.Image) -> bytes:
        """RGB picture -> the bytes of a file."""
        import torch
        from torchvision.transforms.functional import to_tensor

        x = to_tensor(picture)[None]
        rows, columns = -x.shape[2] % 64, -x.shape[3] % 64
        with torch.no_grad():
            coded = self.model.compress(torch.nn.functional.pad(x, (0, columns, 0, rows), "replicate"))
        (y,), (z,) = coded["strings"]
        return struct.pack("<HHHHII", *picture.size, *coded["shape"], len(y), len(z)) + y + z

    def decode(self, data: bytes, size: tuple[int, int]) -> Image.Image:
        """The bytes of a file -> RGB picture."""
        import torch
        from torchvision.transforms.functional import to_pil_image

        head = struct.calcsize("<HHHHII")
        width, height, *shape, y, _ = struct.unpack_from("<HHHHII", data)
        strings = [[data[head : head + y]], [data[head + y :]]]
        with torch.no_grad():
            x = self.model.decompress(strings, shape)["x_hat"].clamp(0, 1)
        return to_pil_image(x[0, :, :height, :width])


def codings(families: tuple[str, ...]) -> tuple[list[Coding], dict[str, str]]:
    """All codings of these families that can be had here, and of the others why not.

    ModuleNotFoundError if Pillow's plugin for JPEG XL is not installed.
    """
    available: list[Coding] = []
    unavailable: dict[str, str] = {}
    for family in families:
        if family == "compressai":
            learned, unavailable_here = _learned()
            available += learned
            unavailable |= unavailable_here
        elif reason := _prepare(family):
            unavailable[family] = reason
        else:
            available += PILLOW[family]
    return available, unavailable


def _prepare(family: str) -> str | None:
    """Why Pillow cannot write this format; None if it can."""
    if family == "jxl":
        import pillow_jxl  # noqa: F401  registers the format
    modules = {"jpeg": "jpg", "jpeg2000": "jpg_2000"}
    if family != "jxl" and not features.check(modules.get(family, family)):
        return f"this Pillow was built without {family}"
    return None


def _learned() -> tuple[list[Coding], dict[str, str]]:
    from ..metrics.meter import from_cache

    available: list[Coding] = []
    unavailable: dict[str, str] = {}
    if not extras.available("compressai"):  # it has no wheels for every Python that osdc runs on
        names = (f"{architecture} q{quality}" for architecture in ARCHITECTURES for quality in LEARNED_QUALITIES)
        return [], dict.fromkeys(names, "CompressAI is not installed")
    from compressai.zoo.image import model_urls

    for architecture in ARCHITECTURES:
        for quality in LEARNED_QUALITIES:
            url = model_urls[architecture]["mse"][quality]
            coding, reason = from_cache(url, partial(LearnedCoding, architecture, quality))
            if coding is None:
                unavailable[f"{architecture} q{quality}"] = str(reason)
            else:
                available.append(coding)
    return available, unavailable


@dataclass(frozen=True)
class Found:
    """What a search for a size came to. within: it is no larger than was asked for; else it is the smallest there is."""

    coding: PillowCoding
    data: bytes
    within: bool


def jpeg2000_within(picture: Image.Image, size: int, scale: int = 1) -> Found:
    """The best JPEG 2000 file (a bare codestream) of at most `size` bytes: a search over the compression ratio."""
    name = f"at most {size} bytes"
    return _largest_within(picture, size, lambda step: _jpeg2000(4000.0 ** (1 - step / 4095), name, scale), 4095)


def avif_within(picture: Image.Image, size: int, scale: int = 1) -> Found:
    """The best AVIF file of at most `size` bytes: a search over the quality."""
    return _largest_within(picture, size, lambda quality: _avif(quality, scale), 100)


def best_within(picture: Image.Image, size: int, search: Callable[[Image.Image, int, int], Found]) -> Found:
    """What a search finds at full, half or quarter size, whichever is nearest to the picture; else the smallest there is."""
    searches = [search(picture, size, scale) for scale in SCALES]
    fitting = [one for one in searches if one.within]
    if not fitting:
        return min(searches, key=lambda one: len(one.data))
    return max(fitting, key=lambda one: psnr(picture, one.coding.decode(one.data, picture.size)))


def _largest_within(picture: Image.Image, size: int, coding: Callable[[int], PillowCoding], last: int) -> Found:
    """Bisection over steps 0 (the smallest file) .. last (the largest)."""
    best = Found(coding(0), coding(0).encode(picture), False)
    if len(best.data) > size:
        return best
    low, high = 0, last + 1
    best = Found(best.coding, best.data, True)
    while high - low > 1:
        middle = (low + high) // 2
        data = coding(middle).encode(picture)
        if len(data) <= size:
            low, best = middle, Found(coding(middle), data, True)
        else:
            high = middle
    return best


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.evaluation.baselines", description=__doc__)
    parser.add_argument("verb", choices=("encode", "decode"))
    parser.add_argument("codec")
    parser.add_argument("name")
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--size", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"), help="of the decoded picture")
    options = parser.parse_args(arguments)
    if options.codec in ARCHITECTURES:
        coding: Coding = LearnedCoding(options.codec, int(options.name[1:]))
    else:
        found, _ = codings((options.codec.split("-")[0],))
        coding = next(c for c in found if (c.codec, c.name) == (options.codec, options.name))
    if options.verb == "encode":
        options.output.write_bytes(coding.encode(Image.open(options.input).convert("RGB")))
    else:
        coding.decode(options.input.read_bytes(), tuple(options.size)).save(options.output)


if __name__ == "__main__":
    run_command(main)
