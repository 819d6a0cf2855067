"""From the bytes of an .osd file to its symbols, in plain Python: the text of osd-1.md as a program.

    python spec/reference.py weights.safetensors file.osd [--partial]

prints the shapes of the symbols and their SHA-256; --partial: of the beginning of a progressive file too. It needs the standard library only, knows nothing of the package,
and takes integers of any size for granted. Slow: a quarter of a minute for 768x512. Any defect is a ValueError.
"""

import hashlib
import json
import re
import struct
import sys
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import crc_hqx
from itertools import combinations, pairwise
from operator import mul, sub

# ---------------------------------------------------------------------------------------------------------------- file


def unpack(data: bytes, partial: bool = False) -> tuple[bytes, int, int, int, bytes, bytes, bool, int]:
    """The bytes of a file -> model id, width, height, quality, payload, section G (empty if there is none), whether it is
    progressive, and how many bytes of the payload are missing in front of it.

    partial: the beginning of a progressive file will do; nothing behind its payload is looked at.
    """
    require(len(data) >= 16 and data[:4] == b"\x8fOSD", "magic")
    require(data[4] >> 4 == 1 and data[4] & 0x08 == 0, "version or flags")
    progressive, body = bool(data[4] & 2), data[:-4]
    whole = zlib.crc32(body) == int.from_bytes(data[-4:], "little")
    require(whole or (partial and progressive), "checksum")
    if not whole:
        body = data
    width, at = leb128(body, 9)
    height, at = leb128(body, at)
    require(1 <= width <= 65535 and 1 <= height <= 65535 and at < len(body), "size")
    quality, at = body[at], at + 1
    payload, missing, found = body[at:], 0, {}
    if progressive:
        length, at = leb128(body, at)
        needed, at = leb128(body, at) if data[4] & 1 else (0, at)
        behind = at + needed
        require(take(body, behind, 2) == crc_hqx(body[:behind], 0xFFFF).to_bytes(2, "little"), "checksum of the head")
        found, at = sections(body[:behind], at, width, height, quality), behind + 2
        require(all(kind.isupper() for kind in found), "section before the payload")
        missing = 0 if whole else max(0, at + length - len(body))
        payload = take(body, at, length - missing)[::-1]
        if whole:
            others = sections(body, at + length, width, height, quality)
            require(all(kind.islower() for kind in others), "section behind the payload")
            require(bool(found or others) == data[4] & 1, "no section")
    elif data[4] & 1:
        length, at = leb128(body, at)
        payload = take(body, at, length)
        require(at + length < len(body), "no section")
        found = sections(body, at + length, width, height, quality)
    require(not payload.endswith(b"\0"), "zero byte at the top of the stack")
    return data[5:9], width, height, quality, payload, found.get(b"G", b""), progressive, missing


def sections(body: bytes, at: int, width: int, height: int, quality: int) -> dict[bytes, bytes]:
    """The sections from offset `at` to the end."""
    found: dict[bytes, bytes] = {}
    while at < len(body):
        kind = body[at : at + 1]
        require(kind in (b"A", b"G") or (kind.isalpha() and kind.islower()), "section type")
        require(kind not in found, "section type, a second time")
        length, at = leb128(body, at + 1)
        content, at = take(body, at, length), at + length
        found[kind] = content
        require(kind != b"A" or alpha_is(content, width, height), "alpha")
        if kind == b"G":
            require(content and content[0] < quality and boxes(content, width, height), "regions")
        require(kind != b"p" or flat_background_is(content), "flat background")
        require(kind != b"o" or original_is(content, width, height), "original size")
    return found


def original_is(content: bytes, width: int, height: int) -> bool:
    """Whether a section o holds two numbers, a size no smaller than that of the picture, and another one."""
    across, at = leb128(content, 0)
    down, at = leb128(content, at)
    larger = width <= across <= 65535 and height <= down <= 65535 and (across, down) != (width, height)
    return at == len(content) and larger


def flat_background_is(content: bytes) -> bool:
    """Whether a section p has 1 to 8 colours that lie farther apart than their tolerances together."""
    colours = [content[i : i + 4] for i in range(0, len(content), 4)]
    return (
        1 <= len(colours) <= 8
        and len(content) % 4 == 0
        and all(max(map(abs, map(sub, a[1:], b[1:]))) > a[0] + b[0] for a, b in combinations(colours, 2))
    )


