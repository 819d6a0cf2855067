"""Codes of indices: grids, literal bytes, the model id, and tensors that are refused."""

import numpy as np
import pytest

from osdcodec.entropy.indices import IndexCoder, Indices, model_id, normative
from osdcodec.errors import FormatError, WeightsError

CODEBOOK = np.arange(32, dtype=np.float32).reshape(16, 2)
TENSORS = normative(CODEBOOK, 32, 255)
CODE = IndexCoder(TENSORS)


def test_sixteen_entries_take_half_a_byte_each():
    """The state begins with 2**16; each index shifts it by four bits and stands in the upper ones of 24."""
    assert CODE.encode(np.array([[1]])) == bytes.fromhex("000011")
    assert CODE.encode(np.array([[10, 1], [2, 3]])) == bytes.fromhex("0000a12103")
    assert CODE.encode(np.zeros((1, 8), int)) == bytes.fromhex("000001")  # what is zero at the end is stripped


@pytest.mark.parametrize(("entries", "bits"), [(2, 1), (16, 4), (256, 8)])
def test_payloads_come_back(entries, bits):
    code = IndexCoder(normative(np.zeros((entries, 3), np.float32), 16, 196))
    grid = np.random.default_rng(0).integers(0, entries, (19, 33))
    payload = code.encode(grid)
    assert bits * grid.size / 8 <= len(payload) <= code.largest(19, 33) == -(-bits * grid.size // 8) + 3
    assert code.decode(payload, 19, 33) == Indices(grid) and code.bits(Indices(grid)) == bits * grid.size
    for damaged in (payload[1:], payload + b"\1", payload + b"\0"):
        with pytest.raises(FormatError):
            code.decode(damaged, 19, 33)
    with pytest.raises(FormatError):
        code.decode(payload, 19, 32)


def test_entries_that_are_no_power_of_two():
    code = IndexCoder(normative(np.zeros((7, 1), np.float32), 16, 0))
    assert code.table.sum() == 2**24 and set(code.table.tolist()) == {2**24 // 7, 2**24 // 7 + 1}
    grid = np.arange(21).reshape(3, 7) % 7
    assert code.decode(code.encode(grid), 3, 7) == Indices(grid)


@pytest.mark.parametrize(
    ("stride", "size", "grid"),
    [
        (32, (1, 1), (1, 1)),
        (32, (768, 512), (16, 24)),
        (16, (33, 16), (1, 3)),
        (8, (17, 16), (2, 4)),
        (4, (1, 1), (4, 4)),
    ],
)
def test_the_grid_covers_whole_positions_of_sixteen_pixels(stride, size, grid):
    assert IndexCoder(normative(CODEBOOK, stride, 0)).grid(*size) == grid


def test_the_model_id_rests_on_the_code_alone():
    named = {"code.codebook", "code.quality", "code.stride", "code.table"}
    assert TENSORS.keys() == named
    assert model_id(TENSORS).hex() == "1a49085f" == model_id(TENSORS | {"encoder.0.conv.weight": CODEBOOK}).hex()
    assert model_id(TENSORS) != model_id(normative(CODEBOOK + 1, 32, 255)) != model_id(normative(CODEBOOK, 16, 255))


def test_digests_do_not_depend_on_the_byte_order_of_arrays():
    swapped = {name: array.astype(array.dtype.newbyteorder("S")) for name, array in TENSORS.items()}
    assert model_id(swapped) == model_id(TENSORS)
    grid = np.arange(6, dtype=np.int32).reshape(2, 3)
    assert Indices(grid.astype(grid.dtype.newbyteorder("S"))).digest() == Indices(grid).digest()


@pytest.mark.parametrize(
    "change",
    [
        {"code.table": np.full(16, 2**20 + 1, "<i4")},
        {"code.table": np.full(8, 2**21, "<i4")},
        {"code.stride": np.array([0], "<i4")},
        {"code.quality": np.array([256], "<i4")},
        {"code.stride": np.array([], "<i4")},
    ],
)
def test_tensors_of_no_code_are_refused(change):
    with pytest.raises(WeightsError, match="not usable"):
        IndexCoder(TENSORS | change)


def test_digest():
    assert Indices(np.array([[1, 2]], np.int32)).digest().startswith("34fb5c825de7ca4aea6e712f19d439c1")
    assert Indices(np.zeros((1, 2), np.int32)) != Indices(np.zeros((2, 1), np.int32))
