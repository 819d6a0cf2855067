"""Packets are found in lines of text as messengers hand them on."""

import random

import pytest

from osdcodec.links.carriers import candidates, to_text
from osdcodec.links.transfer import arrivals, split

DATA = random.Random(3).randbytes(300)
PACKETS = split(DATA, 60)
LINES = [to_text(packet) for packet in PACKETS]
UNDERSCORED = next(
    data for data in (random.Random(seed).randbytes(300) for seed in range(99)) if "_" in to_text(split(data, 60)[0])
)


def wrapped(line: str, width: int) -> str:
    return "\n".join(line[at : at + width] for at in range(0, len(line), width))


@pytest.mark.parametrize(
    "hand",
    [
        lambda line: f"> {line}",
        lambda line: f"> > {line}",
        lambda line: f"[12:01, 1.12.2026] Bob: {line}",
        lambda line: f"12:01 Bob> {line}",
        lambda line: f"<Alice> {line} ✓",
        lambda line: line.replace("_", r"\_").replace("-", r"\-"),
        lambda line: line.replace("--", "—"),
        lambda line: wrapped(line, 30),
        lambda line: wrapped(f"Bob: {line}", 40),
        lambda line: "\n".join(f"> {part}" for part in wrapped(line, 33).splitlines()),
        lambda line: f"{line}\n{line}",
        lambda line: f"* {line}",
        lambda line: f"\u200b{line}\u00a0",
    ],
)
def test_lines_as_messengers_make_them(hand):
    text = "Here it comes:\n\n" + "\n".join(map(hand, LINES)) + "\nthat was all"
    found = arrivals(candidates(text.encode()))
    assert found.only().whole() == DATA and found.damaged == 0 and found.strangers == 2


def test_escaped_underscores():
    line = to_text(split(UNDERSCORED, 60)[0])
    assert candidates(line.replace("_", r"\_").encode()) == [split(UNDERSCORED, 60)[0]]


def test_several_pictures_in_one_conversation():
    other = random.Random(4).randbytes(200)
    lines = [
        line for pair in zip(LINES, [to_text(packet) for packet in split(other, 60)], strict=False) for line in pair
    ]
    found = arrivals(candidates("\n".join([*lines, *LINES]).encode()))
    assert {transfer.whole() for transfer in found.transfers.values()} >= {DATA} and len(found.transfers) == 2


def test_a_damaged_line_takes_no_other_with_it():
    damaged = LINES[1][:20] + "AAAA" + LINES[1][24:]
    found = arrivals(candidates("\n".join([LINES[0], damaged, *LINES[2:]]).encode()))
    assert len(found.only().pieces) == len(PACKETS) - 1 and found.damaged == 1
    cut = arrivals(candidates("\n".join([LINES[0], LINES[1][:30], *LINES[2:]]).encode()))
    assert len(cut.only().pieces) == len(PACKETS) - 1


def test_hostile_text_costs_little():
    text = "\n".join(["sG" + "A" * 300] * 100)
    assert arrivals(candidates(text.encode())).transfers == {}
