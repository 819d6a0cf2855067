"""The container against literal bytes, and every way to break it."""

import binascii
import re
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from osdcodec.container import MAX_PIXELS, Osd, alpha_size, layout, leb128, pack, unpack, unpack_prefix
from osdcodec.errors import FormatError

PLAIN = bytes.fromhex(
    "8f 4f 53 44"  # magic
    "10"  # version 1, no flags
    "de ad be ef"  # model id
    "80 06"  # width 768
    "80 04"  # height 512
    "c4"  # quality 196
    "01 02 03"  # payload
    "90 0e 5e 14"  # CRC-32, as gzip computes it
)
PLAIN_FIELDS = Osd(bytes.fromhex("deadbeef"), 768, 512, 196, b"\x01\x02\x03")

SECTIONED = bytes.fromhex(
    "8f4f5344 11 00010203 01 ffff03 00"  # sections; 1 x 65535 pixels; quality 0
    "02 00ff"  # payload of two bytes
    "69 03 000000"  # i, three zero bytes
    "65 00"  # e, empty
    "4e 26 f4 3b"
)
SECTIONED_FIELDS = Osd(bytes(range(4)), 1, 65535, 0, b"\x00\xff", (("i", bytes(3)), ("e", b"")))

GREY = bytes.fromhex("8f4f5344 14 00010203 01 01 80 0500ff 54 7b e1 17")
GREY_FIELDS = Osd(bytes(range(4)), 1, 1, 128, b"\x05\x00\xff", grey=True)
PROGRESSIVE = bytes.fromhex(
    "8f 4f 53 44"  # magic
    "12"  # version 1, progressive
    "de ad be ef 80 06 80 04 c4"  # as PLAIN
    "03"  # length of the payload
    "d3 6b"  # CRC-16
    "03 02 01"  # payload, the top of the stack first
    "ab d1 1a d7"
)
PROGRESSIVE_FIELDS = replace(PLAIN_FIELDS, progressive=True)
PROGRESSIVE_SECTIONED = bytes.fromhex(
    "8f4f5344 13 00010203 ac02 c801 5a"  # sections, progressive; 300 x 200 pixels; quality 90
    "03 07"  # lengths of the payload and of the upper-case sections
    "47 05 5000010203"  # G, a box of 2 x 3 units of better quality
    "ec14"  # CRC-16
    "ff0007"  # payload
    "78 04 3c782f3e"  # x, <x/>
    "03e8d3d7"
)
PROGRESSIVE_SECTIONED_FIELDS = Osd(
    bytes(range(4)), 300, 200, 90, b"\x07\x00\xff", (("G", b"\x50\0\1\2\3"), ("x", b"<x/>")), progressive=True
)
FILES = [
    (PLAIN, PLAIN_FIELDS),
    (SECTIONED, SECTIONED_FIELDS),
    (GREY, GREY_FIELDS),
    (PROGRESSIVE, PROGRESSIVE_FIELDS),
    (PROGRESSIVE_SECTIONED, PROGRESSIVE_SECTIONED_FIELDS),
]


def examples_of_the_specification() -> list[bytes]:
    text = Path(__file__).parents[1].joinpath("spec", "osd-1.md").read_text("utf-8")
    return [
        bytes.fromhex("".join(line[:12] for line in block.splitlines()))
        for block in re.findall(r"^```\n(8f 4f.*?)^```", text, re.MULTILINE | re.DOTALL)
    ]


def sealed(body: str) -> bytes:
    """Hex of all but the checksum -> a file whose checksum is right."""
    data = bytes.fromhex(body)
    return data + zlib.crc32(data).to_bytes(4, "little")


@pytest.mark.parametrize(("data", "fields"), FILES)
def test_bytes_are_these(data, fields):
    assert pack(fields).hex(" ") == data.hex(" ")
    assert unpack(data) == fields


def test_examples_of_the_specification():
    plain, sectioned, progressive, vector = examples_of_the_specification()
    assert vector == Path(__file__).parents[1].joinpath("spec/vectors/conformance/one-pixel.osd").read_bytes()
    assert plain == PLAIN
    assert unpack(sectioned) == replace(PLAIN_FIELDS, sections=(("x", b"<x/>"),))
    assert pack(unpack(sectioned)) == sectioned
    assert progressive == PROGRESSIVE


def test_eighteen_bytes_around_the_payload():
    for side in (128, 16383):
        assert len(pack(replace(PLAIN_FIELDS, width=side, height=side))) - len(PLAIN_FIELDS.payload) == 18
        longer = replace(PROGRESSIVE_FIELDS, width=side, height=side, payload=b"\1" * 200)
        assert len(pack(longer)) - len(longer.payload) == 22


