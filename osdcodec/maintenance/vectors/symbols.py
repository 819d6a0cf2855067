"""Vectors for readers of symbols: `python -m osdcodec.maintenance.vectors.symbols spec/vectors/symbols`.

What the conformance vectors leave open: hyper-latents of more than one row and column, sums beyond 32 bits, another
stride, tables of another size, regions of which each counts; and files that every reader must refuse. The model has an
integer prior only, and so the files have no pictures. Run once, when the vectors were added: they stay as they are for
ever. Needs NumPy only.
"""

import argparse
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from ... import weights
from ...checks.conformance import write
from ...checks.fuzz import sealed
from ...console import run_command
from ...container import Box, Osd, Regions, leb128, pack, unpack
from ...entropy import Array
from ...entropy.integer_net import EXACT
from ...entropy.prior import Places
from ...entropy.rans import TOTAL, Writer
from ...latent.coder import decode_symbols, qualities_of
from ...profile import SYMBOLS, Profile
from ...weights import registry
from ...weights.writer import registry_text

SEED = 23
ROWS, LIMIT = 24, 20  # of the tables
Named = tuple[str, str, bytes]  # name, what it is for, the file
Choose = Callable[[np.ndarray, np.ndarray], np.ndarray]  # tables (R, V), rows (n,) -> columns (n,)


