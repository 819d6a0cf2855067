"""The vectors of spec/packets-1.md: `python -m osdcodec.maintenance.vectors.packets` writes them. They stay as they are for ever.

tests/test_wrong_readers.py lists readers that are wrong in one place, which these vectors find out.
"""

import json

from ...checks.conformance import VECTORS
from ...console import run_command
from ...links.carriers import to_stream, to_text
from ...links.packet import Kind, Packet, crc16
from ...links.transfer import split

FILE = "progressive/whole.osd"
ONE = "symbols/one-position.osd"
LONG = "base/whole-cells.osd"
FOLDER = VECTORS / "packets"


def refused(data: bytes) -> list[tuple[str, str, bytes]]:
    """(name, what is wrong, packet) each."""
    piece, *_, last = split(data, 50)
    flipped = bytearray(piece)
    flipped[20] ^= 4

    def forged(kind: int, index: int, content: bytes, length: int = len(data), mark: int = 0xB0) -> bytes:
        body = bytes([mark | kind]) + piece[1:3] + length.to_bytes(3, "little") + index.to_bytes(2, "little") + content
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
        ("bad-mark", "another mark", forged(0, 0, piece[8:-2], mark=0xA0)),
        ("bad-most-pieces", "a file of 65537 pieces", forged(0, 0, b"a", 65537)),
        ("bad-most-repair", "kind 2 of a file of 56404 pieces", forged(2, 56404, bytes(8), 8 * 56404)),
        ("bad-last-long", "kind 1 longer than the piece before it", forged(1, 1, bytes(60))),
        ("bad-long-symbol", "kind 2 longer than the file, rounded up", forged(2, 1, bytes(112))),
    ]


def taken(data: bytes) -> list[tuple[str, str, bytes]]:
    """(name, what for, packet) of packets at the limits, of files that never arrive."""

    def made(kind: Kind, length: int, index: int, content: bytes) -> bytes:
        return Packet(kind, crc16(data), length, index, content).to_bytes()

    return [
        ("most-pieces", "a file of 65536 pieces", made(Kind.PIECE, 65536, 65534, b"a")),
        ("most-repair", "a repair symbol of 56403 pieces", made(Kind.REPAIR, 8 * 56403, 56403, bytes(8))),
        ("longest", "a file of 2^23 - 1 bytes", made(Kind.PIECE, 2**23 - 1, 7, bytes(200))),
    ]


def sets(data: bytes) -> tuple[dict[str, bytes], list[dict]]:
    """Further packets, and sets of packets: the files that they make, or what is wrong with them."""
    one = (VECTORS / ONE).read_bytes()
    single, repair = split(one, 74, 1.0)
    _, second, _ = split(data, 50)
    fields = Packet.from_bytes(second)
    other = Packet(fields.kind, fields.file_id, fields.length, fields.index, bytes(len(fields.data))).to_bytes()
    shorter = split(data, 42)
    parts = {
        "shorter-1": shorter[1],
        "shorter-3": shorter[3],
        "single-0": single,
        "single-repair-1": repair,
        "other-1": other,
    }
    pieces = ["piece-0", "piece-1", "piece-2"]
    found: list[dict] = [
        {"what": "one piece, which is the whole file", "packets": ["single-0"], "files": [ONE]},
        {"what": "that, and its repair symbol", "packets": ["single-0", "single-repair-1"], "files": [ONE]},
        {"what": "pieces of two files", "packets": ["piece-2", "single-0", "piece-1", "piece-0"], "files": [FILE, ONE]},
        {"what": "pieces of two lengths", "packets": [*pieces, "shorter-1", "shorter-3"], "files": [FILE]},
        {"what": "other data under one index", "packets": [*pieces, "other-1"], "refused": True},
        {"what": "a file whose CRC-16 is not its file id", "packets": ["piece-0", "other-1", "piece-2"], "refused": True},
    ]  # fmt: skip
    return parts, found


def texts(packets: list[bytes], names: list[str]) -> tuple[dict[str, bytes], list[dict]]:
    """Further texts and streams, and the packets that stand in them."""
    lines = [to_text(packet) for packet in packets]
    loose = lines[1][:-1] + chr(ord(lines[1][-1]) + 1)  # two bits that stand for nothing are not 0
    long = split((VECTORS / LONG).read_bytes(), 0xB2)
    files = {
        "lines-crlf.txt": "\r\n".join(["", *lines[:2], "", lines[2], ""]).encode("ascii"),
        "lines-loose.txt": f"{loose}\n{lines[0]}\n".encode("ascii"),
        "stream-b2.bin": to_stream(long),
    }
    told: list[dict] = [
        {"file": "lines-crlf.txt", "what": "lines that end in CR and LF, and empty ones", "packets": names[:3]},
        {"file": "lines-loose.txt", "what": "a line whose last character has a bit too many", "packets": names[:1]},
        {"file": "stream-b2.bin", "what": "a stream whose first byte is B2", "joined": LONG},
    ]
    return files, told


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
    further, joined = sets(data)
    written, told = texts(packets, names)
    for name, packet in further.items():
        (FOLDER / f"{name}.osdp").write_bytes(packet)
    for name, content in written.items():
        (FOLDER / name).write_bytes(content)
    for name, _, packet in [*refused(data), *taken(data)]:
        (FOLDER / f"{name}.osdp").write_bytes(packet)
    (FOLDER / "lines.txt").write_text("".join(f"{to_text(packet)}\n" for packet in packets[: len(pieces)]), "ascii")
    (FOLDER / "stream.bin").write_bytes(to_stream(packets))
    manifest = {
        "file": FILE,
        "pieces": pieces,
        "repair": names[len(pieces) :],
        "beginning": {"pieces": pieces[:2], "bytes": 80},
        "lines": "lines.txt",
        "stream": "stream.bin",
        "texts": told,
        "sets": joined,
        "taken": [{"name": name, "what": what} for name, what, _ in taken(data)],
        "refused": [{"name": name, "what": what} for name, what, _ in refused(data)],
    }
    (FOLDER / "packets.json").write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    run_command(main)
