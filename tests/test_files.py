"""Outputs whole or not at all, and which input becomes which output."""

import errno
import os
import shutil
import stat
import subprocess
import sys

import pytest

from osdcodec import files
from osdcodec.errors import FileError, InputError, OutputError


def test_write_and_read(tmp_path):
    target = tmp_path / "x.osd"
    files.write_output(target, b"one")
    files.write_output(str(target), b"two")
    assert files.read_input(target) == b"two"
    assert list(tmp_path.iterdir()) == [target]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~umask


def test_no_overwrite(tmp_path):
    target = tmp_path / "x.osd"
    files.write_output(target, b"one", overwrite=False)
    with pytest.raises(OutputError, match="--no-overwrite"):
        files.write_output(target, b"two", overwrite=False)
    assert target.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failed_write_leaves_what_was_there(failing, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    target = tmp_path / "x.osd"
    files.write_output(target, b"one")
    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OutputError, match="No space left"):
        files.write_output(target, b"two")
    assert target.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [target]


STALL = """
import os, sys, time
from osdcodec import files

def stall(*_):
    print("stalled", flush=True)
    time.sleep(600)

class Half:  # a file that takes half of what it is given, and then no time is left
    def __init__(self, *arguments): self.file = open(*arguments)
    def __enter__(self): return self
    def __exit__(self, *_): self.file.close()
    def write(self, data): self.file.write(data[: len(data) // 2]); self.file.flush(); stall()

if sys.argv[1] == "write":
    files.open = Half
else:
    setattr(os, sys.argv[1], stall)
files.write_output(sys.argv[2], b"new" * 100_000)
"""


@pytest.mark.parametrize("before", [None, b"precious"])
@pytest.mark.parametrize("moment", ["write", "fsync", "replace"])
def test_a_killed_process_leaves_no_half_file_and_harms_none(moment, before, tmp_path):
    target = tmp_path / "x.osd"
    if before:
        target.write_bytes(before)
    process = child(STALL, moment, target)
    assert process.stdout.readline() == b"stalled\n"
    process.kill()
    process.wait(60)
    assert (target.read_bytes() if target.exists() else None) == before
    assert len(list(tmp_path.glob(".osdc-*"))) == 1  # only SIGKILL leaves it behind
    files.write_output(target, b"again")
    assert target.read_bytes() == b"again"


FULL = """
import resource, sys
from osdcodec import files
from osdcodec.errors import OutputError

if sys.argv[2] == "limit":
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
try:
    files.write_output(sys.argv[1], bytes(200_000))
except OutputError as error:
    print(error.exit_code, error)
"""


@pytest.mark.parametrize("before", [None, b"precious"])
def test_a_file_that_may_not_grow_is_no_file(before, tmp_path):
    target = tmp_path / "x.osd"
    if before:
        target.write_bytes(before)
    said, _ = child(FULL, target, "limit").communicate(timeout=60)
    assert said.decode() == f"5 {target}: cannot be written (File too large); name another with -o\n"
    assert [path.read_bytes() for path in tmp_path.iterdir()] == ([before] if before else [])


def test_a_full_disk_leaves_what_was_there(tmp_path):
    """A disk of 64 KiB in a name space of its own, where the system lets us have one."""
    alone = ["unshare", "--map-root-user", "--mount", "sh", "-ec"]
    disk = 'mount -t tmpfs -o size=64k none "$1"; cd "$1"; printf precious > x.osd'
    if not shutil.which("unshare") or subprocess.run([*alone, disk, "sh", tmp_path], capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    script = f'{disk}; "$2" -c "$3" x.osd disk; "$2" -c "$3" new.osd disk; ls -A; cat x.osd'
    command = [*alone, script, "sh", tmp_path, sys.executable, FULL]
    done = subprocess.run(command, capture_output=True, env=environment(), timeout=60, text=True)
    line = "5 {}: cannot be written (No space left on device); name another with -o"
    assert done.stdout.splitlines() == [line.format("x.osd"), line.format("new.osd"), "x.osd", "precious"], done


def child(script: str, *arguments) -> subprocess.Popen:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=environment())


def environment() -> dict[str, str]:
    root = os.path.dirname(os.path.dirname(os.path.abspath(files.__file__)))
    return {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}


def test_links_stay_links_and_devices_devices(tmp_path):
    link = tmp_path / "link"
    link.symlink_to("x.osd")
    files.write_output(link, b"one")
    assert link.is_symlink()
    assert (tmp_path / "x.osd").read_bytes() == b"one"
    files.write_output("/dev/null", b"one")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_reading_fails_in_two_ways(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "none", tmp_path, tmp_path / "file" / "below"):
        with pytest.raises(InputError, match=str(path)):
            files.read_input(path)
    with pytest.raises(FileError, match="cannot be read") as caught:
        files.read_input("/proc/self/mem")  # it exists and gives an I/O error
    assert caught.value.exit_code == 5


