"""Random and mutated files through container and entropy decoder: `python -m osdcodec.checks.fuzz --files 100000`.

Nothing but FormatError may come out. What is read must be the only form of its fields, and what is decoded the only form
of its symbols: writing both again gives the same bytes. What is refused is tried as the beginning of a progressive file.
Files that break this are kept in --crashes. `--joins 100000`: mutated and mixed packets through `osdc join` instead.
"""

import argparse
import hashlib
import json
import random
import resource
import sys
import time
import zlib
from binascii import crc_hqx
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .. import container, weights
from ..codec import Decoder
from ..console import run_command
from ..devices import DEVICES, Device
from ..entropy.prior import Prior
from ..errors import FormatError, InputError, OsdError
from ..latent.coder import decode_symbols, qualities_of
from ..links.carriers import candidates, to_stream, to_text
from ..links.packet import crc16
from ..links.transfer import arrivals, split
from .conformance import MANIFEST, VECTORS

BYTES = (0x00, 0x01, 0x7F, 0x80, 0xFF, ord("A"), ord("i"))  # where fields change their meaning
PIXELS = 2**16  # of a picture that goes through the networks
SIDES = (1, 31, 32, 33, 127, 128, 4096, 16383, 16384, 65535)


def files(seeds: list[bytes], seed: int) -> Iterator[bytes]:
    """Endless: mutations of the seeds, headers with anything behind them, and noise; most with a right checksum."""
    draw = random.Random(seed)
    while True:
        kind = draw.random()
        if kind < 0.05:
            yield draw.randbytes(draw.randrange(120))
            continue
        body = header(draw, seeds) if kind < 0.2 else mutated(draw, seeds)
        if draw.random() < 0.7:
            body = with_head_checksum(body)
        yield sealed(body) if draw.random() < 0.8 else body + draw.randbytes(draw.randrange(5))


def header(draw: random.Random, seeds: list[bytes]) -> bytes:
    """A right header of any size and quality, before noise."""
    sides = [draw.choice(SIDES) if draw.random() < 0.5 else draw.randrange(1, 200) for _ in "wh"]
    flags, payload = draw.randrange(8), draw.randbytes(draw.randrange(60))
    start = b"".join(
        [draw.choice(seeds)[:4], bytes([0x10 | flags]), draw.choice(seeds)[5:9], *map(container.leb128, sides)]
    )
    return start + bytes([draw.randrange(256)]) + payload


def mutated(draw: random.Random, seeds: list[bytes]) -> bytes:
    """A seed without its checksum, changed in one to six places."""
    body = bytearray(draw.choice(seeds)[:-4])
    for _ in range(draw.randrange(1, 7)):
        at = draw.randrange(len(body) + 1)
        match draw.randrange(8):
            case 0 | 1 if at < len(body):
                body[at] ^= 1 << draw.randrange(8)
            case 2 if at < len(body):
                body[at] = draw.choice(BYTES)
            case 3:
                body[at:at] = bytes([draw.choice(BYTES)]) * draw.randrange(1, 5)
            case 4:
                del body[at : at + draw.randrange(1, 9)]
            case 5:
                del body[at:]
            case 6:
                body += draw.randbytes(draw.randrange(1, 9))
            case _:
                other = draw.choice(seeds)
                cut = draw.randrange(len(other))
                body[at:] = other[cut:-4]
    return bytes(body)


def with_head_checksum(body: bytes) -> bytes:
    """A body whose CRC-16 is right, if it says that it has one and where."""
    try:
        at = 9
        for _ in range(2):  # width and height
            _, at = container.read_leb128(body, at, len(body), "side")
        _, at = container.read_leb128(body, at + 1, len(body), "payload length")
        if body[4] & container.SECTIONS:
            needed, at = container.read_leb128(body, at, len(body), "length of sections")
            at += needed
    except (FormatError, IndexError):
        return body
    if not body[4] & container.PROGRESSIVE or at + 2 > len(body):
        return body
    return bytes(body[:at]) + crc_hqx(body[:at], 0xFFFF).to_bytes(2, "little") + bytes(body[at + 2 :])


