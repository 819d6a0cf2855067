"""One packet of a file: bytes <-> fields. Pure Python.

    .- byte 0 ----.- byte 1, 2 ---------------.- byte 3, 4, 5 ---------------------.- byte 6, 7 --------------.
    | 1 0 1 1  k  | file id                   | bytes of the file                  | index                    |
    |-------------'---------------------------'------------------------------------'--------------------------|
    |  data: one byte or more                                                                                 |
    |---------------------------------------------------------------------------------------------------------|
    |  CRC-16 of all that precedes  |                            all numbers little-endian
    '-------------------------------'

k is 0 for a piece of the file, 1 for its last piece, 2 for a repair symbol of RaptorQ (RFC 6330). Ten bytes around the
data. The file id is the CRC-16 of the whole file, so it tells files apart and, in the end, that the right one came out.
"""

import binascii
from dataclasses import dataclass
from enum import IntEnum

from ..errors import FormatError

MARK = 0xB0  # high four bits of the first byte
HEADER, CHECKSUM = 8, 2
AROUND = HEADER + CHECKSUM
LONGEST_FILE = 2**23 - 1  # bytes; the highest bit of the field is reserved
LARGEST = 2**16 - 1  # bytes of a packet, for which a stream has a length of two bytes; of a symbol of RaptorQ too
MOST_PACKETS = 2**16
MOST_SOURCE_SYMBOLS = 56403  # of one block of RaptorQ
ALIGNMENT = 8  # bytes of a repair symbol are a multiple of it


class Kind(IntEnum):
    """What a packet carries: a piece of the file, its last piece, or a repair symbol."""

    PIECE, LAST, REPAIR = range(3)


def crc16(data: bytes) -> int:
    """CRC-16/IBM-3740, as in the head of a progressive file."""
    return binascii.crc_hqx(data, 0xFFFF)


def aligned(length: int) -> int:
    """Returns so many bytes, rounded up to a size that repair symbols can have."""
    return -(-length // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True)
class Packet:
    """One packet of a file.

    Args:
        kind: What it carries.
        file_id: 0 .. 65535, the CRC-16 of the file.
        length: Bytes of the file.
        index: Place among the pieces, from 0; repair symbols come after them.
        data: Bytes of the piece or symbol.
    """

    kind: Kind
    file_id: int
    length: int
    index: int
    data: bytes

    @property
    def size(self) -> int:
        """Bytes of each piece but the last. A single piece has the size that its repair symbols would have."""
        if self.kind != Kind.LAST:
            return len(self.data)
        return (self.length - len(self.data)) // self.index if self.index else aligned(self.length)

    @property
    def pieces(self) -> int:
        """Pieces of the whole file."""
        return -(-self.length // self.size)

    def to_bytes(self) -> bytes:
        """Returns the bytes that are sent: header, data, checksum."""
        head = bytes([MARK | self.kind]) + self.file_id.to_bytes(2, "little")
        body = head + self.length.to_bytes(3, "little") + self.index.to_bytes(2, "little") + self.data
        return body + crc16(body).to_bytes(CHECKSUM, "little")

    @classmethod
    def from_bytes(cls, data: bytes) -> "Packet":
        """Reads a packet. FormatError names the field that is wrong; "stranger" if the bytes are no packet at all."""
        if len(data) <= AROUND or data[0] & 0xF0 != MARK:
            raise FormatError("not a packet of an .osd file", "stranger")
        if int.from_bytes(data[-CHECKSUM:], "little") != crc16(data[:-CHECKSUM]):
            raise FormatError("does not match: the packet is damaged", "checksum", len(data) - CHECKSUM)
        if data[0] & 0x0F not in tuple(Kind):
            raise FormatError(f"{data[0] & 0x0F} is not known here: update osdc", "kind", 0)
        file_id, length, index = (
            int.from_bytes(data[first:last], "little") for first, last in ((1, 3), (3, 6), (6, 8))
        )
        packet = cls(Kind(data[0] & 0x0F), file_id, length, index, data[HEADER:-CHECKSUM])
        packet._check()
        return packet

    def _check(self) -> None:
        """What a header says must fit together, so that nothing is believed of it that a sender would not write."""
        if not 1 <= self.length <= LONGEST_FILE:
            raise FormatError(f"{self.length} bytes are not between 1 and {LONGEST_FILE}", "file length", 3)
        if self.kind == Kind.PIECE and self.pieces > MOST_PACKETS:
            raise FormatError(f"{self.length} bytes are too many for pieces of {self.size}", "file length", 3)
        if self.kind == Kind.LAST:
            before = self.length - len(self.data)
            fits = before == 0 if self.index == 0 else before > 0 and before % self.index == 0
            if not fits or self.size < len(self.data):
                raise FormatError("is not the last piece of such a file", "index", 6)
        elif self.kind == Kind.PIECE:
            if self.index >= self.pieces - 1:
                raise FormatError("lies behind the file", "index", 6)
        elif (
            len(self.data) % ALIGNMENT
            or not self.pieces <= min(self.index, MOST_SOURCE_SYMBOLS)
            or len(self.data) > aligned(self.length)
        ):
            raise FormatError("is no repair symbol of such a file", "index", 6)
