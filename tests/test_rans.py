"""The stack against literal bytes, against the reference's twenty lines, and every way to break its bytes."""

import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.stacks import COLUMNS, PAYLOAD, ROWS, TABLES, encoded, random_case

from osdcodec import container, weights
from osdcodec.entropy import rans
from osdcodec.entropy.rans import TOTAL, Reader, Writer
from osdcodec.errors import FormatError
from osdcodec.families import open_symbol_coder

sys.path.append(str(Path(__file__).parents[1] / "spec"))
from reference import START, Stack

pytestmark = pytest.mark.parametrize("coder", ["constriction", "python"], indirect=True)


@pytest.fixture(autouse=True)
def coder(request, monkeypatch) -> str:
    """Each test runs with both implementations."""
    if request.param == "constriction":
        pytest.importorskip("constriction")
    monkeypatch.setenv(rans.VARIABLE, request.param)
    assert isinstance(rans.new_stack(np.ones(1, np.uint32)), rans.PlainStack) == (request.param == "python")
    return request.param


def decoded(payload: bytes, tables: np.ndarray, rows: np.ndarray) -> np.ndarray:
    reader = Reader(payload)
    columns = reader.pop(tables, rows)
    reader.finish()
    return columns


def test_bytes_are_these():
    assert encoded(COLUMNS, TABLES, ROWS).hex() == PAYLOAD.hex()
    assert decoded(PAYLOAD, TABLES, ROWS).tolist() == COLUMNS.tolist()


def test_the_example_of_the_specification_is_that():
    text = (Path(__file__).parents[1] / "spec" / "osd-1.md").read_text("utf-8")
    assert f"payload   {PAYLOAD.hex(' ')}\n" in text
    assert "columns   " + " ".join(map(str, COLUMNS)) in text
    assert "tables    " + " ".join("ABC"[row] for row in ROWS) in text
    for name, counts in zip("ABC", TABLES, strict=True):
        assert f"{name} = {' '.join(map(str, counts))}" in text


@pytest.mark.parametrize("symbols", [0, 1, 2, 7, 300])
@pytest.mark.parametrize("seed", range(8))
def test_bytes_are_those_of_the_reference(seed, symbols):
    columns, tables, rows = random_case(seed, symbols)
    payload = encoded(columns, tables, rows)
    stack, counts = Stack(), tables.tolist()
    for column, row in zip(columns[::-1].tolist(), rows[::-1].tolist(), strict=True):
        stack.push(column, counts[row])
    assert payload == stack.to_bytes()
    assert decoded(payload, tables, rows).tolist() == columns.tolist()
    stack = Stack(payload)
    assert [stack.pop(counts[row]) for row in rows] == columns.tolist()
    assert stack.state == START and not stack.words


@pytest.mark.parametrize("entries", [1, 1000, 10_000])
def test_chunks_leave_no_trace_in_the_bytes(monkeypatch, entries):
    columns, tables, rows = random_case(7, 500)
    whole = encoded(columns, tables, rows)
    monkeypatch.setattr(rans, "_CHUNK", entries)
    assert encoded(columns, tables, rows) == whole
    assert np.array_equal(decoded(whole, tables, rows), columns)


def test_several_tables_share_one_stack():
    cases = [random_case(seed, n) for seed, n in ((1, 30), (2, 0), (3, 1), (4, 200))]
    writer = Writer()
    for case in cases:
        writer.push(*case)
    payload = writer.to_bytes()
    assert writer.to_bytes() == payload
    reader = Reader(payload)
    for columns, tables, rows in cases:
        assert np.array_equal(reader.pop(tables, rows), columns)
    reader.finish()


def test_size_is_the_ideal_one():
    random = np.random.default_rng(0)
    columns, rows = random.choice(3, 10_000, p=[0.5, 0.25, 0.25]), np.ones(10_000, np.int64)
    ideal = np.array([1, 2, 2])[columns].sum() / 8
    assert abs(len(encoded(columns, TABLES, rows)) - ideal) < 8


def test_an_empty_stack_is_its_first_state():
    assert Writer().to_bytes() == bytes.fromhex("000001")
    Reader(bytes.fromhex("000001")).finish()


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\0\0\x02", b"\0\0\0\0\x01", b"\0\0\x01\x01", b"\xff" * 8])
def test_a_stack_must_end_as_it_began(payload):
    with pytest.raises(FormatError) as caught:
        Reader(payload).finish()
    assert caught.value.field == "payload"


