"""URLs in place of names: file:// without any package, the rest through fsspec."""

import pytest
from helpers.commands import osdc
from PIL import Image
from typer.testing import CliRunner

import osdcodec
from osdcodec import files, urls
from osdcodec.batch.jobs import plan
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
    assert urls.with_suffix("https://h/d/pic.png?sig=a/b%2Bc#x", ".osd") == "https://h/d/pic.osd"
    assert urls.base_name("https://h/pic.png?sig=a/b") == "pic.png" and urls.base_name("s3://b/a?b.png") == "a?b.png"
    assert urls.join("memory://out/", "deep/a.osd") == "memory://out/deep/a.osd"


def test_files_behind_urls(memory):
    files.write_output("memory://box/x.osd", b"one")
    assert files.read_input("memory://box/x.osd") == b"one" and files.exists("memory://box/x.osd")
    with pytest.raises(OutputError, match="`overwrite`"):
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


@pytest.fixture
def web(photo):
    """A web server (address, what was asked for): pic.png, and a listing that links to itself and to a folder without end."""
    pytest.importorskip("aiohttp")
    import io
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    buffer, asked = io.BytesIO(), []
    photo.resize((40, 30)).save(buffer, "PNG")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            bare = self.path.split("?")[0]
            if bare.endswith(".png"):
                kind, content = "image/png", buffer.getvalue()
            else:
                links = ["./", "?C=N;O=D", bare, bare + "pic.png?sig=a/b", *(["deeper/"] if "endless" in bare else [])]
                kind, content = "text/html", "".join(f'<a href="{link}">x</a>' for link in links).encode()
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def test_queries_are_no_part_of_names_and_each_url_is_fetched_once(web, tmp_path, monkeypatch):
    address, asked = web
    monkeypatch.chdir(tmp_path)
    url = f"{address}/pic.png?sig=a/b%2Bc"
    done = CliRunner().invoke(app, ["encode", url, "--dry-run"])
    assert done.exit_code == 0 and done.output == f"{url} -> pic.osd\n" and asked == []
    for output in ([], ["-o", "out/"]):
        done = CliRunner().invoke(app, ["encode", url, "-q", *output])
        assert done.exit_code == 0, done.output
    assert asked == ["/pic.png?sig=a/b%2Bc"] * 2
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.osd")) == ["out/pic.osd", "pic.osd"]
    del asked[:]
    done = CliRunner().invoke(app, ["encode", url, "--total-bytes", "2000", "-o", "once.osd", "-q"])
    assert done.exit_code == 0 and len(asked) == 1 and (tmp_path / "once.osd").exists()


def test_a_listing_that_links_to_itself_ends(web, tmp_path, monkeypatch):
    address, asked = web
    monkeypatch.setattr(urls, "MOST_PAGES", 20)
    assert list(urls.walk(f"{address}/list/")) == ["pic.png?sig=a/b"] and asked == ["/list/"]
    planned = plan([f"{address}/list/"], str(tmp_path), (".png",), ".osd")
    assert planned.jobs == [(f"{address}/list/pic.png?sig=a/b", str(tmp_path / "pic.osd"))]
    done = CliRunner().invoke(app, ["encode", f"{address}/endless/", "-o", str(tmp_path / "o")])
    assert done.exit_code == 3 and done.output.count("\n") == 1 and "its listing has no end" in done.output
