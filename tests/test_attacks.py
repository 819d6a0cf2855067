"""Damaged, cut, extended, random and dishonest files: only FormatError comes out, in bounded time and memory."""

import binascii
import time
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from helpers import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from osdcodec import container
from osdcodec.checks.conformance import VECTORS
from osdcodec.checks.fuzz import attack, exact_prior, files, run, sealed
from osdcodec.codec import Decoder
from osdcodec.entropy.prior import Prior, Symbols
from osdcodec.entropy.rans import TOTAL, Reader, Writer
from osdcodec.errors import FormatError
from osdcodec.latent.coder import decode_symbols

FOLDER = VECTORS / "conformance"
NAMES = ("one-pixel", "anchor-2", "metadata", "alpha", "edges-0", "../progressive/whole-sections")


@pytest.fixture(scope="module")
def prior() -> Prior:
    return exact_prior(FOLDER)


@pytest.fixture(scope="module", params=NAMES)
def vector(request) -> bytes:
    return (FOLDER / f"{request.param}.osd").read_bytes()


def symbols_of(data: bytes, prior: Prior) -> Symbols | None:
    """None if the file is refused."""
    try:
        return decode_symbols(container.unpack(data), prior)
    except FormatError:
        return None


def flips(data: bytes):
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        yield bytes(flipped)


def test_every_flipped_bit_is_refused(vector, prior):
    assert all(symbols_of(flipped, prior) is None for flipped in flips(vector))


@pytest.mark.parametrize("name", ["one-pixel", "anchor-2", "exif"])
def test_every_flipped_bit_under_a_right_checksum_is_refused_or_means_something_else(name, prior):
    """Whoever forges the checksum too gets another file, never the same symbols from another payload."""
    vector = (FOLDER / f"{name}.osd").read_bytes()
    before, symbols = container.unpack(vector), symbols_of(vector, prior)
    for body in flips(vector[:-4]):
        if symbols_of(sealed(body), prior) == symbols:
            after = container.unpack(sealed(body))
            assert after.payload == before.payload and after != before


def test_every_truncation_is_refused(vector, prior):
    for length in range(len(vector)):
        assert symbols_of(vector[:length], prior) is None
    for length in range(len(vector) - 4):
        found = symbols_of(sealed(vector[:length]), prior)
        assert found is None or vector[4] & 1  # a section that is missing takes no symbol away


@pytest.mark.parametrize("more", [b"\0", b"\n", b"\xff", bytes(4), bytes(7) + b"\x01", b"<x/>"])
def test_appended_bytes_are_refused(vector, prior, more):
    assert symbols_of(vector + more, prior) is None
    assert symbols_of(sealed(vector), prior) is None
    assert symbols_of(sealed(vector[:-4] + more), prior) is None
    assert symbols_of(more + vector, prior) is None


def cost(call) -> tuple[float, int]:
    """Seconds, and bytes at the peak, of a call that must raise FormatError."""
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(FormatError):
        call()
    seconds, (_, peak) = time.perf_counter() - start, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return seconds, peak


def claim(width: int, height: int, quality: int, payload: bytes) -> bytes:
    model = (FOLDER / "one-pixel.osd").read_bytes()[5:9]
    return container.pack(container.Osd(model, width, height, quality, payload))


def test_thirty_bytes_cannot_claim_four_billion_pixels():
    data = claim(65535, 65535, 0, b"0123456789")
    assert len(data) == 30
    seconds, peak = cost(lambda: container.unpack(data))
    assert seconds < 0.1 and peak < 2**16
    seconds, peak = cost(lambda: Decoder(weights_dir=FOLDER).decode(data))  # no weights are read either
    assert seconds < 0.5 and peak < 2**20


@pytest.mark.parametrize("size", [(2**14, 2**14), (65535, 4096), (1, 65535)])
@pytest.mark.parametrize("quality", [0, 100, 255])
def test_the_largest_size_is_refused_soon_if_the_payload_is_short(prior, size, quality):
    data = claim(*size, quality, b"0123456789")
    seconds, peak = cost(lambda: decode_symbols(container.unpack(data), prior))
    assert seconds < 2 and peak < 2**24


