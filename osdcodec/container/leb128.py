"""Numbers in 1 to 5 bytes: 7 bits a byte, lowest first, the high bit says that more follow."""

from ..errors import FormatError

_BYTES = 5


def leb128(value: int) -> bytes:
    """value >= 0 in the shortest form."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_leb128(data: bytes, at: int, end: int, field: str) -> tuple[int, int]:
    """Value at offset `at` and the offset behind it. FormatError if it is cut short at `end`, or not in the shortest form."""
    value = 0
    for i in range(_BYTES):
        if at + i >= end:
            raise FormatError("cut short", field, at)
        byte = data[at + i]
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            if byte == 0 and i > 0:
                raise FormatError("not in the shortest form", field, at)
            return value, at + i + 1
    raise FormatError(f"longer than {_BYTES} bytes", field, at)
