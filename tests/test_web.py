"""`osdc web` and `osdc view` around a page that stands for the built one; osdcodec/web/test has the page's own tests."""

import base64
import dataclasses
import hashlib
import io
import json
import re
import shutil
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import environment, hears_signals
from PIL import Image
from typer.testing import CliRunner

from osdcodec import web, weights
from osdcodec.checks.conformance import ROOT, VECTORS
from osdcodec.cli import app
from osdcodec.profile import SMALL
from osdcodec.runtime.tiles import MARGINS

pytestmark = pytest.mark.slow

PICTURE = VECTORS / "embedded" / "one-pixel.osd"


@pytest.fixture
def page(tmp_path, monkeypatch) -> Path:
    """A folder where the built page would lie; beside it what `osdc web --single` fills in."""
    folder, single = tmp_path / "built" / "site", tmp_path / "built" / "single"
    folder.mkdir(parents=True)
    single.mkdir()
    (single / "template.html").write_text("<!doctype html><!-- data --><p>a page", "utf-8")
    (single / "runtime.wasm.gz").write_bytes(b"a runtime")
    (folder / "index.html").write_text("<!doctype html><title>a page</title>", "utf-8")
    (folder / "worker.js").write_text("1", "utf-8")
    monkeypatch.setattr(web, "BUILT", tmp_path / "built")
    return folder


@pytest.fixture
def no_page(tmp_path, monkeypatch) -> None:
    """An installation in which nobody has built the page."""
    monkeypatch.setattr(web, "BUILT", tmp_path / "nowhere")
    installed_from(tmp_path / "gone", tmp_path, monkeypatch)
    monkeypatch.setattr(web, "__file__", str(tmp_path / "site-packages" / "osdcodec" / "web" / "__init__.py"))


def installed_from(checkout: Path, tmp_path: Path, monkeypatch) -> None:
    """What pip notes of a package that it installed from a folder."""
    notes = tmp_path / "site-packages" / "osdc-0.1.0.dist-info"
    notes.mkdir(parents=True, exist_ok=True)
    (notes / "METADATA").write_text("Metadata-Version: 2.1\nName: osdc\nVersion: 0.1.0\n", "utf-8")
    (notes / "direct_url.json").write_text(json.dumps({"url": checkout.as_uri(), "dir_info": {}}), "utf-8")
    monkeypatch.syspath_prepend(str(notes.parent))


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stderr


def test_a_site_has_the_page_and_weights_with_their_hash(page, tmp_path):
    folder = tmp_path / "deep" / "site"
    code, told = run("web", folder)
    assert code == 0 and "MiB" in told
    (listed,) = json.loads((folder / "models.json").read_text("utf-8"))
    data = (folder / listed["file"]).read_bytes()
    assert listed["sha256"] == hashlib.sha256(data).hexdigest() and listed["bytes"] == len(data)
    assert listed["model_id"] == weights.load().model_id.hex()
    assert listed["margins"] == MARGINS["small"]
    assert (folder / "index.html").read_bytes() == (page / "index.html").read_bytes()
    graph = (folder / listed["trust"]["file"]).read_bytes()
    assert listed["trust"]["sha256"] == hashlib.sha256(graph).hexdigest() and graph == weights.trust_graph(
        weights.load()
    )
    names = {"index.html", "worker.js", "models.json", "files.json", listed["file"], "trust.onnx"}
    assert {path.name for path in folder.iterdir()} == names


def test_a_site_is_written_anew_but_no_other_folder_is_touched(page, tmp_path):
    folder = tmp_path / "site"
    assert run("web", folder)[0] == 0
    (page / "index.html").write_text("another", "utf-8")
    assert run("web", folder)[0] == 0 and (folder / "index.html").read_text("utf-8") == "another"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear", "utf-8")
    for taken in (tmp_path / "mine", tmp_path / "mine" / "letter.txt"):
        code, told = run("web", taken)
        assert code == 5 and len(told.splitlines()) == 1
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]


def test_a_site_written_anew_keeps_no_older_files_but_all_that_others_put_there(page, tmp_path):
    folder = tmp_path / "site"
    for name in ("runtime-OLD.js", "runtime-EDITED.js"):
        (page / name).write_text("an older build", "utf-8")
    assert run("web", folder)[0] == 0
    for name in ("runtime-OLD.js", "runtime-EDITED.js"):
        (page / name).unlink()
    (page / "runtime-NEW.js").write_text("this build", "utf-8")
    (folder / "runtime-EDITED.js").write_text("somebody changed it", "utf-8")
    (folder / "photo.osd").write_bytes(PICTURE.read_bytes())
    (folder / "sub").mkdir()
    assert run("web", folder)[0] == 0
    names = {path.name for path in folder.iterdir()}
    assert "runtime-OLD.js" not in names
    assert names >= {"runtime-NEW.js", "runtime-EDITED.js", "photo.osd", "sub", "index.html", "models.json"}


