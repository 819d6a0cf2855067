"""Which packets are asked for again, as a line that fits a text message: `photo 3,7-9 x216`.

It names the picture, or the id of its file, the indices of the packets, and the bytes of a piece, by which the sender cuts
the file the same way again.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .packet import MOST_PACKETS
from .transfer import Transfer

_LINE = re.compile(
    r"\s*(?:(?P<name>\S.*?)\s+)?(?P<ranges>\d+(?:-\d+)?(?:\s*,\s*\d+(?:-\d+)?)*)(?:\s+x(?P<size>\d+))?\s*"
)


@dataclass(frozen=True)
class Request:
    """Packets that a receiver asks for again.

    Args:
        indices: Of the packets, ascending.
        name: Of the picture, or its file id; "" if the line has none.
        size: Bytes of a piece; None if the line has none.
    """

    indices: tuple[int, ...]
    name: str = ""
    size: int | None = None

    def __str__(self) -> str:
        return " ".join(
            part for part in (self.name, ranges(self.indices), f"x{self.size}" if self.size else "") if part
        )

    @classmethod
    def parse(cls, line: str) -> "Request":
        """Reads a line such as "photo 3,7-9 x216". ValueError if it asks for no packets."""
        match = _LINE.fullmatch(line)
        if not match:
            raise ValueError(f"{line!r} asks for no packets; give their numbers, such as 3,7-9")
        indices: set[int] = set()
        for part in match["ranges"].split(","):
            first, _, last = part.strip().partition("-")
            low, high = int(first), int(last or first)
            if not low <= high < MOST_PACKETS:
                raise ValueError(f"{part.strip()} names no packets: they have numbers from 0 to {MOST_PACKETS - 1}")
            indices |= set(range(low, high + 1))
        return cls(tuple(sorted(indices)), match["name"] or "", int(match["size"]) if match["size"] else None)


def ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers -> 3,7-9"""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(f"{first}-{last}" if last > first else str(first) for first, last in runs)


def missing(transfer: Transfer, name: str = "") -> Request | None:
    """Returns a request for pieces that have not arrived, as many as are needed; None if the file is whole.

    Args:
        transfer: What has arrived.
        name: Of the picture; by default its file id.
    """
    needed = transfer.lacking
    if not needed:
        return None
    absent = [index for index in range(transfer.count) if index not in transfer.pieces]
    return Request(tuple(absent[:needed]), name or transfer.name, transfer.size)
