"""What is installed: the packages of the default install and of each extra, and that a wheel and an sdist run anywhere."""

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import urllib.request
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from helpers.commands import environment

from osdcodec import extras
from osdcodec.errors import OsdError
from osdcodec.maintenance.release import faults_of_wheel

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def packages(requirements: list[str]) -> set[str]:
    return {re.match(r"[\w-]+", requirement)[0] for requirement in requirements}


def brought(extra: str) -> set[str]:
    """Packages of an extra, those of the extras that it names included."""
    found = set()
    for requirement in PROJECT["optional-dependencies"][extra]:
        if inner := re.match(r"osdc\[(.*)\]$", requirement):
            found |= set().union(*(brought(name) for name in inner[1].split(",")))
        else:
            found |= packages([requirement])
    return found


def test_the_default_install_is_the_light_one():
    light = {"constriction", "numpy", "onnxruntime", "pillow", "rich", "safetensors", "typer"}
    assert packages(PROJECT["dependencies"]) == light
    assert PROJECT["requires-python"] == ">=3.11" and not any("<2" in r for r in PROJECT["dependencies"])


def test_every_package_is_in_an_extra():
    assert PROJECT["optional-dependencies"].keys() == {
        "gpu", "fast", "turbo", "train", "eval", "pull", "packets", "links", "heic", "ray", "urls", "test", "all",
    }  # fmt: skip
    assert brought("gpu") >= {"torch", "torchvision", "diffusers", "open_clip_torch"}
    others = PROJECT["optional-dependencies"].keys() - {"all", "test"}
    assert brought("all") == set().union(*(brought(extra) for extra in others))
    assert brought("test") > brought("all")
    named = {
        "open_clip": "open_clip_torch",
        "pytorch_msssim": "pytorch-msssim",
        "pillow_heif": "pillow-heif",
        "pillow_jxl": "pillow-jxl-plugin",
    }
    for module, extra in extras.EXTRAS.items():
        assert named.get(module, module) in brought(extra), f"{module} is not in {extra}"
    for extra, others in extras._HAVE.items():
        assert all(brought(other) <= brought(extra) for other in others)


def test_what_is_missing_is_named_with_its_extra(monkeypatch):
    assert extras.install("torch", "diffusers") == "pip install 'osdc[gpu]'"
    assert extras.install("torch", "peft", "onnx") == "pip install 'osdc[train]'"
    assert extras.install("torch", "ray") == "pip install 'osdc[gpu,ray]'"
    monkeypatch.setattr(extras, "available", lambda module: module != "ray")
    extras.require("this", "torch")
    with pytest.raises(
        OsdError, match=r"this needs packages that are not installed \(ray\): pip install 'osdc\[ray\]'"
    ):
        extras.require("this", "torch", "ray")


def test_a_gpu_without_its_extra_is_told(monkeypatch):
    for here, torch, told in ((True, False, True), (True, True, False), (False, False, False)):
        monkeypatch.setattr(extras, "gpu_here", lambda here=here: here)
        monkeypatch.setattr(extras, "available", lambda _, torch=torch: torch)
        assert ("pip install 'osdc[gpu]'" in extras.unused_gpu()) == told


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the wheel and the sdist."""
    if find_spec("build") is None or find_spec("hatchling") is None:
        pytest.skip("needs build and hatchling")
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=out)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.mark.skipif(
    not (ROOT / "osdcodec/web/build/site/index.html").is_file(), reason="needs the page, which npm builds"
)
def test_a_wheel_holds_the_built_page_and_needs_no_node(built, tmp_path):
    (wheel,) = built.glob("*.whl")
    where, work = tmp_path / "site", tmp_path / "work"
    work.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(where)
    assert {"osdcodec/web/build/site/index.html", "osdcodec/web/build/single/template.html"} <= set(names)
    assert not any("node_modules" in name or "/build/tests/" in name for name in names)
    picture = ROOT / "spec" / "vectors" / "embedded" / "one-pixel.osd"
    environ = environment() | {"PYTHONPATH": str(where), "PATH": str(tmp_path)}  # no Node, nor anything else
    for arguments in (("web", "pages"), ("web", "--single", picture, "-o", "a.html")):
        command = [sys.executable, "-m", "osdcodec", *map(str, arguments)]
        done = subprocess.run(command, cwd=work, env=environ, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0 and "MiB" in done.stderr
    command = [sys.executable, "-m", "osdcodec", "view", str(picture), "--no-browser"]
    with subprocess.Popen(command, cwd=work, env=environ, stderr=subprocess.PIPE, text=True) as served:
        try:
            with urllib.request.urlopen(served.stderr.readline().split()[1].split("?")[0] + "worker.js") as answer:
                assert answer.status == 200
        finally:
            served.kill()


@pytest.mark.parametrize("kind", ["*.whl", "*.tar.gz"])
def test_what_is_built_installs_and_runs_outside_of_the_tree(built, kind, tmp_path):
    (package,) = built.glob(kind)
    where, work = tmp_path / "site", tmp_path / "work"
    work.mkdir()
    options = ["--no-deps", "--no-build-isolation", "--quiet", "--target", str(where)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(package)], check=True, timeout=300, cwd=work)
    picture, environ = ROOT / "examples" / "coffee.png", environment() | {"PYTHONPATH": str(where)}
    for arguments in (
        ("encode", picture, "-o", "a.osd"),
        ("info", "a.osd", "--json"),
        ("decode", "a.osd", "-o", "a.png"),
    ):
        command = [sys.executable, "-m", "osdcodec", *map(str, arguments)]
        done = subprocess.run(command, cwd=work, env=environ, capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stderr) == (0, "")
    assert (work / "a.png").stat().st_size > 0
    told = subprocess.run(
        [sys.executable, "-c", "import osdcodec; print(osdcodec.__file__, osdcodec.__version__)"],
        cwd=work, env=environ, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout.split() == [str(where / "osdcodec" / "__init__.py"), PROJECT["version"]]


def test_what_is_built_names_all_terms(built):
    (wheel,), (sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (archive.read(name).decode() for name in names if name.endswith(".dist-info/METADATA"))
    assert "License-Expression: Apache-2.0 AND LicenseRef-osdc-weights\n" in metadata
    assert {"License-File: LICENSE", "License-File: osdcodec/embedded/README.md"} <= set(metadata.splitlines())
    assert {"osdcodec/py.typed", "osdcodec/weights.toml", "osdcodec/embedded/small.safetensors"} <= set(names)
    assert not any(name.startswith(("tests/", "spec/")) for name in names)
    assert [fault for fault in faults_of_wheel(names) if "npm" not in fault] == []
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "weights.toml", "spec/osd-1.md", "tests/test_cli.py"} <= inside
    assert os.path.getsize(wheel) < 100e6
