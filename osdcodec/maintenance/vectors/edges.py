"""Vectors that a reader fails which is wrong in one place: `python -m osdcodec.maintenance.vectors.edges spec/vectors`.

tests/test_wrong_readers.py lists such readers. Each file that must be refused breaks one thing only: but for that its symbols would be
read. Run once, when the vectors were added: they stay as they are for ever. The folders `container` and `beginnings` have files of
the model in `symbols`, `flat-background` one of that in `conformance`; the others have models of their own, which are as small as may be.
"""

import io
import zlib
from binascii import crc_hqx
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

from ... import weights
from ...checks.conformance import Vector, write, write_list
from ...checks.fuzz import sealed
from ...console import run_command
from ...container import Osd, Regions, leb128, pack
from ...entropy.indices import IndexCoder
from ...entropy.rans import TOTAL, Writer
from ...profile import CONFORMANCE, SYMBOLS
from ...weights import registry
from ...weights.writer import registry_text
from .symbols import SEED, asked, coded, integer_prior, with_sections

BEYOND = 2**32  # what a number has more that shifts of 32 bits lose
SIDE = 64  # pixels of most pictures here: one position of the latent, 2x2 units of the boxes


def webp(width: int = SIDE, height: int = SIDE, odd: bool = False) -> bytes:
    """A plane of alpha as lossless WebP, whose chunk has an odd or an even length."""
    for value in range(255):
        buffer = io.BytesIO()
        Image.linear_gradient("L").point(lambda x, value=value: x * (x < value)).resize((width, height)).save(
            buffer, "WEBP", lossless=True
        )
        if buffer.getvalue()[16] % 2 == odd:
            return buffer.getvalue()
    raise ValueError("no such plane was found")


