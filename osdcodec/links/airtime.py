"""Time on air of packets on a link: links.toml lists some that people have, with the sources of their numbers."""

import math
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from .packet import AROUND, LONGEST_FILE, aligned
from .transfer import SMALLEST, plan


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
class Region:
    """What the law allows a sender. duty: share of each hour that it may be on air; dwell: seconds of one packet at most."""

    name: str
    title: str
    duty: float = 1.0
    dwell: float = math.inf

    def elapsed(self, on_air: float) -> float:
        """Seconds from the beginning to the end of so many seconds on air: when an hour's share is spent, the sender waits for the next hour."""
        share = HOUR * self.duty
        pauses = max(0, math.ceil(on_air / share - 1e-9) - 1)
        return pauses * HOUR + on_air - pauses * share


HOUR = 3600.0
ANYWHERE = Region("none", "no limits")


@dataclass(frozen=True)
class Link:
    """A way to send packets.

    Args:
        name: As `links` and --link call it.
        title: For people.
        packet: Most bytes of a packet.
        overhead: Bytes that the link adds to each packet.
        on_air: Returns the seconds that a packet of so many bytes, overhead included, is on air.
        region: What the law allows the sender.
    """

    name: str
    title: str
    packet: int
    overhead: int
    on_air: Callable[[int], float]
    region: Region = ANYWHERE

    def within(self, region: Region) -> "Link":
        """The link as a region allows it: with packets short enough for its dwell time. ValueError if none is."""
        packet = self.packet
        while packet >= SMALLEST and self.on_air(packet + self.overhead) > region.dwell:
            packet -= 1
        if packet < SMALLEST:
            raise ValueError(
                f"{self.title}: no packet is on air as shortly as {region.title} asks for, {region.dwell:g} s"
            )
        return replace(self, packet=packet, region=region)

    def packets(self, file: int, repair: float = 0.0) -> int:
        """Returns the number of packets of a file.

        Args:
            file: Its bytes.
            repair: Repair packets per piece, 0 or more.
        """
        return sum(count for count, _ in self.sending(file, repair))

    def sending(self, file: int, repair: float = 0.0) -> list[tuple[int, int]]:
        """Returns (number of packets, bytes of each) for each kind of packet of a file, as `transfer.split` cuts it.

        Args:
            file: Its bytes.
            repair: Repair packets per piece, 0 or more.
        """
        size, pieces, repairs = plan(file, self.packet, repair)
        last = file - (pieces - 1) * size
        symbol = aligned(file) if pieces == 1 else size
        return [(pieces - 1, AROUND + size), (1, AROUND + last), (repairs, AROUND + symbol)]

    def seconds(self, file: int, repair: float = 0.0) -> float:
        """Returns the seconds that all packets of a file of so many bytes are on air; repair: repair packets per piece."""
        return sum(count * self.on_air(size + self.overhead) for count, size in self.sending(file, repair))

    def elapsed(self, file: int, repair: float = 0.0) -> float:
        """Returns the seconds from the first packet of a file of so many bytes to the end of the last one.

        The pauses that the region asks for count. repair: repair packets per piece.
        """
        return self.region.elapsed(self.seconds(file, repair))

    def largest(self, seconds: float = math.inf, packets: int | None = None, repair: float = 0.0) -> int:
        """Returns the bytes of the largest file that can be sent; 0 if there is none.

        Args:
            seconds: Most seconds that it may take, pauses included.
            packets: Most packets; None for any number.
            repair: Repair packets per piece, 0 or more.
        """
        low, high = 0, LONGEST_FILE + 1
        while high - low > 1:
            middle = (low + high) // 2
            fits = self.elapsed(middle, repair) <= seconds and (
                packets is None or self.packets(middle, repair) <= packets
            )
            low, high = (middle, high) if fits else (low, middle)
        return low


def custom(bits_per_second: float, packet: int, overhead: int = 0) -> Link:
    """Returns a link that is not in links.toml.

    Args:
        bits_per_second: Above 0.
        packet: Most bytes of a packet.
        overhead: Bytes that the link adds to each packet.

    Raises:
        ValueError: A number is out of range.
    """
    if not (bits_per_second > 0 and math.isfinite(bits_per_second) and packet >= SMALLEST and overhead >= 0):
        raise ValueError(f"a link has some bits per second and packets of {SMALLEST} bytes or more")
    title = f"{bits_per_second:g} bits per second"
    return Link("custom", title, packet, overhead, lambda bytes: 8 * bytes / bits_per_second)


@cache
def regions() -> dict[str, Region]:
    """Those of links.toml, by name."""
    entries = _table()["region"]
    return {entry["name"]: Region(**{key: entry[key] for key in entry if key != "source"}) for entry in entries}


@cache
def links() -> dict[str, Link]:
    """Those of links.toml, by name."""
    return {entry["name"]: _link(entry) for entry in _table()["link"]}


def _table() -> dict[str, Any]:
    return tomllib.loads((Path(__file__).parent / "links.toml").read_text("utf-8"))


def _link(entry: dict[str, Any]) -> Link:
    facts = {key: entry[key] for key in ("name", "title", "packet", "overhead")}
    if "lora" in entry:
        return Link(on_air=LoRa(**entry["lora"]).seconds, **facts)
    if "packet_seconds" in entry:  # frames of one length, however full
        return Link(on_air=lambda _: float(entry["packet_seconds"]), **facts)
    bits, pause = entry["bits_per_second"], entry.get("key_up_seconds", 0.0)
    return Link(on_air=lambda bytes: pause + 8 * bytes / bits, **facts)