@pytest.mark.parametrize(
    ("target", "message"), [("out", "a folder"), ("none/x.osd", "there is no folder"), ("in.png", "the input itself")]
)
def test_outputs_that_are_bound_to_fail(target, message, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "in.png").write_bytes(b"picture")
    with pytest.raises(OutputError, match=message):
        files.check_output(tmp_path / target, source=tmp_path / "in.png")


def test_jobs_of_one_file(tmp_path):
    source = str(tmp_path / "a.b.png")
    assert files.jobs([source], None, (".png",), ".osd") == [(source, str(tmp_path / "a.b.osd"))]
    assert files.jobs([source], "x.y", (".png",), ".osd") == [(source, "x.y")]
    assert files.jobs([source], "-", (".png",), ".osd") == [(source, "-")]
    assert files.jobs([source], str(tmp_path), (".png",), ".osd") == [(source, str(tmp_path / "a.b.osd"))]
    assert files.jobs(["-"], None, (".png",), ".osd") == [("-", "-")]
    assert files.jobs(["-"], "x", (".png",), ".osd") == [("-", "x")]


def test_jobs_of_a_folder(tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out" / "deep"
    folder.mkdir()
    with pytest.raises(InputError, match="no file in this folder"):
        files.jobs([str(folder)], str(out), (".png", ".jpg"), ".osd")
    assert not out.exists()
    for name in ("b.PNG", "a.jpg", "notes.txt"):
        (folder / name).touch()
    (folder / "folder.png").mkdir()
    pairs = [(str(folder / name), str(out / f"{name[0]}.osd")) for name in ("a.jpg", "b.PNG")]
    assert files.jobs([str(folder)], str(out), (".png", ".jpg"), ".osd") == pairs
    assert out.is_dir()
    assert files.jobs([str(folder)], None, (".png",), ".osd") == [(str(folder / "b.PNG"), str(folder / "b.osd"))]
    with pytest.raises(OutputError):
        files.jobs([str(folder)], "-", (".png",), ".osd")
    with pytest.raises(OutputError, match="cannot be made"):
        files.jobs([str(folder)], str(folder / "notes.txt"), (".png",), ".osd")
    (folder / "b.jpg").touch()
    with pytest.raises(OutputError, match="would both become"):
        files.jobs([str(folder)], str(out), (".png", ".jpg"), ".osd")


def test_jobs_of_several_inputs_keep_the_tree_below_each_folder(tmp_path):
    for name in ("one/deep/er/a.png", "one/b.png", "two/a.png", "c.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    sources = [str(tmp_path / name) for name in ("c.jpg", "one", "two")]
    pairs = files.jobs(sources, str(tmp_path / "out"), (".png",), ".osd")
    told = [tuple(os.path.relpath(name, tmp_path) for name in pair) for pair in pairs]
    assert told == [
        ("c.jpg", "out/c.osd"),
        ("one/b.png", "out/b.osd"),
        ("one/deep/er/a.png", "out/deep/er/a.osd"),
        ("two/a.png", "out/a.osd"),
    ]
    assert (tmp_path / "out/deep/er").is_dir()
    beside = files.jobs(sources, None, (".png",), ".osd")
    assert [target for _, target in beside] == [os.path.splitext(source)[0] + ".osd" for source, _ in pairs]
    with pytest.raises(OutputError, match="only one picture"):
        files.jobs(sources, "-", (".png",), ".osd")
    with pytest.raises(InputError, match="only input"):
        files.jobs([*sources, "-"], str(tmp_path / "out"), (".png",), ".osd")


def test_two_inputs_for_one_output_stop_everything(tmp_path):
    for name in ("a.png", "a.jpg", "deep/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for names in (("a.png", "a.jpg"), ("a.png", "deep"), ("a.png", "deep/a.png")):
        with pytest.raises(OutputError, match="would both become"):
            files.jobs([str(tmp_path / name) for name in names], str(tmp_path / "out"), (".png",), ".osd")
        assert not (tmp_path / "out").exists()
    twice = [str(tmp_path / "a.png"), str(tmp_path / "deep" / ".." / "a.png"), f"{tmp_path}/./a.png"]
    assert len(files.jobs([twice[0], twice[2]], str(tmp_path / "out"), (".png",), ".osd")) == 1


def test_one_file_into_a_folder_to_be_made(tmp_path):
    pairs = files.jobs([str(tmp_path / "a.png")], f"{tmp_path}/new/", (".png",), ".osd")
    assert pairs == [(str(tmp_path / "a.png"), str(tmp_path / "new" / "a.osd"))] and (tmp_path / "new").is_dir()
    pairs = files.jobs([str(tmp_path / "a.png")], str(tmp_path / "other"), (".png",), ".osd", many=True)
    assert pairs[0][1] == str(tmp_path / "other" / "a.osd") and (tmp_path / "other").is_dir()


def test_names_in_lists():
    assert files.names(b"a b.png\n\n c.png\r\n") == ["a b.png", " c.png"]
    assert files.names(b"a\nb.png\0\xff.png\0", nul=True) == ["a\nb.png", os.fsdecode(b"\xff.png")]