def test_empty_payload_is_a_file():
    osd = replace(PLAIN_FIELDS, payload=b"", width=1, height=1)
    assert unpack(pack(osd)) == osd
    assert len(pack(osd)) == 16
    osd = replace(osd, sections=(("x", b"<x/>"),))
    assert unpack(pack(osd)) == osd


@pytest.mark.parametrize("data", [data for data, _ in FILES])
def test_every_flipped_bit_is_refused(data):
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError):
            unpack(bytes(damaged))


@pytest.mark.parametrize("data", [data for data, _ in FILES])
def test_every_truncation_and_extension_is_refused(data):
    for length in range(len(data)):
        with pytest.raises(FormatError):
            unpack(data[:length])
    for more in (b"\0", b"\n", data[-4:], data):
        with pytest.raises(FormatError):
            unpack(data + more)


def webp(width: int, height: int, flags: int = 0, length: int = 18, chunk: int = 6) -> str:
    """Hex of a lossless WebP of 26 bytes, as far as its header goes."""
    size = width - 1 | height - 1 << 14 | flags << 28
    return struct.pack("<4sI8sIBIx", b"RIFF", length, b"WEBPVP8L", chunk, 0x2F, size).hex()


def png(width: int, height: int, rest: str = "0800000000") -> str:
    """Hex of a PNG of 29 bytes, as far as its header goes."""
    sizes = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return b"".join([b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR", sizes, bytes.fromhex(rest)]).hex()


HEAD = "8f4f5344 11 00010203 01 01 00"  # with sections, 1x1


@pytest.mark.parametrize(
    ("data", "field", "offset"),
    [
        (b"", "magic", 0),
        (b"hello, world: a text file", "magic", 0),
        (b"\x89PNG\r\n\x1a\n0123456789", "magic", 0),
        (PLAIN[:10], "file", 10),
        (sealed("8f4f5344 20 00010203 01 01 00"), "version", 4),
        (sealed("8f4f5344 00 00010203 01 01 00"), "version", 4),
        (sealed("8f4f5344 12 00010203 01 01 00"), "payload length", 12),
        (sealed("8f4f5344 18 00010203 01 01 00"), "flags", 4),
        (sealed("8f4f5344 10 00010203 00 01 00"), "width", 9),
        (sealed("8f4f5344 10 00010203 01 00 00"), "height", 10),
        (sealed("8f4f5344 10 00010203 808004 01 00"), "width", 9),  # 65536
        (sealed("8f4f5344 10 00010203 01 808004 00"), "height", 10),
        (sealed("8f4f5344 10 00010203 8100 01 00"), "width", 9),  # 1, not in the shortest form
        (sealed("8f4f5344 10 00010203 01 818000 00"), "height", 10),
        (sealed("8f4f5344 10 00010203 ffffffffff7f 01 00"), "width", 9),
        (sealed("8f4f5344 10 00010203 ffffff"), "width", 9),  # no end
        (sealed("8f4f5344 10 00010203 01 ffff"), "height", 10),
        (sealed("8f4f5344 10 00010203 8101 01"), "quality", 12),
        (sealed("8f4f5344 10 00010203 ffff03 ffff03 00"), "size", 9),  # 65535 x 65535
        (PLAIN[:-1] + b"\x07", "checksum", 17),
        (sealed("8f4f5344 10 00010203 01 01 00 010200"), "payload", 14),  # zero bytes are stripped
        (sealed(HEAD), "payload length", 12),
        (sealed(HEAD + "8000"), "payload length", 12),
        (sealed(HEAD + "02 01"), "payload", 13),
        (sealed(HEAD + "ffffffff0f 01"), "payload", 17),
        (sealed(HEAD + "02 0100 6900"), "payload", 14),
        (sealed(HEAD + "01 01"), "flags", 4),  # announced, none there
        (sealed(HEAD + "00 00"), "section type", 13),
        (sealed(HEAD + "00 e9 00"), "section type", 13),  # a letter in Latin-1 only
        (sealed(HEAD + "00 48 00"), "section type", 13),  # H, upper case: must be understood
        (sealed(HEAD + "00 47 00"), "section G", 15),  # regions of no quality
        (sealed(HEAD + "00 78 00 78 00"), "section type", 15),  # x twice
        (sealed(HEAD + "00 78"), "length of section x", 14),
        (sealed(HEAD + "00 78 8000"), "length of section x", 14),
        (sealed(HEAD + "00 78 02 aa"), "section x", 15),
        (sealed(HEAD + "00 41 00"), "section A", 15),  # alpha that is no picture
        (sealed(HEAD + f"00 41 1a {webp(2, 1)}"), "section A", 15),  # of another size than 1x1
        (sealed(HEAD + f"00 41 1a {webp(1, 2)}"), "section A", 15),
        (sealed(HEAD + f"00 41 1a {webp(16384, 16384)}"), "section A", 15),
        (sealed(HEAD + f"00 41 1a {webp(1, 1, flags=1)}"), "section A", 15),  # with an alpha of its own
        (sealed(HEAD + f"00 41 1a {webp(1, 1, flags=2)}"), "section A", 15),  # a later version
        (sealed(HEAD + f"00 41 1a {webp(1, 1, length=19)}"), "section A", 15),
        (sealed(HEAD + f"00 41 1c {webp(1, 1)} 0000"), "section A", 15),
        (sealed(HEAD + f"00 41 19 {webp(1, 1)[:-2]}"), "section A", 15),
        (sealed(HEAD + f"00 41 16 {webp(1, 1, length=14, chunk=2)[:44]}"), "section A", 15),
        (sealed(HEAD + f"00 41 1d {png(1, 65535)}"), "section A", 15),
        (sealed(HEAD + f"00 41 1d {png(1, 1, '0802000000')}"), "section A", 15),  # in colours
        (sealed(HEAD + f"00 41 1a {webp(1, 1)} 41 1a {webp(1, 1)}"), "section type", 41),
    ],
)
def test_defects_name_field_and_offset(data, field, offset):
    with pytest.raises(FormatError) as caught:
        unpack(data)
    assert (caught.value.field, caught.value.offset) == (field, offset)
    assert str(caught.value).startswith(f"{field} at byte {offset}: ")
    assert "\n" not in str(caught.value)


HEAD_2 = "8f4f5344 12 00010203 01 01 07"  # progressive, 1x1
HEAD_3 = "8f4f5344 13 00010203 01 01 07"  # with sections


def checked(head: str, rest: str = "") -> bytes:
    """Hex of what stands before the CRC-16 and of what stands behind it -> a file whose checksums are right."""
    begin = bytes.fromhex(head)
    return sealed((begin + binascii.crc_hqx(begin, 0xFFFF).to_bytes(2, "little")).hex() + rest)


@pytest.mark.parametrize(
    ("data", "field", "offset"),
    [
        (sealed(HEAD_2 + "00"), "head", 13),
        (sealed(HEAD_2 + "00 1234"), "head checksum", 13),
        (sealed(HEAD_2 + "01 1234 07"), "head checksum", 13),
        (checked(HEAD_2 + "8000"), "payload length", 12),
        (checked(HEAD_2 + "02", "07"), "payload", 15),
        (checked(HEAD_2 + "ffffffff0f", "07"), "payload", 19),
        (checked(HEAD_2 + "02", "0007"), "payload", 15),  # zero bytes are stripped
        (checked(HEAD_2 + "01", "0778"), "payload", 16),  # behind it nothing is announced
        (checked(HEAD_3 + "01 00", "07"), "flags", 4),  # announced, none there
        (checked(HEAD_3 + "01 05", "07"), "head", 17),
        (checked(HEAD_3 + "01 02 6900", "07"), "section type", 14),  # lower case before the payload
        (checked(HEAD_3 + "01 02 4800", "07"), "section type", 14),  # H
        (checked(HEAD_3 + "01 01 47", "07"), "length of section G", 15),
        (checked(HEAD_3 + "01 03 470200", "07"), "section G", 16),
        (checked(HEAD_3 + "01 08 4706060000010100", "07"), "section G", 16),
        (checked(HEAD_3 + "01 00", "07 4700"), "section type", 17),  # upper case behind it
        (checked(HEAD_3 + "01 00", "07 7800 7800"), "section type", 19),
    ],
)
def test_defects_of_progressive_files(data, field, offset):
    test_defects_name_field_and_offset(data, field, offset)


def test_the_checksum_of_the_head_is_a_known_one():
    assert binascii.crc_hqx(b"123456789", 0xFFFF) == 0x29B1  # CRC-16/IBM-3740


@pytest.mark.parametrize(
    ("data", "head"), [(PROGRESSIVE, 17), (PROGRESSIVE_SECTIONED, 25)], ids=["plain", "with sections"]
)
def test_every_beginning_says_what_it_has(data, head):
    osd = unpack(data)
    for length in range(len(data)):
        if length < head:
            with pytest.raises(FormatError):
                unpack_prefix(data[:length])
            continue
        found = unpack_prefix(data[:length])
        arrived = min(length - head, 3)
        upper = tuple(section for section in osd.sections if section[0].isupper())
        assert found == replace(
            osd, payload=osd.payload[3 - arrived :], missing=3 - arrived, sections=upper, verified=False
        )
        with pytest.raises(FormatError, match="`partial`"):
            unpack(data[:length])
        counts = layout(data[:length], unpack_prefix(data[:length]))
        assert counts["payload"] == arrived and counts["header"] == layout(data, unpack(data))["header"]
        assert counts["header"] + arrived + sum(counts["sections"].values()) + counts["checksum"] == length
        with pytest.raises(ValueError):
            pack(found)
    assert unpack_prefix(data) == osd


@pytest.mark.parametrize("data", [PROGRESSIVE, PROGRESSIVE_SECTIONED])
def test_a_beginning_whose_head_is_damaged_is_refused(data):
    for bit in range(8 * (len(data) - 4 - 9)):  # up to the payload
        damaged = bytearray(data[:-5])
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            found = unpack_prefix(bytes(damaged))
        except FormatError:
            continue
        assert bit // 8 >= len(damaged) - 9 and found.missing == unpack_prefix(data[:-5]).missing


def test_beginnings_of_other_files_are_refused():
    for data in (PLAIN, SECTIONED, GREY):
        assert unpack_prefix(data) == unpack(data)
        for length in range(len(data)):
            with pytest.raises(FormatError):
                unpack_prefix(data[:length])


def test_a_beginning_of_a_file_whose_sections_all_follow():
    data = pack(replace(PROGRESSIVE_FIELDS, sections=(("x", b"<x/>"),)))
    assert data[15] == 0 and layout(data, unpack(data))["header"] == 18
    assert layout(data[:20], unpack_prefix(data[:20])) == {"header": 18, "payload": 2, "sections": {}, "checksum": 0}
    assert layout(data[:23], unpack_prefix(data[:23])) == {"header": 18, "payload": 3, "sections": {}, "checksum": 2}


def test_what_a_beginning_claims_costs_nothing():
    begin = bytes.fromhex(HEAD_2 + "ffffffff7f")
    osd = unpack_prefix(begin + binascii.crc_hqx(begin, 0xFFFF).to_bytes(2, "little") + b"\1\2\3")
    assert osd.missing == 2**35 - 4 and osd.payload == b"\3\2\1"
    with pytest.raises(FormatError, match="`max_pixels`"):
        unpack_prefix(PROGRESSIVE[:-5], max_pixels=768 * 512 - 1)


def test_unknown_lower_case_section_is_kept():
    assert unpack(sealed(HEAD + "00 7a 01 aa")).sections == (("z", b"\xaa"),)


@pytest.mark.parametrize("content", [webp(1, 1), png(1, 1)])
def test_alpha_of_the_size_of_the_picture_is_taken(content):
    data = sealed(HEAD + f"00 41 {len(content) // 2:02x} {content}")
    assert unpack(data).sections == (("A", bytes.fromhex(content)),)
    assert pack(unpack(data)) == data
    assert alpha_size(bytes.fromhex(content)) == (1, 1)


def test_size_is_judged_before_the_checksum_and_against_the_limit():
    assert unpack(PLAIN, max_pixels=768 * 512) == PLAIN_FIELDS
    with pytest.raises(FormatError, match="`max_pixels`") as caught:
        unpack(PLAIN[:-4] + bytes(4), max_pixels=768 * 512 - 1)
    assert caught.value.field == "size"
    edge = pack(replace(PLAIN_FIELDS, width=2**14, height=2**14))
    assert unpack(edge).width ** 2 == MAX_PIXELS


@pytest.mark.parametrize(
    ("value", "form"),
    [(0, "00"), (127, "7f"), (128, "8001"), (300, "ac02"), (16383, "ff7f"), (16384, "808001"), (65535, "ffff03")],
)
def test_leb128(value, form):
    assert leb128(value).hex() == form


@pytest.mark.parametrize("data", [data for data, _ in FILES])
def test_layout_sums_to_the_file(data):
    counts = layout(data, unpack(data))
    assert counts["header"] + counts["payload"] + sum(counts["sections"].values()) + counts["checksum"] == len(data)


def test_layout_counts():
    assert layout(PLAIN, unpack(PLAIN)) == {"header": 14, "payload": 3, "sections": {}, "checksum": 4}
    assert layout(SECTIONED, unpack(SECTIONED)) == {
        "header": 15,
        "payload": 2,
        "sections": {"i": 5, "e": 2},
        "checksum": 4,
    }


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2}, {"model_id": b"abc"}, {"width": 0}, {"height": 65536}, {"quality": 256}, {"quality": -1},
        {"payload": b"a\0"}, {"sections": (("A", b""),)}, {"sections": (("G", b""),)}, {"sections": (("1", b""),)}, {"sections": (("xx", b""),)},
        {"sections": (("é", b""),)}, {"sections": (("x", b""), ("x", b"y"))},
    ],
)  # fmt: skip
def test_pack_refuses_what_unpack_would(change):
    with pytest.raises(ValueError):
        pack(replace(PLAIN_FIELDS, **change))