@pytest.mark.parametrize("told", ["no JSON", "[]", '{"../letter.txt": "", "sub": "", "away.js": ""}'])
def test_a_list_of_written_files_that_is_not_ours_removes_nothing(page, tmp_path, told):
    folder, letter = tmp_path / "site", tmp_path / "letter.txt"
    letter.write_text("dear", "utf-8")
    assert run("web", folder)[0] == 0
    told = told.replace('""', json.dumps(hashlib.sha256(b"dear").hexdigest()))
    (folder / "files.json").write_text(told, "utf-8")
    (folder / "sub").mkdir()
    (folder / "away.js").symlink_to(letter)
    assert run("web", folder)[0] == 0
    assert letter.read_text("utf-8") == "dear" and (folder / "sub").is_dir() and (folder / "away.js").is_symlink()


@pytest.mark.parametrize("command", [("web", "site"), ("web", "--single", PICTURE), ("view", "--no-browser")])
def test_where_the_page_is_not_built_one_line_says_the_command(no_page, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, told = run(*command)
    assert code == 3 and len(told.splitlines()) == 1 and "npm --prefix osdcodec/web run build" in told
    assert not (tmp_path / "site").exists() and not (tmp_path / "one-pixel.html").exists()


def test_the_page_is_found_where_it_was_built_after_the_installation(no_page, page, tmp_path, monkeypatch):
    checkout = tmp_path / "a checkout" / "osdcodec" / "web"
    checkout.mkdir(parents=True)
    (checkout / "package.json").write_text("{}", "utf-8")
    installed_from(tmp_path / "a checkout", tmp_path, monkeypatch)
    monkeypatch.setattr(web, "BUILT", tmp_path / "nowhere")
    code, told = run("web", tmp_path / "site")
    assert code == 3 and f"npm --prefix {checkout} run build" in told
    shutil.move(page.parent, checkout / "build")
    code, told = run("web", tmp_path / "site")
    assert code == 0 and (tmp_path / "site" / "worker.js").is_file()


def test_one_file_holds_page_picture_and_what_decoding_needs(page, tmp_path):
    picture, target = tmp_path / "<script>.osd", tmp_path / "photo.html"
    picture.write_bytes(PICTURE.read_bytes())
    code, told = run("web", "--single", picture, "-o", target)
    assert code == 0 and f"{target}: " in told and "MiB" in told
    blocks = dict(re.findall(r'<script type="[^"]*" id="([^"]*)">([^<]*)</script>', target.read_text("utf-8")))
    assert blocks.keys() == {"about", "picture-data", "runtime", "weights", "trust-graph"}
    about = json.loads(blocks["about"])
    graph = base64.b64decode(blocks["trust-graph"])
    assert graph == weights.trust_graph(weights.load())
    assert about["listed"]["trust"]["sha256"] == hashlib.sha256(graph).hexdigest()
    kept = base64.b64decode(blocks["weights"])
    assert about["name"] == "<script>.osd" and base64.b64decode(blocks["picture-data"]) == PICTURE.read_bytes()
    assert about["listed"]["sha256"] == hashlib.sha256(kept).hexdigest() and about["listed"]["bytes"] == len(kept)
    (tmp_path / "kept.safetensors").write_bytes(kept)
    assert weights.entry(tmp_path / "kept.safetensors", "small")["model_id"] == weights.load().model_id.hex()
    assert len(kept) < 0.8 * weights.load().path.stat().st_size


def test_one_file_replaces_no_other_unasked(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("web", "--single", PICTURE)[0] == 0 and Path("one-pixel.html").is_file()
    assert run("web", "--single", PICTURE)[0] == 5
    assert run("web", "--single", PICTURE, "--overwrite")[0] == 0
    for wrong in ((), ("site", "--single", PICTURE), ("site", "-o", "a.html")):
        assert run("web", *wrong)[0] == 2
    assert not Path("site").exists()


def test_view_without_the_page_shows_a_picture_that_osdc_decoded(no_page, tmp_path, monkeypatch):
    served = {}

    class Shown(web.Server):
        def serve_forever(self, poll_interval: float = 0.5) -> None:
            served.update(self.files)

    monkeypatch.setattr(web, "Server", Shown)
    picture = tmp_path / "<b>.osd"
    picture.write_bytes((VECTORS / "embedded" / "astronaut.osd").read_bytes())
    code, told = run("view", picture, "--no-browser")
    assert code == 0 and "osdc decodes the picture itself" in told
    found = np.asarray(Image.open(io.BytesIO(served["picture.png"])), float)
    expected = np.asarray(Image.open(VECTORS / "embedded" / "astronaut.png"), float)
    assert np.sqrt(np.mean((found - expected) ** 2)) < 1  # half precision too
    html = served["index.html"].decode()
    assert "64 × 64" in html and "&lt;b&gt;" in html and "<b>" not in html and "<script" not in html


def test_other_weights_join_the_site(page, tmp_path):
    folder = tmp_path / "weights"
    folder.mkdir()
    shutil.copy(weights.load().path, folder / "mine.safetensors")
    told = weights.entry(folder / "mine.safetensors", "small")
    lines = ["[[model]]", *(f"{key} = {json.dumps(value)}" for key, value in told.items())]
    (folder / "weights.toml").write_text("\n".join(lines), "utf-8")
    assert run("web", tmp_path / "site", "--weights-dir", folder)[0] == 0
    assert (tmp_path / "site" / "mine.safetensors").is_file()


@pytest.mark.parametrize(("change", "code"), [({"steps": (2,)}, 3), ({"base_codes": 64}, 3), ({"noise_low": 90}, 0)])
def test_a_model_that_the_page_does_not_run_is_refused_before_anything_is_written(
    page, tmp_path, monkeypatch, change, code
):
    model = weights.load()
    other = dataclasses.replace(model, profile=dataclasses.replace(model.profile, **change))
    monkeypatch.setattr(weights, "load", lambda weights_dir=None: other)
    found, told = run("web", tmp_path / "site")
    assert found == code and (tmp_path / "site").exists() == (code == 0) and len(told.splitlines()) == 1
    assert code == 0 or next(iter(change)) in told


@pytest.fixture
def server(page):
    with web.Server(web.site() | {"a b.osd": PICTURE.read_bytes()}) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def fetch(address: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=10) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), b""


def test_the_server_isolates_the_page_and_knows_its_files(server, page):
    code, headers, body = fetch(server.address("a b.osd"))
    assert code == 200 and body == (page / "index.html").read_bytes() and headers["Content-Type"] == "text/html"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert server.address("a b.osd").endswith("/?src=a%20b.osd")
    assert fetch(server.address() + "worker.js")[1]["Content-Type"] == "text/javascript"
    assert fetch(server.address() + "a%20b.osd")[2] == PICTURE.read_bytes()
    assert json.loads(fetch(server.address() + "models.json?x")[2])[0]["profile"] == "small"


def test_the_server_gives_nothing_else(server):
    root = f"http://127.0.0.1:{server.server_port}/"
    for address in (root, root + "worker.js", root + "guess/worker.js", server.address() + "../../etc/passwd"):
        assert fetch(address)[0] == 404
    assert fetch(server.address() + "nothing.js")[0] == 404
    assert fetch(server.address(), Host="evil.example:80")[0] == 404
    assert server.server_address[0] == "127.0.0.1"


def test_view_refuses_what_it_could_not_show(page, server, tmp_path):
    (tmp_path / "cut.osd").write_bytes(PICTURE.read_bytes()[:-1])
    for source, wanted in ((tmp_path / "cut.osd", 3), (tmp_path / "none.osd", 3)):
        code, told = run("view", source, "--no-browser")
        assert code == wanted and len(told.splitlines()) == 1
    code, told = run("view", PICTURE, "--no-browser", "--port", server.server_port)
    assert code == 5 and "--port" in told


def test_view_ends_with_an_interrupt_and_without_a_complaint(page):
    script = (
        f"from pathlib import Path; from osdcodec import cli, web; web.BUILT = Path({str(page.parent)!r}); cli.main()"
    )
    command = [sys.executable, "-c", script, "view", str(PICTURE), "--no-browser"]
    with subprocess.Popen(
        command, env=environment(), stderr=subprocess.PIPE, text=True,
        preexec_fn=hears_signals,
    ) as served:  # fmt: skip
        try:
            address = served.stderr.readline().split()[1]
            assert fetch(address)[0] == 200
            served.send_signal(signal.SIGINT)
            assert served.wait(20) == 0 and served.stderr.read().strip() == ""
        finally:
            served.kill()


def test_what_a_reader_of_symbols_needs_comes_first_in_the_weights():
    """spec/weights.md promises that one range request is enough."""
    data = weights.load().path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = {name: tensor for name, tensor in json.loads(data[8:start]).items() if name != "__metadata__"}
    normative = [
        t for name, t in header.items() if name.startswith(("prior.", "gains.")) or name == "semantics.codebook"
    ]
    small = [t for t in header.values() if t["dtype"] == "U8"]
    end = max(tensor["data_offsets"][1] for tensor in normative)
    assert end <= min(tensor["data_offsets"][0] for tensor in small)
    assert start + end < 4e6


def test_the_text_has_the_numbers_of_the_profile():
    text = " ".join((ROOT / "spec" / "weights.md").read_text("utf-8").split())
    assert f"N = round({SMALL.noise_low} + {SMALL.noise_high - SMALL.noise_low} q / 255)" in text
    assert (
        f"√β_n = √{SMALL.beta_start} + (√{SMALL.beta_end} − √{SMALL.beta_start}) n / {SMALL.diffusion_steps - 1}"
        in text
    )
