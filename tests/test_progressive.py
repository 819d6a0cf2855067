"""Progressive files: every beginning decodes to its first symbols exactly, and shows a picture that gets better."""

import dataclasses
import json

import numpy as np
import pytest
from helpers import tiny
from helpers.commands import osdc, refused
from helpers.stacks import COLUMNS, PAYLOAD, ROWS, TABLES, encoded, random_case
from PIL import Image

import osdcodec
from osdcodec import container, weights
from osdcodec.checks.conformance import VECTORS, check
from osdcodec.codec import Decoder, Encoder
from osdcodec.entropy.groups import masks
from osdcodec.entropy.prior import PROGRESSIVE_PASSES, Prior
from osdcodec.entropy.rans import Reader
from osdcodec.errors import FormatError
from osdcodec.latent.coder import decode_symbols
from osdcodec.metrics.meter import psnr
from osdcodec.options import EncodeOptions

FOLDER = VECTORS / "conformance"


@pytest.fixture(scope="module")
def prior() -> Prior:
    return Prior(tiny.uncertain_tensors(), tiny.TINY)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder("conformance", "cpu", FOLDER)


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return Decoder("cpu", FOLDER)


@pytest.mark.parametrize(("seed", "symbols"), [(0, 300), (1, 300), (2, 40), (3, 2000)])
def test_a_stack_without_its_bottom_gives_its_first_symbols(seed, symbols):
    columns, tables, rows = random_case(seed, symbols)
    payload = encoded(columns, tables, rows)
    counts, last = [], len(columns)
    for missing in range(1, len(payload) + 1):
        reader = Reader(payload[missing:], missing)
        found = reader.pop(tables, rows)
        assert len(found) <= last and np.array_equal(found, columns[: len(found)])
        assert not len(reader.pop(tables, rows))
        last = len(found)
        counts.append(last)
    # Nothing is withheld that is known: of each symbol's bits at most those in the state, 8 bytes, wait.
    ideal = 24 - np.log2(tables[rows, columns])
    assert last == 0 and all(
        ideal[:count].sum() >= 8 * (len(payload) - missing) - 8 * 12 for missing, count in enumerate(counts, 1)
    )


def test_it_does_not_matter_in_how_many_calls_symbols_are_taken():
    for missing in range(1, len(PAYLOAD)):
        whole = Reader(PAYLOAD[missing:], missing).pop(TABLES, ROWS)
        reader = Reader(PAYLOAD[missing:], missing)
        singly = [reader.pop(TABLES, ROWS[i : i + 1]) for i in range(len(ROWS))]
        assert np.concatenate(singly).tolist() == whole.tolist() == COLUMNS[: len(whole)].tolist()


@pytest.mark.parametrize("quality", [0, 140, 255])
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (9, 6)])
def test_round_trip(prior, shape, quality):
    payload, symbols = prior.encode(*tiny.latents("round", *shape), quality, progressive=True)
    assert prior.decode(payload, quality, *shape, progressive=True) == symbols
    plain, others = prior.encode(*tiny.latents("round", *shape), quality)
    assert np.array_equal(symbols.hyper, others.hyper) and np.array_equal(symbols.tokens, others.tokens)
    assert plain != payload or shape == (1, 1)
    bits = sum(prior.parts(symbols, quality, progressive=True).values())
    assert bits / 8 - 4 <= len(payload) <= bits / 8 + 4


