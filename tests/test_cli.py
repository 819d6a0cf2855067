"""The command line as a user meets it, in processes of its own; nothing here needs a trained model."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from helpers.commands import environment, hears_signals, osdc, refused
from PIL import Image

from osdcodec.cli.shared import byte_count
from osdcodec.container import Osd, pack

PLAIN = Osd(bytes.fromhex("deadbeef"), 768, 512, 196, bytes(range(1, 100)))
OSD = pack(PLAIN)


@pytest.fixture
def folder(tmp_path):
    """A folder with every kind of bad input, a good picture, and an .osd file of no known model."""
    flipped = bytearray(OSD)
    flipped[40] ^= 4
    contents = {
        "text.png": b"not a picture\n",
        "empty.png": b"",
        "text.osd": b"not an .osd file\n",
        "empty.osd": b"",
        "truncated.osd": OSD[:50],
        "flipped.osd": bytes(flipped),
        "newer.osd": OSD[:4] + b"\x20" + OSD[5:],
        "unknown.osd": OSD,
        "existing.osd": b"precious",
        "existing.png": b"precious",
    }
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    Image.new("RGB", (40, 30), "red").save(tmp_path / "photo.png")
    half = (tmp_path / "photo.png").read_bytes()
    (tmp_path / "half.png").write_bytes(half[: len(half) - 30])
    return tmp_path


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


BAD_OSD = [
    ("none.osd", 3, "no such file"),
    ("text.osd", 3, "magic at byte 0"),
    ("photo.png", 3, "magic at byte 0"),
    ("empty.osd", 3, "empty"),
    ("truncated.osd", 3, "checksum at byte 46"),
    ("flipped.osd", 3, "checksum at byte 113"),
    ("newer.osd", 3, "version at byte 4"),
]


@pytest.mark.parametrize(("name", "code", "word"), BAD_OSD)
def test_info_of_bad_files(name, code, word, folder):
    for options in ((), ("--json",), ("--parts",)):
        done = osdc("info", name, *options, cwd=folder)
        if word.startswith("checksum") and options != ("--parts",):  # what can be read of it is shown
            assert b"768" in done.stdout
            done.stdout = b""
        refused(done, code, name, word)


@pytest.mark.parametrize(("name", "code", "word"), BAD_OSD)
def test_decode_of_bad_files(name, code, word, folder):
    before = contents(folder)
    refused(osdc("decode", name, "-o", "out.png", cwd=folder), code, name, word)
    refused(osdc("decode", name, "-o", "existing.png", cwd=folder), code, name, word)
    refused(osdc("decode", name, "-o", "-", cwd=folder), code, name, word)
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("encode", "none.png"), 3, ("none.png", "no such file")),
        (("encode", "text.png", "-o", "x.osd"), 3, ("text.png", "not a picture")),
        (("encode", "empty.png", "-o", "x.osd"), 3, ("empty.png", "empty")),
        (("encode", "text.png"), 5, ("text.osd", "exists", "-o", "--overwrite")),  # a name that nobody chose
        (("encode", ""), 3, ("without a name",)),
        (("encode", "photo.png", "-o", ""), 5, ("without a name",)),
        (("encode", "photo.png", "-o", "x.osd", "--max-bytes", "9"), 3, ("photo.png", "9 bytes are out of reach")),
        (("encode", "photo.png", "--profile", "conformance"), 4, ("small, turbo",)),
        (("decode", ""), 3, ("without a name",)),
        (("decode", "truncated.osd", "-o", "-", "--format", "jpg"), 3, ("truncated.osd", "checksum")),
        (("decode", "unknown.osd", "-o", "out.png", "--format", "jpg"), 2, ("out.png", "contradict")),
        (("info", ""), 3, ("without a name",)),
        (("compare", ".", "unknown.osd"), 3, (".: a folder",)),
        (("compare", "photo.png", "."), 3, (".: a folder",)),
        (("compare", "photo.png", "flipped.osd"), 3, ("flipped.osd", "checksum")),
        (("encode", "half.png", "-o", "existing.osd", "--strict"), 3, ("half.png", "ends early")),
        (("encode", "unknown.osd", "-o", "out.osd"), 3, ("unknown.osd", "not a picture")),
        (("encode", "photo.png", "--max-pixels", "1199"), 3, ("photo.png", "40x30", "--max-pixels")),
        (("encode", "photo.png", "-o", "existing.osd", "--no-overwrite"), 5, ("existing.osd", "exists")),
        (("encode", "none.png", "--dry-run"), 3, ("none.png", "no such file")),
        (("encode", "photo.png", "-o", "existing.png"), 5, ("existing.png", "named as a picture", "--overwrite")),
        (("encode", "--files-from", "photo.png"), 3, ("photo.png", "NUL bytes", "-0")),
        (("encode", "photo.png", "-o", "none/photo.osd"), 5, ("none", "there is no folder")),
        (("encode", "photo.png", "-o", "text.png/photo.osd"), 5, ("text.png", "there is no folder")),
        (("encode", "photo.png", "-o", "photo.png"), 5, ("photo.png", "the input itself")),
        (("encode", "x" * 300), 5, ("too long",)),
        (("encode", "photo.png", "-o", "x" * 300), 5, ("too long",)),
        (("encode", "photo.png", "--profile", "none"), 4, ("none",)),
        (("decode", "unknown.osd", "-o", "out.xyz"), 2, ("out.xyz", ".png")),
        (("decode", "unknown.osd", "-o", "out"), 2, ("out", ".png")),
        (("decode", "unknown.osd", "-o", "out.ico"), 2, ("out.ico", ".png")),  # an icon has a size of its own
        (("decode", "unknown.osd", "-o", "existing.png", "--no-overwrite"), 5, ("existing.png", "exists")),
        (("decode", "unknown.osd", "-o", "none/out.png"), 5, ("none", "there is no folder")),
        (("decode", "unknown.osd", "-o", "out.png", "--max-pixels", "393215"), 3, ("768x512", "--max-pixels")),
        (("decode", "unknown.osd", "-o", "out.png"), 4, ("deadbeef",)),
        (("info", "unknown.osd", "--max-pixels", "393215"), 3, ("768x512", "--max-pixels")),
        (("info", "unknown.osd", "--parts"), 4, ("deadbeef",)),
    ],
)
def test_refusals(arguments, code, words, folder):
    before = contents(folder)
    refused(osdc(*arguments, cwd=folder), code, *words)
    assert contents(folder) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("encode",),
        ("encode", "photo.png", "--lambda", "0.09"),
        ("encode", "photo.png", "--lambda", "2.1"),
        ("encode", "photo.png", "--lambda", "nan"),
        ("encode", "photo.png", "--quality", "101"),
        ("encode", "photo.png", "--quality", "-1"),
        ("encode", "photo.png", "--quality", "nan"),
        ("encode", "photo.png", "--quality", "50", "--lambda", "1"),
        ("encode", "photo.png", "--quality", "50", "--max-bytes", "2k"),
        ("encode", "photo.png", "--quality", "50", "--target-bpp", "0.1"),
        ("encode", "photo.png", "--quality", "50", "--target-ms-ssim", "0.6"),
        ("encode", "photo.png", "--quality", "50", "--total-bytes", "20k"),
        ("encode", "photo.png", "--device", "gpu"),
        ("encode", "photo.png", "--target-bpp", "inf"),
        ("encode", "photo.png", "--target-bpp", "nan"),
        ("encode", "photo.png", "--target-bpp", "0"),
        ("encode", "photo.png", "--max-bytes", "0"),
        ("encode", "photo.png", "--max-bytes", "20 potatoes"),
        ("encode", "photo.png", "--max-bytes", "9" * 400),
        ("encode", "-q", "50", "photo.png"),
        ("decode", "unknown.osd", "--resize", "0x5"),
        ("decode", "unknown.osd", "--format", "exe"),
        ("encode", "photo.png", "--alpha", "no colour"),
        ("encode", "photo.png", "--icc", "cmyk"),
        ("decode", "unknown.osd", "--detail", "1.6"),
        ("decode", "unknown.osd", "--detail", "nan"),
        ("decode", "unknown.osd", "--seed", "-1"),
        ("info", "unknown.osd", "--max-pixels", "0"),
        ("compress", "photo.png"),
    ],
)
def test_wrong_usage_is_one_line_too(arguments, folder):
    before = contents(folder)
    refused(osdc(*arguments, cwd=folder), 2, "Usage: osdc")
    assert contents(folder) == before


def test_a_bad_file_in_a_folder_costs_its_own_line(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png", "notes.txt"):
        (tmp_path / "in" / name).write_bytes(b"not a picture")
    done = osdc("encode", "in", "-o", "out", cwd=tmp_path)
    assert done.returncode == 3
    first, second, last = done.stderr.decode().splitlines()
    assert first.startswith("osdc: in/a.png: ") and second.startswith("osdc: in/b.png: ")
    assert last == "2 of 2 files: 2 failed; left out: 1 .txt (unknown suffix)"
    assert list((tmp_path / "out").iterdir()) == []
    refused(osdc("decode", "in", cwd=tmp_path), 3, "no file in this folder")


def test_info_as_json(folder):
    for arguments, given in ((("unknown.osd",), None), (("-",), OSD)):
        done = osdc("info", *arguments, "--json", cwd=folder, input=given)
        assert (done.returncode, done.stderr) == (0, b"")
        facts = json.loads(done.stdout)
        assert facts == {
            "version": 1, "width": 768, "height": 512, "bytes": 117, "bpp": 117 * 8 / 768 / 512, "quality": 23.1, "quality_byte": 196,
            "lambda": pytest.approx(1, abs=0.001), "grey": False, "model_id": "deadbeef", "profile": None,
            "header_bytes": 14, "payload_bytes": 99, "section_bytes": 0, "checksum_bytes": 4,
            "sections": {},
        }  # fmt: skip


def test_info_of_several_files_goes_on_behind_bad_ones(folder):
    (folder / "more" / "deep").mkdir(parents=True)
    (folder / "more" / "deep" / "b.osd").write_bytes(OSD)
    (folder / "more" / "a.osd").write_bytes(b"not an .osd file")
    (folder / "more" / "notes.txt").write_bytes(b"")
    done = osdc("info", "unknown.osd", "none.osd", "more", "--json", cwd=folder)
    rows = [json.loads(line) for line in done.stdout.decode().splitlines()]
    assert [row["input"] for row in rows] == ["unknown.osd", "none.osd", "more/a.osd", "more/deep/b.osd"]
    assert [row.get("exit_code") for row in rows] == [None, 3, 3, None] and rows[0]["bytes"] == rows[3]["bytes"] == 117
    assert done.returncode == 3 and len(done.stderr.splitlines()) == 2
    assert all(row["error"] in done.stderr.decode() for row in rows if "error" in row)
    table = osdc("info", "unknown.osd", "none.osd", cwd=folder)
    assert table.returncode == 3 and table.stdout.decode().splitlines()[0] == "unknown.osd"
    (folder / "more" / "a.osd").unlink()
    assert osdc("info", "more", "unknown.osd", cwd=folder).returncode == 0
    (folder / "empty").mkdir()
    refused(osdc("info", "empty", cwd=folder), 3, "no file in this folder ends in .osd")


def test_info_as_a_table(tmp_path):
    (tmp_path / "x.osd").write_bytes(pack(Osd(b"\x01\x02\x03\x04", 1, 65535, 255, b"\x01" * 2000, (("x", b"<x/>"),))))
    done = osdc("info", "x.osd", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    rows = dict(line.split(maxsplit=1) for line in done.stdout.decode().splitlines())
    assert {name: value.strip() for name, value in rows.items()} == {
        "version": "1", "size": "1 x 65535 pixels", "bytes": "2,026", "rate": "0.2473 bits per pixel",
        "λ": "2.000 (0.1: best, largest file; 2: smallest), quality 0 of 100", "model": "01020304 (not known here)",
        "header": "16 bytes", "payload": "2,000 bytes", "section": "6 bytes", "checksum": "4 bytes",
        "XMP": "6 bytes",
    }  # fmt: skip


def test_info_knows_the_profile_of_listed_models(folder):
    (folder / "weights.toml").write_text('[[model]]\nprofile = "mine"\nmodel_id = "deadbeef"\n')
    done = osdc("info", "unknown.osd", "--json", "--weights-dir", ".", cwd=folder)
    assert json.loads(done.stdout)["profile"] == "mine"


def test_info_and_rejections_import_nothing_heavy(folder):
    script = (
        "import sys; from osdcodec.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: code = end.code\n"
        "print(code, *sorted({'numpy', 'torch', 'onnxruntime', 'PIL'} & set(sys.modules)))"
    )

    def heavy(*arguments: str) -> list[str]:
        command = [sys.executable, "-c", script, *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, env=environment(), check=True, text=True)
        return done.stdout.splitlines()[-1].split()

    assert heavy("info", "unknown.osd") == ["0"]
    assert heavy("info", "unknown.osd", "--json") == ["0"]
    assert heavy("info", "flipped.osd") == ["3"]
    assert heavy("--version") == ["0"]
    assert not {"torch", "onnxruntime"} & set(heavy("decode", "flipped.osd", "-o", "out.png"))
    assert not {"torch", "onnxruntime"} & set(heavy("encode", "text.png", "-o", "out.osd"))


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_version(option):
    done = osdc(option)
    assert (done.returncode, done.stderr) == (0, b"")
    name, version = done.stdout.decode().split()
    assert name == "osdc" and version[0].isdigit()


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-16", "cp932"])
def test_help_in_any_encoding(encoding, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    for arguments in (("encode", "-h"), ("decode", "--help"), ("-h",), ("evaluate", "-h")):
        done = osdc(*arguments)
        assert (done.returncode, done.stderr) == (0, b"") and "Usage" in done.stdout.decode(encoding, "replace")


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_names_of_any_kind_can_be_told(encoding, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    monkeypatch.setenv("LC_ALL", "C")
    for name in (b"caf\xe9.png", "\u65e5.png".encode(), b"a\nb\x1b[31m.png"):
        with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
            file.write(b"not a picture")
    for style in ((), ("--json",), ("-v",), ("--dry-run",)):
        done = osdc("encode", ".", *style, cwd=tmp_path)
        told = (done.stdout + done.stderr).decode(encoding, "replace")
        assert done.returncode == (0 if style == ("--dry-run",) else 3) and "Traceback" not in told
        assert ("\x1b" not in told and r"\x1b[31m" in told) or style == ("--json",)
    done = osdc("encode", ".", "--json", cwd=tmp_path)
    names = {os.fsencode(json.loads(line)["input"]) for line in done.stdout.splitlines()}
    assert names == {os.fsencode(path.name) for path in tmp_path.iterdir()}


def closed(number: int, *arguments: str, cwd) -> subprocess.CompletedProcess:
    """A process whose standard input, output or error stream was closed before it began."""
    script = f'exec "$0" -m osdcodec "$@" {number}{"<" if number == 0 else ">"}&-'
    command = ["bash", "-c", script, sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, timeout=60, env=environment())


def test_closed_streams(folder):
    refused(closed(0, "encode", "-", "-o", "x.osd", cwd=folder), 3, "standard input is closed")
    refused(closed(0, "info", "-", cwd=folder), 3, "standard input is closed")
    refused(closed(1, "info", "unknown.osd", cwd=folder), 5, "standard output is closed")
    done = closed(2, "info", "none.osd", cwd=folder)
    assert (done.returncode, done.stdout) == (3, b"")
    done = closed(2, "info", "unknown.osd", "--json", cwd=folder)
    assert done.returncode == 0 and json.loads(done.stdout)["width"] == 768


def test_what_nobody_foresaw_is_one_line_that_asks_for_a_report(folder):
    script = (
        "import sys; from osdcodec import cli; from osdcodec.cli import info\n"
        "def broken(*_): raise ZeroDivisionError('x' + chr(10) + 'y')\n"
        "info.describe = broken\ncli.main()"
    )
    for debug in ("", "1"):
        command = [sys.executable, "-c", script, "info", "unknown.osd"]
        environ = environment() | {"OSDC_DEBUG": debug}
        done = subprocess.run(command, cwd=folder, capture_output=True, env=environ, timeout=60)
        assert done.returncode == 1 and done.stdout == b""
        last = done.stderr.decode().splitlines()[-1]
        assert last.startswith("osdc: a fault of osdc itself (ZeroDivisionError: x y)") and "report" in last
        assert (b"Traceback" in done.stderr) == bool(debug) and (debug or done.stderr.count(b"\n") == 1)


def test_a_dry_run_tells_and_does_nothing(folder):
    before = contents(folder)
    done = osdc("encode", "photo.png", "existing.png", "-o", "new", "--dry-run", cwd=folder)
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode().splitlines()
    assert lines == ["photo.png -> new/photo.osd", "existing.png -> new/existing.osd"]
    done = osdc("encode", "existing.png", "--dry-run", "--json", cwd=folder)
    told = {"input": "existing.png", "output": "existing.osd", "status": "refused", "exists": True}
    assert json.loads(done.stdout) == told and done.returncode == 5  # as it would be without --dry-run
    done = osdc("encode", "none.png", "photo.png", "-o", "new", "--dry-run", "--json", cwd=folder)
    assert [json.loads(line)["status"] for line in done.stdout.splitlines()] == ["failed", "planned"]
    assert done.returncode == 3 and done.stderr == b"osdc: none.png: no such file; check the path\n"
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("2000", 2000),
        ("1.5k", 1500),
        ("20kB", 20000),
        ("20 KB", 20000),
        ("1Ki", 1024),
        ("2MiB", 2**21),
        (".5M", 500000),
    ],
)
def test_sizes(text, count):
    assert byte_count(text) == count


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize(
    "arguments", [("info", "unknown.osd"), ("--version",), ("split", "unknown.osd", "--packet", "99")]
)
def test_a_full_disk_behind_stdout(arguments, folder):
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "osdcodec", *arguments]
        done = subprocess.run(command, cwd=folder, stdout=full, stderr=subprocess.PIPE, env=environment(), timeout=60)
    assert done.returncode == 5
    assert len(done.stderr.splitlines()) == 1 and b"No space left" in done.stderr and b"standard output" in done.stderr


def test_a_closed_pipe_behind_stdout(folder):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "osdcodec", "info", "unknown.osd"]
    done = subprocess.run(command, cwd=folder, stdout=writing, stderr=subprocess.PIPE, env=environment(), timeout=60)
    os.close(writing)
    assert done.returncode == 5
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith(b"osdc: ")


def test_interrupted(folder):
    command = [sys.executable, "-m", "osdcodec", "info", "-"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
        preexec_fn=hears_signals,
    )  # fmt: skip
    time.sleep(2)  # by now it waits for its input
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in errors


def test_help_shows_summaries_whole_and_options_in_groups():
    text = " ".join(osdc("--help").stdout.decode().split())
    assert "..." not in text.partition("Commands:")[2].partition("Examples:")[0]
    for command in ("encode", "decode"):
        lines = osdc(command, "-h").stdout.decode().splitlines()
        groups = [line for line in lines if line and line[0] != " " and line.endswith(":")]
        assert groups[:3] == [
            "Arguments:",
            "Options:",
            "Size and quality:" if command == "encode" else "Size of the picture:",
        ]
        assert lines[lines.index("Options:") + 1].split()[0] == "-h,"  # every other option is in a group
        assert lines[lines.index("Options:") + 2] == ""


def test_comments_in_a_list_are_skipped_on_demand(folder):
    (folder / "list.txt").write_text("# mine\nphoto.png\n")
    assert osdc("encode", "--files-from", "list.txt", "--comments", "--dry-run", cwd=folder).returncode == 0
    done = osdc("encode", "--files-from", "list.txt", "--dry-run", cwd=folder)
    assert done.returncode == 3 and b"# mine" in done.stderr
