"""The vectors of spec/packets-1.md: `python -m osdcodec.maintenance.vectors.packets` writes them. They stay as they are for ever."""

import json

from ...checks.conformance import VECTORS
from ...console import run_command
from ...links.packet import Kind, Packet, crc16, to_stream, to_text
from ...links.transfer import split

FILE = "progressive/whole.osd"
FOLDER = VECTORS / "packets"


def refused(data: bytes) -> list[tuple[str, str, bytes]]:
    """(name, what is wrong, packet) each."""
    piece, *_, last = split(data, 50)
    flipped = bytearray(piece)
    flipped[20] ^= 4

    def forged(kind: int, index: int, content: bytes, length: int = len(data)) -> bytes:
        body = bytes([0xB0 | kind]) + piece[1:3] + length.to_bytes(3, "little") + index.to_bytes(2, "little") + content
        return body + crc16(body).to_bytes(2, "little")

    return [
        ("bad-checksum", "a bit of the data differs", bytes(flipped)),
        ("bad-kind", "kind 3", forged(3, 0, piece[8:-2])),
        ("bad-cut", "cut short", last[:-1]),
        ("bad-empty", "no data", forged(0, 0, b"")),
        ("bad-length", "a file of no bytes", forged(1, 0, b"a", 0)),
        ("bad-long", "a file of 2^23 bytes", forged(0, 0, bytes(200), 2**23)),
        ("bad-many", "a file of more than 65536 pieces", forged(0, 0, bytes(8), 2**22)),
        ("bad-piece", "kind 0 with the index of the last piece", forged(0, 2, piece[8:-2])),
        ("bad-last", "kind 1 with an index that cannot be", forged(1, 3, last[8:-2])),
        ("bad-single", "kind 1 with index 0 and less than the file", forged(1, 0, piece[8:-2])),
        ("bad-repair", "kind 2 with the index of a piece", forged(2, 1, piece[8:-2])),
        ("bad-symbol", "kind 2 of 41 bytes", forged(2, 5, piece[8:-2] + b"a")),
    ]


def main() -> None:
    data = (VECTORS / FILE).read_bytes()
    packets = split(data, 50, 1.0)
    FOLDER.mkdir(exist_ok=True)
    names = []
    for packet in packets:
        fields = Packet.from_bytes(packet)
        names.append(f"{'repair' if fields.kind == Kind.REPAIR else 'piece'}-{fields.index}")
        (FOLDER / f"{names[-1]}.osdp").write_bytes(packet)
    pieces = [name for name in names if name.startswith("piece")]
    for name, _, packet in refused(data):
        (FOLDER / f"{name}.osdp").write_bytes(packet)
    (FOLDER / "lines.txt").write_text("".join(f"{to_text(packet)}\n" for packet in packets[: len(pieces)]), "ascii")
    (FOLDER / "stream.bin").write_bytes(to_stream(packets))
    listed = {
        "file": FILE,
        "pieces": pieces,
        "repair": names[len(pieces) :],
        "beginning": {"pieces": pieces[:2], "bytes": 80},
        "lines": "lines.txt",
        "stream": "stream.bin",
        "refused": [{"name": name, "what": what} for name, what, _ in refused(data)],
    }
    (FOLDER / "packets.json").write_text(json.dumps(listed, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    run_command(main)
