"""The rANS stack: 64-bit state, 32-bit words, 24-bit frequencies, one stack for all symbols of a file.

A symbol is coded as its column in a row of a table of frequencies. Rows sum to 2**24, every frequency is at least 1.
spec/reference.py holds the same coder in twenty lines of plain Python; the bytes are equal.

Asymmetric numeral systems: Duda, 2013. The coder is that of constriction (Bamler, 2022); where constriction is not installed, which
has no wheels for some machines, or OSDC_RANS is "python", plain Python takes its place, with the same bytes.
"""

import os
from collections.abc import Iterator
from typing import Protocol

import numpy as np

try:
    import constriction
except ImportError:
    constriction = None

from ..errors import FormatError
from . import Array
from .plain_rans import PlainStack

PRECISION = 24
TOTAL = 2**PRECISION
# The stack begins with this state and must end with it. Not with 0, constriction's own start: a stack that runs dry too
# early, cut short or read with wrong tables, falls to 0 and stays there. Measured on payloads of 122 bytes, end at 0 / at
# 2**16: truncations noticed 10 % / 100 %, flipped bits 94 % / all but those that just change a flat token; size: equal.
START = 2**16
VARIABLE = "OSDC_RANS"
_CHUNK = 2**18  # table entries handed to constriction at once: 2 MiB, which a cache still holds


class Stack(Protocol):
    """What both implementations do; see plain_rans.py for shapes."""

    def push(self, columns: Array, tables: Array, rows: Array) -> None: ...
    def pop(self, tables: Array, rows: Array) -> Array: ...
    def clone(self) -> "Stack": ...
    def position(self) -> tuple[int, int]: ...
    def to_words(self) -> Array: ...


class ConstrictionStack:
    """The stack by constriction, several million symbols a second."""

    def __init__(self, words: Array) -> None:
        self._coder = constriction.stream.stack.AnsCoder(words)
        # With `counts - 1` in float64 and a sum of 2**24 this model scales by exactly 1.0: no rounding, so a format can rest on
        # it. perfect=True would be 45 times slower, and leaving the argument out prints a warning to stdout.
        self._model = constriction.stream.model.Categorical(perfect=False)

    def push(self, columns: Array, tables: Array, rows: Array) -> None:
        self._coder.encode_reverse(columns, self._model, (tables - 1).astype(np.float64)[rows])

    def pop(self, tables: Array, rows: Array) -> Array:
        return np.asarray(self._coder.decode(self._model, (tables - 1).astype(np.float64)[rows]))

    def clone(self) -> "ConstrictionStack":
        copy = object.__new__(ConstrictionStack)
        copy._coder, copy._model = self._coder.clone(), self._model
        return copy

    def position(self) -> tuple[int, int]:
        words, state = self._coder.pos()
        return int(words), int(state)

    def to_words(self) -> Array:
        return np.asarray(self._coder.get_compressed())


def new_stack(words: Array) -> Stack:
    """A stack of these words (n,) uint32, in the faster implementation that is installed."""
    plain = constriction is None or os.environ.get(VARIABLE) == "python"
    return PlainStack(words) if plain else ConstrictionStack(words)


class Writer:
    """Takes symbols in decoding order; the stack is filled at the end, last symbol first."""

    def __init__(self) -> None:
        self._chunks: list[tuple[Array, Array, Array]] = []

    def push(self, columns: Array, tables: Array, rows: Array) -> None:
        """columns (n,), rows (n,) integers, tables (R, V) frequencies. ValueError for a column outside its table."""
        columns, rows = np.asarray(columns).astype(np.int32), np.asarray(rows)
        if columns.size and not 0 <= columns.min() <= columns.max() < tables.shape[1]:
            raise ValueError(f"symbols must lie in 0 .. {tables.shape[1] - 1}")
        self._chunks += [(columns[part], tables, rows[part]) for part in _parts(len(columns), tables.shape[1])]

    def to_bytes(self) -> bytes:
        """The words of the stack, little-endian, zero bytes at the end stripped."""
        stack = new_stack(np.array([START], np.uint32))
        for chunk in reversed(self._chunks):
            stack.push(*chunk)
        payload: bytes = stack.to_words().astype("<u4").tobytes()
        return payload.rstrip(b"\0")


class Reader:
    """Gives back what a Writer took, in the same order.

    missing: bytes at the bottom of the stack that have not arrived. The symbols above them are those of the whole stack.
    damaged: the payload is damaged, and the symbols before the first that cannot be are wanted.
    """

    def __init__(self, payload: bytes, missing: int = 0, damaged: bool = False) -> None:
        """FormatError if the payload ends in a zero byte: it would not be the only form of its symbols."""
        if payload.endswith(b"\0"):
            raise FormatError("ends in a zero byte, which a writer strips", "payload")
        whole = payload[-missing % 4 :]  # a word without one of its bytes is missing
        words = np.frombuffer(whole + bytes(-len(whole) % 4), "<u4").astype(np.uint32)
        self._cut, self._damaged = missing > 0, damaged
        self._stack = new_stack(words)

    def pop(self, tables: Array, rows: Array) -> Array:
        """tables (R, V) frequencies, rows (n,) -> columns (n,) int32. Garbage gives some symbols: see `finish`.

        Of a stack whose bottom is missing: the first columns, as far as they are sure. FormatError as soon as a whole stack
        has run dry, so that a few bytes cannot claim the work of a large picture.
        """
        columns = np.empty(len(rows), np.int32)
        for part in _parts(len(rows), tables.shape[1]):
            before = self._stack.clone() if self._cut or self._damaged else None
            columns[part] = self._stack.pop(tables, rows[part])
            if before and self._ended(self._stack):
                return columns[: part.start + self._sure(before, tables, rows[part])]
            if self._stack.position()[1] < START:  # it never rises again
                raise FormatError("ends before its last symbol: damaged, or made with other weights", "payload")
        return columns

    def _ended(self, stack: Stack) -> bool:
        """Whether the next word, which is not there, would have come in by now, or the stack has run dry. Once true it stays true."""
        words, state = stack.position()
        return words == 0 and state < (2**32 if self._cut else START)

    def _sure(self, stack: Stack, tables: Array, rows: Array) -> int:
        """How many symbols with these tables come before the end."""
        if self._ended(stack):
            return 0
        first, last = 0, len(rows)  # after so many symbols it is not the end yet, and is the end
        while last - first > 1:
            middle = (first + last) // 2
            tried = stack.clone()
            tried.pop(tables, rows[first:middle])
            if self._ended(tried):
                last = middle
            else:
                first, stack = middle, tried
        return last

    def finish(self) -> None:
        """FormatError unless the stack is as it began, as it is after the last symbol of an undamaged payload."""
        if self._stack.position() != (0, START):
            raise FormatError("does not end with its last symbol: damaged, or made with other weights", "payload")


def _parts(symbols: int, width: int) -> Iterator[slice]:
    """Slices of `symbols` rows of `width` table entries that fit in a chunk."""
    step = max(1, _CHUNK // width)
    return (slice(start, start + step) for start in range(0, symbols, step))
