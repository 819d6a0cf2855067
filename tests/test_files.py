"""Outputs whole or not at all."""

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
    with pytest.raises(OutputError, match="`overwrite`"):
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
    assert target.read_bytes() == b"again" and list(tmp_path.iterdir()) == [target]  # and the next write removes it


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


def test_temporary_files_of_processes_that_live_stay(tmp_path):
    process = child(STALL, "fsync", tmp_path / "x.osd")
    assert process.stdout.readline() == b"stalled\n"
    (tmp_path / ".osdc-mine").write_bytes(b"of somebody else's")
    files.write_output(tmp_path / "y.osd", b"one")
    assert len(list(tmp_path.glob(".osdc-*"))) == 2
    process.kill()
    process.wait(60)


NOBODY = 65534
as_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="takes the superuser")


@as_root
def test_owner_and_group_of_a_replaced_file_stay(tmp_path):
    target = tmp_path / "x.osd"
    target.write_bytes(b"one")
    os.chown(target, 1234, 4321)
    target.chmod(0o640)
    files.write_output(target, b"two")
    after = target.stat()
    assert (after.st_uid, after.st_gid, stat.S_IMODE(after.st_mode)) == (1234, 4321, 0o640)
    assert target.read_bytes() == b"two" and list(tmp_path.iterdir()) == [target]


WRITES = """
import os, sys
from osdcodec import files
from osdcodec.errors import OutputError

os.setgroups([]); os.setgid(65534); os.setuid(65534)
for data in (b"a longer text", b"two"):
    try:
        files.check_output(sys.argv[1])
        files.write_output(sys.argv[1], data)
    except OutputError as error:
        print(error)
"""


@as_root
@pytest.mark.parametrize(("mode", "owner"), [(0o755, 0), (0o1777, 0), (0o777, 0)])
def test_a_file_of_somebody_else_that_may_be_written_is_written(mode, owner, tmp_path):
    """Its folder takes no second file, or is sticky, or its owner could not be kept: then into the file itself."""
    for parent in (tmp_path, *tmp_path.parents[:3]):
        parent.chmod(parent.stat().st_mode | 0o055)
    folder = tmp_path / "d"
    folder.mkdir()
    target = folder / "x.osd"
    target.write_bytes(b"one")
    target.chmod(0o666)
    folder.chmod(mode)
    before = target.stat()
    said, _ = child(WRITES, target).communicate(timeout=60)
    after = target.stat()
    assert said == b"" and target.read_bytes() == b"two" and list(folder.iterdir()) == [target]
    assert (after.st_ino, after.st_uid, after.st_mode) == (before.st_ino, owner, before.st_mode)
    target.chmod(0o644)
    said, _ = child(WRITES, target).communicate(timeout=60)
    assert said.count(b"is write-protected") == 2 and target.read_bytes() == b"two"


@as_root
def test_a_single_file_that_is_mounted_is_written(tmp_path):
    (tmp_path / "real.osd").write_bytes(b"one")
    (tmp_path / "x.osd").touch()
    script = 'mount --bind real.osd x.osd; "$1" -c "$2" x.osd; cat x.osd; ls -A'
    write = "import sys; from osdcodec import files; files.check_output(sys.argv[1]); files.write_output(sys.argv[1], b'two ')"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", script, "sh", sys.executable, write],
        capture_output=True, cwd=tmp_path, env=environment(), timeout=60, text=True,
    )  # fmt: skip
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip("nothing can be mounted here")
    assert done.stdout.split() == ["two", "real.osd", "x.osd"], done
    assert (tmp_path / "real.osd").read_bytes() == b"two "


def test_a_failed_write_into_a_file_gives_back_what_it_held(tmp_path, monkeypatch):
    target, fsync = tmp_path / "x.osd", os.fsync
    target.write_bytes(b"precious and long")
    failures = [OSError(errno.EBUSY, "busy"), OSError(errno.ENOSPC, "No space left on device")]

    def busy(*_):
        raise failures[0]

    def full(number):
        fsync(number)
        if os.fstat(number).st_ino == target.stat().st_ino and len(failures) == 2:
            raise failures.pop()

    monkeypatch.setattr(os, "replace", busy)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        files.write_output(target, b"new")
    assert target.read_bytes() == b"precious and long" and list(tmp_path.iterdir()) == [target]
    files.write_output(target, b"new")
    assert target.read_bytes() == b"new"


def test_links_stay_links_and_devices_devices(tmp_path):
    link = tmp_path / "link"
    link.symlink_to("x.osd")
    files.write_output(link, b"one")
    assert link.is_symlink()
    assert (tmp_path / "x.osd").read_bytes() == b"one"
    files.write_output("/dev/null", b"one", overwrite=False)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_file_keeps_its_mode(tmp_path):
    target = tmp_path / "x.osd"
    target.write_bytes(b"one")
    for mode in (0o600, 0o664):
        target.chmod(mode)
        files.write_output(target, b"two")
        assert stat.S_IMODE(target.stat().st_mode) == mode


def test_a_name_that_is_taken_in_the_last_moment_is_left_alone(tmp_path, monkeypatch):
    target = tmp_path / "x.osd"
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: (fsync(number), target.write_bytes(b"precious")))
    with pytest.raises(OutputError, match="exists"):
        files.write_output(target, b"new", overwrite=False)
    assert target.read_bytes() == b"precious" and list(tmp_path.iterdir()) == [target]


def test_pipes_and_open_files_are_written_to_as_they_are(tmp_path):
    pipe, log = tmp_path / "pipe", tmp_path / "log"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    files.check_output(pipe, overwrite=False)
    files.write_output(pipe, b"one", overwrite=False)
    assert os.read(reader, 9) == b"one" and stat.S_ISFIFO(pipe.stat().st_mode)
    os.close(reader)

    log.write_bytes(b"before ")
    script = "from osdcodec import files; import sys; [files.write_output(n, b'data ') for n in sys.argv[1:]]"
    (tmp_path / "link").symlink_to("/dev/stdout")
    with open(log, "ab") as appended:
        names = ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", str(tmp_path / "link"), "-"]
        subprocess.run([sys.executable, "-c", script, *names], stdout=appended, env=environment(), check=True)
    assert log.read_bytes() == b"before " + 5 * b"data "
    with pytest.raises(OutputError, match="cannot be written"):
        files.write_output("/dev/fd/987", b"one")


def test_an_open_file_of_another_process_is_written_to_as_it_is(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"before ")
    with open(log, "ab") as opened, subprocess.Popen(["sleep", "60"], stdout=opened) as other:
        name = f"/proc/{other.pid}/fd/1"
        assert files.descriptor(name) is None and files.is_stream(name)
        files.write_output(name, b"after")
        other.kill()
    assert log.read_bytes() == b"before after"


def test_names_of_open_files():
    names = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2, "/dev/fd/63": 63, "/proc/self/fd/5": 5}
    assert {name: files.descriptor(name) for name in names} == names
    assert [files.descriptor(name) for name in ("-", "x", "/dev/null", "/dev/fd/x", "s3://dev/fd/1")] == [None] * 5


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