def png(width: int = SIDE, height: int = SIDE, depth: int = 8, colour: int = 0, interlaced: int = 0) -> bytes:
    """A plane of alpha as PNG, all clear."""
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes((depth, colour, 0, 0, interlaced))
    rows = zlib.compress(bytes(height * (1 + width * depth // 8 * (2 if colour == 4 else 1))))
    chunks = (b"IHDR", head), (b"IDAT", rows), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")
        for kind, content in chunks
    )


def progressive(
    osd: Osd, before: bytes = b"", behind: bytes = b"", flag: bool = False, length: bytes | None = None
) -> bytes:
    """A progressive file with bytes before and behind the payload in place of sections, without its last checksum."""
    head = pack(replace(osd, payload=b"", sections=(), progressive=False))[:-4]
    body = head[:4] + bytes([head[4] | 2 | flag]) + head[5:]
    body += length or leb128(len(osd.payload))
    body += leb128(len(before)) + before if flag else b""
    return body + crc_hqx(body, 0xFFFF).to_bytes(2, "little") + osd.payload[::-1] + behind


def section(kind: bytes, content: bytes) -> bytes:
    return kind + leb128(len(content)) + content


def container(model: weights.Weights) -> tuple[list[Vector], list[Vector]]:
    """Whole files: headers, sections, and progressive files."""
    plain = coded(model, Osd(model.model_id, SIDE, SIDE, 200, b""))
    better = Regions(30, ((0, 0, 2, 2),)).to_bytes()
    boxed = coded(model, replace(plain, sections=(("G", better),)))
    staged = coded(model, replace(plain, progressive=True))
    body, alpha = pack(plain)[:-4], webp()

    def colours(*found: tuple[int, int, int, int]) -> bytes:
        return with_sections(plain, (b"p", b"".join(map(bytes, found))))

    def alphas(content: bytes) -> bytes:
        return with_sections(plain, (b"A", content))

    all_flags = sealed(progressive(replace(staged, grey=True), section(b"A", alpha), section(b"x", b"<x/>"), flag=True))
    good = [
        ("grey-sections", "flag bits 0 and 2", with_sections(replace(plain, grey=True), (b"x", b"<x/>"))),
        ("all-flags", "flag bits 0, 1 and 2", all_flags),
        ("sections-in-any-order", "sections x, G and e", with_sections(boxed, (b"x", b"1"), (b"G", better), (b"e", b"2"))),
        ("empty-section", "section e without content", with_sections(plain, (b"e", b""))),
        ("alpha-png", "section A, a PNG", alphas(png())),
        ("alpha-webp-odd", "section A, a WebP whose chunk has an odd length", alphas(webp(odd=True))),
        ("colours-apart-in-green", "section p, two colours apart in green", colours((8, 90, 90, 90), (8, 90, 200, 90))),
        ("colours-apart-in-blue", "section p, two colours apart in blue", colours((8, 90, 90, 90), (8, 90, 90, 200))),
    ]  # fmt: skip

    def typed(kind: int) -> bytes:
        return with_sections(plain, (bytes([kind]), b"?"))

    tokens = Writer()  # nothing else is in a picture without pixels
    tokens.push(np.array([5, 6, 7]), model.prior.token_tables, np.arange(model.profile.tokens))
    nothing, x = pack(replace(plain, payload=tokens.to_bytes()))[:-4], pack(replace(plain, sections=(("x", b"123"),)))
    with_g, regions = (
        (b"G", better),
        coded(model, replace(plain, sections=(("G", Regions(0, ((0, 0, 2, 2),)).to_bytes()),))),
    )
    extended, twice = bytearray(alpha), (b"A", alpha)
    extended[15:16] = b"X"
    unsigned, later = bytearray(alpha), bytearray(alpha)
    unsigned[20], later[24] = 0x2E, alpha[24] | 0x20
    more = alpha + b"EXIF\x02\0\0\0ab"
    two_chunks = more[:4] + (len(more) - 8).to_bytes(4, "little") + more[8:]
    longer = alpha[:4] + (len(alpha) - 6).to_bytes(4, "little") + alpha[8:]
    zero_first = replace(staged, payload=staged.payload + b"\0")
    if len(staged.payload) % 4 == 0:
        raise ValueError("the zero byte would stand in a word of its own")
    bad = [
        *((f"magic-{at}", f"another byte {at} of the magic", sealed(body[:at] + b"?" + body[at + 1 :])) for at in (1, 2, 3)),
        ("version-0", "version 0", sealed(body[:4] + b"\0" + body[5:])),
        ("height-0", "height 0, and the symbols that such a picture has", sealed(nothing[:10] + b"\0" + nothing[11:])),
        ("width-beyond-32-bits", "width 2^32 + 64", sealed(body[:9] + leb128(BEYOND + SIDE) + body[10:])),
        (
            "payload-beyond-32-bits", "a payload longer by 2^32 than it is",
            with_sections(plain, (b"x", b"1"), length=leb128(BEYOND + len(plain.payload))),
        ),
        ("section-beyond-32-bits", "a section longer by 2^32 than it is", sealed(x[:-8] + leb128(BEYOND + 3) + x[-7:-4])),
        ("leb128-zero", "a section of length 0 in two bytes", sealed(x[:-8] + b"\x80\0")),
        *((f"type-{kind:02x}", f"a section of type {kind:#04x}", typed(kind)) for kind in (0x40, 0x5B, 0x7B, 0xE4)),
        ("upper-case-h", "section H, which must be understood", typed(ord("H"))),
        ("upper-case-z", "section Z, which must be understood", typed(ord("Z"))),
        ("alpha-twice", "two sections A", with_sections(plain, twice, twice)),
        ("regions-twice", "two sections G", with_sections(boxed, with_g, with_g)),
        ("alpha-webp-width", "section A, a WebP of one column more", alphas(webp(width=SIDE + 1))),
        ("alpha-webp-height", "section A, a WebP of one row more", alphas(webp(height=SIDE + 1))),
        ("alpha-webp-length", "section A, a WebP that says it is two bytes longer", alphas(longer)),
        ("alpha-webp-of-two-chunks", "section A, a WebP with a second chunk", alphas(two_chunks)),
        ("alpha-webp-extended", "section A, a WebP with a chunk VP8X", alphas(bytes(extended))),
        ("alpha-webp-signature", "section A, a WebP with another signature", alphas(bytes(unsigned))),
        ("alpha-webp-version", "section A, a WebP of another version", alphas(bytes(later))),
        ("alpha-png-height", "section A, a PNG of one row more", alphas(png(height=SIDE + 1))),
        ("alpha-png-16-bits", "section A, a PNG of 16 bits", alphas(png(depth=16))),
        ("alpha-png-of-two-channels", "section A, a PNG of grey and alpha", alphas(png(colour=4))),
        ("alpha-png-interlaced", "section A, an interlaced PNG", alphas(png(interlaced=1))),
        ("regions-empty", "section G without content", with_sections(plain, (b"G", b""))),
        ("regions-no-height", "section G, a box of height 0", with_sections(plain, (b"G", bytes((0, 0, 0, 1, 0))))),
        ("regions-below", "section G, a box one unit beyond the bottom", with_sections(regions, (b"G", bytes((0, 0, 1, 2, 2))))),
        ("regions-long-form", "section G, a number in a byte more", with_sections(regions, (b"G", bytes((0, 0, 0, 0x82, 0, 2))))),
        ("colours-near-in-each", "section p, two colours 12 levels apart in each", colours((8, 90, 90, 90), (8, 102, 102, 102))),
        (
            "colours-first-and-last", "section p, the first and the last of three colours near to each other",
            colours((8, 90, 90, 90), (8, 200, 200, 200), (8, 100, 90, 90)),
        ),
        ("progressive-zero-first", "a payload that begins with a zero byte", sealed(progressive(zero_first))),
        ("progressive-no-section", "flag bit 0 without a section", sealed(progressive(staged, flag=True))),
        ("progressive-upper-case-behind", "section A behind the payload", sealed(progressive(staged, b"", section(b"A", alpha), True))),
        ("progressive-lower-case-before", "section x before the payload", sealed(progressive(staged, section(b"x", b"1"), b"", True))),
    ]  # fmt: skip
    return good, bad


def beginnings(model: weights.Weights) -> tuple[list[Vector], list[Vector]]:
    """Beginnings of progressive files."""
    random = np.random.default_rng(SEED + 2)

    def drawn(tables: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return (tables[rows].cumsum(1) > random.integers(0, TOTAL, (len(rows), 1))).argmax(1)

    osd = coded(model, Osd(model.model_id, SIDE, SIDE, 200, b"", progressive=True), drawn)
    boxed = coded(model, replace(osd, sections=(("G", Regions(200, ((0, 0, 1, 1),)).to_bytes()),), quality=201), drawn)
    equal = section(b"G", Regions(201, ((0, 0, 2, 2),)).to_bytes())  # no better than the picture, hence without effect
    plain = coded(model, replace(osd, quality=201), drawn)
    whole, length = progressive(osd), len(osd.payload)
    if length % 4 == 0 or boxed.payload == plain.payload:
        raise ValueError("another seed would do")
    good = [
        ("whole", "a whole file", sealed(whole)),
        ("length-beyond-32-bits", "a payload that says it is longer by 2^32", progressive(osd, length=leb128(BEYOND + length))),
        ("regions", "three quarters of a file with a section G", progressive(boxed, section(b"G", dict(boxed.sections)["G"]), flag=True)[: -length // 4]),
    ]  # fmt: skip
    unstacked = pack(replace(coded(model, replace(osd, progressive=False), drawn), progressive=False))
    bad = [
        ("not-progressive", "a file that is not progressive, without its checksum", unstacked[:-4]),
        ("alpha", "section A, a WebP of one row more", progressive(osd, section(b"A", webp(height=SIDE + 1)), flag=True)[:-2]),
        ("regions-no-better", "section G, of the picture's own quality", progressive(plain, equal, flag=True)[:-2]),
        ("zero-first", "a payload that begins with a zero byte", progressive(replace(osd, payload=osd.payload + b"\0"))[:-2]),
        ("length-of-six-bytes", "a payload length of six bytes", progressive(osd, length=leb128(2**35 + length))),
        ("within-tokens", "a payload of which five bytes are there", whole[: 14 + 5]),
    ]  # fmt: skip
    return good, bad


def small_model(folder: Path, name: str, tensors: dict[str, np.ndarray]) -> weights.Weights:
    """Writes a weights file, and the weights.toml that lists it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}{weights.SUFFIX}"
    save_file(tensors, path, {"profile": name})
    entry = weights.entry(path, name) | {"revision": 1, "terms": "Apache-2.0", "data": "random numbers", "results": []}
    header = "# Of these conformance vectors only: nothing trains or changes it.\n"
    (folder / registry.NAME).write_text(registry_text([entry], header), "utf-8")
    return weights.load(name, folder)


def code_of_indices() -> dict[str, np.ndarray]:
    """A code with four indices per position of the grid's squares, and frequencies that differ."""
    table = np.array([TOTAL // 2, TOTAL // 4, TOTAL // 8, TOTAL // 16, TOTAL // 16], "<i4")
    codebook = np.arange(len(table), dtype="<f4")[:, None]
    return {
        "code.codebook": codebook,
        "code.quality": np.array([100], "<i4"),
        "code.stride": np.array([8], "<i4"),
        "code.table": table,
    }


def indices(model: weights.Weights) -> tuple[list[Vector], list[Vector]]:
    """Files of a code of indices with d = 8."""
    code, random = IndexCoder(model.tensors), np.random.default_rng(SEED)

    def file(width: int, height: int) -> bytes:
        grid = random.choice(len(code.table), code.grid(width, height), p=code.table / TOTAL)
        return pack(Osd(model.model_id, width, height, code.quality, code.encode(grid)))

    empty = pack(Osd(model.model_id, 1, 1, code.quality, b"\0\0\1"))  # indices 0 cost nothing
    before, behind = empty[:9], empty[11:-4]
    good = [("one-pixel", "1x1: four indices", file(1, 1)), ("odd", "37x21", file(37, 21))]
    one, most = leb128(1), leb128(65536)
    bad = [
        ("width-0", "width 0", sealed(before + b"\0" + one + behind)),
        ("height-0", "height 0", sealed(before + one + b"\0" + behind)),
        ("width-65536", "width 65536, index 0 everywhere", sealed(before + most + one + behind)),
        ("height-65536", "height 65536, index 0 everywhere", sealed(before + one + most + behind)),
    ]
    return good, bad


def integers() -> dict[str, np.ndarray]:
    """A prior without a stride, whose means are so large that products in single precision miss them."""
    made = integer_prior(CONFORMANCE, mean=2**25)
    return {name: tensor for name, tensor in made.items() if name != "prior.stride"}


def flat_background(model: weights.Weights) -> list[Vector]:
    """A picture whose windows of 16x16 pixels near a colour are not those of 8x8, at any tolerance within 3 of the one it names."""
    random, size, quality = np.random.default_rng(8), (96, 64), 255
    shape = model.profile.latent_channels, *model.profile.grid(*size)
    random.choice([0, 128, 255])  # what a search among such pictures drew
    y = random.normal(0, 2, shape) * (random.random((len(model.prior.gains(quality).latent), 1, 1)) < 0.5)
    hyper = random.normal(0, 3, (model.profile.hyper_channels, 1, 1))
    payload, _ = model.prior.encode(y, hyper, random.integers(0, 32, 4), quality)
    osd = Osd(model.model_id, *size, quality, payload, (("p", bytes((180, 148, 64, 163))),))
    return [("windows", "section p, one colour with a tolerance of 180: windows of 16x16 pixels", pack(osd))]


def unusable(folder: Path) -> None:
    """Writes two models that no reader may use, with a file each."""
    plain = {name: np.zeros_like(tensor) if name.endswith(".weight") else tensor for name, tensor in integers().items()}
    model = small_model(folder / "unknown-tensor", CONFORMANCE.name, plain)
    data = pack(coded(model, Osd(model.model_id, 1, 1, 200, b"")))
    extended = plain | {"prior.later": np.array([1], "<i4")}
    save_file(extended, model.path, {"profile": CONFORMANCE.name})
    relist(model.path, CONFORMANCE.name, data, "weights with a tensor prior.later")

    model = small_model(folder / "two-codes", "cod-lite", code_of_indices())
    data = pack(Osd(model.model_id, 1, 1, 100, IndexCoder(model.tensors).encode(np.array([[4, 3], [2, 1]]))))
    save_file(code_of_indices() | {"prior.stride": np.array([32], "<i4")}, model.path, {"profile": "cod-lite"})
    relist(model.path, "cod-lite", data, "weights with tensors code.* and prior.*")


def relist(path: Path, profile: str, data: bytes, what: str) -> None:
    """Lists a weights file that was changed, and its one file, which names the model that it is now."""
    entry = weights.entry(path, profile) | {
        "revision": 1,
        "terms": "Apache-2.0",
        "data": "random numbers",
        "results": [],
    }
    header = "# Of these conformance vectors only. No reader may use it.\n"
    (path.parent / registry.NAME).write_text(registry_text([entry], header), "utf-8")
    named = sealed(data[:5] + bytes.fromhex(entry["model_id"]) + data[9:-4])
    (path.parent / "one-pixel.osd").write_bytes(named)
    told = {"profile": profile, "unusable": True, "vectors": []}
    write_list(path.parent, told, [("one-pixel", what, named)])


def main(arguments: list[str] | None = None) -> None:
    folder = asked("osdcodec.maintenance.vectors.edges", __doc__, arguments)
    symbols = folder / "symbols"
    model = weights.load(SYMBOLS.name, symbols)
    for name, made, more in (("container", container, {}), ("beginnings", beginnings, {"partial": True})):
        good, bad = made(model)
        write(folder / name, SYMBOLS.name, good, symbols, bad, pictures=False, weights="symbols", **more)
    model = small_model(folder / "indices", "cod-lite", code_of_indices())
    good, bad = indices(model)
    write(folder / "indices", "cod-lite", good, folder / "indices", bad, pictures=False)
    model = small_model(folder / "arithmetic", CONFORMANCE.name, integers())
    osd, random = Osd(model.model_id, 130, 70, 99, b""), np.random.default_rng(SEED)
    odd = coded(model, osd, lambda tables, rows: random.integers(0, tables.shape[1], len(rows)))
    good = [("odd", "130x70, with products beyond 24 bits, in weights without prior.stride", pack(odd))]
    write(folder / "arithmetic", CONFORMANCE.name, good, folder / "arithmetic", pictures=False)
    unusable(folder)
    own = folder / "conformance"
    model = weights.load(CONFORMANCE.name, own)
    write(folder / "flat-background", CONFORMANCE.name, flat_background(model), own, weights=own.name)


if __name__ == "__main__":
    run_command(main)