def test_the_most_uncertain_symbols_come_first(prior):
    """Rows fall within each group of each pass, and from pass to pass below the threshold."""
    calls = []

    def code(part, tables, rows, means, places):
        if part == "latent":
            calls.append((rows.copy(), places))
        return np.full(len(rows), tables.shape[1] // 2, np.int32)

    prior._walk(30, 9, 6, code, progressive=True)
    assert len(calls) == 4 * len(PROGRESSIVE_PASSES)
    seen = np.zeros((8, 9, 6), int)
    for index, (rows, places) in enumerate(calls):
        assert (np.diff(rows) <= 0).all() and (rows >= PROGRESSIVE_PASSES[index // 4]).all()
        assert masks(8, 9, 6)[index % 4][places].all()
        for row in set(rows.tolist()):  # equal ones in the order of channel, row, column
            flat = np.ravel_multi_index(places, seen.shape)[rows == row]
            assert (np.diff(flat) > 0).all()
        seen[places] += 1
    assert (seen == 1).all()
    assert sum(len(rows) > 0 for rows, _ in calls) > 8


def test_every_cut_gives_the_first_symbols_and_means_for_the_rest(prior):
    y, hyper, tokens = tiny.latents("cuts", 5, 6)
    payload, symbols = prior.encode(y, hyper, tokens, 60, progressive=True)
    order = []

    def code(part, tables, rows, means, places):
        if part == "latent":
            order.append(np.ravel_multi_index(places, symbols.latent.shape))
            return symbols.latent[places] + prior.limit
        return symbols.tokens if part == "tokens" else symbols.hyper.ravel() + prior.limit

    prior._walk(60, 5, 6, code, progressive=True)
    order, counts = np.concatenate(order), []
    for missing in range(1, len(payload)):
        try:
            found = prior.decode(payload[missing:], 60, 5, 6, progressive=True, missing=missing)
        except FormatError as error:
            assert "too little" in str(error)
            counts.append(0)
            continue
        assert np.array_equal(found.hyper, symbols.hyper) and np.array_equal(found.tokens, symbols.tokens)
        equal = (found.latent.ravel() == symbols.latent.ravel())[order]
        arrived = int(equal.argmin()) if not equal.all() else len(order)
        assert not found.latent.ravel()[order[arrived:]].any()
        same = order[:arrived][found.latent.ravel()[order[:arrived]] != 0]
        assert np.array_equal(found.y16.ravel()[same], symbols.y16.ravel()[same])
        counts.append(arrived)
    assert counts == sorted(counts, reverse=True) and len(set(counts)) > 30 and counts[0] > 0.9 * len(order)


def test_vectors_of_whole_cut_and_damaged_files():
    results = check(VECTORS / "progressive")
    assert [r.name for r in results if not r.good] == []
    names = {path.stem for path in (VECTORS / "progressive").glob("*.osd")}
    assert {r.name for r in results} == names
    kinds = [name.partition("-")[0] for name in names]
    assert {kind: kinds.count(kind) >= 5 for kind in set(kinds)} == {"whole": True, "cut": True, "bad": True}
    assert {path.stem for path in (VECTORS / "progressive").glob("*.png")} == {n for n in names if n[:3] != "bad"}


@pytest.mark.parametrize(("name", "passes"), [("cut-pass-end", 3), ("cut-hyper-end", 0)])
def test_a_stack_can_run_out_exactly_where_a_pass_begins(name, passes, monkeypatch):
    """What these vectors are for: the passes before took all their symbols, and all others find none."""
    found, pop = [], Reader.pop

    def told(reader, tables, rows):
        columns = pop(reader, tables, rows)
        found.append((len(rows), len(columns)))
        return columns

    monkeypatch.setattr(Reader, "pop", told)
    model = weights.load("conformance", FOLDER)
    osd = container.unpack_prefix((VECTORS / "progressive" / f"{name}.osd").read_bytes())
    decode_symbols(osd, model.prior)
    latent = found[2:]  # behind tokens and hyper-latent
    before, after = latent[: 4 * passes], latent[4 * passes :]
    assert all(asked == got for asked, got in before) and (not passes or before[-1][1] > 0)
    assert after[0][0] > 0 and all(got == 0 for _, got in after) and len(latent) == 4 * passes + 4


def test_readers_that_take_no_beginnings_refuse_them(decoder):
    for path in (VECTORS / "progressive").glob("*.osd"):
        if path.stem.startswith("whole"):
            decoder.decode(path.read_bytes())
        else:
            with pytest.raises(FormatError):
                decoder.decode(path.read_bytes())


def test_a_picture_grows(photo):
    """With the embedded weights, whichever they are."""
    encoder, decoder = Encoder(), Decoder()  # what the functions take
    data, plain = encoder.encode(photo, 0.5, progressive=True), encoder.encode(photo, 0.5)
    assert data == osdcodec.encode(photo, 0.5, progressive=True) and len(data) < 1.15 * len(plain)
    whole = osdcodec.decode(data, partial=True)
    assert whole.tobytes() == decoder.decode(data, partial=True).tobytes()
    assert psnr(photo, whole) > psnr(photo, decoder.decode(plain)) - 0.3
    shown = [decoder.decode(data[: len(data) * share // 100], partial=True) for share in (25, 60)]
    quality = [psnr(photo, picture) for picture in (*shown, whole)]
    assert quality == sorted(quality) and quality[0] > 12
    told = shown[0].info["comment"]
    osd = container.unpack_prefix(data[: len(data) // 4])
    assert f"from the first {len(osd.payload)} of {len(osd.payload) + osd.missing} bytes" in told


def test_all_that_a_file_can_hold(encoder, decoder, photo):
    picture = photo.resize((100, 70)).convert("RGBA")
    picture.putalpha(photo.resize((100, 70)).getchannel("G"))
    picture.info["xmp"] = b"<x/>"
    data = encoder.encode(picture, 0.5, alpha="keep", keep_metadata=True, roi=[(10, 10, 30, 30)], progressive=True)
    osd = container.unpack(data)
    assert [kind for kind, _ in osd.sections] == ["G", "A", "e", "x"] and osd.progressive
    whole, cut = decoder.decode(data), decoder.decode(data[:-30], partial=True)
    assert whole.mode == cut.mode == "RGBA" and cut.getchannel("A").tobytes() == whole.getchannel("A").tobytes()
    assert whole.info["xmp"] == b"<x/>" and b"<x/>" not in cut.info["xmp"]  # which holds osdc's own mark alone
    assert decoder.decode(data[:-30], partial=True, preview=True).size == (50, 35)


def test_a_target_size_is_met(encoder, photo):
    data = encoder.encode(photo, target=osdcodec.Target(max_bytes=900), progressive=True)
    assert len(data) <= 900 and data[4] & container.PROGRESSIVE


def test_plain_files_do_not_know_of_it(encoder, photo):
    osd, symbols = encoder.coder.code(photo, EncodeOptions(lmbda=0.5, effort=0))
    data = container.pack(osd)
    assert not data[4] & container.PROGRESSIVE and not osd.progressive
    assert decode_symbols(container.unpack(data), encoder.coder.prior) == symbols
    with pytest.raises(FormatError):
        decode_symbols(dataclasses.replace(osd, progressive=True), encoder.coder.prior)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, photo):
    folder = tmp_path_factory.mktemp("progressive")
    photo.save(folder / "photo.png")
    assert osdc("encode", "photo.png", "--progressive", "--lambda", "0.5", cwd=folder).returncode == 0
    data = (folder / "photo.osd").read_bytes()
    contents = {"half.osd": data[: len(data) // 2], "tail.osd": data[:-2], "head.osd": data[:25]}
    assert osdc("encode", "photo.png", "-o", "plain.osd", cwd=folder).returncode == 0
    contents["plainhalf.osd"] = (folder / "plain.osd").read_bytes()[:300]
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


def test_decode_partial(folder):
    done = osdc("decode", "half.osd", "-o", "half.png", "--partial", cwd=folder)
    assert done.returncode == 0 and Image.open(folder / "half.png").size == (256, 192)
    (line,) = done.stderr.decode().splitlines()
    assert "half.osd" in line and "bytes of the payload" in line and "unverified" in line
    done = osdc("decode", "photo.osd", "-o", "out.png", "--partial", cwd=folder)
    assert done.returncode == 0 and b"unverified" not in done.stderr
    done = osdc("decode", "tail.osd", "-o", "tail.png", "--partial", "--json", cwd=folder)
    assert done.returncode == 0 and json.loads(done.stdout)["missing_bytes"] == 0
    same = [Image.open(folder / name).tobytes() for name in ("out.png", "tail.png")]
    assert same[0] == same[1]


def test_what_cannot_be_shown_costs_one_line(folder):
    refused(osdc("decode", "half.osd", "-o", "no.png", cwd=folder), 3, "half.osd", "--partial", "bytes of the payload")
    refused(osdc("decode", "tail.osd", "-o", "no.png", cwd=folder), 3, "tail.osd", "--partial")
    refused(osdc("decode", "head.osd", "-o", "no.png", "--partial", cwd=folder), 3, "head.osd", "too little")
    refused(osdc("decode", "plainhalf.osd", "-o", "no.png", "--partial", cwd=folder), 3, "plainhalf.osd", "checksum")
    assert not (folder / "no.png").exists()


def test_info_of_a_beginning(folder):
    facts = json.loads(osdc("info", "half.osd", "--json", cwd=folder).stdout)
    whole = json.loads(osdc("info", "photo.osd", "--json", cwd=folder).stdout)
    assert facts["progressive"] and whole["progressive"] and "missing_bytes" not in whole
    assert facts["payload_bytes"] + facts["missing_bytes"] == whole["payload_bytes"]
    parts = ("header_bytes", "payload_bytes", "section_bytes", "checksum_bytes")
    assert sum(facts[part] for part in parts) == facts["bytes"] == (folder / "half.osd").stat().st_size
    table = osdc("info", "half.osd", cwd=folder).stdout.decode()
    assert "unverified" in table and f"{facts['missing_bytes']:,} bytes" in table


def test_the_table_of_shares_is_written_into_a_page(tmp_path, photo):
    from osdcodec.evaluation.progressive import main

    (tmp_path / "in").mkdir()
    photo.crop((0, 0, 176, 176)).save(tmp_path / "in" / "a.png")
    page, begin, end = tmp_path / "page.md", "<!-- progressive -->", "<!-- end of progressive -->"
    page.write_text(f"before\n{begin}\nold\n{end}\nafter\n", "utf-8")
    main([str(tmp_path / "in"), "--write", str(page)])
    text = page.read_text("utf-8")
    assert text.startswith(f"before\n{begin}\n| share of the bytes | 5% |") and text.endswith(f"\n{end}\nafter\n")
    (row,) = [line for line in text.splitlines() if line.startswith("| progressive, cut there |")]
    cells = [cell.strip().split(" / ") for cell in row.strip("|").split("|")[1:]]
    quality = [float(cell[0]) for cell in cells if cell != ["–"]]
    assert len(cells) == 6 and len(quality) >= 4 and quality == sorted(quality)
