"""Packets: literal bytes, vectors, loss, disorder, damage, mixtures; time on air; split and join as a user meets them."""

import itertools
import json
import random
import re
import sys
from pathlib import Path

import pytest
from helpers.commands import osdc, refused
from helpers.packets import FILE, FOLDER, LISTED

from osdcodec.checks.conformance import VECTORS
from osdcodec.checks.fuzz import run_joins
from osdcodec.errors import FormatError, InputError, OsdError
from osdcodec.links import airtime
from osdcodec.links.airtime import Link, LoRa, custom, links, regions
from osdcodec.links.carriers import bytes_of_text, candidates, from_text, to_stream, to_text
from osdcodec.links.packet import Kind, Packet, crc16
from osdcodec.links.transfer import arrivals, split
from osdcodec.maintenance.benchmarks.packet_loss import restored
from osdcodec.maintenance.vectors.packets import refused as refused_vectors

sys.path.append(str(Path(__file__).parents[1] / "spec"))
import reference

SPECIFICATION = (VECTORS.parent / "packets-1.md").read_text("utf-8")


def vector(name: str) -> bytes:
    return (FOLDER / f"{name}.osdp").read_bytes()


def test_bytes_are_these():
    piece = Packet(Kind.PIECE, 0x31C3, 10, 1, b"abc")
    assert piece.to_bytes().hex(" ") == "b0 c3 31 0a 00 00 01 00 61 62 63 d9 3c"
    assert Packet.from_bytes(piece.to_bytes()) == piece and (piece.size, piece.pieces) == (3, 4)
    last = Packet(Kind.LAST, 0x31C3, 10, 3, b"j")
    assert Packet.from_bytes(last.to_bytes()) == last and (last.size, last.pieces) == (3, 4)
    assert crc16(b"123456789") == 0x29B1


def test_the_example_of_the_specification():
    (block,) = re.findall(r"```\n(b0 .*?)```", SPECIFICATION, re.DOTALL)
    assert bytes.fromhex("".join(line[:30] for line in block.splitlines())) == vector("piece-0")
    assert f"`{to_text(vector('piece-0'))}`" in SPECIFICATION


def test_vectors():
    pieces, repair = ([vector(name) for name in LISTED[kind]] for kind in ("pieces", "repair"))
    for order in itertools.permutations(pieces):
        assert arrivals(order).only().whole() == reference.join(list(order)) == FILE
    beginning = [vector(name) for name in LISTED["beginning"]["pieces"]]
    assert arrivals(beginning).only().beginning() == reference.join(beginning) == FILE[: LISTED["beginning"]["bytes"]]
    for some in itertools.combinations(pieces + repair, 4):
        assert arrivals(some).only().whole() == FILE
    for kind, wanted in (("lines", pieces), ("stream", pieces + repair)):
        assert candidates((FOLDER / LISTED[kind]).read_bytes()) == wanted
    assert split(FILE, 50, 1.0) == pieces + repair and split(FILE, 50) == pieces
    for packet in pieces + repair:
        kind, name, length, index, data = reference.read_packet(packet)
        assert Packet(Kind(kind), name, length, index, data) == Packet.from_bytes(packet)


def test_sets_and_texts_of_the_vectors():
    for told in LISTED["sets"]:
        packets = [vector(name) for name in told["packets"]]
        if told.get("refused"):
            with pytest.raises(FormatError):
                arrivals(packets).only().whole()
        else:
            found = [transfer.whole() for transfer in arrivals(packets).transfers.values()]
            assert sorted(filter(None, found)) == sorted((VECTORS / name).read_bytes() for name in told["files"])
    assert arrivals([vector("single-repair-1")]).only().whole() == arrivals([vector("single-0")]).only().whole()
    for told in LISTED["texts"]:
        found = arrivals(candidates((FOLDER / told["file"]).read_bytes()))
        if "joined" in told:
            assert found.only().whole() == (VECTORS / told["joined"]).read_bytes()
        else:
            assert sum(len(transfer.pieces) for transfer in found.transfers.values()) == len(told["packets"])
    for told in LISTED["taken"]:
        assert arrivals([vector(told["name"])]).only().whole() is None


