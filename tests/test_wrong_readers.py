"""Every vector that must be refused breaks one thing only, and every reader that is wrong in one place fails a vector.

A wrong reader is spec/reference.py with a few characters of its text changed. For each of them its vectors are listed: it takes a
file that must be refused, refuses one that must be read, or reads other symbols. And each vector that must be refused stands
with some reader, which but for one check is right, and takes it: so nothing else is wrong with the file.
"""

import json
import types
from functools import cache
from pathlib import Path

import pytest

SPEC = Path(__file__).parents[1] / "spec"
VECTORS = SPEC / "vectors"
SOURCE = (SPEC / "reference.py").read_text("utf-8")
LISTS = {path.parent.name: json.loads(path.read_text("utf-8")) for path in sorted(VECTORS.glob("*/vectors.json"))}

Change = tuple[str, str]  # what stands in reference.py, and what stands there instead
# Wrong reader: its changes, and the vectors that it fails.
READERS: dict[str, tuple[list[Change], str]] = {
    # ------------------------------------------------------------------------------------------- magic, version, flags
    "magic by its first byte": (
        [('data[:4] == b"\\x8fOSD"', "data[0] == 0x8F")],
        "container/magic-1 container/magic-2 container/magic-3",
    ),
    "magic without its first byte": ([('data[:4] == b"\\x8fOSD"', 'data[1:4] == b"OSD"')], "symbols/magic"),
    "any version": ([("data[4] >> 4 == 1 and ", "")], "symbols/version container/version-0"),
    "version 0": ([("data[4] >> 4 == 1", "data[4] >> 4 <= 1")], "container/version-0"),
    "reserved flag": ([(" and data[4] & 0x08 == 0", "")], "symbols/flag-bit-3"),
    "grey without sections": (
        [("data[4] & 0x08 == 0", "data[4] & 0x0F not in (5, 7)")],
        "container/grey-sections container/all-flags",
    ),
    "no three flags at once": ([("data[4] & 0x08 == 0", "data[4] & 0x0F < 7")], "container/all-flags"),
    # -------------------------------------------------------------------------------------------------- size, numbers
    "width 0": ([("1 <= width <= 65535", "width <= 65535")], "symbols/width-0 indices/width-0"),
    "width 65536": ([("1 <= width <= 65535", "1 <= width")], "symbols/width-65536 indices/width-65536"),
    "height unchecked": (
        [("1 <= height <= 65535", "True")],
        "container/height-0 indices/height-0 indices/height-65536",
    ),
    "numbers in long forms": (
        [('require(byte > 0 or i == 0, "number not', 'require(True, "number not')],
        "symbols/leb128-long-form container/leb128-zero",
    ),
    "0 as 80 00": ([("byte > 0 or i == 0", "byte > 0 or value == 0")], "container/leb128-zero"),
    "numbers of six bytes": ([("for i in range(5)", "for i in range(6)")], "beginnings/length-of-six-bytes"),
    "numbers by shifts of 32 bits": (
        [("value |= (byte & 0x7F) << 7 * i", "value = (value | (byte & 0x7F) << 7 * i) & 0xFFFFFFFF")],
        "container/width-beyond-32-bits container/section-beyond-32-bits container/payload-beyond-32-bits beginnings/length-beyond-32-bits",
    ),
    # ------------------------------------------------------------------------------------------------------- checksum
    "no checksum": ([("    whole = zlib", "    whole = True or zlib")], "symbols/checksum symbols/cut-in-section"),
    # ------------------------------------------------------------------------------------------------------- sections
    "types from [ on": (
        [("(kind.isalpha() and kind.islower())", 'kind > b"Z"')],
        "container/type-5b container/type-7b container/type-e4",
    ),
    "types from a on": ([("(kind.isalpha() and kind.islower())", 'kind >= b"a"')], "container/type-7b"),
    "types that are no letters": (
        [("(kind.isalpha() and kind.islower())", "not kind.isupper()")],
        "symbols/not-a-letter container/type-40",
    ),
    "unknown upper case": (
        [("(kind.isalpha() and kind.islower())", "kind.isalpha()")],
        "symbols/upper-case-section container/upper-case-h container/upper-case-z",
    ),
    "unknown upper case but B": (
        [("(kind.isalpha() and kind.islower())", '(kind.isalpha() and kind != b"B")')],
        "container/upper-case-h container/upper-case-z",
    ),
    "types twice": (
        [("kind not in found", "True")],
        "symbols/section-twice container/alpha-twice container/regions-twice",
    ),
    "A or G twice": (
        [("kind not in found", "kind not in found or kind.isupper()")],
        "container/alpha-twice container/regions-twice",
    ),
    "sections cut at the end": (
        [("content, at = take(body, at, length), at + length", "content, at = body[at : at + length], at + length")],
        "symbols/section-too-long",
    ),
    "flag 0 without sections": ([('require(at + length < len(body), "no section")', "")], "symbols/no-section"),
    "payload cut at the end": (
        [
            (
                'payload = take(body, at, length)\n        require(at + length < len(body), "no section")',
                "payload = body[at : at + length]",
            )
        ],
        "symbols/payload-length",
    ),
    "sections in one order": (
        [("kind not in found", "kind not in found and list(found) == sorted(found)")],
        "container/sections-in-any-order",
    ),
    "no empty section": (
        [("found[kind] = content", 'found[kind] = content\n        require(length, "empty")')],
        "container/empty-section",
    ),
    # ---------------------------------------------------------------------------------------------------------- alpha
    "alpha unchecked": (
        [('kind != b"A" or alpha_is(content, width, height)', "True")],
        "symbols/alpha-of-another-size symbols/alpha-of-another-kind beginnings/alpha",
    ),
    "alpha of any width": ([("size == (width, height)", "size[1] == height")], "container/alpha-webp-width"),
    "alpha of any height": ([("size == (width, height)", "size[0] == width")], "container/alpha-webp-height"),
    "PNG alpha of any width": (
        [
            (
                'struct.pack(">I4sIIBBBBB", 13, b"IHDR", width,',
                'struct.pack(">I4sIIBBBBB", 13, b"IHDR", int.from_bytes(content[16:20], "big"),',
            )
        ],
        "symbols/alpha-of-another-size",
    ),
    "PNG alpha of any height": (
        [('b"IHDR", width, height,', 'b"IHDR", width, int.from_bytes(content[20:24], "big"),')],
        "container/alpha-png-height",
    ),
    "PNG alpha of any kind": (
        [("content[: len(header)] == header", "content[:24] == header[:24]")],
        "container/alpha-png-16-bits container/alpha-png-of-two-channels container/alpha-png-interlaced",
    ),
    "no PNG alpha": ([("return content[: len(header)] == header", "return False")], "container/alpha-png"),
    "WebP of any length": (
        [("len(content) == 8 + file == 20 + chunk + chunk % 2", "len(content) == 20 + chunk + chunk % 2")],
        "container/alpha-webp-length",
    ),
    "WebP of several chunks": (
        [("len(content) == 8 + file == 20 + chunk + chunk % 2", "len(content) == 8 + file")],
        "container/alpha-webp-of-two-chunks",
    ),
    "WebP of even chunks": ([("20 + chunk + chunk % 2", "20 + chunk")], "container/alpha-webp-odd"),
    "WebP of any chunk": ([('kind == b"WEBPVP8L"', 'kind[:4] == b"WEBP"')], "container/alpha-webp-extended"),
    "WebP without signature": ([("signature == 0x2F", "True")], "container/alpha-webp-signature"),
    "WebP of any version": (
        [("sides < 2**28", "True"), ("(sides >> 14) + 1", "(sides >> 14 & 0x3FFF) + 1")],
        "container/alpha-webp-version",
    ),
    # -------------------------------------------------------------------------------------------------------- regions
    "regions no better": (
        [("content[0] < quality", "content[0] <= quality")],
        "symbols/regions-no-better beginnings/regions-no-better",
    ),
    "regions without boxes": (
        [
            (
                "content[0] < quality and boxes(content, width, height)",
                "content[0] < quality and boxes(content, width, height) is not None",
            )
        ],
        "symbols/regions-without-boxes",
    ),
    "regions without quality": (
        [
            (
                "content and content[0] < quality and boxes(content, width, height)",
                "not content or (content[0] < quality and boxes(content, width, height))",
            )
        ],
        "container/regions-empty",
    ),
    "boxes cut short": (
        [
            ("len(numbers) % 4 == 0", "True"),
            ("for i in range(0, len(numbers), 4)]", "for i in range(0, len(numbers) // 4 * 4, 4)]"),
        ],
        "symbols/regions-cut-short",
    ),
    "boxes in any order": (
        [("all(one < two for one, two in pairwise(found))", "len({*map(tuple, found)}) == len(found)")],
        "symbols/regions-not-ascending",
    ),
    "boxes twice": ([("one < two for", "one <= two for")], "symbols/regions-equal"),
    "boxes of no width": ([("w > 0 and h > 0 and", "h > 0 and")], "symbols/regions-no-width"),
    "boxes of no height": ([("w > 0 and h > 0 and", "w > 0 and")], "container/regions-no-height"),
    "boxes beyond the right": ([("x + w <= -(-width // 32) and ", "")], "symbols/regions-outside"),
    "boxes beyond the bottom": ([(" and y + h <= -(-height // 32)", "")], "container/regions-below"),
    "any number of boxes": ([("len(found) <= 255 and", "")], "symbols/regions-too-many"),
    "long numbers of boxes": (
        [("number, at = leb128(gains, at)", "number, at = (gains[at] & 127, at + 1 + (gains[at] > 127))")],
        "container/regions-long-form",
    ),
    # --------------------------------------------------------------------------------------------------- original size
    "an original width only": (
        [("down, at = leb128(content, at)", "down, at = leb128(content, at) if at < len(content) else (across, at)")],
        "symbols/original-cut-short",
    ),
    "an original size and more": ([("at == len(content) and larger", "larger")], "symbols/original-too-long"),
    "an original size that is the same": (
        [(" and (across, down) != (width, height)", "")],
        "symbols/original-not-larger",
    ),
    "a smaller original": ([("width <= across <= 65535", "across <= 65535")], "symbols/original-smaller"),
    "an original of any width": ([("width <= across <= 65535", "width <= across")], "symbols/original-too-large"),
    # ------------------------------------------------------------------------------------------------ flat background
    "colours unchecked": (
        [('kind != b"p" or flat_background_is(content)', "True")],
        "symbols/ground-without-colours symbols/ground-cut-short symbols/ground-too-many symbols/ground-too-near",
    ),
    "no colours": ([("1 <= len(colours) <= 8", "len(colours) <= 8")], "symbols/ground-without-colours"),
    "nine colours": ([("1 <= len(colours) <= 8", "1 <= len(colours)")], "symbols/ground-too-many"),
    "colours by red": (
        [("max(map(abs, map(sub, a[1:], b[1:])))", "abs(a[1] - b[1])")],
        "container/colours-apart-in-green container/colours-apart-in-blue",
    ),
    "colours by their sum": (
        [("max(map(abs, map(sub, a[1:], b[1:])))", "sum(map(abs, map(sub, a[1:], b[1:])))")],
        "container/colours-near-in-each",
    ),
    "colours by the least": (
        [("max(map(abs, map(sub, a[1:], b[1:])))", "min(map(abs, map(sub, a[1:], b[1:])))")],
        "container/colours-apart-in-green",
    ),
    "colours beside each other": (
        [("in combinations(colours, 2)", "in pairwise(colours)")],
        "container/colours-first-and-last",
    ),
    "colours at their tolerances": ([("> a[0] + b[0]", ">= a[0] + b[0]")], "symbols/ground-too-near"),
    # -------------------------------------------------------------------------------------------------------- payload
    "zero byte at the top": (
        [('require(not payload.endswith(b"\\0")', "require(True")],
        "symbols/payload-ends-in-zero container/progressive-zero-first beginnings/zero-first",
    ),
    "any end of the stack": (
        [
            (
                'require(missing > 0 or (stack.state == START and not stack.words), "the stack',
                'require(True, "the stack',
            ),
            ('require(stack.state == START and not stack.words, "the stack', 'require(True, "the stack'),
        ],
        "symbols/payload-too-short symbols/payload-too-long symbols/payload-empty symbols/end-of-stack base/another-size base/without-base "
        "cod-lite/short cod-lite/long cod-lite/other-size progressive/bad-end",
    ),
    # ---------------------------------------------------------------------------------------------------- progressive
    "checksum of the head unchecked": (
        [('take(body, behind, 2) == crc_hqx(body[:behind], 0xFFFF).to_bytes(2, "little")', "True")],
        "progressive/bad-head progressive/bad-head-whole",
    ),
    "upper case behind": (
        [("all(kind.islower() for kind in others)", "True")],
        "container/progressive-upper-case-behind",
    ),
    "lower case before": (
        [("all(kind.isupper() for kind in found)", "True")],
        "container/progressive-lower-case-before",
    ),
    "progressive flag 0 without sections": (
        [("bool(found or others) == data[4] & 1", "not others or data[4] & 1")],
        "container/progressive-no-section",
    ),
    "bytes behind a payload": (
        [
            (
                "others = sections(body, at + length, width, height, quality)",
                "others = sections(body, at + length, width, height, quality) if data[4] & 1 else {}",
            )
        ],
        "progressive/bad-longer",
    ),
    "payloads that end early": (
        [("payload = take(body, at, length - missing)[::-1]", "payload = body[at : at + length - missing][::-1]")],
        "progressive/bad-shorter",
    ),
    # ----------------------------------------------------------------------------------------------------- beginnings
    "beginnings of other files": ([("partial and progressive", "partial")], "beginnings/not-progressive"),
    "A and G unchecked in a beginning": (
        [
            (
                "found, at = sections(body[:behind], at, width, height, quality), behind + 2",
                "found, at = (sections(body[:behind], at, width, height, quality) if whole else dict(G(body, at, behind))), behind + 2",
            ),
            (
                "def sections(",
                "def G(body, at, end):\n    while at < end:\n        kind, (length, start) = body[at : at + 1], leb128(body, at + 1)\n        at = start + length\n        yield kind, body[start:at]\n\n\ndef sections(",
            ),
        ],
        "beginnings/alpha beginnings/regions-no-better",
    ),
    "a picture of anything": (
        [('require(not self.ends_here(), "too', 'require(True, "too')],
        "progressive/bad-no-payload progressive/bad-too-little beginnings/within-tokens",
    ),
    "a head that ends early": (
        [
            ('require(not self.ends_here(), "too', 'require(True, "too'),
            ("take(body, behind, 2) == crc_hqx", "body[behind : behind + 2] == crc_hqx"),
            ('to_bytes(2, "little"), "checksum of', 'to_bytes(2, "little")[: len(body) - behind], "checksum of'),
        ],
        "progressive/bad-short-head",
    ),
    "a base that is cut": (
        [
            (
                "stack.pop(table) for _ in range(-(-w // factor))",
                "0 if stack.ends_here() else stack.pop(table) for _ in range(-(-w // factor))",
            ),
            ('require(not self.ends_here(), "too', 'require(True, "too'),
        ],
        "base/cut-in-base",
    ),
    "no cut files with a base": (
        [
            (
                'if "prior.base_table" in tensors:',
                'if "prior.base_table" in tensors:\n        require(not missing, "a cut base")',
            )
        ],
        "base/cut-in-latent",
    ),
    # ---------------------------------------------------------------------------------------------- codes of indices
    "d is 32": (
        [('(stride,), table, stack = integers(tensors, "code.stride")', "(stride,), table, stack = [32]")],
        "indices/odd indices/one-pixel",
    ),
    "equal frequencies": (
        [
            (
                'integers(tensors, "code.table"), Stack(payload)',
                '[2**24 // len(integers(tensors, "code.table"))] * len(integers(tensors, "code.table")), Stack(payload)',
            )
        ],
        "indices/odd",
    ),
    "q is 255": (
        [('[quality] == integers(tensors, "code.quality")', "quality == 255")],
        "indices/odd indices/one-pixel",
    ),
    "any q": ([('[quality] == integers(tensors, "code.quality") and ', "")], "cod-lite/quality"),
    "indices with regions": (
        [(" and not gains and not progressive", " and not progressive")],
        "cod-lite/regions",
    ),
    "progressive indices": (
        [(" and not gains and not progressive", " and not gains")],
        "cod-lite/progressive",
    ),
    "indices by columns": (
        [
            (
                "return (indices(tensors, payload, width, height),)",
                "return ([*map(list, zip(*indices(tensors, payload, width, height)))],)",
            )
        ],
        "indices/odd",
    ),
    "indices of an uncut grid": ([("whole = max(stride, 16)", "whole = stride")], "indices/one-pixel"),
    # -------------------------------------------------------------------------------------------------------- weights
    "unknown tensors of the prior": (
        [('all(KNOWN.fullmatch(name) for name in tensors if name.startswith("prior."))', "True")],
        "unknown-tensor/one-pixel",
    ),
    "two codes at once": (
        [('"code.table" not in tensors or not any(name.startswith("prior.") for name in tensors)', "True")],
        "two-codes/one-pixel",
    ),
    "a stride must be told": ([("else (32,)", "else (64,)")], "arithmetic/odd"),
    "products in single precision": (
        [("(total * m >> s,", "(int(struct.unpack('f', struct.pack('f', total * m))[0]) >> s,")],
        "arithmetic/odd",
    ),
    "sums in single precision": (
        [
            (
                "total = sum(map(mul, kernel, patch)) + b",
                "total = int(struct.unpack('f', struct.pack('f', sum(map(mul, kernel, patch)) + b))[0])",
            )
        ],
        "arithmetic/odd",
    ),
    "shifts towards zero": ([("total * m >> s,", "int(total * m / 2**s),")], "arithmetic/odd"),
}
# The same for readers of packets.
PACKET_READERS: dict[str, tuple[list[Change], str]] = {
    "another mark": ([("data[0] >> 4 == 0xB and ", "")], "bad-mark"),
    "any kind": ([(" and data[0] & 15 <= 2", "")], "bad-kind"),
    "no data": (
        [
            ("len(data) > 10 and", "len(data) > 9 and"),
            ("count = -(-length // size)", "count = -(-length // size) if size else 2"),
        ],
        "bad-empty",
    ),
    "checksum unchecked": (
        [('crc_hqx(data[:-2], 0xFFFF) == int.from_bytes(data[-2:], "little")', "True")],
        "bad-checksum",
    ),
    "cut packets": (
        [
            ('crc_hqx(data[:-2], 0xFFFF) == int.from_bytes(data[-2:], "little")', "True"),
            ('require(length == index * size + len(content) if index else length == len(content), "last piece")', ""),
        ],
        "bad-cut",
    ),
    "any file length": ([("1 <= length < 2**23", "True")], "bad-long"),
    "files of no bytes": (
        [
            ("1 <= length < 2**23", "length < 2**23"),
            (
                'require(length == index * size + len(content) if index else length == len(content), "last piece")',
                "size = 8",
            ),
        ],
        "bad-length",
    ),
    "short files only": ([("1 <= length < 2**23", "1 <= length < 2**16")], "longest most-pieces"),
    "any number of pieces": ([("index < count - 1 < 2**16", "index < count - 1")], "bad-many bad-most-pieces"),
    "a piece more": ([("index < count - 1 < 2**16", "index < count - 1 <= 2**16")], "bad-most-pieces"),
    "a piece less": ([("index < count - 1 < 2**16", "index < count - 1 < 2**16 - 1")], "most-pieces"),
    "the last piece as another": ([("index < count - 1 < 2**16", "index < count <= 2**16")], "bad-piece"),
    "a last piece anywhere": (
        [('require(length == index * size + len(content) if index else length == len(content), "last piece")', "")],
        "bad-last bad-single",
    ),
    "a last piece that is longer": ([('require(size >= len(content), "last piece")', "")], "bad-last-long"),
    "repair at the index of a piece": ([("count <= min(index, 56403)", "count <= 56403")], "bad-repair"),
    "repair of any number of pieces": ([("count <= min(index, 56403)", "count <= index")], "bad-most-repair"),
    "repair of a piece less": ([("min(index, 56403)", "min(index, 56402)")], "most-repair"),
    "repair symbols of any size": ([("size % 8 == 0 and ", "")], "bad-symbol"),
    "repair symbols longer than the file": ([(" and size <= -(-length // 8) * 8", "")], "bad-long-symbol"),
    "a single piece is T": (
        [("if index else -(-length // 8) * 8", "if index else length")],
        "set:that, and its repair symbol",
    ),
    "other data under one index": (
        [
            (
                "require(pieces.setdefault(index, content) == content",
                "pieces.setdefault(index, content)\n            require(True",
            )
        ],
        "set:other data under one index",
    ),
    "any file id": (
        [('require(len(found) < length or crc_hqx(found, 0xFFFF) == name, "file id")', "")],
        "set:a file whose CRC-16 is not its file id",
    ),
    "files mixed": (
        [
            (
                "found.setdefault((name, length, size), [])",
                "found.setdefault(next(iter(found), (name, length, size)), [])",
            )
        ],
        "set:pieces of two files",
    ),
    "T not in the name": (
        [
            (
                "found.setdefault((name, length, size), [])",
                "found.setdefault(next((key for key in found if key[:2] == (name, length)), (name, length, size)), [])",
            )
        ],
        "set:pieces of two lengths",
    ),
    "bits that stand for nothing": (
        [('urlsafe_b64encode(from_text(line)).rstrip(b"=") == line', "True")],
        "text:lines-loose.txt",
    ),
    "lines that end in LF": (
        [("for line in content.split() if", 'for line in content.split(b"\\n") if')],
        "text:lines-crlf.txt",
    ),
    "streams by their first byte": (
        [
            (
                "        read_packet(content)\n    except ValueError:\n        pass\n    else:\n        return [content]",
                "        if content[0] >> 4 == 0xB:\n            return [content]\n    finally:\n        pass",
            )
        ],
        "text:stream-b2.bin",
    ),
}