def sealed(body: bytes) -> bytes:
    """The file with this body and a right checksum."""
    return body + zlib.crc32(body).to_bytes(4, "little")


def exact_prior(folder: Path) -> Prior:
    """That of the model of some vectors, at no price of bits: so it writes any symbols as they are."""
    model = weights.load(json.loads((folder / MANIFEST).read_text("utf-8"))["profile"], folder)
    return Prior(model.tensors, replace(model.profile, bit_price=0.0))


def attack(data: bytes, prior: Prior) -> str:
    """What became of a file: the field it was refused for, "decoded", or "shown" of the beginning of a progressive one.

    Whatever is raised is a bug.
    """
    try:
        osd = container.unpack(data)
        assert container.pack(osd) == data, "a second form of the same fields"
        symbols = decode_symbols(osd, prior)
    except FormatError as error:
        if shows(data, prior):
            return "shown"
        return "section" if "section" in error.field else error.field
    y = symbols.y16 / 16
    qualities = qualities_of(osd, prior.profile)
    again, _ = prior.encode(y, symbols.hyper, symbols.tokens, osd.quality, qualities, osd.progressive, symbols.base)
    assert again == osd.payload, "a second form of the same symbols"
    return "decoded"


def shows(data: bytes, prior: Prior) -> bool:
    """Whether what was refused has something to show as a beginning, whatever it is."""
    try:
        decode_symbols(container.unpack_prefix(data), prior)
    except FormatError:
        return False
    return True


def pictured(data: bytes, prior: Prior, decoder: Decoder) -> str:
    """As `attack`; what can be decoded goes through the networks too, unless it is large."""
    outcome = attack(data, prior)
    if outcome == "decoded":
        osd = container.unpack(data)
        if osd.width * osd.height <= PIXELS:
            try:
                assert decoder.decode(data).size == (osd.width, osd.height)
            except OsdError as error:  # of another model, or a section that only pixels ask for
                return f"refused: {type(error).__name__}"
            return "pictured"
    return outcome


def run(
    count: int,
    seed: int,
    folder: Path = VECTORS / "conformance",
    crashes: Path | None = None,
    device: Device | None = None,
) -> dict:
    """Attacks with `count` files: outcomes, how often each; crashes; slowest in seconds; memory in MiB that it grew by.

    device: where the networks run on what can be decoded; by default symbols are all.
    """
    prior = exact_prior(folder)
    folders = [folder, folder.parent / "progressive"] if folder.name == "conformance" else [folder]
    seeds = [path.read_bytes() for each in folders for path in sorted(each.glob("*.osd"))]
    for data in seeds:
        attack(data, prior)
    if device is None:
        return _attack_all(count, files(seeds, seed), lambda data: attack(data, prior), crashes)
    decoder = Decoder(device, folder)
    return _attack_all(count, files(seeds, seed), lambda data: pictured(data, prior, decoder), crashes)


def _attack_all(count: int, cases: Iterator[bytes], attack: Callable[[bytes], str], crashes: Path | None) -> dict:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes, failures, slowest = Counter[str](), list[str](), 0.0
    for _, data in zip(range(count), cases, strict=False):
        start = time.perf_counter()
        try:
            outcomes[attack(data)] += 1
        except Exception as error:
            failures.append(f"{type(error).__name__}: {error}")
            if crashes:
                crashes.mkdir(parents=True, exist_ok=True)
                (crashes / f"{hashlib.sha256(data).hexdigest()[:12]}.osd").write_bytes(data)
        slowest = max(slowest, time.perf_counter() - start)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {"outcomes": dict(outcomes.most_common()), "crashes": failures, "slowest": slowest, "memory": grown}