def test_what_must_be_refused_is_refused():
    assert {entry["name"] for entry in LISTED["refused"]} == {name for name, *_ in refused_vectors(FILE)}
    for name, _, packet in refused_vectors(FILE):
        assert vector(name) == packet
        with pytest.raises(FormatError):
            Packet.from_bytes(packet)
        with pytest.raises(ValueError):
            reference.read_packet(packet)


def test_any_bytes_are_judged_alike_by_the_reference():
    random_, taken = random.Random(3), 0
    packets = [vector(name) for name in LISTED["pieces"] + LISTED["repair"]]
    for _ in range(20000):
        body = bytearray(random_.choice(packets)[:-2])
        for _ in range(random_.randrange(1, 3)):
            at = random_.randrange(9)
            body[at] = random_.choice((0, 1, 2, 3, 5, 0xB0, 0xB1, 0xB2, 0x68, 0x80))
        if random_.random() < 0.3:
            del body[random_.randrange(len(body)) :]
        data = bytes(body) + crc16(body).to_bytes(2, "little")
        try:
            packet = Packet.from_bytes(data)
        except FormatError:
            with pytest.raises(ValueError):
                reference.read_packet(data)
        else:
            assert reference.read_packet(data) == (
                packet.kind,
                packet.file_id,
                packet.length,
                packet.index,
                packet.data,
            )
            assert packet.to_bytes() == data
            taken += 1
    assert 2000 < taken < 18000