def reader(changes: list[Change]) -> types.ModuleType:
    """spec/reference.py with some of its text changed."""
    text = SOURCE
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in reference.py"
        text = text.replace(old, new)
    module = types.ModuleType("reader")
    exec(compile(text, "reader", "exec"), vars(module))
    return module


@cache
def wrong_reader(name: str) -> types.ModuleType:
    return reader(READERS[name][0])


@cache
def weights(folder: str) -> dict:
    listed = LISTS[folder]
    path = VECTORS / listed.get("weights", folder) / f"{listed['profile']}.safetensors"
    return reader([]).read_safetensors(path.read_bytes())


@cache
def outcome(name: str, vector: str) -> str:
    """What a wrong reader makes of a file: the digest of the symbols, or "refused"; "crash" for an error that is not the one that a reader promises."""
    module, (folder, file) = wrong_reader(name), vector.split("/")
    data = (VECTORS / folder / f"{file}.osd").read_bytes()
    try:
        return module.digest(module.decode(weights(folder), data, LISTS[folder].get("partial", False)))
    except ValueError:
        return "refused"
    except (IndexError, ZeroDivisionError, TypeError, AttributeError):
        return "crash"


def wanted(vector: str) -> str:
    folder, name = vector.split("/")
    return {
        each["name"]: each.get("symbols", "refused")
        for kind in ("vectors", "refused")
        for each in LISTS[folder].get(kind, [])
    }[name]