@pytest.mark.parametrize("size", [(2**14, 2**14), (1, 65535)])
@pytest.mark.parametrize("quality", [0, 100, 255])
def test_a_beginning_that_claims_the_largest_size_is_refused_soon(prior, size, quality):
    """Whatever it says of the length of its payload."""
    model = (FOLDER / "one-pixel.osd").read_bytes()[5:9]
    data = container.pack(container.Osd(model, *size, quality, bytes(range(1, 201)), progressive=True))
    head = len(data) - 4 - 200
    body = data[: head - 4] + container.leb128(2**35 - 1)
    forged = body + binascii.crc_hqx(body, 0xFFFF).to_bytes(2, "little") + data[head:-4]
    for beginning in (data[:-100], forged):
        seconds, peak = cost(lambda b=beginning: decode_symbols(container.unpack_prefix(b), prior))
        assert seconds < 2 and peak < 2**24


def test_random_and_mutated_files():
    told = run(3000, seed=2)
    assert told["crashes"] == []
    assert (
        sum(told["outcomes"].values()) == 3000
        and {"payload", "checksum", "section", "decoded", "shown"} <= told["outcomes"].keys()
    )
    assert told["slowest"] < 5 and told["memory"] < 256


def test_files_reach_every_field(prior):
    """Else the attacks would prove little: what refuses them is not the checksum alone."""
    seeds = [(FOLDER / f"{name}.osd").read_bytes() for name in NAMES]
    outcomes = {attack(data, prior) for _, data in zip(range(4000), files(seeds, 3), strict=False)}
    assert outcomes >= {
        "magic",
        "version",
        "flags",
        "width",
        "height",
        "size",
        "payload length",
        "payload",
        "section",
    } | {"head checksum", "shown"}


def test_a_crash_is_kept(tmp_path, monkeypatch):
    def broken(data: bytes, prior: Prior) -> str:
        return "decoded" if data[:1] == b"\x8f" else str(1 // 0)

    monkeypatch.setattr("osdcodec.checks.fuzz.attack", broken)
    told = run(100, seed=0, crashes=tmp_path)
    assert set(told["crashes"]) == {"ZeroDivisionError: integer division or modulo by zero"}
    assert 0 < len(list(tmp_path.glob("*.osd"))) <= len(told["crashes"])


# Tables of any shape: weights with a wide range of magnitudes, so that some symbols are certain and some cost 24 bits.
tables = st.integers(2, 40).flatmap(
    lambda width: st.lists(st.lists(st.integers(0, 2**30), min_size=width, max_size=width), min_size=1, max_size=5)
)


def frequencies(weights: list[list[int]]) -> np.ndarray:
    rows = []
    for row in weights:
        counts = [1 + w * (TOTAL - len(row)) // max(1, sum(row)) for w in row]
        counts[row.index(max(row))] += TOTAL - sum(counts)
        rows.append(counts)
    return np.array(rows, np.int32)


@settings(max_examples=200, deadline=None)
@given(st.data(), tables)
def test_any_symbols_under_any_tables_come_back(data, weights):
    counts = frequencies(weights)
    rows = np.array(data.draw(st.lists(st.integers(0, len(counts) - 1), max_size=200)), np.int64)
    columns = st.integers(0, counts.shape[1] - 1)
    columns = np.array(data.draw(st.lists(columns, min_size=len(rows), max_size=len(rows))), np.int32)
    writer = Writer()
    writer.push(columns, counts, rows)
    reader = Reader(writer.to_bytes())
    assert np.array_equal(reader.pop(counts, rows), columns)
    reader.finish()


PROFILE = replace(tiny.TINY, bit_price=0.0)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(0, 255),
    st.sampled_from([0.5, 3, 12, 1e6]),
)
def test_any_symbols_of_a_prior_come_back(seed, h, w, quality, reach):
    """Tables, networks' inputs and symbols all drawn; reach 12 and more meets the limits of the tables everywhere."""
    random = np.random.default_rng(seed)
    tensors = tiny.tensors()
    weights = random.random(tensors["prior.tables"].shape) ** random.choice([1, 20, 200])
    counts = frequencies((weights * 2**30).astype(int).tolist())
    prior = Prior(tensors | {"prior.tables": counts}, PROFILE)
    y = random.normal(0, reach, (PROFILE.latent_channels, h, w))
    hyper = random.normal(0, reach, (PROFILE.hyper_channels, *PROFILE.hyper_grid(h, w)))
    tokens = random.integers(0, PROFILE.codebook_size, PROFILE.tokens)
    payload, symbols = prior.encode(y, hyper, tokens, quality)
    assert prior.decode(payload, quality, h, w) == symbols
    assert prior.encode(symbols.y16 / 16, symbols.hyper, symbols.tokens, quality)[0] == payload