@pytest.mark.parametrize("length", [1, 7, 8, 9, 39, 40, 41, 400, 3000])
@pytest.mark.parametrize(("packet", "repair"), [(18, 0), (50, 0), (51, 0.5), (200, 1.0), (233, 0.01)])
def test_every_length_comes_back(length, packet, repair):
    data = random.Random(length).randbytes(length)
    packets = split(data, packet, repair)
    assert max(map(len, packets)) <= packet and len(set(packets)) == len(packets)
    whole = arrivals(reversed(packets))
    assert whole.only().whole() == data and (whole.damaged, whole.strangers) == (0, 0)
    if repair:  # all but one, whichever
        for lost in {0, len(packets) // 2, len(packets) - 1}:
            assert arrivals(packets[:lost] + packets[lost + 1 :]).only().whole() == data


@pytest.mark.parametrize(("pieces", "repair"), [(13, 0.8), (100, 0.5)])
def test_a_fifth_of_the_packets_may_be_lost(pieces, repair):
    assert restored(pieces, repair, 0.2, 200) >= 198


def test_without_enough_there_is_a_beginning_and_a_count():
    data = random.Random(0).randbytes(1000)
    packets = split(data, 114)  # ten pieces
    transfer = arrivals(packets[:3] + packets[4:9]).only()
    assert transfer.whole() is None and transfer.beginning() == data[:312] and transfer.lacking == 2
    repaired = split(data, 114, 0.5)
    transfer = arrivals(repaired[:3] + repaired[-3:]).only()
    assert transfer.whole() is None and transfer.lacking == 4 and transfer.beginning() == data[:312]


def test_damaged_foreign_repeated_and_mixed_packets_are_told_apart():
    one, two = (split(random.Random(seed).randbytes(300), 60) for seed in (1, 2))
    damaged = bytearray(one[2])
    damaged[30] ^= 1
    found = arrivals([*one, one[0], bytes(damaged), b"hello", b"", b"\xb0"])
    transfer = found.only()
    assert (found.damaged, found.strangers, transfer.duplicates) == (1, 3, 1) and transfer.whole() is not None
    mixed = arrivals(one + two)
    names = [transfer.name for transfer in mixed.transfers.values()]
    with pytest.raises(InputError, match=f"{names[0]}.*{names[1]}.*--id"):
        mixed.only()
    assert mixed.only(names[1]).whole() == random.Random(2).randbytes(300)
    with pytest.raises(InputError, match="no packets of file 0000"):
        mixed.only("0000")
    with pytest.raises(InputError, match="1 damaged, 1 not packets"):
        arrivals([bytes(damaged), b"hello"]).only()


def test_a_false_packet_spoils_no_file_in_silence():
    data = random.Random(5).randbytes(300)
    packets = split(data, 66, 0.5)
    fields = Packet.from_bytes(packets[1])
    false = Packet(fields.kind, fields.file_id, fields.length, fields.index, bytes(len(fields.data))).to_bytes()
    with pytest.raises(FormatError, match="other content"):
        arrivals([*packets, false])
    for rest in ([packets[0], *packets[2:6]], [packets[0], *packets[6:], packets[3], packets[4]]):
        with pytest.raises(FormatError, match="false"):
            arrivals([false, *rest]).only().whole()


def test_without_raptorq_pieces_still_join(monkeypatch):
    data = random.Random(6).randbytes(300)
    packets = split(data, 66, 0.5)
    monkeypatch.setattr("osdcodec.extras.available", lambda module: module != "raptorq")
    for work in (lambda: split(data, 66, 0.5), lambda: arrivals(packets[1:]).only().whole()):
        with pytest.raises(OsdError, match=r"osdc\[packets\]"):
            work()
    assert arrivals(packets).only().whole() == data and arrivals(split(data, 66)).only().whole() == data


def test_claims_cost_nothing():
    """A header may speak of eight million bytes; only what has arrived is kept, and repair waits for enough of it."""
    packet = Packet(Kind.REPAIR, 1, 2**23 - 1, 60000, bytes(200))
    transfer = arrivals([packet.to_bytes()]).only()
    assert transfer.whole() is None and transfer.count == 41944 and transfer.lacking == 41943


def test_what_cannot_be_split():
    for packet in (17, 0, -1):
        with pytest.raises(ValueError):
            split(b"abc", packet)
    with pytest.raises(ValueError):
        split(b"abc", 200, float("nan"))
    for data, packet, repair in ((b"", 200, 0), (bytes(2**23), 200, 0), (bytes(2**20), 18, 0), (bytes(2**20), 40, 1.2)):
        with pytest.raises(InputError):
            split(data, packet, repair)


def test_text_and_streams():
    draw = random.Random(1)
    packets = split(draw.randbytes(500), bytes_of_text(76))
    lines = [to_text(packet) for packet in packets]
    assert max(map(len, lines)) <= 76 and all(re.fullmatch("[A-Za-z0-9_-]+", line) for line in lines)
    assert [from_text(line.encode()) for line in lines] == packets
    assert candidates("\r\n".join(["", *lines, ""]).encode()) == packets
    assert candidates(to_stream(packets)) == packets
    assert candidates(to_stream(packets)[:-5]) == [*packets[:-1], packets[-1][:-5]]
    assert candidates(packets[3]) == [packets[3]] and candidates(b"") == []
    assert candidates(b"what is this?\nabcde") == [b"what is this?", b"abcde"]
    assert candidates(bytes([0xFF] * 30)) == [bytes([0xFF] * 30)]


def test_mutated_packets():
    told = run_joins(3000, seed=4)
    assert told["crashes"] == [] and {"whole", "beginning", "mixed", "no packets"} <= told["outcomes"].keys()
    assert told["slowest"] < 5 and told["memory"] < 256


def test_time_on_air_of_lora_is_that_of_its_maker():
    """144.384 ms: the example in the documentation of the crate lora-modulation; the other by hand from the formula."""
    assert LoRa(9, 125, 5, 8).seconds(12) == pytest.approx(0.144384)
    # RadioLib, "RadioLib time-on-air" examples: SF12, 125 kHz, 4/7, 24 bytes, and SF7, 125 kHz, 4/7, 127 bytes
    assert LoRa(12, 125, 7, 8).seconds(24) == pytest.approx(1.810, abs=0.001)
    assert LoRa(7, 125, 7, 8).seconds(127) == pytest.approx(0.28595, abs=0.00001)
    assert LoRa(12, 125, 5, 8).seconds(51) == pytest.approx((8 + 4.25 + 8 + 11 * 5) * 4096 / 125000)


def test_links():
    assert {"lora-longfast", "iridium-sbd", "ax25-1200", "hf-datac3"} <= links().keys()
    for link in links().values():
        assert link.packet >= 18 and link.overhead >= 0
        assert 0 < link.seconds(500) < link.seconds(5000) and link.packets(1) == 1
        for seconds in (1, 30, 200, 2000):
            most = link.largest(seconds)
            assert (not most or link.seconds(most) <= seconds) and link.seconds(most + 1) > seconds
            if 0 < most < 20000:
                assert len(split(bytes(most), link.packet)) == link.packets(most)
    link = custom(1000, 98, 27)
    assert link.seconds(88) == 1 and link.seconds(176) == 2 and link.packets(176) == 2
    assert link.seconds(89) == pytest.approx(1 + 8 * 38 / 1000)
    for link in links().values():
        for repair in (0.0, 0.25, 1.0):
            packets = split(bytes(3000), link.packet, repair)
            assert link.packets(3000, repair) == len(packets)
            on_air = sum(link.on_air(len(packet) + link.overhead) for packet in packets)
            assert link.seconds(3000, repair) == pytest.approx(on_air)
            most = link.largest(on_air + 1e-9, repair=repair)
            assert most >= 3000 and link.seconds(most, repair) <= on_air + 2e-9
            assert 1 <= link.packets(link.largest(packets=4, repair=repair), repair) <= 4
    frames = Link("x", "x", 50, 0, lambda _: 2.0)
    assert frames.seconds(81) == 6 and frames.largest(5) == 80
    for numbers in ((0, 100), (float("inf"), 100), (100, 17)):
        with pytest.raises(ValueError):
            custom(*numbers)


def test_regions_ask_for_pauses_and_short_packets():
    link, eu868, us915 = links()["lora-longmoderate"], regions()["eu868"], regions()["us915"]
    assert eu868.elapsed(36) == 36 and eu868.elapsed(36.5) == 3600.5 and eu868.elapsed(72.5) == 7200.5
    assert regions()["eu869"].elapsed(400) == 3640
    slow = link.within(eu868)
    assert slow.seconds(3000) == link.seconds(3000) > 72 and slow.elapsed(3000) > 7200
    assert slow.largest(60) < link.largest(60) and slow.elapsed(slow.largest(60)) <= 36
    with pytest.raises(ValueError, match=r"no packet .* 0\.4 s"):
        link.within(us915)
    short = links()["lora-mediumfast"].within(us915)
    assert short.on_air(short.packet + short.overhead) <= 0.4 < short.on_air(short.packet + short.overhead + 8)


def test_the_table_of_links_is_true():
    text = (Path(airtime.__file__).parent / "README.md").read_text("utf-8")
    for link in links().values():
        told = f"{link.packets(3000)} packets, {link.seconds(3000):,.0f} s"
        assert f"| `{link.name}` | {link.title} | {link.packet} | {told} |" in text


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "photo.osd").write_bytes(FILE)
    return tmp_path


