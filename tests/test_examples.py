"""Every example runs as it stands."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.commands import environment
from helpers.pictures import EXAMPLES
from PIL import Image

pytestmark = pytest.mark.slow


@pytest.fixture
def run(tmp_path):
    """Runs a command in a folder of its own, with an `osdc` on the path that is this one."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "osdc").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m osdcodec "$@"\n')
    (tools / "osdc").chmod(0o755)
    environ = environment() | {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    (tmp_path / "work").mkdir()

    def call(*command: str | Path) -> str:
        done = subprocess.run(command, cwd=tmp_path / "work", env=environ, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    call.folder = tmp_path / "work"
    return call


@pytest.fixture
def pictures(tmp_path, photo) -> Path:
    (tmp_path / "pictures" / "deep").mkdir(parents=True)
    photo.save(tmp_path / "pictures" / "a.png")
    photo.resize((70, 50)).save(tmp_path / "pictures" / "deep" / "b.jpg")
    return tmp_path / "pictures"


def test_batch(run, pictures):
    for _ in range(2):
        assert run("bash", EXAMPLES / "batch.sh", pictures, "out").split()[0] == "2"
    made = sorted(path.relative_to(run.folder).as_posix() for path in run.folder.rglob("*.*"))
    assert made == [
        "out/coded/a.osd",
        "out/coded/deep/b.osd",
        "out/decoded.jsonl",
        "out/decoded/a.png",
        "out/decoded/b.png",
    ]


def test_size_target(run, pictures):
    told = run(sys.executable, EXAMPLES / "size_target.py", pictures / "a.png").splitlines()
    assert len(told) == 4 and "out of reach" in told[2]
    assert "bits per pixel, lambda" in told[3]


def test_python_api(run, pictures):
    told = run(sys.executable, EXAMPLES / "python_api.py", pictures / "a.png").splitlines()
    assert told[0].startswith("256x192: ") and told[1].startswith("lambda 2: ") and "checksum" in told[3]


def test_pillow_plugin(run):
    assert "OSD (512, 512)" in run(sys.executable, EXAMPLES / "pillow_plugin.py", ".")
    assert Image.open(run.folder / "icon.png").size == (64, 64)


@pytest.mark.parametrize(("loss", "repair"), [("0", "0"), ("0.3", "4")])
def test_udp_link(run, pictures, loss, repair):
    """Two processes. Without loss the picture grows packet by packet; with much loss and more repair it comes whole."""
    numbers = ("--loss", loss, "--repair", repair, "--packet", "100", "--pause", "0.01", "--seed", "7")
    told = run(sys.executable, EXAMPLES / "udp_link.py", pictures / "a.png", "-o", "grown", *numbers).splitlines()
    assert told[-1] == "the whole file has come" and any(line.startswith("sent ") for line in told)
    made = {path.stem: Image.open(path) for path in (run.folder / "grown").iterdir()}
    assert all(picture.size == (256, 192) for picture in made.values()) and "whole" in made
    if loss == "0":
        assert {"1", "2", "3"} <= made.keys()


@pytest.mark.skipif(shutil.which("file") is None, reason="needs file(1)")
def test_magic(run, pictures):
    run("osdc", "encode", pictures / "a.png", "-o", "a.osd")
    assert "osdc picture, version 1, model " in run("file", "-m", EXAMPLES / "osd.magic", "a.osd")
    assert run("file", "-m", EXAMPLES / "osd.magic", "--brief", "--mime-type", "a.osd").strip() == "image/x-osd"
