"""osdc contacts nobody: no report, no device id, no socket, whatever a library that it runs on would do by itself."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from helpers.commands import environment
from PIL import Image

from osdcodec import telemetry

pytestmark = pytest.mark.slow

# Ends a process at its first socket, in Python; what libraries open in C, strace sees.
NO_SOCKETS = """
import sys
def forbid(event, arguments):
    if event.startswith("socket."):
        raise SystemExit(f"a socket: {event} {arguments}")
sys.addaudithook(forbid)
from osdcodec.__main__ import main
main()
"""
EVALUATE = "evaluate", "pictures", "--codec", "none", "--lambda", "2", "-o", "report"


@pytest.fixture
def folder(tmp_path):
    """Two pictures, and a home in which there is nothing."""
    (tmp_path / "home").mkdir()
    (tmp_path / "pictures").mkdir()
    for name in ("a", "b"):
        Image.linear_gradient("L").resize((64, 48)).convert("RGB").save(tmp_path / "pictures" / f"{name}.png")
    return tmp_path


def run(folder, *arguments, home="home", command=(sys.executable, "-m", "osdcodec")):
    """osdc with a home of its own, and without what this process has switched off."""
    kept = {name: value for name, value in environment().items() if name not in telemetry.SWITCHES}
    environ = kept | {"HOME": str(folder / home), "XDG_CACHE_HOME": ""}
    done = subprocess.run(
        [*command, *map(str, arguments)], cwd=folder, env=environ, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done


def left(folder) -> list[str]:
    """What is in the home, but for the cache of osdc's own."""
    home = folder / "home"
    files = [str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()]
    return [name for name in files if not name.startswith(".cache/osdc/")]


def test_the_switches_are_set_by_the_first_import_and_a_users_value_stays():
    code = "import os, osdcodec.errors; print(*(os.environ[name] for name in sys.argv[1:]))".replace("os,", "os, sys,")
    environ = {name: value for name, value in environment().items() if name not in telemetry.SWITCHES}
    for own in ({}, {"ORT_DISABLE_TELEMETRY": "0"}):
        command = [sys.executable, "-c", code, *telemetry.SWITCHES]
        done = subprocess.run(command, env=environ | own, capture_output=True, text=True, check=True)
        assert done.stdout.split() == list((telemetry.SWITCHES | own).values())


def test_coding_leaves_nothing_at_home_and_opens_no_socket(folder):
    for arguments in (
        ("encode", "pictures/a.png", "-o", "a.osd"),
        ("decode", "a.osd", "-o", "a.png"),
        ("encode", "pictures", "-o", "coded"),
        ("decode", "coded", "-o", "decoded"),
    ):
        assert run(folder, *arguments, "-q", command=(sys.executable, "-c", NO_SOCKETS)).stderr == ""
    assert left(folder) == []


def test_libraries_open_no_socket_either(folder):
    strace = ["strace", "-f", "-qq", "-e", "trace=socket", "-o", str(folder / "calls")]
    if not shutil.which("strace") or subprocess.run([*strace, "true"], capture_output=True).returncode:
        pytest.skip("needs strace")
    run(folder, "encode", "pictures", "-o", "coded", command=(*strace, sys.executable, "-m", "osdcodec"))
    assert re.findall(r"socket\((?!AF_UNIX).*", (folder / "calls").read_text()) == []


def test_a_home_that_cannot_be_written_is_no_news(folder):
    (folder / "file").touch()  # a folder below a file can be made by nobody, root included
    assert run(folder, "encode", "pictures/a.png", "-o", "a.osd", "-q", home="file/home").stderr == ""
    assert run(folder, "decode", "a.osd", "-o", "a.png", "-q", home="file/home").stderr == ""


def test_evaluation_leaves_nothing_at_home(folder):
    pytest.importorskip("piq")
    run(folder, *EVALUATE)
    assert left(folder) == []


def test_a_batch_on_a_cluster_leaves_nothing_at_home(folder):
    pytest.importorskip("ray")
    run(folder, "encode", "pictures", "-o", "coded", "--engine", "ray")
    assert len(os.listdir(folder / "coded")) == 2 and left(folder) == []