def test_split_and_join(folder):
    done = osdc("split", "photo.osd", "--packet", "50", "--repair", "50%", "-o", "packets", cwd=folder)
    assert done.returncode == 0 and done.stdout == b"" and b"3 pieces and 2 for repair" in done.stderr
    names = sorted(path.name for path in (folder / "packets").iterdir())
    assert names == [f"photo.{index:05}.osdp" for index in range(5)]
    (folder / "packets" / names[0]).unlink()
    (folder / "packets" / "notes.txt").write_text("nothing of ours\n")
    done = osdc("join", "packets", "-o", "joined.osd", "--json", cwd=folder)
    told = json.loads(done.stderr)
    assert done.returncode == 0 and (folder / "joined.osd").read_bytes() == FILE
    assert told["whole"] and (told["pieces"], told["repair"], told["strangers"]) == (2, 2, 1)


def test_text_through_pipes(folder):
    done = osdc("split", "photo.osd", "--packet", "76", "--text", cwd=folder)
    lines = done.stdout.decode().splitlines()
    assert done.returncode == 0 and len(lines) == 3 and max(map(len, lines)) <= 76
    done = osdc("join", "-", cwd=folder, input="\n".join([lines[2], "hello", *lines]).encode())
    assert done.returncode == 0 and done.stdout == FILE and b"1 came again; 1 not packets" in done.stderr
    stream = osdc("split", "-", "--link", "lora-longfast", cwd=folder, input=FILE).stdout
    assert osdc("join", "-", cwd=folder, input=stream).stdout == FILE


