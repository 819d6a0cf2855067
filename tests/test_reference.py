"""The reference of spec/, plain Python from file to symbols, agrees with the package bit for bit."""

import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from helpers import tiny
from safetensors.numpy import save

from osdcodec.checks.fuzz import with_head_checksum
from osdcodec.container import Osd, pack, unpack, unpack_prefix
from osdcodec.entropy.prior import Prior, model_id
from osdcodec.errors import FormatError

sys.path.append(str(Path(__file__).parents[1] / "spec"))
import reference


@pytest.fixture(scope="module")
def weights() -> bytes:
    """A weights file as training writes it: with tensors that the symbols do not depend on, and with metadata."""
    others = {"denoiser.weight": np.ones((2, 3), np.int8), "denoiser.weight|scale": np.ones(2, np.float16)}
    return save(tiny.tensors() | others | {"graph.render": np.arange(7, dtype=np.uint8)}, {"profile": "tiny"})


@pytest.fixture(scope="module")
def prior() -> Prior:
    return Prior(tiny.tensors(), tiny.TINY)


@pytest.mark.parametrize("quality", [0, 99, 255])
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 3), (3, 1), (5, 9), (8, 4), (9, 17)])
def test_symbols_agree(weights, prior, shape, quality):
    payload, symbols = prior.encode(*tiny.latents("reference", *shape), quality)
    found = reference.symbols(reference.read_safetensors(weights), payload, quality, *shape)
    assert np.array_equal(found[0], symbols.tokens) and np.array_equal(found[1], symbols.hyper)
    assert np.array_equal(found[2], symbols.latent) and np.array_equal(found[3], symbols.y16)
    assert reference.digest(found) == symbols.digest()


@pytest.mark.parametrize(
    "name", ["prior.hyper_synthesis.1.weight", "prior.context.2.0.weight", "prior.context.0.mean.weight"]
)
def test_weights_that_do_not_fit_are_no_weights(prior, name):
    payload, _ = prior.encode(*tiny.latents("reference", 3, 2), 99)
    for changed, match in (
        (tiny.tensors()[name][:, 1:], "channels of"),
        (tiny.tensors()[name].astype(np.float32), "no integers"),
    ):
        stored = reference.read_safetensors(
            save({k: np.ascontiguousarray(v) for k, v in (tiny.tensors() | {name: changed}).items()})
        )
        with pytest.raises(ValueError, match=match):
            reference.symbols(stored, payload, 99, 3, 2)


def test_model_id_agrees(weights):
    assert reference.model_id(reference.read_safetensors(weights)) == model_id(tiny.tensors())


@pytest.mark.parametrize("sections", [(), (("x", b"<x/>"), ("e", b""))])
def test_from_file_to_digest_with_the_standard_library_alone(weights, prior, tmp_path, sections):
    payload, symbols = prior.encode(*tiny.latents("file", 3, 4), 180)
    (tmp_path / "weights.safetensors").write_bytes(weights)
    (tmp_path / "file.osd").write_bytes(pack(Osd(model_id(tiny.tensors()), 100, 96, 180, payload, sections)))
    # -I -S: neither site-packages nor the package of this tree can be imported.
    command = [sys.executable, "-I", "-S", reference.__file__, "weights.safetensors", "file.osd"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == [
        "tokens 2",
        "hyper 3x1x1",
        "latent 8x3x4",
        "y16 8x3x4",
        f"sha256 {symbols.digest()}",
        "",
    ]


def test_other_weights_are_refused(weights, prior, tmp_path):
    payload, _ = prior.encode(*tiny.latents("file", 1, 1), 180)
    (tmp_path / "weights.safetensors").write_bytes(weights)
    (tmp_path / "file.osd").write_bytes(pack(Osd(b"\xde\xad\xbe\xef", 32, 32, 180, payload)))
    with pytest.raises(ValueError, match="deadbeef"):
        reference.main(str(tmp_path / "weights.safetensors"), str(tmp_path / "file.osd"))


def test_damaged_payloads_are_refused_by_both(weights, prior):
    payload, _ = prior.encode(*tiny.latents("damage", 3, 3), 40)
    tensors = reference.read_safetensors(weights)
    both = 0
    for bit in range(0, 8 * len(payload), 23):
        damaged = bytearray(payload)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            ours = prior.decode(bytes(damaged), 40, 3, 3).digest()
        except FormatError:
            with pytest.raises(ValueError):
                reference.symbols(tensors, bytes(damaged), 40, 3, 3)
            both += 1
        else:
            assert reference.digest(reference.symbols(tensors, bytes(damaged), 40, 3, 3)) == ours
    assert both > 20


def fields(osd: Osd) -> tuple:
    """As the reference gives them."""
    regions = dict(osd.sections).get("G", b"")
    return osd.model_id, osd.width, osd.height, osd.quality, osd.payload, regions, osd.progressive, osd.missing


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (5, 9)])
def test_progressive_symbols_agree_at_every_cut(shape):
    tensors, prior = (
        reference.read_safetensors(save(tiny.uncertain_tensors())),
        Prior(tiny.uncertain_tensors(), tiny.TINY),
    )
    payload, symbols = prior.encode(*tiny.latents("progressive", *shape), 120, progressive=True)
    assert reference.digest(reference.symbols(tensors, payload, 120, *shape, None, True)) == symbols.digest()
    shown = 0
    for missing in range(1, len(payload), 1 if shape != (5, 9) else 13):
        rest = payload[missing:]
        try:
            found = prior.decode(rest, 120, *shape, None, True, missing)
        except FormatError:
            with pytest.raises(ValueError):
                reference.symbols(tensors, rest, 120, *shape, None, True, missing)
        else:
            shown += 1
            assert (
                reference.digest(reference.symbols(tensors, rest, 120, *shape, None, True, missing)) == found.digest()
            )
    assert shown > (5 if shape != (1, 1) else 0)


