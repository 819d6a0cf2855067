"""Layers against plain Python integers, up to the edge of what float64 holds exactly."""

import numpy as np
import pytest

from osdcodec.entropy import integer_net
from osdcodec.entropy.integer_net import EXACT, IntegerLayer, shuffle


def plain(layer: IntegerLayer, x: list) -> list:
    """The definition of a layer, one output at a time, in integers of any size."""
    outputs, inputs, size, _ = layer.weight.shape
    height, width, weight, bias = len(x[0]), len(x[0][0]), layer.weight.tolist(), layer.bias.tolist()

    def at(c: int, i: int, j: int) -> int:
        return x[c][i][j] if 0 <= i < height and 0 <= j < width else 0

    def value(out: int, i: int, j: int) -> int:
        total = bias[out]
        for c in range(inputs):
            for u in range(size):
                for v in range(size):
                    total += weight[out][c][u][v] * at(c, i + u - size // 2, j + v - size // 2)
        return min(max(total * layer.multiplier // 2**layer.shift, layer.low), layer.high)

    return [[[value(out, i, j) for j in range(width)] for i in range(height)] for out in range(outputs)]


def random_layer(random: np.random.Generator, outputs: int, inputs: int, size: int, **rescale: int) -> IntegerLayer:
    weight = random.integers(-(2**15), 2**15, (outputs, inputs, size, size)).astype(np.int16)
    bias = random.integers(-(2**31), 2**31, outputs).astype(np.int32)
    return IntegerLayer(weight, bias, **({"multiplier": 1, "shift": 16, "low": -(2**31), "high": 2**31 - 1} | rescale))


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (5, 1), (2, 2), (7, 4)])
@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize(
    "rescale",
    [{}, {"multiplier": 77, "shift": 19}, {"low": 0, "high": 63}, {"multiplier": 3, "shift": 0}, {"shift": 40}],
)
def test_equals_plain_integers(shape, size, rescale):
    random = np.random.default_rng(size)
    layer = random_layer(random, 4, 3, size, **rescale)
    layer.bound(2**12)
    x = random.integers(-(2**12), 2**12 + 1, (3, *shape))
    y = layer(x)
    assert y.dtype == np.float64
    assert y.astype(np.int64).tolist() == plain(layer, x.tolist())


def test_rounds_down_below_zero_too():
    layer = IntegerLayer(np.array([[[[1]]]], np.int16), np.array([0], np.int32), 1, 2, -100, 100)
    x = np.array([[[-9, -8, -5, -4, -1, 0, 3, 4, 7]]])
    assert layer(x).ravel().tolist() == [-3, -2, -2, -1, -1, 0, 0, 1, 1]


def test_exact_at_the_edge():
    """Sums of 2**53 - 1 with the smallest bits set, where one rounding would show."""
    weight = np.array([32767, -32768, 1], np.int16).reshape(1, 3, 1, 1)
    x = np.array([2**37, -(2**37), 12345]).reshape(3, 1, 1)
    bias = np.array([EXACT - 1 - (32767 + 32768) * 2**37 - 12345], np.int64)
    layer = IntegerLayer(weight, bias, 1, 0, -(2**53), 2**53)
    layer.bound(np.array([2**37, 2**37, 12345]))
    assert int(layer(x)[0, 0, 0]) == EXACT - 1
    layer = IntegerLayer(weight, bias + 1, 1, 0, -(2**53), 2**53)
    with pytest.raises(ValueError, match="2\\*\\*53"):
        layer.bound(np.array([2**37, 2**37, 12345]))


def test_bound_counts_bias_multiplier_and_each_channel():
    weight = np.array([[[[3]], [[-4]]], [[[1]], [[1]]]], np.int16)
    layer = IntegerLayer(weight, np.array([5, -6], np.int32), 1, 0, -7, 3)
    assert layer.bound(10) == 7  # the clamp bounds the outputs
    worst = 3 * 10 + 4 * 20 + 5
    layer.multiplier = (EXACT - 1) // worst
    assert layer.bound(np.array([10, 20])) == 7
    layer.multiplier += 1
    with pytest.raises(ValueError, match=f"{worst}"):
        layer.bound(np.array([10, 20]))


def test_bound_of_the_smallest_int16_does_not_overflow():
    layer = IntegerLayer(np.full((1, 1, 1, 1), -32768, np.int16), np.array([-(2**31)], np.int32), 1, 0, 0, 1)
    with pytest.raises(ValueError, match=str(32768 * 2**38 + 2**31)):
        layer.bound(2**38)


def test_row_blocks_leave_no_trace(monkeypatch):
    random = np.random.default_rng(0)
    layer, x = random_layer(random, 5, 3, 3), random.integers(-100, 100, (3, 11, 6))
    whole = layer(x)
    for block in (1, 3 * 9 * 6 * 4):
        monkeypatch.setattr(integer_net, "_BLOCK", block)
        assert np.array_equal(layer(x), whole)


@pytest.mark.parametrize(
    "change",
    [
        {"weight": np.zeros((2, 1, 3, 1), np.int16)},
        {"weight": np.zeros((2, 1, 2, 2), np.int16)},
        {"bias": np.zeros(3, np.int32)},
        {"multiplier": 0},
        {"shift": 63},
        {"shift": -1},
        {"low": 2, "high": 1},
    ],
)
def test_what_is_no_layer_is_refused(change):
    good = dict(
        weight=np.zeros((2, 1, 3, 3), np.int16), bias=np.zeros(2, np.int32), multiplier=1, shift=0, low=0, high=1
    )
    IntegerLayer(**good)
    with pytest.raises(ValueError):
        IntegerLayer(**(good | change))


def test_shuffle():
    x = np.arange(16).reshape(8, 1, 2)
    assert shuffle(x).tolist() == [[[0, 2, 1, 3], [4, 6, 5, 7]], [[8, 10, 9, 11], [12, 14, 13, 15]]]


def test_shuffle_is_that_of_torch():
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).normal(size=(27, 2, 4))
    assert np.array_equal(shuffle(x, 3), torch.nn.PixelShuffle(3)(torch.from_numpy(x)).numpy())
