"""Outputs whole or not at all, and which input becomes which output."""

import errno
import os
import stat

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
    assert files.jobs(source, None, (".png",), ".osd") == [(source, str(tmp_path / "a.b.osd"))]
    assert files.jobs(source, "x.y", (".png",), ".osd") == [(source, "x.y")]
    assert files.jobs(source, "-", (".png",), ".osd") == [(source, "-")]
    assert files.jobs(source, str(tmp_path), (".png",), ".osd") == [(source, str(tmp_path / "a.b.osd"))]
    assert files.jobs("-", None, (".png",), ".osd") == [("-", "-")]
    assert files.jobs("-", "x", (".png",), ".osd") == [("-", "x")]


def test_jobs_of_a_folder(tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out" / "deep"
    folder.mkdir()
    with pytest.raises(InputError, match="no file in this folder"):
        files.jobs(str(folder), str(out), (".png", ".jpg"), ".osd")
    assert not out.exists()
    for name in ("b.PNG", "a.jpg", "notes.txt"):
        (folder / name).touch()
    (folder / "folder.png").mkdir()
    pairs = [(str(folder / name), str(out / f"{name[0]}.osd")) for name in ("a.jpg", "b.PNG")]
    assert files.jobs(str(folder), str(out), (".png", ".jpg"), ".osd") == pairs
    assert out.is_dir()
    assert files.jobs(str(folder), None, (".png",), ".osd") == [(str(folder / "b.PNG"), str(folder / "b.osd"))]
    with pytest.raises(OutputError):
        files.jobs(str(folder), "-", (".png",), ".osd")
    with pytest.raises(OutputError, match="cannot be made"):
        files.jobs(str(folder), str(folder / "notes.txt"), (".png",), ".osd")
    (folder / "b.jpg").touch()
    with pytest.raises(OutputError, match="would both become"):
        files.jobs(str(folder), str(out), (".png", ".jpg"), ".osd")
