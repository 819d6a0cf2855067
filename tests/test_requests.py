"""Packets are asked for again in one short line, and made again byte for byte."""

import random

import pytest
from helpers.commands import osdc, refused
from helpers.packets import FILE

from osdcodec.errors import InputError
from osdcodec.links.packet import crc16
from osdcodec.links.requests import Request, missing, ranges
from osdcodec.links.transfer import arrivals, packets_at, plan, split

DATA = random.Random(8).randbytes(2000)


def test_lines():
    assert ranges([]) == "" and ranges([3]) == "3" and ranges([0, 1, 2, 5, 7, 8]) == "0-2,5,7-8"
    for line, request in {
        "3,7-9": Request((3, 7, 8, 9)),
        "photo 3,7-9": Request((3, 7, 8, 9), "photo"),
        " my photo 2 7-9, 3 x216 ": Request((3, 7, 8, 9), "my photo 2", 216),
        "a1b2 0 x40": Request((0,), "a1b2", 40),
    }.items():
        assert Request.parse(line) == request and Request.parse(str(request)) == request
    for bad in ("", "photo", "9-3", "70000", "3,,4", "-1", "photo x40"):
        with pytest.raises(ValueError):
            Request.parse(bad)


@pytest.mark.parametrize("repair", [0.0, 0.25])
def test_what_is_asked_for_makes_the_file_whole(repair):
    packets = split(DATA, 100, repair)
    size, _, _ = plan(len(DATA), 100, repair)
    arrived = [packet for index, packet in enumerate(packets) if index not in (0, 3, 7, 8, 9, 14, 15, 17)]
    asked = missing(transfer := arrivals(arrived).only(), "photo")
    assert asked.size == size and len(asked.indices) == transfer.lacking and len(str(asked)) < 40
    again = packets_at(DATA, size, asked.indices)
    assert again == [packets[index] for index in asked.indices]
    assert arrivals(arrived + again).only().whole() == DATA
    assert missing(arrivals(packets).only()) is None
    more = packets_at(DATA, size, range(len(packets), len(packets) + 10))
    assert arrivals(arrived + more).only().whole() == DATA and not set(more) & set(packets)


def test_every_split_can_get_repair_later():
    for packet in (99, 100, 233, 340):
        size, count, _ = plan(len(DATA), packet)
        assert size % 8 == 0 and size > packet - 18
        assert (
            arrivals(split(DATA, packet)[1:] + packets_at(DATA, size, range(count, count + 3))).only().whole() == DATA
        )
    assert plan(223, 233) == (223, 1, 0) and plan(224, 233)[:2] == (216, 2)
    with pytest.raises(InputError, match="no repair packets"):
        packets_at(DATA, 99, [50])


def test_at_the_command_line(tmp_path):
    (tmp_path / "photo.osd").write_bytes(FILE)
    assert osdc("split", "photo.osd", "--packet", "50", "-o", "sent", cwd=tmp_path).returncode == 0
    (tmp_path / "arrived").mkdir()
    (tmp_path / "arrived" / "photo.00001.osdp").write_bytes((tmp_path / "sent" / "photo.00001.osdp").read_bytes())
    done = osdc("join", "arrived", "--missing", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout == b"photo 0,2 x40\n"
    done = osdc("split", "photo.osd", "--only", done.stdout.decode(), "-o", "arrived", cwd=tmp_path)
    assert done.returncode == 0 and b"2 pieces" in done.stderr
    for path in (tmp_path / "sent").iterdir():
        assert (tmp_path / "arrived" / path.name).read_bytes() == path.read_bytes()
    done = osdc("join", "arrived", "--missing", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout == b"" and b"nothing is missing" in done.stderr
    for first in (3, 5):  # more goes on behind what is there
        assert osdc("split", "photo.osd", "--packet", "50", "--more", "2", "-o", "sent", cwd=tmp_path).returncode == 0
        assert (tmp_path / "sent" / f"photo.{first + 1:05}.osdp").exists()
    for number in (0, 1, 2, 5):
        (tmp_path / "sent" / f"photo.0000{number}.osdp").unlink()
    assert osdc("join", "sent", "-o", "joined.osd", cwd=tmp_path).returncode == 0
    assert (tmp_path / "joined.osd").read_bytes() == FILE


def test_pictures_are_kept_apart(tmp_path):
    (tmp_path / "photo.osd").write_bytes(FILE)
    again = ("split", "photo.osd", "--only")
    refused(osdc(*again, "other 3 x40", cwd=tmp_path), 3, "asks for packets of other", "this is photo")
    assert osdc(*again, f"{crc16(FILE):04x} 0 x40", "--text", cwd=tmp_path).stdout.startswith(b"s")
    for wrong in ((*again, "much"), (*again, "3"), (*again, "3", "--packet", "50", "--more", "2")):
        assert osdc(*wrong, cwd=tmp_path).returncode == 2
    lines = osdc("split", "photo.osd", "--packet", "76", "--text", cwd=tmp_path).stdout.splitlines()
    done = osdc("join", "-", "--missing", cwd=tmp_path, input=b"> " + lines[0])
    assert done.stdout.decode().split()[0] == f"{crc16(FILE):04x}" and done.returncode == 0
    refused(osdc("join", "-", "--missing", cwd=tmp_path, input=b"hello"), 3, "no packets")