@pytest.mark.parametrize("name", READERS)
def test_a_wrong_reader_fails_its_vectors(name):
    assert [vector for vector in READERS[name][1].split() if outcome(name, vector) == wanted(vector)] == []


PACKETS = json.loads((VECTORS / "packets" / "packets.json").read_text("utf-8"))
SETS = {f"set:{each['what']}": each for each in PACKETS["sets"]}
TEXTS = {f"text:{each['file']}": each for each in PACKETS["texts"]}


def packet(name: str) -> bytes:
    return (VECTORS / "packets" / f"{name}.osdp").read_bytes()


def made(module: types.ModuleType, vector: str) -> object:
    """What a reader makes of a packet, of a set of packets or of a text: True for a packet that it takes; "refused"."""
    try:
        if vector in SETS:
            packets = [packet(name) for name in SETS[vector]["packets"]]
            return sorted(module.files(packets)), len(module.gather(packets))
        if vector in TEXTS:
            return module.read_packets((VECTORS / "packets" / TEXTS[vector]["file"]).read_bytes())
        return bool(module.read_packet(packet(vector)))
    except ValueError:
        return "refused"
    except ZeroDivisionError:
        return "crash"


def wanted_of_packets(vector: str) -> object:
    if vector in SETS:
        return made(reader([]), vector)
    if vector in TEXTS:
        names = TEXTS[vector].get("packets")
        return made(reader([]), vector) if names is None else [packet(name) for name in names]
    return "refused" if vector.startswith("bad-") else True


