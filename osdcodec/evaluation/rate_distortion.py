"""Rate and distortion over photographs, from real files: one record per picture and coding, and their means.

A record has picture, width, height, codec, setting, bytes, bpp (of every byte of the file), encode_seconds and decode_seconds
(in this process, files not counted), the metrics, and for osdc its lambda.
"""

import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ..codec import Decoder, Encoder
from ..effort import Effort
from ..errors import WeightsError
from ..image import open_image
from ..metrics.meter import METRICS, Meter
from ..trust.drawing import tinted
from .baselines import SHRUNK, Coding, jpeg2000_within
from .timing import process

TOLD = ("picture", "width", "height", "codec", "setting", "lambda")  # what a record says beside numbers to be averaged


@dataclass(frozen=True)
class OsdcCoding:
    """osdc at one lambda."""

    lmbda: float
    encoder: Encoder
    decoder: Decoder
    detail: float = 1.0
    effort: Effort = "auto"
    codec = "osdc"
    suffix = ".osd"

    @property
    def name(self) -> str:
        return f"λ {self.lmbda:g}"

    def encode(self, picture: Image.Image) -> bytes:
        return self.encoder.encode(picture, self.lmbda, effort=self.effort)

    def decode(self, data: bytes, size: tuple[int, int]) -> Image.Image:
        return self.decoder.decode(data, detail=self.detail).convert("RGB")

    def invented(self, data: bytes) -> Image.Image | None:
        """The decoded picture in the colours of its map of trust; None if no map was fitted to its weights."""
        try:
            return tinted(*self.decoder.decode(data, detail=self.detail, trust=True))
        except WeightsError:
            return None


@dataclass(frozen=True)
class EqualCoding:
    """JPEG 2000 with the bytes that another coding took for the same picture."""

    other: Coding
    codec = "jpeg2000-equal"
    suffix = ".j2k"

    @property
    def name(self) -> str:
        return f"bytes of {self.other.name}"


def measure(
    paths: list[Path],
    codings: list[Coding],
    equals: list[EqualCoding],
    meter: Meter,
    folder: Path,
    opened: Callable[[Path], Image.Image] = open_image,
) -> Iterator[tuple[dict, Image.Image, Image.Image, bytes]]:
    """(record, original, decoded, bytes of the file) for each picture and coding. Every file stays in `folder`, and what is measured is that."""
    names = unique_names(paths)
    for path, name, stem in zip(paths, names, stems(names), strict=True):
        picture = opened(path)
        sizes: dict[str, int] = {}
        every: list[Coding | EqualCoding] = [*codings, *equals]
        for coding in every:
            start = time.perf_counter()
            if isinstance(coding, EqualCoding):
                found = jpeg2000_within(picture, sizes[coding.other.name])
                data, decode = found.data, found.coding.decode
            else:
                data, decode = coding.encode(picture), coding.decode
            seconds = time.perf_counter() - start
            file = folder / f"{stem}.{slug(coding.codec)}.{slug(coding.name)}{coding.suffix}"
            file.write_bytes(data)
            data, size = file.read_bytes(), file.stat().st_size
            start = time.perf_counter()
            decoded = decode(data, picture.size)
            record = {"picture": name, "width": picture.width, "height": picture.height}
            record |= {"codec": coding.codec, "setting": coding.name}
            if isinstance(coding, OsdcCoding):
                record["lambda"] = coding.lmbda
                sizes[coding.name] = size
            record |= {"bytes": size, "bpp": 8 * size / (picture.width * picture.height)}
            record["encode_seconds"] = None if isinstance(coding, EqualCoding) else seconds  # a search is no encoding
            record["decode_seconds"] = time.perf_counter() - start
            yield record | meter(picture, decoded), picture, decoded, data


def unique_names(paths: list[Path]) -> list[str]:
    """File names, or whole paths where two of them are the same."""
    names = [path.name for path in paths]
    return [str(path) if names.count(path.name) > 1 else path.name for path in paths]


