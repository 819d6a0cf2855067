"""Pretrained models: found in a folder or in the hub's cache, fetched from a hub on this machine, locked, checked, refused."""

import hashlib
import http.server
import json
import os
import threading
from pathlib import Path

import pytest
from helpers.hub import COMMIT, FILES, Hub
from huggingface_hub import constants
from typer.testing import CliRunner

from osdcodec import weights
from osdcodec.cli import app
from osdcodec.errors import WeightsError
from osdcodec.profile import PROFILES
from osdcodec.weights import downloads


@pytest.fixture
def hub():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        server.asked, server.files = [], dict(FILES)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.delenv("OSDC_WEIGHTS", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return tmp_path / "hf" / "hub"


def listing(folder: Path, mirrors: list[str], revision: str = "main", files: dict[str, str] | None = None) -> Path:
    """A weights.toml with one component, whose own hub is nowhere."""
    names = files or dict.fromkeys(FILES, "")
    lines = [f'"{name}" = "{digest}"' for name, digest in names.items()]
    text = f'name = "base"\nprofiles = ["turbo"]\nrepository = "some/model"\nrevision = "{revision}"\n'
    path = folder / "weights.toml"
    text = f"[[component]]\n{text}mirrors = {json.dumps(mirrors)}\n[component.files]\n" + "\n".join(lines)
    path.write_text(text)
    return path


@pytest.fixture
def nowhere(monkeypatch) -> None:
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", constants.ENDPOINT + template)


def mirror(hub) -> str:
    return f"http://127.0.0.1:{hub.server_port}"


def held(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


@pytest.mark.parametrize("into_folder", [True, False])
def test_what_is_pulled_from_a_mirror_is_found_and_locked(hub, nowhere, cache, tmp_path, into_folder):
    registry, home = listing(tmp_path, [mirror(hub)]), tmp_path / "home" if into_folder else None
    if home:
        home.mkdir()
    ((_, folder),) = downloads.pull("turbo", home, registry)
    assert held(folder) == FILES
    assert folder == home / "base" if home else cache in folder.parents
    lock = json.loads(((home or cache.parent) / "osdc.lock.json").read_text())["base"]
    assert lock["commit"] == COMMIT
    assert {name: entry["sha256"] for name, entry in lock["files"].items()} == {
        name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()
    }
    hub.asked.clear()
    assert downloads.folder_of("base", home, registry) == folder
    assert [found for _, found in downloads.pull("turbo", home, registry)] == [folder]
    assert [state for _, state in downloads.verify(home, registry)] == [f"{folder}: whole"]
    assert hub.asked == []  # all of it is here
    assert list(downloads.pull("small", home, registry)) == []


def test_a_pull_goes_on_where_it_stopped(hub, nowhere, tmp_path):
    registry = listing(tmp_path, [mirror(hub)])
    ((_, folder),) = downloads.pull("turbo", tmp_path, registry)
    (folder / "unet/config.json").unlink()
    hub.asked.clear()
    assert [found for _, found in downloads.pull("turbo", tmp_path, registry)] == [folder]
    assert held(folder) == FILES
    assert [path for verb, path in hub.asked if verb == "GET" and path.endswith("safetensors")] == []


def test_a_file_that_is_not_the_listed_one_is_refused(hub, nowhere, tmp_path):
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()}
    registry = listing(tmp_path, [mirror(hub)], files=digests)
    hub.files["unet/model.safetensors"] = b"another"
    with pytest.raises(WeightsError, match=r"model\.safetensors is not the file that weights\.toml tells of"):
        list(downloads.pull("turbo", None, registry))


def test_another_commit_than_the_pinned_one_is_refused(hub, nowhere, tmp_path):
    registry = listing(tmp_path, [mirror(hub)], revision="f" * 40)
    with pytest.raises(WeightsError, match="cannot be fetched"):
        list(downloads.pull("turbo", None, registry))


def test_a_changed_file_is_noticed_by_its_lock(tmp_path):
    registry, folder = listing(tmp_path, []), tmp_path / "base"
    for name, data in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    assert downloads.folder_of("base", tmp_path, registry) == folder
    file = folder / "unet/model.safetensors"
    file.write_bytes(b"x" + FILES["unet/model.safetensors"][1:])
    with pytest.raises(WeightsError, match=r"model\.safetensors is not the file that .*osdc\.lock\.json"):
        downloads.folder_of("base", tmp_path, registry)
    # The same size and time pass unread, but not through `verify`.
    stamp = json.loads((tmp_path / "osdc.lock.json").read_text())["base"]["files"]["unet/model.safetensors"]["time"]
    os.utime(file, ns=(stamp, stamp))
    assert downloads.folder_of("base", tmp_path, registry) == folder
    with pytest.raises(WeightsError, match=r"model\.safetensors"):
        list(downloads.verify(tmp_path, registry))


def test_pickles_are_refused(tmp_path):
    registry, folder = listing(tmp_path, []), tmp_path / "base" / "unet"
    folder.mkdir(parents=True)
    (folder / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(WeightsError, match="pickles"):
        downloads.folder_of("base", tmp_path, registry)
    with pytest.raises(WeightsError, match="refused"):
        downloads.components(None, listing(tmp_path, [], files={"unet/model.ckpt": ""}))
    with pytest.raises(WeightsError, match="refused"):
        downloads.components(None, listing(tmp_path, [], files={"../model.safetensors": ""}))


@pytest.mark.parametrize(
    "text", ["[[component]", "[[component]]\nname = 'x'", "component = 3", "[[component]]\ncolour = 1"]
)
def test_a_list_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "weights.toml").write_text(text)
    with pytest.raises(WeightsError, match="not a list of components"):
        downloads.components(None, tmp_path / "weights.toml")


def test_no_network_and_no_leave_to_use_it_are_said(nowhere, tmp_path, monkeypatch):
    registry = listing(tmp_path, [])
    with pytest.raises(WeightsError, match=r"base cannot be fetched .*ConnectError.* `weights_dir`"):
        list(downloads.pull("turbo", None, registry))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE"):
        list(downloads.pull("turbo", None, registry))
    with pytest.raises(WeightsError, match="osdc weights pull turbo"):
        downloads.folder_of("base", None, registry)
    assert list(downloads.verify(None, registry)) == [("base", "not here")]


def test_every_base_model_of_a_profile_is_listed_with_pinned_files():
    listed = {component.name: component for component in downloads.components()}
    for profile in PROFILES.values():
        for name in profile.pretrained:
            component = listed[name]
            assert profile.name in component.profiles and component.licence
            assert len(component.revision) == 40
            large = [digest for file, digest in component.files.items() if file.endswith(".safetensors")]
            assert large and all(len(digest) == 64 for digest in large)


def test_the_commands(tmp_path, monkeypatch):
    run = CliRunner().invoke
    listed = run(app, ["weights", "list", "--json"])
    rows = {row["name"]: row for row in json.loads(listed.stdout)}
    assert rows["sd-turbo"]["place"] == "not here" and rows["small.safetensors"]["profile"] == "small"
    path = run(app, ["weights", "path", "small.safetensors"]).stdout.strip()
    assert Path(path) == weights.load("small").path
    verified = run(app, ["weights", "verify"])
    assert (
        verified.exit_code == 0 and "small.safetensors: " in verified.stdout and "sd-turbo: not here" in verified.stdout
    )
    assert run(app, ["weights", "pull", "small"]).exit_code == 0
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for arguments in (["path", "none"], ["path", "sd-turbo"], ["pull", "turbo"], ["pull", "none"]):
        refused = run(app, ["weights", *arguments])
        assert refused.exit_code == 4 and len(refused.stderr.splitlines()) == 1
    damaged = tmp_path / "small.safetensors"
    damaged.write_bytes(Path(path).read_bytes()[:-1])
    refused = run(app, ["weights", "verify", "--weights-dir", str(tmp_path)])
    assert refused.exit_code == 4 and "SHA-256" in refused.stderr