def test_text_that_went_through_other_hands(folder):
    """Letters of any language beside the lines, a byte order mark, UTF-16 as PowerShell writes it, what terminals leave."""
    text = "Grüße\n" + osdc("split", "photo.osd", "--packet", "76", "--text", cwd=folder).stdout.decode()
    marked = text.replace("Grüße", "\x1b[32mOK\x1b[0m") + "\x1a"
    twice = "\ufeff".join(text.splitlines(keepends=True))
    for encoded in (text.encode(), text.encode("utf-8-sig"), text.encode("utf-16"), marked.encode(), twice.encode()):
        done = osdc("join", "-", cwd=folder, input=encoded)
        assert done.returncode == 0 and done.stdout == FILE and b"1 not packets" in done.stderr


def test_only_packets_of_the_same_file_are_replaced(folder):
    (folder / "out").mkdir()
    (folder / "out" / "photo.00001.osdp").write_text("mine")
    split = "split", "photo.osd", "--packet", "50", "-o", "out"
    refused(osdc(*split, cwd=folder), 5, "photo.00001.osdp", "no packet of this file", "--overwrite")
    assert [path.name for path in (folder / "out").iterdir()] == ["photo.00001.osdp"]
    for _ in range(2):
        assert osdc(*split, "--overwrite", cwd=folder).returncode == 0
        assert osdc(*split, cwd=folder).returncode == 0
    (folder / "photo.osd").write_bytes((VECTORS / "conformance" / "anchor-1.osd").read_bytes())
    refused(osdc(*split, cwd=folder), 5, "photo.00000.osdp", "no packet of this file")


def test_join_partial(folder):
    assert osdc("split", "photo.osd", "--packet", "50", "-o", "packets", cwd=folder).returncode == 0
    (folder / "packets" / "photo.00002.osdp").unlink()
    refused(
        osdc("join", "packets", "-o", "joined.osd", cwd=folder), 3, "2 of 3 pieces", "1 more is needed", "--partial"
    )
    assert not (folder / "joined.osd").exists()
    assert osdc("join", "packets", "-o", "joined.osd", "--partial", cwd=folder).returncode == 0
    assert (folder / "joined.osd").read_bytes() == FILE[:80]
    refused(osdc("info", "joined.osd", "--parts", cwd=folder), 3, "joined.osd", "leave --parts out")
    told = json.loads(osdc("info", "joined.osd", "--json", cwd=folder).stdout)
    assert told["payload_bytes"] + told["missing_bytes"] == 104 - 19


