"""Convolutions on integers, exact on every machine.

A layer is `clamp(floor((conv(x, weight) + bias) * m / 2**s), low, high)`. All values are integers held in float64; as
long as none can pass 2**53 every product and every partial sum is exact, whatever the order of sums, the number of
threads or the BLAS. The worst case is asserted when a model is loaded, not hoped for (Ballé et al., "Integer networks
for data compression with latent-variable models", 2019).
"""

from dataclasses import dataclass, field, replace

import numpy as np

from . import Array

EXACT = 2**53  # float64 holds every integer up to here
_BLOCK = 2**21  # values in the patch matrix of one block of rows: 16 MiB


@dataclass
class IntegerLayer:
    """(in, h, w) -> (out, h, w), integers in float64; zero padding keeps the size.

    weight: integers (out, in, k, k), k odd; bias: integers (out,); multiplier >= 1; shift 0 .. 62; low <= high.
    """

    weight: Array
    bias: Array
    multiplier: int
    shift: int
    low: int
    high: int
    _matrix: Array = field(init=False, repr=False)  # (out, in * k * k)
    _offset: Array = field(init=False, repr=False)  # (out, 1)

    def __post_init__(self) -> None:
        out, channels, rows, columns = self.weight.shape
        if rows != columns or rows % 2 == 0 or self.bias.shape != (out,):
            raise ValueError(f"weight {self.weight.shape} and bias {self.bias.shape} do not make a layer")
        if not (self.multiplier >= 1 and 0 <= self.shift <= 62 and self.low <= self.high):
            raise ValueError(f"no rescaling: {self.multiplier} / 2**{self.shift} to {self.low} .. {self.high}")
        self._matrix = self.weight.reshape(out, channels * rows * columns).astype(np.float64)
        self._offset = self.bias.astype(np.float64)[:, None]

    @property
    def reach(self) -> int:
        """Largest magnitude of the outputs, from the clamp."""
        return max(abs(self.low), abs(self.high))

    def bound(self, inputs: int | Array) -> int:
        """Largest magnitude of the inputs, one or (in,) -> that of the outputs. ValueError if exactness may fail."""
        # In float64 too: sums of what is not negative are exact up to 2**53, and once beyond it they stay there.
        weights = np.abs(self._matrix).reshape(len(self._matrix), self.weight.shape[1], -1).sum(2)
        worst = (weights * np.asarray(inputs, np.float64)).sum(1) + np.abs(self._offset[:, 0])
        if worst.max() * self.multiplier >= EXACT:
            raise ValueError(
                f"a sum may reach {worst.max():.0f} * {self.multiplier}, beyond 2**53: not exact in float64"
            )
        return self.reach

    def __call__(self, x: Array) -> Array:
        """x may have fewer channels than the weight: the others are zero."""
        size, (channels, height, width) = self.weight.shape[2], x.shape
        matrix = self._matrix[:, : channels * size * size]
        if size == 1:
            return self._scaled(matrix @ x.reshape(channels, height * width)).reshape(len(matrix), height, width)
        pad = size // 2
        padded = np.zeros((channels, height + 2 * pad, width + 2 * pad))
        padded[:, pad : pad + height, pad : pad + width] = x
        y = np.empty((len(self._matrix), height, width))
        step = max(1, _BLOCK // (channels * size * size * width))
        for top in range(0, height, step):
            rows = min(step, height - top)
            patches = np.empty((channels, size, size, rows, width))
            for i in range(size):
                for j in range(size):
                    patches[:, i, j] = padded[:, top + i : top + i + rows, j : j + width]
            block = self._scaled(matrix @ patches.reshape(-1, rows * width))
            y[:, top : top + rows] = block.reshape(len(matrix), rows, width)
        return y

    def _scaled(self, sums: Array) -> Array:
        """Products summed, (out, n) -> outputs, in place."""
        sums += self._offset
        sums *= self.multiplier
        sums *= 2.0**-self.shift  # exact: only the exponent changes
        np.floor(sums, out=sums)
        np.maximum(sums, self.low, out=sums)
        return np.minimum(sums, self.high, out=sums)

    def part(self, channels: slice) -> "IntegerLayer":
        """A layer of some of the outputs."""
        return replace(self, weight=self.weight[channels], bias=self.bias[channels])


def shuffle(x: Array, factor: int = 2) -> Array:
    """(C * f * f, h, w) -> (C, h * f, w * f): channel c * f * f + i * f + j fills position (i, j) of the cells of c."""
    channels, height, width = x.shape
    cells = x.reshape(channels // factor**2, factor, factor, height, width)
    return cells.transpose(0, 3, 1, 4, 2).reshape(-1, height * factor, width * factor)
