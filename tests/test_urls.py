"""URLs in place of names: file:// without any package, the rest through fsspec."""

import pytest
from PIL import Image
from test_cli import osdc
from typer.testing import CliRunner

import osdcodec
from osdcodec import files, urls
from osdcodec.cli import app
from osdcodec.errors import FileError, InputError, OutputError

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def memory():
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()


def test_names():
    assert urls.plain("file:///a%20b.png") == "/a b.png" and urls.plain("a.png") == "a.png"
    assert urls.is_url("s3://bucket/a.png") and not urls.is_url("file:///a.png") and not urls.is_url("C://a.png")
    assert urls.with_suffix("s3://b/deep/a.b.png", ".osd") == "s3://b/deep/a.b.osd"
    assert urls.join("memory://out/", "deep/a.osd") == "memory://out/deep/a.osd"


def test_files_behind_urls(memory):
    files.write_output("memory://box/x.osd", b"one")
    assert files.read_input("memory://box/x.osd") == b"one" and files.exists("memory://box/x.osd")
    with pytest.raises(OutputError, match="--overwrite"):
        files.write_output("memory://box/x.osd", b"two", overwrite=False)
    with pytest.raises(InputError, match="no such file"):
        files.read_input("memory://box/none")
    with pytest.raises(FileError, match="nosuch://x"):
        files.read_input("nosuch://x")


def test_trees_behind_urls(memory, photo, tmp_path):
    for name in ("a.png", "deep/b.png"):
        with memory.open(f"/in/{name}", "wb") as file:
            photo.resize((40, 30)).save(file, "PNG")
    done = CliRunner().invoke(app, ["encode", "memory://in", "-o", "memory://coded", "-q"])
    assert done.exit_code == 0, done.output
    assert sorted(memory.find("/coded")) == ["/coded/a.osd", "/coded/deep/b.osd"]
    assert osdcodec.info(memory.cat_file("/coded/a.osd"))["width"] == 40
    done = CliRunner().invoke(app, ["decode", "memory://coded", "-o", str(tmp_path / "out"), "-q"])
    assert done.exit_code == 0 and Image.open(tmp_path / "out" / "deep" / "b.png").size == (40, 30)
    done = CliRunner().invoke(app, ["encode", "memory://in/a.png", "--skip-existing", "-q"])
    assert done.exit_code == 0 and memory.exists("/in/a.osd")
    done = CliRunner().invoke(app, ["encode", "memory://in/none.png", "-o", "memory://none.osd"])
    assert done.exit_code == 3 and not memory.exists("/none.osd")


def test_local_files_as_urls(tmp_path, photo):
    (tmp_path / "a b").mkdir()
    photo.resize((40, 30)).save(tmp_path / "a b" / "photo.png")
    where = f"file://{tmp_path}/a%20b"
    assert osdc("encode", f"{where}/photo.png", cwd=tmp_path).returncode == 0
    assert (tmp_path / "a b" / "photo.osd").is_file()
    assert osdc("decode", where, "-o", f"file://{tmp_path}/out", "-q", cwd=tmp_path).returncode == 0
    assert Image.open(tmp_path / "out" / "photo.png").size == (40, 30)
    done = osdc("encode", f"{where}/photo.png", "-o", f"{where}/photo.png", cwd=tmp_path)
    assert done.returncode == 5 and b"the input itself" in done.stderr
