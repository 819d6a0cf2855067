"""Batches: what is done with many files, what is told of it, and how it ends when it must."""

import io
import json
import os
import pickle
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from helpers.commands import environment, hears_signals, osdc
from PIL import Image

from osdcodec import files
from osdcodec.batch import report
from osdcodec.batch.jobs import Plan, plan
from osdcodec.batch.overwrite import Overwrite
from osdcodec.batch.run import run
from osdcodec.batch.tasks import Decoding, Encoding, Task
from osdcodec.cli import batches
from osdcodec.cli.batches import Batch
from osdcodec.container import MAGIC
from osdcodec.errors import InputError, OutputError, WeightsError
from osdcodec.options import EncodeOptions
from osdcodec.rate_control import Progress

pytestmark = pytest.mark.slow


def copy(source: str, target: str, progress: Progress) -> dict:
    data = files.read_input(source)
    files.write_output(target, data)
    return {"bytes": len(data)}


@pytest.fixture
def jobs(tmp_path) -> list[tuple[str, str]]:
    for name in ("a", "b", "d"):
        (tmp_path / name).write_bytes(name.encode() * 1000)
    return [(str(tmp_path / name), str(tmp_path / f"{name}.out")) for name in "abcd"]


def test_a_bad_file_does_not_stop_the_others(jobs, capsys):
    assert run(jobs, copy, threads=3) == 3
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"{jobs[0][0]} → {jobs[0][1]}: 1,000 bytes, ")
    assert lines[2] == f"osdc: {jobs[2][0]}: no such file; check the path"
    assert lines[4] == "4 of 4 files: 3 done, 1 failed" and len(lines) == 5
    assert [os.path.exists(target) for _, target in jobs] == [True, True, False, True]


def test_existing_outputs_are_skipped_on_request(jobs, capsys):
    Path(jobs[1][1]).write_bytes(b"precious")
    assert run(jobs[:2], copy, skip_existing=True) == 0
    assert Path(jobs[1][1]).read_bytes() == b"precious"
    told = capsys.readouterr().err
    assert f"{jobs[1][1]}: exists, skipped" in told and "2 of 2 files: 1 done, 1 skipped" in told


def test_what_comes_to_exist_during_the_work_is_skipped_too(jobs, capsys):
    """Two processes may be at the same files."""

    def beaten(source: str, target: str, progress: Progress) -> dict:
        Path(target).write_bytes(b"theirs")
        files.write_output(target, b"ours", overwrite=False)
        return {}

    assert run(jobs[:2], beaten, skip_existing=True) == 0
    assert Path(jobs[0][1]).read_bytes() == b"theirs" and "2 of 2 files: 2 skipped" in capsys.readouterr().err
    assert run(jobs[:1], beaten) == 5


