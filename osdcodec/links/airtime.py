"""Time on air of packets on a link: links.toml lists some that people have, with the sources of their numbers."""

import math
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from .packet import AROUND, LONGEST_FILE
from .transfer import SMALLEST


@dataclass(frozen=True)
class LoRa:
    """spreading factor 7 .. 12; bandwidth in kHz; coding 5 .. 8 for 4/5 .. 4/8; preamble: its symbols."""

    spreading: int
    bandwidth: float
    coding: int
    preamble: int

    def seconds(self, bytes: int) -> float:
        """Time on air of a frame with explicit header and CRC: Semtech, AN1200.13, "LoRa Modem Designer's Guide", 2013."""
        symbol: float = 2**self.spreading / (1000 * self.bandwidth)
        per_block = 4 * (self.spreading - 2 * (symbol > 0.016))  # slow symbols carry two bits less
        blocks = max(0, math.ceil((8 * bytes - 4 * self.spreading + 28 + 16) / per_block))
        return (self.preamble + 4.25 + 8 + blocks * self.coding) * symbol


@dataclass(frozen=True)
class Link:
    """packet: bytes that it takes at most; overhead: those it adds to each; seconds: a packet of so many bytes on air."""

    name: str
    title: str
    packet: int
    overhead: int
    on_air: Callable[[int], float]

    def packets(self, file: int) -> int:
        """Packets of a file of so many bytes, none of them for repair."""
        return -(-file // (self.packet - AROUND))

    def seconds(self, file: int) -> float:
        """Time on air of a file of so many bytes, one packet after the other without pauses."""
        full, rest = divmod(file, self.packet - AROUND)
        return full * self.on_air(self.packet + self.overhead) + bool(rest) * self.on_air(AROUND + rest + self.overhead)

    def largest(self, seconds: float) -> int:
        """Bytes of the largest file that is on air for at most so many seconds; 0 if there is none."""
        low, high = 0, LONGEST_FILE + 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.seconds(middle) <= seconds else (low, middle)
        return low


def custom(bits_per_second: float, packet: int, overhead: int = 0) -> Link:
    """A link of which no more is known. ValueError if the numbers make none."""
    if not (bits_per_second > 0 and math.isfinite(bits_per_second) and packet >= SMALLEST and overhead >= 0):
        raise ValueError(f"a link has some bits per second and packets of {SMALLEST} bytes or more")
    title = f"{bits_per_second:g} bits per second"
    return Link("custom", title, packet, overhead, lambda bytes: 8 * bytes / bits_per_second)


@cache
def links() -> dict[str, Link]:
    """Those of links.toml, by name."""
    listed = tomllib.loads((Path(__file__).parent / "links.toml").read_text("utf-8"))["link"]
    return {entry["name"]: _link(entry) for entry in listed}


def _link(entry: dict[str, Any]) -> Link:
    facts = {key: entry[key] for key in ("name", "title", "packet", "overhead")}
    if "lora" in entry:
        return Link(on_air=LoRa(**entry["lora"]).seconds, **facts)
    if "packet_seconds" in entry:  # frames of one length, however full
        return Link(on_air=lambda _: float(entry["packet_seconds"]), **facts)
    bits, pause = entry["bits_per_second"], entry.get("key_up_seconds", 0.0)
    return Link(on_air=lambda bytes: pause + 8 * bytes / bits, **facts)
