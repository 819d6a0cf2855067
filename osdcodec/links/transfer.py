"""A file -> packets, and packets in any order -> the file, or as much of its beginning as has arrived."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..errors import FormatError, InputError
from ..extras import require
from .packet import (
    ALIGNMENT,
    AROUND,
    LARGEST,
    LONGEST_FILE,
    MOST_PACKETS,
    MOST_SOURCE_SYMBOLS,
    Kind,
    Packet,
    aligned,
    crc16,
)

SMALLEST = AROUND + ALIGNMENT  # bytes of a packet


def pieces_of(length: int, packet: int) -> tuple[int, int]:
    """Returns the bytes of a piece, and the number of pieces, of a file.

    Sizes are those that repair symbols can have, so that any file can get repair packets later. A file that fits into one
    packet is one piece all the same.

    Args:
        length: Bytes of the file.
        packet: Most bytes of a packet.

    Raises:
        ValueError: Such packets are too small or too large.
    """
    if not SMALLEST <= packet <= LARGEST:
        raise ValueError(f"packets have {SMALLEST} to {LARGEST} bytes, not {packet}")
    size = packet - AROUND
    if length > size:
        size -= size % ALIGNMENT
    return size, -(-length // size)


def split(data: bytes, packet: int, repair: float = 0.0) -> list[bytes]:
    """Cuts a file into packets.

    The file comes back from any of these packets, if they are a little more than the pieces: as many as there are pieces
    do in 99 cases of 100, two more practically always.

    Args:
        data: The file, 1 byte to 8 MiB.
        packet: Most bytes of a packet.
        repair: Repair packets per piece, 0 or more; their number is rounded up.

    Returns:
        The pieces in order, then the repair packets.

    Raises:
        InputError: The file is too long for such packets.
        ValueError: The packets or the share are out of range.
        PackageError: Repair packets are wanted and the package raptorq is missing.
    """
    if not (repair >= 0 and math.isfinite(repair)):
        raise ValueError("repair must not be below 0")
    size, count, repairs = plan(len(data), packet, repair)
    return packets_at(data, size, range(count + repairs))


def plan(length: int, packet: int, repair: float = 0.0) -> tuple[int, int, int]:
    """Returns how `split` cuts a file: bytes of a piece, number of pieces, number of repair packets.

    Args:
        length: Bytes of the file.
        packet: Most bytes of a packet.
        repair: Repair packets per piece, 0 or more.
    """
    size, count = pieces_of(length, packet)
    if repair and aligned(length) > size >= length:  # a repair symbol of this single piece would not fit
        size, count = size - size % ALIGNMENT, 2
    return size, count, math.ceil(count * repair)


def packets_at(data: bytes, size: int, indices: Iterable[int]) -> list[bytes]:
    """Makes some packets of a file.

    Args:
        data: The file, 1 byte to 8 MiB.
        size: Bytes of a piece.
        indices: Of the packets: pieces from 0 on, and repair packets after them.

    Raises:
        InputError: The file has no packets of these indices, or is too long for such packets.
        PackageError: Repair packets are wanted and the package raptorq is missing.
    """
    if not 1 <= len(data) <= LONGEST_FILE:
        raise InputError(
            f"{len(data):,} bytes are not between 1 and {LONGEST_FILE:,}: such a file is not sent in packets"
        )
    wanted, count = list(indices), -(-len(data) // size)
    repairs = max(0, max(wanted, default=0) + 1 - count)
    if count > (MOST_SOURCE_SYMBOLS if repairs else MOST_PACKETS) or count + repairs > MOST_PACKETS:
        raise InputError(f"{count + repairs:,} packets are too many; make them larger, or the file smaller")
    symbol_size = aligned(len(data)) if count == 1 else size
    if repairs and symbol_size % ALIGNMENT:
        raise InputError(f"pieces of {size} bytes take no repair packets: their size is no multiple of {ALIGNMENT}")
    symbols = _repair_symbols(data, symbol_size, count, repairs) if repairs else []
    file_id = crc16(data)

    def made(index: int) -> Packet:
        if index >= count:
            return Packet(Kind.REPAIR, file_id, len(data), index, symbols[index - count])
        kind = Kind.LAST if index == count - 1 else Kind.PIECE
        return Packet(kind, file_id, len(data), index, data[index * size : (index + 1) * size])

    return [made(index).to_bytes() for index in wanted]


def belongs(content: bytes, packet: bytes) -> bool:
    """Returns True if the content of a file is a packet, and of the same file as this packet."""
    try:
        found, own = Packet.from_bytes(content), Packet.from_bytes(packet)
    except FormatError:
        return False
    return (found.file_id, found.length) == (own.file_id, own.length)


def _repair_symbols(data: bytes, size: int, count: int, repairs: int) -> list[bytes]:
    """RFC 6330 with one source block and one sub-block, which the limits of a packet's header see to."""
    require("repair of lost packets", "raptorq")
    from raptorq import Encoder

    encoded = Encoder.with_defaults(data, size).get_encoded_packets(repairs)
    return [bytes(symbol[4:]) for symbol in encoded[count:]]