def test_a_stack_that_runs_dry_is_noticed():
    """Likely symbols, as a good prior leaves them: what is cut short gives other likely symbols, and then nothing."""
    random = np.random.default_rng(2)
    tables = np.array([[1, 9, 2**24 - 20, 9, 1], [1, 2**22, 2**23, 2**22 - 2, 1]], np.int32)
    rows = random.integers(0, 2, 500)
    columns = (tables[rows].cumsum(1) > random.integers(0, TOTAL, 500)[:, None]).argmax(1)
    payload = encoded(columns, tables, rows)
    for length in range(len(payload)):
        with pytest.raises(FormatError):
            decoded(payload[:length].rstrip(b"\0"), tables, rows)


@pytest.mark.parametrize("seed", range(4))
def test_a_whole_stack_is_never_taken_for_a_dry_one(seed):
    """Read symbol by symbol, with any tables, and with symbols that cost next to nothing or lie at the very start."""
    cases = [random_case(seed, 300)]
    for certain in ([2**24 - 2, 1, 1], [1, 2**24 - 2, 1], [1, 1, 2**24 - 2]):
        columns = np.full(300, np.argmax(certain), np.int32)
        columns[np.random.default_rng(seed).integers(0, 300, seed)] = seed % 3
        cases.append((columns, np.array([certain], np.int32), np.zeros(300, np.int64)))
    for columns, tables, rows in cases:
        reader = Reader(encoded(columns, tables, rows))
        assert [reader.pop(tables, rows[i : i + 1]).item() for i in range(len(rows))] == columns.tolist()
        reader.finish()


@pytest.mark.parametrize("column", [-1, 3])
def test_symbols_outside_the_table_are_refused(column):
    with pytest.raises(ValueError, match=r"0 \.\. 2"):
        Writer().push(np.array([column]), TABLES, np.array([0]))


@pytest.mark.parametrize("payload", [b"\0", bytes(8), PAYLOAD + b"\0", PAYLOAD + bytes(5)])
def test_a_zero_byte_at_the_end_is_refused(payload):
    with pytest.raises(FormatError) as caught:
        Reader(payload)
    assert caught.value.field == "payload"


def damage(payload: bytes, tables: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> bool:
    """Whether damage is noticed; if it is not, the symbols at least differ: no two payloads say the same."""
    try:
        found = decoded(payload, tables, rows)
    except FormatError as error:
        assert error.field == "payload"
        return True
    assert not np.array_equal(found, columns)
    return False


def test_damaged_payloads_are_noticed():
    columns, tables, rows = random_case(11, 400)
    payload = encoded(columns, tables, rows)
    damaged = [payload[:n] for n in range(len(payload))]
    damaged += [payload + bytes([byte]) * n for byte in (1, 0x80, 0xFF) for n in range(1, 9)]
    for bit in range(8 * len(payload)):
        flipped = bytearray(payload)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(flipped))
    assert all(damage(data, tables, rows, columns) for data in damaged)


def test_garbage_gives_format_errors_and_nothing_else():
    columns, tables, rows = random_case(12, 200)
    random = np.random.default_rng(1)
    garbage = [random.bytes(n).rstrip(b"\0") for n in range(1, 80) for _ in range(5)]
    assert all(damage(data, tables, rows, columns) for data in garbage)


def test_nothing_is_printed(capfd):
    decoded(encoded(COLUMNS, TABLES, ROWS), TABLES, ROWS)
    assert capfd.readouterr() == ("", "")


def test_a_stack_that_runs_dry_costs_little(monkeypatch):
    """The rest of the symbols is not asked for: a million of them cost as little as the first chunk."""
    monkeypatch.setattr(rans, "_CHUNK", 300)
    asked = []
    monkeypatch.setattr(
        rans, "_parts", lambda n, width, parts=rans._parts: (asked.append(p) or p for p in parts(n, width))
    )
    with pytest.raises(FormatError, match="before its last symbol"):
        Reader(PAYLOAD).pop(TABLES, np.ones(1_000_000, np.int64))
    assert len(asked) == 1


def test_payloads_of_real_files_have_the_same_bytes_in_both(coder):
    """Their symbols, as the embedded weights code them, decoded and coded again."""
    folder = Path(__file__).parents[1] / "spec" / "vectors" / "embedded"
    for path in sorted(folder.glob("*.osd"))[:4]:
        osd = container.unpack(path.read_bytes())
        model = open_symbol_coder(weights.for_model(osd.model_id))
        found = model.symbols(osd)
        reader, writer = rans.Reader(osd.payload), rans.Writer()

        def again(part, tables, rows, means, places, reader=reader, writer=writer):
            columns = reader.pop(tables, rows)
            writer.push(columns, tables, rows)
            return columns

        h, w = found.latent.shape[1:]
        model.prior._walk(osd.quality, h, w, again, None, osd.progressive)
        assert writer.to_bytes() == osd.payload