def boxes(gains: bytes, width: int, height: int) -> list[list[int]]:
    """The boxes of a section G: left, top, width, height in units of 32 pixels."""
    numbers, at = [], 1
    while at < len(gains):
        number, at = leb128(gains, at)
        numbers.append(number)
    found = [numbers[i : i + 4] for i in range(0, len(numbers), 4)]
    require(
        len(numbers) % 4 == 0 and len(found) <= 255 and all(one < two for one, two in pairwise(found)), "order of boxes"
    )
    for x, y, w, h in found:
        require(w > 0 and h > 0 and x + w <= -(-width // 32) and y + h <= -(-height // 32), "box")
    return found


def alpha_is(content: bytes, width: int, height: int) -> bool:
    """Whether a section A is by its own header a picture of this size: a lossless WebP or a grey PNG of 8 bits."""
    if content[:4] == b"RIFF" and len(content) >= 25:
        file, kind, chunk, signature, sides = struct.unpack("<4xI8sIBI", content[:25])
        whole = len(content) == 8 + file == 20 + chunk + chunk % 2
        size = (sides & 0x3FFF) + 1, (sides >> 14) + 1
        return kind == b"WEBPVP8L" and whole and signature == 0x2F and sides < 2**28 and size == (width, height)
    header = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", width, height, 8, 0, 0, 0, 0)
    return content[: len(header)] == header


def leb128(data: bytes, at: int) -> tuple[int, int]:
    """The number at offset `at`, and the offset behind it."""
    value = 0
    for i in range(5):
        require(at + i < len(data), "number cut short")
        byte = data[at + i]
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            require(byte > 0 or i == 0, "number not in the shortest form")
            return value, at + i + 1
    raise ValueError("number too long")


def take(data: bytes, at: int, length: int) -> bytes:
    require(at + length <= len(data), "cut short")
    return data[at : at + length]


def require(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(what)


# ---------------------------------------------------------------------------------------------------------------- rANS


START = 2**16


class Stack:
    """A stack of symbols: 64-bit state, 32-bit words, frequencies that sum to 2**24.

    missing: bytes at its bottom that are not known; a word with one of them is not known either.
    """

    def __init__(self, payload: bytes = START.to_bytes(4, "little"), missing: int = 0) -> None:
        payload, self.missing = payload[-missing % 4 :], missing
        payload += bytes(-len(payload) % 4)
        self.words = [word for (word,) in struct.iter_unpack("<I", payload)]
        self.state = 0
        for _ in range(min(2, len(self.words))):
            self.state = self.state << 32 | self.words.pop()

    def ends_here(self) -> bool:
        """Whether the next symbol depends on a word that is not known."""
        return self.missing > 0 and self.state < 2**32 and not self.words

    def pop(self, counts: list[int]) -> int:
        require(not self.ends_here(), "too little for a first picture")
        quantile, start, symbol = self.state & 0xFFFFFF, 0, 0
        while start + counts[symbol] <= quantile:
            start += counts[symbol]
            symbol += 1
        self.state = (self.state >> 24) * counts[symbol] + quantile - start
        if self.state < 2**32 and self.words:
            self.state = self.state << 32 | self.words.pop()
        return symbol

    def push(self, symbol: int, counts: list[int]) -> None:
        if self.state >> 40 >= counts[symbol]:
            self.words.append(self.state & 0xFFFFFFFF)
            self.state >>= 32
        self.state = (self.state // counts[symbol] << 24) + sum(counts[:symbol]) + self.state % counts[symbol]

    def to_bytes(self) -> bytes:
        return (struct.pack(f"<{len(self.words)}I", *self.words) + self.state.to_bytes(8, "little")).rstrip(b"\0")


# ------------------------------------------------------------------------------------------------------------- weights

FORMATS = {"I16": "h", "I32": "i"}


def read_safetensors(data: bytes) -> dict[str, tuple[str, list[int], bytes]]:
    """The bytes of a safetensors file -> name: (type, shape, bytes)."""
    start = 8 + int.from_bytes(data[:8], "little")
    tensors = {}
    for name, entry in json.loads(data[8:start]).items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            tensors[name] = entry["dtype"], entry["shape"], data[start + begin : start + end]
    return tensors


def integers(tensors: dict, name: str) -> list:
    """A tensor of integers as nested lists."""
    kind, shape, data = tensors[name]
    require(kind in FORMATS, f"{name} holds no integers")
    values = list(struct.unpack(f"<{len(data) // struct.calcsize(FORMATS[kind])}{FORMATS[kind]}", data))
    for size in reversed(shape[1:]):
        values = [values[i : i + size] for i in range(0, len(values), size)]
    return values


LAYERS = r"(hyper_scale\.[01]|hyper_synthesis\.[012]|context\.[0123]\.([01]|mean|scale))\.(weight|bias|rescale)"
KNOWN = re.compile(rf"prior\.(tables|token_tables|stride|base_table|base_factor|{LAYERS})")


def model_id(tensors: dict) -> bytes:
    """First 4 bytes of a SHA-256 over the tensors that fix the symbols."""
    prefixes = ("code.",) if "code.table" in tensors else ("prior.", "gains.")
    normative = {name: tensor for name, tensor in tensors.items() if name.startswith(prefixes)}
    if "code.table" not in tensors:
        normative["codebook"] = tensors["semantics.codebook"]
    if "base.codebook" in tensors and "code.table" not in tensors:
        normative["base.codebook"] = tensors["base.codebook"]
    digest = hashlib.sha256()
    for name, (kind, shape, data) in sorted(normative.items()):
        digest.update(f"{name}\0{kind}\0{','.join(map(str, shape))}\0".encode() + data)
    return digest.digest()[:4]


# -------------------------------------------------------------------------------------------- integer prior: one layer

# A grid is a list of channels, a channel a list of rows, a row a list of integers.


def layer(tensors: dict, name: str, grid: list) -> list:
    """clamp(floor((conv(grid) + bias) * m / 2**s), low, high), with zeros around the grid"""
    weight, bias = integers(tensors, f"prior.{name}.weight"), integers(tensors, f"prior.{name}.bias")
    m, s, low, high = integers(tensors, f"prior.{name}.rescale")
    kernels = [[w for channel in kernel for row in channel for w in row] for kernel in weight]
    size, height, width = len(weight[0][0]), len(grid[0]), len(grid[0][0])
    require(len(weight[0]) == len(grid), f"channels of {name}")
    beside, above = [0] * (size // 2), [[0] * (width + size - 1)] * (size // 2)
    padded = [above + [beside + row + beside for row in channel] + above for channel in grid]
    result = [[[0] * width for _ in range(height)] for _ in kernels]
    for i in range(height):
        for j in range(width):
            patch = [x for channel in padded for row in channel[i : i + size] for x in row[j : j + size]]
            for out, (kernel, b) in enumerate(zip(kernels, bias, strict=True)):
                total = sum(map(mul, kernel, patch)) + b
                result[out][i][j] = min(max(total * m >> s, low), high)  # >> rounds down, below zero too
    return result


def shuffle(grid: list) -> list:
    """Four channels become one of twice the size: the values (i, j) of c come from channel 4 c + 2 (i % 2) + j % 2."""
    height, width = 2 * len(grid[0]), 2 * len(grid[0][0])
    return [
        [[grid[c + 2 * (i % 2) + j % 2][i // 2][j // 2] for j in range(width)] for i in range(height)]
        for c in range(0, len(grid), 4)
    ]


# ------------------------------------------------------------------------------------------------ integer prior: walk


PASSES = (0,)
PROGRESSIVE_PASSES = (36, 28, 20, 14, 0)


def symbols(
    tensors: dict,
    payload: bytes,
    quality: int,
    h: int,
    w: int,
    qualities: list | None = None,
    progressive: bool = False,
    missing: int = 0,
) -> tuple[list, ...]:
    """A payload -> tokens [K], base [hb][wb] if the model has one, hyper [C_h][hh][hw], latent [C_y][h][w], y16 [C_y][h][w]; qualities
    [h][w] with regions"""
    require(all(KNOWN.fullmatch(name) for name in tensors if name.startswith("prior.")), "unknown tensor of the prior")
    stack = Stack(payload, missing)
    tables = integers(tensors, "prior.tables")
    limit = len(tables[0]) // 2

    tokens = [stack.pop(counts) for counts in integers(tensors, "prior.token_tables")]

    base = []
    require(("prior.base_table" in tensors) == ("prior.base_factor" in tensors), "half a base")
    if "prior.base_table" in tensors:
        table, (factor,) = integers(tensors, "prior.base_table"), integers(tensors, "prior.base_factor")
        base = [[[stack.pop(table) for _ in range(-(-w // factor))] for _ in range(-(-h // factor))]]

    hh, hw = -(-h // 4), -(-w // 4)
    rows = layer(tensors, "hyper_scale.1", layer(tensors, "hyper_scale.0", [[[quality]]]))
    hyper = [[[stack.pop(tables[row]) - limit for _ in range(hw)] for _ in range(hh)] for ((row,),) in rows]

    qualities = qualities or [[quality] * w for _ in range(h)]
    cells = [[min(min(row[j : j + 4]) for row in qualities[i : i + 4]) for j in range(0, w, 4)] for i in range(0, h, 4)]
    features = [*hyper, cells]
    features = shuffle(layer(tensors, "hyper_synthesis.0", features))
    features = shuffle(layer(tensors, "hyper_synthesis.1", features))
    features = layer(tensors, "hyper_synthesis.2", features)
    features = [[row[:w] for row in channel[:h]] for channel in features]

    channels = len(integers(tensors, "prior.context.0.mean.bias"))
    places = [(c, i, j) for c in range(channels) for i in range(h) for j in range(w)]
    latent, y16, seen = ([[[0] * w for _ in range(h)] for _ in range(channels)] for _ in range(3))
    decided = set()
    for least in PROGRESSIVE_PASSES if progressive else PASSES:
        for group, phase in enumerate((0, 3, 1, 2)):
            hidden = layer(tensors, f"context.{group}.0", features + seen)
            hidden = layer(tensors, f"context.{group}.1", hidden)
            mean = layer(tensors, f"context.{group}.mean", hidden)
            rows = layer(tensors, f"context.{group}.scale", hidden)
            members = [(c, i, j) for c, i, j in places if 2 * (i % 2) + j % 2 == phase ^ (c * 4 // channels)]
            chosen = [(c, i, j) for c, i, j in members if (c, i, j) not in decided and rows[c][i][j] >= least]
            if progressive:
                chosen.sort(key=lambda place: -rows[place[0]][place[1]][place[2]])  # equal ones keep their order
            for c, i, j in members:
                if (c, i, j) not in decided:
                    y16[c][i][j] = mean[c][i][j]
            for c, i, j in chosen:
                if stack.ends_here():
                    break
                latent[c][i][j] = stack.pop(tables[rows[c][i][j]]) - limit
                y16[c][i][j] = 16 * latent[c][i][j] + mean[c][i][j]
                decided.add((c, i, j))
            for c, i, j in members:
                seen[c][i][j] = y16[c][i][j]
        if stack.ends_here():
            break
        seen = [[[0] * w for _ in range(h)] for _ in range(channels)]
    require(missing > 0 or (stack.state == START and not stack.words), "the stack does not end with the last symbol")
    return tokens, *base, hyper, latent, y16


def indices(tensors: dict, payload: bytes, width: int, height: int) -> list:
    """A payload of a code of indices -> [h][w]"""
    (stride,), table, stack = integers(tensors, "code.stride"), integers(tensors, "code.table"), Stack(payload)
    require(stride > 16 or 16 % max(stride, 1) == 0, "a stride that does not divide 16")
    whole = max(stride, 16)
    h, w = (-(-side // whole) * whole // stride for side in (height, width))
    grid = [[stack.pop(table) for _ in range(w)] for _ in range(h)]
    require(stack.state == START and not stack.words, "the stack does not end with the last symbol")
    return grid


def decode(tensors: dict, file: bytes, partial: bool = False) -> tuple[list, ...]:
    """The bytes of an .osd file -> tokens, base, hyper, latent, y16 as `symbols` gives them, or indices; partial: as for `unpack`."""
    name, width, height, quality, payload, gains, progressive, missing = unpack(file, partial)
    require("code.table" not in tensors or not any(name.startswith("prior.") for name in tensors), "two codes")
    require(name == model_id(tensors), f"the file is of model {name.hex()}, not that of the weights")
    if "code.table" in tensors:
        require([quality] == integers(tensors, "code.quality") and not gains and not progressive, "not of its model")
        return (indices(tensors, payload, width, height),)
    (stride,) = integers(tensors, "prior.stride") if "prior.stride" in tensors else (32,)
    h, w = -(-height // stride), -(-width // stride)
    qualities = [[quality] * w for _ in range(h)]
    for left, top, across, down in boxes(gains, width, height) if gains else []:
        for i in range(top * 32 // stride, min(h, -(-(top + down) * 32 // stride))):
            for j in range(left * 32 // stride, min(w, -(-(left + across) * 32 // stride))):
                qualities[i][j] = gains[0]
    return symbols(tensors, payload, quality, h, w, qualities, progressive, missing)


def flatten(values: list) -> list[int]:
    return [x for value in values for x in flatten(value)] if isinstance(values[0], list) else values


def digest(arrays: tuple) -> str:
    """SHA-256 over all of `decode` as little-endian 32-bit integers."""
    flat = [x for array in arrays for x in flatten(array)]
    return hashlib.sha256(struct.pack(f"<{len(flat)}i", *flat)).hexdigest()


# ------------------------------------------------------------------------------------------------------------- packets


def read_packet(data: bytes) -> tuple[int, int, int, int, bytes]:
    """One packet, as packets-1.md has it -> kind, file id, length of the file, index, data."""
    require(len(data) > 10 and data[0] >> 4 == 0xB and data[0] & 15 <= 2, "not a packet")
    require(crc_hqx(data[:-2], 0xFFFF) == int.from_bytes(data[-2:], "little"), "checksum of a packet")
    kind, (name, low, high, index) = data[0] & 15, struct.unpack("<HHBH", data[1:8])
    length, content = high << 16 | low, data[8:-2]
    require(1 <= length < 2**23, "length of the file")
    size = piece_size(kind, length, index, len(content))
    if kind == 1:
        require(length == index * size + len(content) if index else length == len(content), "last piece")
        require(size >= len(content), "last piece")
    count = -(-length // size)
    if kind == 0:
        require(index < count - 1 < 2**16, "piece")
    if kind == 2:
        require(size % 8 == 0 and count <= min(index, 56403) and size <= -(-length // 8) * 8, "repair symbol")
    return kind, name, length, index, content


def piece_size(kind: int, length: int, index: int, data: int) -> int:
    """T, from a packet of a file of `length` bytes with so many bytes of data."""
    if kind != 1:
        return data
    return (length - data) // index if index else -(-length // 8) * 8


def join(packets: list[bytes]) -> bytes:
    """Packets of one file in any order -> the file, or what has arrived of its beginning. Repair symbols are left out."""
    (((name, length, _), members), *others) = gather(packets).items()
    require(not others, "packets of one file")
    return put_together(name, length, members)


def files(packets: list[bytes]) -> list[bytes]:
    """Packets of any files in any order -> the files of which all pieces are there."""
    found = [(length, put_together(name, length, members)) for (name, length, _), members in gather(packets).items()]
    return [data for length, data in found if len(data) == length]


def put_together(name: int, length: int, members: list[tuple[int, int, bytes]]) -> bytes:
    pieces: dict[int, bytes] = {}
    for kind, index, content in members:
        if kind < 2:
            require(pieces.setdefault(index, content) == content, "other data under one index")
    found, index = b"", 0
    while index in pieces:
        found, index = found + pieces[index], index + 1
    require(len(found) < length or crc_hqx(found, 0xFFFF) == name, "file id")
    return found


def gather(packets: list[bytes]) -> dict[tuple[int, int, int], list[tuple[int, int, bytes]]]:
    """Packets of any files -> for each file id, F and T the kind, index and data of its packets."""
    found: dict[tuple[int, int, int], list[tuple[int, int, bytes]]] = {}
    for packet in packets:
        kind, name, length, index, content = read_packet(packet)
        size = piece_size(kind, length, index, len(content))
        found.setdefault((name, length, size), []).append((kind, index, content))
    return found


TEXT = re.compile(rb"[A-Za-z0-9_-]+")


def read_packets(content: bytes) -> list[bytes]:
    """The content of a file or pipe -> what may be packets: it is one, has them as lines of text, or is a stream of them."""
    try:
        read_packet(content)
    except ValueError:
        pass
    else:
        return [content]
    if content.isascii():
        return [from_text(line) for line in content.split() if is_text(line)]
    found, at = [], 0
    while at + 2 < len(content):
        length = int.from_bytes(content[at : at + 2], "little")
        found.append(content[at + 2 : at + 2 + length])
        at += 2 + length
    return found


def from_text(line: bytes) -> bytes:
    return urlsafe_b64decode(line + b"=" * (-len(line) % 4))


def is_text(line: bytes) -> bool:
    """Whether a line is base64url without padding, of whole bytes, whose last character has no bit too many."""
    if not TEXT.fullmatch(line) or len(line) % 4 == 1:
        return False
    return urlsafe_b64encode(from_text(line)).rstrip(b"=") == line


def main(weights: str, file: str, option: str = "") -> None:
    with open(weights, "rb") as source:
        tensors = read_safetensors(source.read())
    with open(file, "rb") as source:
        arrays = decode(tensors, source.read(), option == "--partial")
    kinds = {1: ("indices",), 4: ("tokens", "hyper", "latent", "y16"), 5: ("tokens", "base", "hyper", "latent", "y16")}
    names = kinds[len(arrays)]
    for part, array in zip(names, arrays, strict=True):
        shape = []
        while isinstance(array, list):
            shape.append(len(array))
            array = array[0]
        print(part, "x".join(map(str, shape)))
    print("sha256", digest(arrays))


if __name__ == "__main__":
    main(*sys.argv[1:])