def stems(names: list[str]) -> list[str]:
    """How their files begin: `slug` may make one of two names, and file systems of two that differ in case."""
    slugs = [slug(name) for name in names]
    alike = Counter(each.casefold() for each in slugs)
    return [each if alike[each.casefold()] == 1 else f"{each}.{index}" for index, each in enumerate(slugs, 1)]


def slug(text: str) -> str:
    """A text as part of a file name."""
    return "".join(c if c.isalnum() or c in "-._" else "_" for c in text.replace("λ", "lambda"))


def summary(records: list[dict]) -> list[dict]:
    """Means over the pictures, a row per codec and setting.

    Of a metric over the pictures where it applies to what every one of them made: an exact copy has no PSNR, and a row that lacked
    this picture alone would seem the worse for it. A row to which it never applies takes no picture from the others.
    """
    groups: dict[tuple, list[dict]] = {}
    for record in records:
        groups.setdefault((record["codec"], record["setting"]), []).append(record)
    lacking = {
        (record["picture"], key)
        for chosen in groups.values()
        for key in METRICS
        if any(record.get(key) is not None for record in chosen)
        for record in chosen
        if record.get(key) is None
    }
    rows = []
    for chosen in groups.values():
        row = {key: chosen[0][key] for key in ("codec", "setting", "lambda") if key in chosen[0]}
        row["pictures"] = len(chosen)
        for key in chosen[0]:
            if key not in TOLD:
                found = [record[key] for record in chosen if (record["picture"], key) not in lacking]
                values = [value for value in found if value is not None]  # times of a search are none
                row[key] = statistics.fmean(values) if values else None
        rows.append(row)
    return rows


def peak_memory(
    picture: Image.Image, codings: list[Coding], encoding_options: list[str], options: list[str]
) -> dict[str, dict[str, float]]:
    """Peak resident MiB of a process that encodes, and of one that decodes, this picture at each codec's first setting.

    Interpreter and libraries are included. encoding_options: further ones of `osdc encode`; options: of
    `osdc encode` and `osdc decode`.
    """
    peaks: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        picture.save(source := f"{folder}/source.png")
        size = [str(side) for side in picture.size]
        for coding in codings:
            if coding.codec in peaks or coding.codec.endswith(SHRUNK):
                continue
            coded, decoded = f"{folder}/coded{coding.suffix}", f"{folder}/decoded.png"
            if isinstance(coding, OsdcCoding):
                encoding = process(
                    "encode", source, "-o", coded, "--lambda", str(coding.lmbda), *encoding_options, *options
                )
                decoding = process("decode", coded, "-o", decoded, *options)
            else:
                module, names = "osdcodec.evaluation.baselines", (coding.codec, coding.name)
                encoding = process("encode", *names, source, coded, module=module)
                decoding = process("decode", *names, coded, decoded, "--size", *size, module=module)
            peaks[coding.codec] = {"encode": encoding[1], "decode": decoding[1]}
    return peaks


COLUMNS = {  # of a row of the summary, beside the metrics: title and format
    "codec": ("codec", "s"),
    "setting": ("setting", "s"),
    "bytes": ("bytes", ",.0f"),
    "bpp": ("bpp", ".4f"),
    **{key: (metric.label, metric.form) for key, metric in METRICS.items()},
    "encode_seconds": ("encoding / s", ".3f"),
    "decode_seconds": ("decoding / s", ".3f"),
}


def as_table(rows: list[dict]) -> tuple[list[str], list[list[str]]]:
    """Titles and texts of the columns in which any row has something."""
    keys = [key for key in COLUMNS if any(row.get(key) is not None for row in rows)]
    texts = [["–" if row.get(key) is None else format(row[key], COLUMNS[key][1]) for key in keys] for row in rows]
    return [COLUMNS[key][0] for key in keys], texts