def test_the_reference_reads_packets_as_listed():
    for vector, told in SETS.items():
        files = [(VECTORS / name).read_bytes() for name in told.get("files", [])]
        assert (
            made(reader([]), vector) == "refused"
            if told.get("refused")
            else made(reader([]), vector)[0] == sorted(files)
        )
    for vector, told in TEXTS.items():
        found = made(reader([]), vector)
        if "joined" in told:
            assert reader([]).join(found) == (VECTORS / told["joined"]).read_bytes()
        else:
            assert found == [packet(name) for name in told["packets"]]
    for each in PACKETS["taken"]:
        assert made(reader([]), each["name"]) is True


@pytest.mark.parametrize("name", PACKET_READERS)
def test_a_wrong_reader_of_packets_fails_its_vectors(name):
    changes, vectors = PACKET_READERS[name]
    listed = [vectors] if ":" in vectors else vectors.split()
    assert [vector for vector in listed if made(reader(changes), vector) == wanted_of_packets(vector)] == []


@pytest.mark.parametrize("name", [each["name"] for each in PACKETS["refused"]])
def test_a_packet_that_must_be_refused_breaks_one_thing(name):
    takers = [changes for changes, vectors in PACKET_READERS.values() if name in vectors.split()]
    assert any(made(reader(changes), name) is True for changes in takers)


REFUSED = [f"{folder}/{each['name']}" for folder, listed in LISTS.items() for each in listed.get("refused", [])]


@pytest.mark.parametrize("vector", REFUSED)
def test_a_vector_that_must_be_refused_breaks_one_thing(vector):
    """A reader that lacks one check reads on, to the end of the stack or, of a picture without pixels, until it crashes."""
    takers = [name for name, (_, vectors) in READERS.items() if vector in vectors.split()]
    assert any(outcome(name, vector) != "refused" for name in takers)
