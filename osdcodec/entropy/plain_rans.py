"""The stack of rans.py in plain Python, for machines that constriction has no wheels for (ARM64 Linux, 32-bit, big-endian).

Its words are those of constriction, bit for bit; it codes about a million symbols a second.
"""

from bisect import bisect_right

import numpy as np

from . import Array

_LOW = 2**24 - 1  # the bits of the state that a symbol's quantile takes
_HALF = 2**32  # below it the state takes in a word


class PlainStack:
    """A stack of symbols: 64-bit state, 32-bit words, frequencies that sum to 2**24."""

    def __init__(self, words: Array) -> None:
        """words (n,) integers 0 .. 2**32 - 1, the bottom of the stack first; the last two are the state."""
        self.words: list[int] = [int(word) for word in words]
        self.state = 0
        for _ in range(min(2, len(self.words))):
            self.state = self.state << 32 | self.words.pop()

    def push(self, columns: Array, tables: Array, rows: Array) -> None:
        """Adds columns (n,), each by its row (n,) of tables (R, V), the last one first."""
        starts, words, state = _starts(tables), self.words, self.state
        for column, row in zip(columns[::-1].tolist(), rows[::-1].tolist(), strict=True):
            start = starts[row][column]
            count = starts[row][column + 1] - start
            if state >> 40 >= count:
                words.append(state & (_HALF - 1))
                state >>= 32
            share, rest = divmod(state, count)
            state = (share << 24) + start + rest
        self.state = state

    def pop(self, tables: Array, rows: Array) -> Array:
        """Takes a column for each row (n,) of tables (R, V) -> columns (n,) int32."""
        starts, words, state = _starts(tables), self.words, self.state
        columns = []
        for row in rows.tolist():
            quantile = state & _LOW
            column = bisect_right(starts[row], quantile) - 1
            start = starts[row][column]
            state = (state >> 24) * (starts[row][column + 1] - start) + quantile - start
            if state < _HALF and words:
                state = state << 32 | words.pop()
            columns.append(column)
        self.state = state
        return np.array(columns, np.int32)

    def clone(self) -> "PlainStack":
        """Returns a copy that goes its own way."""
        copy = PlainStack(np.empty(0, np.uint32))
        copy.words, copy.state = self.words.copy(), self.state
        return copy

    def position(self) -> tuple[int, int]:
        """Number of words below the state, and the state."""
        return len(self.words), self.state

    def to_words(self) -> Array:
        """All words (n,) uint32, those of the state last."""
        return np.array([*self.words, self.state & (_HALF - 1), self.state >> 32], np.uint32)


def _starts(tables: Array) -> list[list[int]]:
    """Tables (R, V) of frequencies -> the first quantile of each symbol, and 2**24 behind the last one."""
    ends = np.cumsum(tables, 1, dtype=np.int64)
    return [[0, *row] for row in ends.tolist()]