def test_containers_are_judged_alike():
    """Mutations with a right checksum: what the package reads the reference reads alike, what it refuses is refused."""
    random = np.random.default_rng(5)
    files = [
        pack(Osd(b"abcd", 768, 512, 196, b"\x01\x02\x03")),
        pack(Osd(b"abcd", 1, 65535, 0, b"\x00\xff", (("i", bytes(3)), ("e", b""), ("x", b"<x/>")))),
        pack(
            Osd(b"abcd", 3, 2, 0, b"\x00\xff", (("x", b""), ("A", b"RIFF\x12\0\0\0WEBPVP8L\6\0\0\0\x2f\2\x40\0\0\0")))
        ),
        pack(Osd(b"abcd", 1, 9, 0, b"\1", (("A", b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\1\0\0\0\x09\x08\0\0\0\0"),))),
        pack(Osd(b"abcd", 300, 200, 90, b"\1\2", (("G", bytes([80, 0, 1, 2, 3, 4, 4, 1, 1])), ("x", b"")))),
        pack(Osd(b"abcd", 768, 512, 196, b"\x01\x02\x03", progressive=True)),
        pack(Osd(b"abcd", 300, 200, 90, b"\1\2", (("G", bytes([80, 0, 1, 2, 3])), ("x", b"")), progressive=True)),
        pack(Osd(b"abcd", 300, 200, 90, b"\1\2", (("x", b"<x/>"), ("e", b"")), progressive=True)),
    ]
    read, cut = 0, 0
    for trial in range(16000):
        body = bytearray(files[trial % 8][:-4])
        for _ in range(random.integers(1, 4)):
            at = int(random.integers(4, max(5, len(body))))
            match random.integers(4):
                case _ if at >= len(body):
                    body.append(0)
                case 0:
                    body[at] ^= 1 << int(random.integers(8))
                case 1:
                    body[at] = int(random.choice([0, 1, 0x7F, 0x80, 0xFF, 0x61, 0x41]))
                case 2:
                    body.insert(at, int(random.choice([0, 1, 0x80])))
                case 3:
                    del body[at:]
        if random.random() < 0.5:
            body = with_head_checksum(body)
        try:
            found = unpack_prefix(bytes(body), max_pixels=65535**2)
        except FormatError:
            with pytest.raises(ValueError):
                reference.unpack(bytes(body), partial=True)
        else:
            assert reference.unpack(bytes(body), partial=True) == fields(found)
            cut += 1
        data = bytes(body) + zlib.crc32(body).to_bytes(4, "little")
        try:
            osd = unpack(data, max_pixels=65535**2)
        except FormatError:
            with pytest.raises(ValueError):
                reference.unpack(data)
        else:
            assert reference.unpack(data) == fields(osd)
            read += 1
    assert 1500 < read < 14000 and 1000 < cut < 6000


@pytest.mark.parametrize("length", range(24))
def test_every_truncation_is_refused(length):
    data = pack(Osd(b"abcd", 300, 5, 0, b"123456", (("x", b""),)))
    with pytest.raises(ValueError):
        reference.unpack(data[:length])


def test_the_walk_of_the_specification_is_that():
    """Every number in the text of the annotated file."""
    text = " ".join((Path(reference.__file__).parent / "osd-1.md").read_text("utf-8").split())
    folder = Path(reference.__file__).parent / "vectors" / "conformance"
    tensors = reference.read_safetensors((folder / "conformance.safetensors").read_bytes())
    file = (folder / "one-pixel.osd").read_bytes()
    _, _, _, quality, payload, *_ = reference.unpack(file)
    hidden = reference.layer(tensors, "hyper_scale.0", [[[quality]]])
    rows = reference.flatten(reference.layer(tensors, "hyper_scale.1", hidden))
    assert " ".join(map(str, reference.flatten(hidden))) in text and " ".join(map(str, rows)) in text
    tables = list(enumerate(reference.integers(tensors, "prior.token_tables")))
    tables += [(row, reference.integers(tensors, "prior.tables")[row]) for row in rows[:1]]
    stack = reference.Stack(payload)
    for place, (row, counts) in enumerate(tables):
        before, quantile = stack.state, stack.state % 2**24
        column = stack.pop(counts)
        name, symbol = (f"token {place}", column) if place < 4 else ("hyper 0", column - 64)
        start = sum(counts[:column])
        line = f"{name} | {row} | `{before:x}` | {quantile} | {column} | {start} | {counts[column]} | {symbol} | `{stack.state:x}`"
        assert f"| {line} |" in text
    found = reference.decode(tensors, file)
    assert " ".join(map(str, reference.flatten(found[3]))).replace("-", "−") in text
    assert reference.digest(found) in text and set(reference.flatten(found[1])) == {0}
    assert [c for c, value in enumerate(reference.flatten(found[2])) if value] == [0, 2]
