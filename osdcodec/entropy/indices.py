"""A grid of indices into a codebook, one rANS symbol each with one table: what an .osd file holds for a vector-quantised code.

spec/osd-1.md, "Indices", is the normative text. The released models have tables of equal frequencies, so a payload takes
log2(V) bits an index and three bytes more.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import WeightsError
from . import Array
from .rans import PRECISION, TOTAL, Reader, Writer

PREFIX = "code."
LARGEST_PATCH = 16  # of pixels per position of the networks behind: the grid covers whole ones
_NAMES = {np.dtype("<i4"): "I32", np.dtype("<f4"): "F32"}


@dataclass(frozen=True, eq=False)
class Indices:
    """All that a payload says: (h, w) int32, which entry of the codebook stands at each position."""

    grid: Array

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Indices) and np.array_equal(self.grid, other.grid)

    __hash__ = None  # type: ignore[assignment]  # equal by value, and arrays can change

    def digest(self) -> str:
        """SHA-256 over the indices as little-endian int32, in hex: what conformance vectors list."""
        return hashlib.sha256(self.grid.astype("<i4").tobytes()).hexdigest()


class IndexCoder:
    """tensors: those of the weights file, by name. WeightsError if they are not of one code."""

    def __init__(self, tensors: Mapping[str, Array]) -> None:
        try:
            self.codebook, self.table = tensors[f"{PREFIX}codebook"], tensors[f"{PREFIX}table"]
            self.stride, self.quality = int(tensors[f"{PREFIX}stride"][0]), int(tensors[f"{PREFIX}quality"][0])
        except (KeyError, IndexError) as error:
            raise WeightsError(f"the code in the weights is not usable: {error} is missing") from error
        if (
            self.table.shape != (len(self.codebook),)
            or len(self.table) < 2
            or self.table.min() < 1
            or self.table.sum(dtype=np.int64) != TOTAL
            or not (1 <= self.stride <= 2**12 and 0 <= self.quality <= 255)
            or (self.stride < LARGEST_PATCH and LARGEST_PATCH % self.stride)
        ):
            raise WeightsError("the code in the weights is not usable: its table, stride or quality is out of range")

    def grid(self, width: int, height: int) -> tuple[int, int]:
        """Rows and columns of indices for a picture of width x height pixels."""
        whole = max(self.stride, LARGEST_PATCH)
        return -(-height // whole) * whole // self.stride, -(-width // whole) * whole // self.stride

    def encode(self, indices: Array) -> bytes:
        """(h, w) 0 .. V - 1 -> payload"""
        writer = Writer()
        writer.push(indices.ravel(), self.table[None], np.zeros(indices.size, np.int32))
        return writer.to_bytes()

    def decode(self, payload: bytes, rows: int, columns: int, damaged: bool = False) -> Indices:
        """FormatError if the payload is damaged. damaged: no error, and 0 for the indices behind the first that cannot be."""
        reader, grid = Reader(payload, damaged=damaged), np.zeros(rows * columns, np.int32)
        found = reader.pop(self.table[None], np.zeros(rows * columns, np.int32))
        grid[: len(found)] = found
        if not damaged:
            reader.finish()
        return Indices(grid.reshape(rows, columns))

    def largest(self, rows: int, columns: int) -> int:
        """Bytes of the largest payload of so many indices."""
        return math.ceil(rows * columns * (PRECISION - math.log2(self.table.min())) / 8) + 3

    def bits(self, indices: Indices) -> float:
        """Ideal code length."""
        return float((np.log2(TOTAL) - np.log2(self.table[indices.grid])).sum())


def normative(codebook: Array, stride: int, quality: int) -> dict[str, Array]:
    """The tensors that fix the symbols of a code with equal frequencies and what they mean."""
    count = len(codebook)
    table = np.full(count, TOTAL // count, "<i4")
    table[: TOTAL - int(table.sum())] += 1
    return {
        f"{PREFIX}codebook": np.ascontiguousarray(codebook, "<f4"),
        f"{PREFIX}quality": np.array([quality], "<i4"),
        f"{PREFIX}stride": np.array([stride], "<i4"),
        f"{PREFIX}table": table,
    }


def model_id(tensors: Mapping[str, Array]) -> bytes:
    """First 4 bytes of a SHA-256 over the tensors `code.*`, sorted by name, each with its name, type and shape before it."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        if name.startswith(PREFIX):
            array = np.asarray(tensors[name], tensors[name].dtype.newbyteorder("<"))
            digest.update(f"{name}\0{_NAMES[array.dtype]}\0{','.join(map(str, array.shape))}\0".encode())
            digest.update(array.tobytes())
    return digest.digest()[:4]