def tables(rows: int, columns: int, centred: bool) -> np.ndarray:
    """Bell curves from one that is nearly certain to one that is nearly flat, as frequencies."""
    widths = 0.15 * 1.35 ** np.arange(rows)[:, None]
    places = np.arange(columns) - (columns // 2 if centred else np.arange(rows)[:, None] % columns)
    shares = np.exp(-np.square(places / widths) / 2)
    counts = 1 + np.floor(shares / shares.sum(1, keepdims=True) * (TOTAL - columns)).astype(np.int64)
    counts[np.arange(rows), counts.argmax(1)] += TOTAL - counts.sum(1)
    return counts.astype("<i4")


def integer_prior(profile: Profile, mean: int = 0) -> dict[str, np.ndarray]:
    """Random weights of 16 bits, activations of up to 15: sums pass 2^32, and their products with m come near 2^53.

    mean: the largest of the means, in sixteenths; 0: a few symbols.
    """
    random, made = np.random.default_rng(SEED), {}

    def layer(name: str, outputs: int, inputs: list[int], size: int, low: int, high: int, spread: float = 1.0) -> None:
        """inputs: largest magnitude of each; m and s so that outputs go from low to high and somewhat beyond."""
        shape = (outputs, len(inputs), size, size)
        weight = random.integers(-(2**15) + 1, 2**15, shape)
        worst = int((np.abs(weight) * np.array(inputs)[None, :, None, None]).sum((1, 2, 3)).max())
        typical = float(
            np.sqrt((np.square(weight * np.array(inputs)[None, :, None, None] / 3.0)).sum((1, 2, 3)).mean())
        )
        multiplier = min(2**16, int((EXACT - 1) / (1.5 * worst))) | 1
        shift = round(np.log2(typical * multiplier / (spread * (high - low))))
        middle = (low + high) / 2 * 2**shift / multiplier
        bias = (middle + random.uniform(-0.5, 0.5, outputs) * typical).clip(-(2**31) + 1, 2**31 - 1)
        made[f"prior.{name}.weight"] = weight.astype("<i2")
        made[f"prior.{name}.bias"] = bias.astype("<i4")
        made[f"prior.{name}.rescale"] = np.array([multiplier, shift, low, high], "<i4")

    hyper, features = profile.hyper_channels, profile.feature_channels
    width, latent, wide = profile.context_channels, profile.latent_channels, 2**15 - 1
    layer("hyper_scale.0", 16, [255], 1, 0, wide)
    layer("hyper_scale.1", hyper, [wide] * 16, 1, 0, ROWS - 1)
    # A little of the quality and much of the hyper-latent would hide the regions: both count alike.
    layer("hyper_synthesis.0", 4 * features, [LIMIT] * hyper + [255], 3, 0, wide)
    layer("hyper_synthesis.1", 4 * features, [wide] * features, 3, 0, wide)
    layer("hyper_synthesis.2", features, [wide] * features, 3, 0, wide)
    for t in range(4):
        layer(f"context.{t}.0", width, [wide] * features + [16 * LIMIT + mean] * latent, 3, 0, wide)
        layer(f"context.{t}.1", width, [wide] * width, 1, 0, wide)
        layer(f"context.{t}.mean", latent, [wide] * width, 1, -mean or -70, mean or 61, 0.2 if mean else 1.0)
        layer(f"context.{t}.scale", latent, [wide] * width, 1, 0, ROWS - 1)
    gains = np.exp(random.uniform(-1, 1, (2, 5, latent)))
    return made | {
        "prior.tables": tables(ROWS, 2 * LIMIT + 1, centred=True),
        "prior.token_tables": tables(profile.tokens, profile.codebook_size, centred=False),
        "prior.stride": np.array([profile.stride], "<i4"),
        "gains.latent": gains[0].astype("<f4"),
        "gains.inverse": (1 / gains[0]).astype("<f4"),
        "gains.hyper": np.exp(random.uniform(-1, 1, (5, hyper))).astype("<f4"),
        "semantics.codebook": random.normal(size=(profile.codebook_size, 8)).astype("<f2"),
    }


def weights_file(folder: Path, profile: Profile, more: dict[str, np.ndarray], header: str) -> weights.Weights:
    """Writes a random model of the profile, with `more` tensors, and the weights.toml that lists it under the header."""
    path = folder / f"{profile.name}{weights.SUFFIX}"
    save_file(integer_prior(profile) | more, path, weights.metadata_for(profile))
    entry = weights.entry(path, profile.name) | {"revision": 1, "terms": "Apache-2.0", "data": "random numbers"}
    (folder / registry.NAME).write_text(registry_text([entry | {"results": []}], header), "utf-8")
    return weights.load(profile.name, folder)


def valid(model: weights.Weights) -> Iterator[Named]:
    """Files that decode, of random symbols."""
    profile, prior = model.profile, model.prior
    random = np.random.default_rng(SEED)

    def vector(
        name: str,
        what: str,
        size: tuple[int, int],
        quality: int,
        boxes: Sequence[Box] = (),
        better: int = 0,
        spread: float = 6.0,
    ) -> Named:
        sections = (("G", Regions(better, tuple(boxes)).to_bytes()),) if boxes else ()
        osd = Osd(model.model_id, *size, quality, b"", sections)
        h, w = profile.grid(*size)
        hyper = random.normal(0, 3, (profile.hyper_channels, *profile.hyper_grid(h, w)))
        tokens = random.integers(0, profile.codebook_size, profile.tokens)
        qualities = qualities_of(osd, profile)
        y = random.normal(0, spread, (profile.latent_channels, h, w)) * prior.gain_maps(quality, qualities).latent
        payload, _ = prior.encode(y, hyper, tokens, quality, qualities)
        return name, what, pack(Osd(model.model_id, *size, quality, payload, sections))

    yield vector("one-position", "1x1: one position, stride 64", (1, 1), 196)
    yield vector("rows-and-columns", "hyper-latent of 2 rows and 3 columns", (601, 300), 137)
    yield vector("columns-and-rows", "hyper-latent of 4 rows and 2 columns", (290, 900), 0)
    yield vector("clamped", "symbols at -20 and 20, latents far beyond", (257, 321), 255, spread=90.0)
    boxes = [(0, 1, 2, 2), (9, 2, 3, 2), (17, 8, 1, 2)]  # each in a cell of the hyper-latent of its own
    yield vector("regions", "section G: three boxes, off the positions of 64 pixels", (600, 300), 200, boxes, 30)
    yield vector("one-region", "section G: its first box alone matters", (300, 600), 90, [(1, 1, 1, 1)], 0)


def likeliest(tables: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The symbols of which most fit into a byte."""
    return tables[rows].argmax(1)


def coded(model: weights.Weights, osd: Osd, choose: Choose = likeliest) -> Osd:
    """The fields of a file, with the payload of these symbols."""
    writer = Writer()

    def code(part: str, tables: Array, rows: Array, means: Array | None, places: Places | None) -> Array:
        columns = choose(tables, rows)
        writer.push(columns, tables, rows)
        return columns

    grid = model.profile.grid(osd.width, osd.height)
    model.prior._walk(osd.quality, *grid, code, qualities_of(osd, model.profile), osd.progressive)
    return replace(osd, payload=writer.to_bytes())


def with_sections(osd: Osd, *sections: tuple[bytes, bytes], length: bytes | None = None) -> bytes:
    """A file, not progressive, with sections of any kind and content behind its payload."""
    head = pack(replace(osd, payload=b"", sections=()))[:-4]
    body = head[:4] + bytes([head[4] | 1]) + head[5:] + (leb128(len(osd.payload)) if length is None else length)
    return sealed(body + osd.payload + b"".join(kind + leb128(len(content)) + content for kind, content in sections))


def refused(model: weights.Weights, files: dict[str, bytes]) -> Iterator[Named]:
    """Files that every reader refuses. Each breaks one thing only; tests/test_wrong_readers.py holds them to it."""
    good, profile = files["rows-and-columns"], model.profile
    plain = unpack(good)
    body, payload = good[:-4], plain.payload
    start = good[: len(good) - 4 - len(payload)]  # up to the quality
    cell = Osd(model.model_id, 64, 64, 200, b"")  # one position, which is 2x2 units of the boxes
    tokens = Writer()  # nothing else is in a picture without pixels
    tokens.push(np.array([5, 6, 7]), model.prior.token_tables, np.arange(profile.tokens))
    nothing, wide = pack(replace(cell, payload=tokens.to_bytes())), Osd(model.model_id, 65535, 1, 200, b"")

    def sectioned(*sections: tuple[bytes, bytes], length: bytes | None = None) -> bytes:
        return with_sections(plain, *sections, length=length)

    def region(better: int, *numbers: int, of: Osd = cell, covered: bool = False) -> bytes:
        """A section G; covered: the symbols are those of a picture all in a box."""
        whole = Regions(better, ((0, 0, -(-of.width // 32), -(-of.height // 32)),)).to_bytes()
        osd = coded(model, replace(of, sections=(("G", whole),) if covered else ()))
        return with_sections(osd, (b"G", bytes([better]) + b"".join(map(leb128, numbers))))

    def alpha(width: int, height: int) -> bytes:
        head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\0\0\0\0"
        chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(height * (width + 1)))), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(
            len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")
            for kind, content in chunks
        )

    strip, columns = Osd(model.model_id, 736, 1, 200, b""), range(23)
    many = [n for left in columns for width in range(1, 24 - left) for n in (left, 0, width, 1)][: 4 * 256]

    yield "checksum", "one bit of the checksum", good[:-1] + bytes([good[-1] ^ 1])
    cut = with_sections(coded(model, cell), (b"x", b"1"), (b"e", b"2345"))
    yield "cut-in-section", "cut after the first four bytes of the second section", cut[:-6]
    yield "magic", "ASCII in the first byte", sealed(b"\x0f" + body[1:])
    yield "version", "version 2", sealed(body[:4] + b"\x20" + body[5:])
    yield "flag-bit-3", "a reserved flag", sealed(body[:4] + b"\x18" + body[5:])
    yield "no-section", "flag bit 0 without a section", sectioned()
    yield "width-0", "width 0, and the symbols that such a picture has", sealed(nothing[:9] + b"\0" + nothing[10:-4])
    widest = pack(coded(model, wide))  # in as many positions as a pixel more takes
    yield "width-65536", "width 65536", sealed(widest[:9] + leb128(65536) + widest[12:-4])
    yield (
        "leb128-long-form",
        "the width in a byte more than it needs",
        sealed(body[:10] + bytes([body[10] | 128, 0]) + body[11:]),
    )
    yield "payload-ends-in-zero", "a zero byte behind the payload", sealed(body + b"\0")
    yield "payload-too-short", "the payload's last word is missing", sealed(body[:-4].rstrip(b"\0"))
    yield "payload-too-long", "a word more below the stack", sealed(start + b"\1\0\0\0" + payload)
    yield "payload-empty", "no payload: the state begins with 0", sealed(start)
    yield "end-of-stack", "a symbol more than the picture has", sealed(start + one_more(model, plain))
    yield "payload-length", "a payload longer than the file", sectioned(length=leb128(len(payload) + 1))
    yield "upper-case-section", "section B, which must be understood", sectioned((b"B", b"?"))
    yield "not-a-letter", "a section of type 1", sectioned((b"1", b"?"))
    yield "section-twice", "two sections x", sectioned((b"x", b"1"), (b"x", b"2"))
    yield "section-too-long", "a section longer than the file", sealed(sectioned((b"x", b"123"))[:-5])
    yield "alpha-of-another-size", "section A, one column more", sectioned((b"A", alpha(plain.width + 1, plain.height)))
    yield "alpha-of-another-kind", "section A, a GIF", sectioned((b"A", b"GIF89a" + bytes(40)))
    yield "ground-without-colours", "section p, empty", sectioned((b"p", b""))
    yield "ground-cut-short", "section p, five bytes", sectioned((b"p", bytes(5)))
    yield (
        "ground-too-many",
        "section p, nine colours",
        sectioned((b"p", b"".join(bytes((0, i, 0, 0)) for i in range(9)))),
    )
    yield (
        "ground-too-near",
        "section p, two colours 24 levels apart, of tolerances 8 and 16",
        sectioned((b"p", bytes((8, 9, 9, 9, 16, 9, 33, 9)))),
    )
    original = (leb128(plain.width), leb128(plain.height))
    yield "original-cut-short", "section o, a width only", sectioned((b"o", leb128(4000)))
    yield "original-too-long", "section o, three numbers", sectioned((b"o", leb128(4000) * 3))
    yield "original-not-larger", "section o, the size of the picture itself", sectioned((b"o", b"".join(original)))
    yield "original-smaller", "section o, one column less", sectioned((b"o", leb128(plain.width - 1) + leb128(4000)))
    yield "original-too-large", "section o, a side of 65536", sectioned((b"o", leb128(65536) + leb128(4000)))
    yield "regions-no-better", "section G, of the picture's own quality", region(200, 1, 1, 1, 1)
    yield "regions-without-boxes", "section G, a quality only", region(0)
    yield "regions-cut-short", "section G, a box and three numbers", region(0, 0, 0, 1, 1, 1, 1, 1, covered=True)
    for name, what, numbers in (
        ("regions-not-ascending", "section G, the later box first", (2, 1, 1, 1, 1, 1, 1, 1)),
        ("regions-equal", "section G, a box twice", (1, 1, 1, 1, 1, 1, 1, 1)),
        ("regions-no-width", "section G, a box of width 0", (1, 1, 0, 1)),
    ):
        content = b"\0" + b"".join(map(leb128, numbers))
        yield name, what, with_sections(unpack(files["one-region"]), (b"G", content))
    yield "regions-outside", "section G, a box one unit beyond the right edge", region(0, 1, 0, 2, 1, covered=True)
    yield "regions-too-many", "section G, 256 boxes", region(0, *many, of=strip, covered=True)


def one_more(model: weights.Weights, osd: Osd) -> bytes:
    """The payload of a file with a symbol behind the last one."""
    prior, writer = model.prior, Writer()
    symbols = decode_symbols(osd, prior)

    def code(part: str, tables: Array, rows: Array, means: Array | None, places: Places | None) -> Array:
        columns = symbols.tokens
        if part != "tokens":
            columns = (symbols.hyper.ravel() if places is None else symbols.latent[places]) + prior.limit
        writer.push(columns, tables, rows)
        return columns

    prior._walk(osd.quality, *model.profile.grid(osd.width, osd.height), code)
    writer.push(np.array([prior.limit]), prior.tables, np.array([3]))
    return writer.to_bytes()


def asked(program: str, text: str, arguments: list[str] | None) -> Path:
    """The folder that the command line names, which is there then."""
    parser = argparse.ArgumentParser(f"python -m {program}", description=text)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args(arguments).folder
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def main(arguments: list[str] | None = None) -> None:
    folder = asked("osdcodec.maintenance.vectors.symbols", __doc__, arguments)
    model = weights_file(
        folder, SYMBOLS, {}, "# The model of the vectors for readers of symbols: an integer prior, no networks.\n"
    )
    good = list(valid(model))
    bad = list(refused(model, {name: data for name, _, data in good}))
    write(folder, SYMBOLS.name, good, folder, bad, pictures=False)


if __name__ == "__main__":
    run_command(main)