def test_bad_input_costs_one_line(folder):
    plain = (VECTORS / "conformance" / "anchor-1.osd").read_bytes()
    (folder / "plain.osd").write_bytes(plain)
    (folder / "text.osd").write_text("nothing")
    for name in ("photo", "plain"):
        assert osdc("split", f"{name}.osd", "--packet", "40", "-o", name, cwd=folder).returncode == 0
    (folder / "plain" / "plain.00001.osdp").unlink()
    damaged = bytearray((folder / "photo" / "photo.00001.osdp").read_bytes())
    damaged[12] ^= 1
    (folder / "damaged.osdp").write_bytes(damaged)
    (folder / "empty").mkdir()
    refused(osdc("split", "text.osd", "--packet", "50", "-o", "x", cwd=folder), 3, "text.osd", "magic")
    refused(osdc("split", "none.osd", "--packet", "50", "-o", "x", cwd=folder), 3, "none.osd", "no such file")
    refused(osdc("split", "photo.osd", "--packet", "50", "-o", "text.osd/x", cwd=folder), 5, "text.osd")
    refused(osdc("join", "none", "-o", "x.osd", cwd=folder), 3, "none", "no such file")
    refused(osdc("join", "empty", "-o", "x.osd", cwd=folder), 3, "no packets")
    refused(osdc("join", "text.osd", "-o", "x.osd", cwd=folder), 3, "no packets", "1 not packets")
    refused(osdc("join", "damaged.osdp", "-o", "x.osd", cwd=folder), 3, "no packets", "1 damaged")
    refused(osdc("join", "photo", "plain", "-o", "x.osd", cwd=folder), 3, "mixed", "--id")
    refused(osdc("join", "photo", "--id", "ffff", "-o", "x.osd", cwd=folder), 3, "ffff")
    done = osdc("join", "plain", "-o", "x.osd", cwd=folder)
    refused(done, 3, "more is needed")
    assert b"--partial" not in done.stderr  # which would show nothing
    refused(osdc("join", "plain", "--partial", "-o", "x.osd", cwd=folder), 3, "not progressive")
    refused(osdc("join", "photo/photo.00001.osdp", "--partial", "-o", "x.osd", cwd=folder), 3, "not the first one")
    refused(osdc("join", "photo", "-o", "text.osd", "--no-overwrite", cwd=folder), 5, "text.osd", "exists")
    assert not (folder / "x.osd").exists() and not (folder / "x").exists()


def test_nothing_is_lost_by_splitting_and_joining_again(folder):
    assert osdc("split", "photo.osd", "--packet", "30", "-o", "packets", cwd=folder).returncode == 0
    before = {path.name: path.read_bytes() for path in (folder / "packets").iterdir()}
    refused(
        osdc("split", "photo.osd", "--packet", "50", "-o", "packets", cwd=folder), 5, "another split", "another folder"
    )
    lines = osdc("split", "photo.osd", "--packet", "76", "--text", cwd=folder).stdout
    (folder / "lines.txt").write_bytes(lines)
    refused(osdc("join", "lines.txt", "-o", "lines.txt", cwd=folder), 5, "the input itself")
    first = "packets/photo.00000.osdp"
    refused(osdc("join", "packets", "--partial", "-o", first, cwd=folder), 5, "the input itself")
    refused(osdc("join", "packets", "-o", "new/", cwd=folder), 5, "names a folder")
    assert {path.name: path.read_bytes() for path in (folder / "packets").iterdir()} == before
    assert (folder / "lines.txt").read_bytes() == lines and not (folder / "new").exists()


def test_of_two_splits_of_one_file_the_whole_one_is_taken():
    fine, rough = split(FILE, 30), split(FILE, 50)
    assert arrivals([*fine[1:], *rough]).only().whole() == FILE
    with pytest.raises(InputError, match="several splits of one"):
        arrivals([*fine[1:], *rough[1:]]).only()