def inputs_of_join(seeds: list[list[bytes]], seed: int) -> Iterator[bytes]:
    """Endless: what a file that is given to `osdc join` may hold; packets with some lost, damaged, false or mixed."""
    draw = random.Random(seed)
    while True:
        chosen = draw.choice(seeds)
        packets = draw.sample(chosen, draw.randrange(1, len(chosen) + 1))
        if draw.random() < 0.2:
            packets += draw.sample(draw.choice(seeds), 1)
        for _ in range(draw.choice((0, 0, 1, 2, 5))):
            at = draw.randrange(len(packets))
            body = mutated(draw, [packets[at] + bytes(2)])  # it takes four bytes away; two are the checksum
            checksum = crc16(body).to_bytes(2, "little") if draw.random() < 0.8 else draw.randbytes(2)
            packets[at] = body + checksum
        if draw.random() < 0.15:  # all of one mind that the file has another length
            length = (draw.randrange(1, 2000) if draw.random() < 0.8 else draw.getrandbits(23)).to_bytes(3, "little")
            bodies = [packet[:3] + length + packet[6:-2] for packet in packets]
            packets = [body + crc16(body).to_bytes(2, "little") for body in bodies]
        match draw.randrange(4):
            case 0:
                yield b"".join(to_text(packet).encode() + b"\n" for packet in packets)
            case 1:
                yield draw.choice(packets)
            case _:
                stream = bytearray(to_stream(packets))
                if draw.random() < 0.3:
                    stream[draw.randrange(len(stream))] ^= 1 << draw.randrange(8)
                yield bytes(stream[: draw.randrange(1, len(stream) + 1)] if draw.random() < 0.2 else stream)


def attack_join(content: bytes) -> str:
    """What became of it: "whole", "beginning", or what it was refused for. Whatever else is raised is a bug."""
    try:
        transfer = arrivals(candidates(content)).only()
        whole = transfer.whole()
        if whole is None:
            data = transfer.beginning()
            container.unpack_prefix(data)
    except FormatError as error:
        return f"refused for its {error.field.partition(' ')[0]}"
    except InputError as error:
        return "mixed" if "mixed" in str(error) else "no packets"
    assert whole is None or (len(whole) == transfer.length and crc16(whole) == transfer.file_id)
    return "beginning" if whole is None else "whole"


def run_joins(count: int, seed: int, crashes: Path | None = None) -> dict:
    """As `run`, for the packets of whole files."""
    files = [path.read_bytes() for path in sorted((VECTORS / "progressive").glob("whole*.osd"))]
    seeds = [split(data, packet, repair) for data in files for packet in (18, 40, 200) for repair in (0, 0.5)]
    return _attack_all(count, inputs_of_join(seeds, seed), attack_join, crashes)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.checks.fuzz", description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--joins", type=int, default=0, help="so many inputs of osdc join, and no files")
    parser.add_argument("--vectors", type=Path, default=VECTORS / "conformance", help="folder of vectors to mutate")
    parser.add_argument("--device", choices=DEVICES, help="run the networks there on what can be decoded")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--crashes", type=Path, default=Path("crashes"))
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    cases = options.joins or options.files
    if options.joins:
        result = run_joins(cases, options.seed, crashes=options.crashes)
    else:
        result = run(cases, options.seed, options.vectors, options.crashes, options.device)
    view = Table("outcome" if options.joins else "refused for its", "files")
    for outcome, count in result["outcomes"].items():
        view.add_row(outcome, f"{count:,}")
    Console().print(view)
    print(
        f"{cases:,} files in {time.perf_counter() - start:.0f} s: {len(result['crashes'])} crashes, slowest "
        f"{result['slowest']:.2f} s, memory grew by {result['memory']:.0f} MiB"
    )
    if result["crashes"]:
        sys.exit("\n".join([f"kept in {options.crashes}:", *sorted(set(result["crashes"]))]))


if __name__ == "__main__":
    run_command(main)