@dataclass
class Transfer:
    """What has arrived of one file.

    Args:
        file_id: 0 .. 65535, from the packets.
        length: Bytes of the file.
        size: Bytes of each piece but the last.
    """

    file_id: int
    length: int
    size: int
    pieces: dict[int, bytes] = field(default_factory=dict)
    repairs: dict[int, bytes] = field(default_factory=dict)
    duplicates: int = 0
    title: str = ""  # what the picture is called, where the names of its packets tell
    _whole: bytes | None = None

    @property
    def count(self) -> int:
        """Pieces of the file."""
        return -(-self.length // self.size)

    @property
    def name(self) -> str:
        """The file id as people are told it."""
        return f"{self.file_id:04x}"

    @property
    def lacking(self) -> int:
        """How many more packets are needed, at least."""
        if self.whole() is not None:
            return 0
        # Where there are repair symbols any packet will do, and sometimes one more is needed than there are pieces.
        arrived = len(self.pieces) + len(self.repairs)
        return max(1, self.count - arrived) if self.repairs else self.count - len(self.pieces)

    def add(self, packet: Packet) -> None:
        """FormatError if it says otherwise than a packet of the same index."""
        kept = self.repairs if packet.kind == Kind.REPAIR else self.pieces
        if kept.setdefault(packet.index, packet.data) != packet.data:
            raise FormatError("came with other content before", f"packet {packet.index} of file {self.name}")

    def beginning(self) -> bytes:
        """The first bytes of the file, up to the first piece that has not arrived."""
        if (whole := self.whole()) is not None:
            return whole
        arrived: list[bytes] = []
        while len(arrived) in self.pieces:
            arrived.append(self.pieces[len(arrived)])
        return b"".join(arrived)

    def whole(self) -> bytes | None:
        """The file, None as long as it cannot be restored. FormatError if it is not the one that the packets name."""
        if self._whole is None:
            if len(self.pieces) == self.count:
                self._whole = b"".join(self.pieces[index] for index in range(self.count))
            elif self.repairs and len(self.pieces) + len(self.repairs) >= self.count:
                self._whole = self._repaired()
            if self._whole is not None and crc16(self._whole) != self.file_id:
                self._whole = None
                raise FormatError("does not match what the packets make: one of them is false", f"file id {self.name}")
        return self._whole

    def _repaired(self) -> bytes | None:
        require("repair of lost packets", "raptorq")
        from raptorq import Decoder

        decoder, data = Decoder.with_defaults(self.length, self.size), None
        for index, symbol in sorted((self.pieces | self.repairs).items()):
            data = decoder.decode(index.to_bytes(4, "big") + symbol.ljust(self.size, b"\0"))
            if data is not None:
                return bytes(data)
        return None


@dataclass
class Arrivals:
    """Packets of any files, sorted out. `add` takes whatever comes."""

    transfers: dict[tuple[int, int, int], Transfer] = field(default_factory=dict)
    damaged: int = 0
    strangers: int = 0

    def add(self, data: bytes) -> Transfer | None:
        """What may be a packet -> the transfer that it belongs to; None if it is damaged or none of ours."""
        try:
            packet = Packet.from_bytes(data)
        except FormatError as error:
            self.strangers += error.field == "stranger"
            self.damaged += error.field != "stranger"
            return None
        key = packet.file_id, packet.length, packet.size
        transfer = self.transfers.setdefault(key, Transfer(*key))
        if packet.index in (transfer.repairs if packet.kind == Kind.REPAIR else transfer.pieces):
            transfer.duplicates += 1
        transfer.add(packet)
        return transfer

    def only(self, file_id: str | None = None) -> Transfer:
        """The one file that there are packets of, or that of this id. InputError if there are none, or several."""
        found = [t for t in self.transfers.values() if file_id is None or file_id.lower() == t.name]
        if not found:
            of = "" if file_id is None else f" of file {file_id}"
            left = f" ({self.left_out()})" if self.damaged + self.strangers else ""
            raise InputError(f"no packets{of} are among the inputs{left}")
        if len(found) > 1 and len({t.name for t in found}) == 1:  # one file, split in two ways
            found = [t for t in found if t.whole() is not None][:1] or found
        if len(found) > 1:
            names = ", ".join(f"{t.name} ({t.length:,} bytes in pieces of {t.size})" for t in found)
            raise InputError(
                f"packets of several files, or of several splits of one, are mixed: {names}; choose a file with --id, or name the packets of one only"
            )
        return found[0]

    def left_out(self) -> str:
        """Says for people what was not used; "" if all was."""
        counts = {"damaged": self.damaged, "not packets": self.strangers}
        return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


def arrivals(packets: Iterable[bytes]) -> Arrivals:
    """Sorts out packets of any files, in any order. FormatError if two packets contradict each other."""
    found = Arrivals()
    for packet in packets:
        found.add(packet)
    return found