@pytest.mark.parametrize(
    "arguments",
    [
        ("split", "photo.osd"),
        ("split", "photo.osd", "--packet", "17"),
        ("split", "photo.osd", "--packet", "23", "--text"),
        ("split", "photo.osd", "--packet", "50", "--link", "lora-longfast"),
        ("split", "photo.osd", "--link", "pigeon"),
        ("split", "photo.osd", "--packet", "50", "--repair", "much"),
        ("split", "photo.osd", "--packet", "50", "--repair", "25"),  # a forgotten %
        ("split", "photo.osd", "--packet", "65536"),
        ("info", "photo.osd", "--overhead", "5"),
        ("join",),
        ("info", "photo.osd", "--link", "pigeon"),
        ("info", "photo.osd", "--bits-per-second", "1000"),
        ("info", "photo.osd", "--bits-per-second", "0", "--packet", "50"),
        ("encode", "photo.png", "--link", "lora-longfast"),
        ("encode", "photo.png", "--seconds", "20"),
        ("encode", "photo.png", "--link", "lora-longfast", "--seconds", "0.1"),
        ("encode", "photo.png", "--link", "lora-longfast", "--seconds", "20", "--lambda", "1"),
    ],
)
def test_wrong_usage(arguments, folder):
    done = osdc(*arguments, cwd=folder)
    assert done.returncode == 2 and b"Usage" in done.stderr and done.stdout == b""


def test_info_tells_the_time_on_air(folder):
    numbers = ("--bits-per-second", "1070", "--packet", "233", "--overhead", "16")
    facts = json.loads(osdc("info", "photo.osd", "--json", "--link", "lora-longfast", *numbers, cwd=folder).stdout)
    named, own = facts["links"]
    assert named["name"] == "lora-longfast" and named["packets"] == 1
    assert named["seconds"] == pytest.approx(links()["lora-longfast"].seconds(len(FILE)))
    assert own["seconds"] == pytest.approx(8 * (len(FILE) + 10 + 16) / 1070)
    table = osdc("info", "photo.osd", "--link", "all", cwd=folder).stdout.decode()
    assert all(name in table for name in links())


def test_encode_for_a_time_on_air(folder, photo):
    photo.save(folder / "photo.png")
    aim = ("--link", "lora-longfast", "--seconds", "12")
    assert osdc("encode", "photo.png", "-o", "made.osd", "--progressive", *aim, cwd=folder).returncode == 0
    facts = json.loads(osdc("info", "made.osd", "--json", "--link", "lora-longfast", cwd=folder).stdout)
    assert facts["links"][0]["seconds"] <= 12 and facts["progressive"]


def test_a_budget_counts_what_split_sends(folder, photo):
    """What is encoded for so many seconds is on air for no more, repair packets included, and split and info say how long."""
    photo.save(folder / "photo.png")
    link = ("--link", "lora-longfast", "--repair", "25%", "--region", "eu869")
    assert osdc("encode", "photo.png", "-o", "made.osd", *link, "--seconds", "9", cwd=folder).returncode == 0
    told = json.loads(osdc("split", "made.osd", *link, "-o", "packets", "--json", cwd=folder).stderr)
    facts = json.loads(osdc("info", "made.osd", *link, "--json", cwd=folder).stdout)["links"][0]
    assert told["repair"] and 4 < told["seconds"] == told["elapsed"] <= 9
    assert facts["seconds"] == pytest.approx(told["seconds"]) and facts["packets"] == told["packets"]
    assert osdc("encode", "photo.png", "-o", "two.osd", *link[:2], "--packets", "2", cwd=folder).returncode == 0
    done = osdc("split", "two.osd", *link[:2], "-o", "two", cwd=folder)
    assert b"two.osd: 2 pieces" in done.stderr and b"s on air" in done.stderr
    assert len(list((folder / "two").iterdir())) == 2
    for wrong in (("--repair", "25%"), ("--packets", "2"), (*link[:2], "--packets", "2", "--region", "mars")):
        assert osdc("encode", "photo.png", *wrong, cwd=folder).returncode == 2
