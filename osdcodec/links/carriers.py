"""What packets travel in: files of one packet, streams, and lines of text as messengers hand them on. Pure Python."""

import base64
import re

from ..errors import FormatError
from .packet import AROUND, MARK, Packet

_RUN = re.compile(r"[A-Za-z0-9_-]+")
_BEGIN = re.compile(r"(?<![A-Za-z0-9])s[A-Za-v]")  # of a packet as text: its mark is 101100 and a kind of 0 to 2
_QUOTED = re.compile(r"^(?:[>|*•\s])+")  # what a reply or a list puts in front of a line
_LEFT_BEHIND = "\ufeff\u200b\u2060\0\x1a \t\u00a0"  # marks that shells, terminals and messengers leave around a line
_CHANGED = str.maketrans({"—": "--", "–": "-", "\\": "", "\u00ad": ""})  # dashes made "smart", escapes of Markdown
_SHORTEST = -(-(AROUND + 1) * 4 // 3)  # characters of a packet
_WRAPPED = 32  # lines at most that one packet is found in


def to_text(packet: bytes) -> str:
    """Letters, digits, - and _ (base64url without padding): four characters for three bytes."""
    return base64.urlsafe_b64encode(packet).rstrip(b"=").decode("ascii")


def from_text(line: bytes) -> bytes:
    """The inverse of `to_text`; the line itself if it is no such text."""
    run = line.strip().decode("latin-1")
    return (_decoded(run) if _RUN.fullmatch(run) else None) or line.strip()


def _decoded(run: str) -> bytes | None:
    """None if no bytes have this text: bits of its last character that stand for nothing are 0."""
    if len(run) % 4 == 1:
        return None
    packet = base64.urlsafe_b64decode(run + "=" * (-len(run) % 4))
    return packet if to_text(packet) == run else None


def bytes_of_text(characters: int) -> int:
    """The longest packet that as text has at most so many characters."""
    return characters * 3 // 4


def packets_in_text(text: str) -> list[bytes]:
    """What may be a packet each in text: of a line that holds packets these, of others the line itself.

    A packet is found behind a time and a sender, in a quoted line, with escaped underscores, and over several lines
    where a program has wrapped it. Its checksum tells that it was found whole.
    """
    lines = [line for raw in text.splitlines() if (line := raw.strip(_LEFT_BEHIND))]
    cleaned = [_QUOTED.sub("", line).translate(_CHANGED).strip(_LEFT_BEHIND) for line in lines]
    found: list[bytes] = []
    at = 0
    while at < len(lines):
        packets, used = _packets_from(cleaned, at)
        found += packets or [from_text((cleaned[at] if _BEGIN.match(cleaned[at]) else lines[at]).encode())]
        at += used
    return found


def _packets_from(lines: list[str], at: int) -> tuple[list[bytes], int]:
    """Packets in a line, or in it and those after it, and how many lines hold them; of a line without any, none and 1."""
    runs = [match[0] for match in _RUN.finditer(lines[at])]
    whole = [packet for run in runs for packet in [_whole(run)] if packet]
    if whole or not runs or not lines[at].endswith(runs[-1]):
        return whole, 1
    joined = runs[-1]
    for used, line in enumerate(lines[at + 1 : at + _WRAPPED], 2):
        if not _RUN.fullmatch(line) or not _BEGIN.search(joined):
            break
        joined += line
        if packet := _whole(joined):
            return [packet], used
    return [], 1


def _whole(run: str) -> bytes | None:
    """The packet that a run of characters ends with, None if there is none."""
    for match in _BEGIN.finditer(run):
        packet = _decoded(run[match.start() :])
        if len(run) - match.start() >= _SHORTEST and packet and _is_packet(packet):
            return packet
    return None


def _is_packet(data: bytes) -> bool:
    try:
        Packet.from_bytes(data)
    except FormatError:
        return False
    return True


def _as_text(content: bytes) -> str | None:
    """Text of a shell's or an editor's, in UTF-8 or, as PowerShell writes it, in UTF-16; None for bytes. No packet and no stream is valid UTF-8."""
    code = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return content.decode(code)
    except UnicodeDecodeError:
        return None


def to_stream(packets: list[bytes]) -> bytes:
    """Packets one behind the other, each after its length in two bytes."""
    return b"".join(len(packet).to_bytes(2, "little") + packet for packet in packets)


def candidates(content: bytes) -> list[bytes]:
    """What may be a packet each: a file is one packet, lines of text, or a stream of packets."""
    if (text := _as_text(content)) is not None:
        return packets_in_text(text)
    try:
        Packet.from_bytes(content)
    except FormatError:
        return _records(content) or [content]
    return [content]


def _records(content: bytes) -> list[bytes]:
    """Those of a stream; the last may be cut short. None if it is no stream."""
    records, at = [], 0
    while at < len(content):
        length = int.from_bytes(content[at : at + 2], "little")
        record = content[at + 2 : at + 2 + length]
        if record[:1] and record[0] & 0xF0 == MARK:
            records.append(record)
        elif not records:
            return []
        at += 2 + length
    return records