def test_two_processes_share_a_folder(pictures):
    command = [sys.executable, "-m", "osdcodec", "encode", "in", "-o", "out", "--skip-existing", "--json"]
    both = [
        subprocess.Popen(command, cwd=pictures, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    told = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    rows = [json.loads(line) for out, _ in told for line in out.splitlines()]
    done = [row["output"] for row in rows if row["status"] == "done"]
    assert sorted(done) == sorted({row["output"] for row in rows if row["status"] != "left out"})  # each by one of them


def test_a_folder_in_the_way_is_no_output_that_exists(pictures):
    (pictures / "out" / "a.osd").mkdir(parents=True)
    done = osdc("encode", "in", "-o", "out", "--skip-existing", cwd=pictures)
    assert done.returncode == 3 and b"out/a.osd: a folder is there" in done.stderr


def test_an_input_that_is_nowhere_is_said_before_its_output(pictures):
    (pictures / "dangling.png").symlink_to("no.png")
    for command in (
        ["encode", "no/a.png"],
        ["encode", "dangling.png", "--dry-run"],
        ["decode", "no/a.osd"],
        ["compare", "no/a.png", "no/b.osd"],
    ):
        done = osdc(*command, cwd=pictures)
        assert done.returncode == 3 and f"osdc: {command[1]}: no such file; check the path" in done.stderr.decode()


def test_a_line_is_written_at_once(jobs, monkeypatch):
    """Else a warning of another thread came between its text and its end."""
    written = []
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(sys.stderr, "write", written.append)
    run(jobs[:2], copy)
    assert len(written) == 3 and all(text.endswith("\n") and text.count("\n") == 1 for text in written)


def test_quiet_prints_errors_only(jobs, capsys):
    assert run(jobs, copy, style="quiet") == 3
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("\n") == 1


def test_json_lines(jobs, capfd):
    assert run(jobs, copy, style="json") == 3
    told = capfd.readouterr()
    rows = [json.loads(line) for line in told.out.splitlines()]
    assert [(row["input"], row["output"]) for row in rows] == jobs
    assert [row["status"] for row in rows] == ["done", "done", "failed", "done"]
    assert rows[0]["bytes"] == 1000 and rows[2]["exit_code"] == 3 and "no such file" in rows[2]["error"]
    assert "no such file" in told.err


def test_the_error_of_a_single_file_is_its_own(jobs, capsys):
    assert run([(jobs[0][0], "/proc/none/x")], copy) == 5
    assert capsys.readouterr().err.startswith("osdc: /proc/none/x: ")
    assert run([(jobs[0][0], jobs[0][1])], copy) == 0
    assert capsys.readouterr().err == ""


def test_what_no_file_can_do_without_stops_the_batch(jobs, capsys):
    calls = []

    class Model(Task):
        def load(self):
            calls.append(1)
            raise WeightsError("none here")

    work = Model()
    with pytest.raises(WeightsError, match="none here"):
        run(jobs, lambda *_: work.model, threads=1)
    assert len(calls) == 1 and capsys.readouterr().err == ""


def test_files_overlap(jobs):
    meeting = threading.Barrier(3, timeout=20)

    def work(source: str, target: str, progress: Progress) -> dict:
        meeting.wait()  # nobody leaves before three have come
        return {}

    assert run(jobs[:3], work, threads=3) == 0


@pytest.mark.parametrize(
    ("count", "jobs", "told", "threads"),
    [(9, None, None, 4), (9, 4, None, 2), (9, 16, None, 1), (1, None, None, None), (9, None, "3", None)],
)
def test_files_in_work_at_the_same_time_share_the_cores(monkeypatch, count, jobs, told, threads):
    """A single one has all of them, and OMP_NUM_THREADS goes before."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if told:
        monkeypatch.setenv("OMP_NUM_THREADS", told)
    monkeypatch.setattr(batches.os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    batch = Batch(Plan([("a", "b")] * count), Decoding(), "plain", False, False, jobs, "local", None)
    assert batch.work.threads == threads


def test_a_model_is_loaded_once_and_never_sent():
    class Model(Task):
        def load(self):
            time.sleep(0.1)
            return object()

    work, got = Model(), []
    threads = [threading.Thread(target=lambda: got.append(work.model)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, got))) == 1
    sent = pickle.loads(pickle.dumps(Encoding(EncodeOptions(lmbda=0.5), profile="small")))
    assert sent == Encoding(EncodeOptions(lmbda=0.5)) and sent.loaded is None


def test_an_exception_that_nobody_foresaw_costs_one_file(jobs, capsys):
    def work(source: str, target: str, progress: Progress) -> dict:
        return copy(source, target, progress) if source.endswith("a") else {}["none"]

    assert run(jobs[:2], work) == 3
    lines = capsys.readouterr().err.splitlines()
    assert lines[1].startswith(f"osdc: {jobs[1][0]}: a fault of osdc itself (KeyError: 'none'); please report it")
    assert lines[2].startswith("2 of 2 files: 1 done, 1 failed")


def test_sizes_as_people_say_them():
    told = [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (14_000, "14 kB"),
        (999_600, "1.0 MB"),
        (3_140_000, "3.1 MB"),
    ]
    assert [report.size(count) for count, _ in told] == [text for _, text in told]
    assert report.change(3_100_000, 14_000) == "3.1 MB → 14 kB (0.45 %)" and report.change(0, 5).endswith("(500 %)")


def test_memory_that_does_not_suffice_is_an_input_too_large(jobs, capsys):
    def work(*_: object) -> dict:
        raise MemoryError

    assert run(jobs[:1], work) == InputError.exit_code
    assert "memory" in capsys.readouterr().err


@pytest.fixture
def pictures(tmp_path, photo) -> Path:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for name, size in (("a.png", (40, 30)), ("deep/b.jpg", (33, 65)), ("deep/c d.png", (64, 64))):
        photo.crop((60, 0, 60 + size[0], size[1])).save(tmp_path / "in" / name)
    return tmp_path


def below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_trees_there_and_back(pictures):
    done = osdc("encode", "in", "-o", "coded", "--json", cwd=pictures)
    assert done.returncode == 0
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["output"] for row in rows] == ["coded/a.osd", "coded/deep/b.osd", "coded/deep/c d.osd"]
    assert [(row["width"], row["height"]) for row in rows] == [(40, 30), (33, 65), (64, 64)]
    assert all(row["bytes"] == (pictures / row["output"]).stat().st_size for row in rows)
    assert re.fullmatch(
        r"3 of 3 files: 3 done, [\d.]+ kB → [\d.]+ (bytes|kB) \([\d.]+ %\), [\d.]+ bpp\n", done.stderr.decode()
    )

    (pictures / "back" / "deep").mkdir(parents=True)
    (pictures / "back" / "deep" / "b.png").write_bytes(b"precious")
    (pictures / "coded" / "bad.osd").write_bytes(b"bad")
    done = osdc("decode", "coded", "-o", "back", "--skip-existing", cwd=pictures)
    assert done.returncode == 3
    assert done.stderr.decode().splitlines()[-1] == "4 of 4 files: 2 done, 1 skipped, 1 failed"
    assert below(pictures / "back") == ["a.png", "deep/b.png", "deep/c d.png"]
    assert (pictures / "back" / "deep" / "b.png").read_bytes() == b"precious"
    assert Image.open(pictures / "back" / "deep" / "c d.png").size == (64, 64)


def test_names_from_find(pictures):
    found = subprocess.run(["find", "in", "-type", "f", "-print0"], cwd=pictures, capture_output=True, check=True)
    done = osdc("encode", "--files-from", "-", "-0", "-o", "out", "-q", cwd=pictures, input=found.stdout)
    assert (done.returncode, done.stderr) == (0, b"")
    assert below(pictures / "out") == ["a.osd", "b.osd", "c d.osd"]
    (pictures / "list").write_text("out/a.osd\nout/b.osd\n")
    assert osdc("decode", "--files-from", "list", "-o", "new", "-q", cwd=pictures).returncode == 0
    assert below(pictures / "new") == ["a.png", "b.png"]
    done = osdc("decode", "--files-from", "-", cwd=pictures, input=b"")
    assert done.returncode == 3 and b"names no files" in done.stderr


def test_json_goes_to_stderr_where_stdout_has_the_picture(pictures):
    given = (pictures / "in" / "a.png").read_bytes()
    done = osdc("encode", "-", "-o", "-", "--json", cwd=pictures, input=given)
    assert done.returncode == 0 and done.stdout[:4] == b"\x8fOSD"
    assert json.loads(done.stderr)["bytes"] == len(done.stdout)
    done = osdc("decode", "-", "-o", "-", "--json", cwd=pictures, input=b"bad")
    assert done.returncode == 3 and json.loads(done.stderr)["exit_code"] == 3


def test_two_inputs_for_one_output_are_refused_before_any_work(pictures):
    (pictures / "in" / "deep" / "a.png").write_bytes(b"another a")
    done = osdc("encode", "in/a.png", "in/deep", "-o", "out", cwd=pictures)
    assert done.returncode == 5 and b"would both become" in done.stderr and done.stderr.count(b"\n") == 1
    assert not (pictures / "out").exists()


def test_an_album_keeps_its_originals(pictures):
    before = {name: (pictures / "in" / name).read_bytes() for name in below(pictures / "in")}
    assert osdc("encode", "in", "-q", cwd=pictures).returncode == 0
    for again in (("decode", "in"), ("decode", "in", "-o", "in"), ("encode", "in")):
        done = osdc(*again, cwd=pictures)
        assert done.returncode == 5 and done.stderr.count(b"\n") == 1
        assert all(word in done.stderr for word in (b"exists", b"-o", b"--overwrite", b"--skip-existing"))
    assert {name: (pictures / "in" / name).read_bytes() for name in before} == before
    done = osdc("decode", "in", "--format", "webp", "--resize", "32", cwd=pictures)
    assert done.returncode == 0 and max(Image.open(pictures / "in" / "deep" / "c d.webp").size) == 32
    assert {name: (pictures / "in" / name).read_bytes() for name in before} == before
    assert osdc("encode", "in", "--overwrite", "-q", cwd=pictures).returncode == 0


def test_two_suffixes_of_one_name_and_what_is_left_out(pictures, photo):
    photo.crop((0, 0, 40, 30)).save(pictures / "in" / "a.jfif", "JPEG")
    (pictures / "in" / "notes.txt").touch()
    (pictures / "in" / "._a.png").write_bytes(b"resource fork")
    done = osdc("encode", "in", "-o", "out", cwd=pictures)
    assert done.returncode == 0
    assert below(pictures / "out") == ["a.jfif.osd", "a.png.osd", "deep/b.osd", "deep/c d.osd"]
    told = done.stderr.decode().splitlines()
    assert told[0].startswith("osdc: 2 inputs differ in their suffixes only, which their outputs keep: out/a.jfif.osd")
    assert told[-1].endswith("; left out: 1 .txt (unknown suffix)")
    done = osdc("encode", "in", "-o", "out", "--json", cwd=pictures)
    last = json.loads(done.stdout.splitlines()[-1])
    assert last == {"input": "in/notes.txt", "status": "left out", "reason": "unknown suffix"}


def test_weights_that_are_missing_are_said_once(pictures):
    done = osdc("encode", "in", "-o", "out", "--weights-dir", "none", cwd=pictures)
    assert done.returncode == 4 and b"none" in done.stderr and done.stderr.count(b"\n") == 1
    assert below(pictures / "out") == []


def test_what_cannot_be_read_of_a_folder_is_left_out(tmp_path, monkeypatch):
    """A pipe, which would be waited for, a link to a folder, and a folder that refuses."""
    for name in ("real", "locked", "in"):
        (tmp_path / name).mkdir()
    (tmp_path / "in" / "a.png").touch()
    os.mkfifo(tmp_path / "in" / "cam.jpg")
    (tmp_path / "in" / "holiday").symlink_to(tmp_path / "real")
    (tmp_path / "in" / "locked").mkdir()
    scandir = os.scandir

    def refuses(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuses)
    planned = plan([str(tmp_path / "in")], str(tmp_path / "out"), (".png", ".jpg"), ".osd")
    assert [source for source, _ in planned.jobs] == [str(tmp_path / "in" / "a.png")]
    assert {(os.path.basename(path), why) for path, why in planned.left_out} == {
        ("cam.jpg", "no regular file"),
        ("holiday", "a link to a folder"),
        ("locked", "cannot be read (Permission denied)"),
    }


def test_a_file_that_is_named_twice_is_taken_once(pictures):
    name = str(pictures / "in" / "a.png")
    planned = plan([name, f"{pictures}/in/../in/a.png", str(pictures / "in")], None, (".png", ".jpg"), ".osd")
    assert [source for source, _ in planned.jobs].count(name) == 1 and len(planned.jobs) == len(below(pictures / "in"))


def test_a_folder_that_cannot_be_read_is_no_success(tmp_path):
    class Nothing(Decoding):
        def __call__(self, source, target, progress=None):
            return {}

    planned = Plan([("a.osd", "a.png")], left_out=[("in/locked", "cannot be read (Permission denied)")])
    batch = Batch(planned, Nothing(), "quiet", True, False, None, "local", None)
    with pytest.raises(typer.Exit) as left:
        batch.run()
    assert left.value.exit_code == 3
    with pytest.raises(typer.Exit) as left:
        batch.begin(dry_run=True)
    assert left.value.exit_code == 3


def test_what_comes_to_lie_there_during_the_work_stays(tmp_path):
    target = tmp_path / "a.osd"
    work = Encoding(overwrite=Overwrite.OWN)
    work.check(__file__, str(target))
    target.write_text("notes")
    with pytest.raises(OutputError, match=r"a\.osd: exists"):
        work.write(str(target), b"new")
    assert target.read_text() == "notes"
    target.write_bytes(MAGIC + b"old")
    work.write(str(target), b"new")
    assert target.read_bytes() == b"new"


def test_a_folder_in_the_way_costs_one_file(pictures):
    (pictures / "out" / "a.osd").mkdir(parents=True)
    done = osdc("encode", "in", "-o", "out", cwd=pictures)
    assert (
        done.returncode == 3 and b"out/a.osd: a folder is there" in done.stderr and b"2 done, 1 failed" in done.stderr
    )


def test_a_dry_run_says_what_a_run_would(pictures):
    (pictures / "out").mkdir()
    (pictures / "out" / "a.osd").write_text("mine")
    done = osdc("encode", "in", "-o", "out", "--dry-run", cwd=pictures)
    assert done.returncode == 5 == osdc("encode", "in", "-o", "out", cwd=pictures).returncode
    assert b"a.png -> out/a.osd (exists, may not be replaced)" in done.stdout and b"--skip-existing" in done.stderr
    done = osdc("encode", "in", "-o", "out", "--dry-run", "--skip-existing", "--json", cwd=pictures)
    told = {row["output"]: row["status"] for row in map(json.loads, done.stdout.splitlines())}
    assert told == {"out/a.osd": "skipped", "out/deep/b.osd": "planned", "out/deep/c d.osd": "planned"}
    assert osdc("encode", "in/a.png", "-o", "new/", "--dry-run", cwd=pictures).returncode == 0
    (pictures / "file").touch()
    for arguments in (
        ("in/a.png", "-o", "none/x.osd"),
        ("in/a.png", "-o", "in/a.png", "--overwrite"),
        ("in", "-o", "file/deep"),
    ):
        done = osdc("encode", *arguments, "--dry-run", cwd=pictures)
        assert done.returncode == 5 and done.stderr == osdc("encode", *arguments, cwd=pictures).stderr


def deaf_to_hanging_up() -> None:
    """In the child, as nohup has it."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def told_to_end_while_it_writes(folder: Path, number: int, before: Callable[[], None]) -> subprocess.CompletedProcess:
    script = (
        "import os, sys; from osdcodec import cli, files; from osdcodec.cli.shared import reporting\n"
        f"os.fsync = lambda file: os.kill(os.getpid(), {int(number)})\n"
        "@cli.app.command()\n"
        "def write():\n"
        "    with reporting():\n"
        "        files.write_output('out.bin', b'x' * 1000)\n"
        "sys.argv = ['osdc', 'write']; cli.main()"
    )
    command = [sys.executable, "-c", script]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, timeout=60, preexec_fn=before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_who_is_asked_to_end_takes_away_what_is_half_written(tmp_path, number):
    done = told_to_end_while_it_writes(tmp_path, number, hears_signals)
    assert done.returncode == 128 + number and done.stderr == b"" and list(tmp_path.iterdir()) == []


def test_under_nohup_it_goes_on(tmp_path):
    done = told_to_end_while_it_writes(tmp_path, signal.SIGHUP, deaf_to_hanging_up)
    assert done.returncode == 0 and (tmp_path / "out.bin").read_bytes() == b"x" * 1000


def test_an_interrupt_ends_a_batch_at_once_and_cleanly(pictures, photo):
    large = photo.resize((1500, 1000))
    for index in range(20):
        large.save(pictures / "in" / f"{index:02}.bmp")
    command = [sys.executable, "-m", "osdcodec", "encode", "in", "-o", "out", "-j", "2"]
    process = subprocess.Popen(
        command, cwd=pictures, stderr=subprocess.PIPE, env=environment(), preexec_fn=hears_signals
    )
    while not below(pictures / "out") if (pictures / "out").is_dir() else True:
        time.sleep(0.05)
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    start = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and b"Traceback" not in errors
    assert time.monotonic() - start < 10
    assert all(name.endswith(".osd") and not name.startswith(".") for name in below(pictures / "out"))


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_a_reader_that_has_gone(pictures, closed):
    reading, writing = os.pipe()
    os.close(reading)
    arguments = [sys.executable, "-m", "osdcodec", "encode", "in", "-o", "out", "--json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, closed: writing}
    done = subprocess.run(arguments, cwd=pictures, env=environment(), timeout=120, **pipes)
    os.close(writing)
    if closed == "stdout":
        assert done.returncode == 5 and b"Traceback" not in done.stderr and b"closed by its reader" in done.stderr
    else:  # what is told is lost, the work is not
        assert done.returncode == 0 and len(below(pictures / "out")) == 3


def on_a_terminal(*arguments: str, cwd: Path) -> str:
    """What osdc says on stderr where that is a terminal."""
    main, other = pty.openpty()
    command = [sys.executable, "-m", "osdcodec", *arguments]
    process = subprocess.Popen(command, cwd=cwd, stderr=other, env=environment() | {"TERM": "xterm"})
    os.close(other)
    told = b""
    while True:
        try:
            told += os.read(main, 4096)
        except OSError:  # the other end is closed
            break
    assert process.wait(timeout=60) == 0
    os.close(main)
    return told.decode()


def test_a_terminal_sees_a_bar(pictures):
    told = on_a_terminal("encode", "in", "-o", "out", cwd=pictures)
    assert "of 3 files" in told and "%" in told and "3 of 3 files: 3 done" in told


def test_a_terminal_sees_what_became_of_one_file(pictures):
    told = on_a_terminal("encode", "in/a.png", "-o", "a.osd", cwd=pictures)
    assert re.fullmatch(r"in/a\.png [\d.]+ kB → \d+ bytes \([\d.]+ %\), [\d.]+ bpp, λ 1\r\n", told), told
    told = on_a_terminal("decode", "a.osd", "-o", "b.png", cwd=pictures)
    assert re.fullmatch(r"a\.osd \d+ bytes → b\.png [\d.]+ kB\r\n", told), told
    assert on_a_terminal("encode", "in/a.png", "-o", "a.osd", "-q", cwd=pictures) == ""


def test_long_work_says_how_far_it_is(jobs, capsys, monkeypatch):
    """A line every ten seconds where there is no terminal, for a single file too; with -q none."""
    now = [0.0]
    monkeypatch.setattr("osdcodec.console.time.monotonic", lambda: now[0])

    def work(source: str, target: str, progress: Progress) -> dict:
        for second in range(31):
            now[0] += 1
            progress(second / 40)
        return copy(source, target, progress)

    assert run(jobs[:1], work) == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line.removeprefix(f"osdc: {jobs[0][0]}: ") for line in lines] == [
        "22%, 34 s left",
        "48%, 22 s left",
        "72%, 11 s left",
    ]
    assert run(jobs[:1], work, style="quiet") == 0 and run(jobs[:1], work, style="json") == 0
    assert not capsys.readouterr().err
