"""`osdc install-desktop`: the files that freedesktop.org's tools read, held to those tools where they are installed."""

import configparser
import os
import shlex
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from helpers.commands import environment, osdc
from PIL import Image

from osdcodec.checks.conformance import VECTORS
from osdcodec.integrations import desktop

NAMES = "mime/packages/osdc.xml", "thumbnailers/osdc.thumbnailer", "applications/osdc.desktop"
NAMESPACE = "{http://www.freedesktop.org/standards/shared-mime-info}"


def ours(folder: Path) -> list[str]:
    return [name for name in NAMES if (folder / name).exists()]


def test_installs_and_removes(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert ours(tmp_path / "data") == []
    assert osdc("install-desktop").returncode == 0
    assert ours(tmp_path / "data") == list(NAMES)
    assert osdc("install-desktop").returncode == 0  # again, for another installation's path
    done = osdc("install-desktop", "--remove")
    assert done.returncode == 0 and done.stderr.count(b"removed") == 3 and ours(tmp_path / "data") == []
    assert b"nothing was installed" in osdc("install-desktop", "--remove").stderr


def test_leaves_the_files_of_others_alone(tmp_path):
    other = tmp_path / NAMES[1]
    other.parent.mkdir()
    other.write_text("[Thumbnailer Entry]\nExec=mine\n")
    done = osdc("install-desktop", "--folder", str(tmp_path))
    assert done.returncode == 5 and b"did not write it" in done.stderr and ours(tmp_path) == [NAMES[1]]
    assert desktop.remove(tmp_path) == [] and other.read_text().endswith("mine\n")


def test_what_cannot_be_written_costs_one_line(tmp_path):
    (tmp_path / "mime").write_text("a file in the way")
    done = osdc("install-desktop", "--folder", str(tmp_path))
    assert done.returncode == 5 and done.stderr.count(b"\n") == 1 and b"Traceback" not in done.stderr


def test_the_type_is_known_by_name_and_by_content(tmp_path):
    desktop.install(tmp_path)
    tree = ElementTree.parse(tmp_path / NAMES[0])
    (kind,) = tree.getroot()
    assert kind.get("type") == "image/x-osd" and kind.find(f"{NAMESPACE}glob").get("pattern") == "*.osd"
    if shutil.which("update-mime-database"):
        assert "image/x-osd:*.osd" in (tmp_path / "mime" / "globs").read_text()
        assert b"\x8fOSD" in (tmp_path / "mime" / "magic").read_bytes()
    if shutil.which("xmllint"):
        subprocess.run(["xmllint", "--noout", tmp_path / NAMES[0]], check=True)


def test_entries_are_valid(tmp_path, monkeypatch):
    program = tmp_path / "a folder with 100% $pace" / "python"
    program.parent.mkdir()
    program.with_name("osdc").write_text("#!/bin/sh\n")
    monkeypatch.setattr(sys, "executable", str(program))
    desktop.install(tmp_path)
    entry = configparser.ConfigParser(interpolation=None)
    entry.read(tmp_path / NAMES[1])
    assert entry["Thumbnailer Entry"]["TryExec"] == str(program.with_name("osdc"))
    assert "100%%" in entry["Thumbnailer Entry"]["Exec"] and entry["Thumbnailer Entry"]["MimeType"] == "image/x-osd;"
    if shutil.which("desktop-file-validate"):
        done = subprocess.run(["desktop-file-validate", tmp_path / NAMES[2]], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("output", ["thumbnail.png", "without-suffix"])
def test_the_thumbnailer_makes_a_png(tmp_path, output):
    """Its command as file managers call it, with a name of their own for the PNG."""
    desktop.install(tmp_path)
    entry = configparser.ConfigParser(interpolation=None)
    entry.read(tmp_path / NAMES[1])
    source = VECTORS / "embedded" / "astronaut.osd"
    given = {"%i": str(source), "%o": str(tmp_path / output), "%s": "48"}
    command = [given.get(word, word) for word in shlex.split(entry["Thumbnailer Entry"]["Exec"])]
    command = [sys.executable, "-m", "osdcodec", *command[command.index("thumbnail") :]]
    done = subprocess.run(command, env=environment(), capture_output=True, timeout=120)
    assert done.returncode == 0 and not done.stderr, done.stderr
    with Image.open(tmp_path / output) as picture:
        assert picture.format == "PNG" and max(picture.size) <= 48


def test_a_damaged_file_has_no_thumbnail(tmp_path):
    (tmp_path / "damaged.osd").write_bytes((VECTORS / "embedded" / "coffee.osd").read_bytes()[:40])
    done = osdc("thumbnail", "damaged.osd", "small.png", "64", cwd=tmp_path)
    assert done.returncode == 3 and done.stderr.count(b"\n") == 1 and not (tmp_path / "small.png").exists()


def test_the_data_folder_follows_the_environment(monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", "not/absolute")
    monkeypatch.setenv("HOME", os.sep + "somebody")
    assert desktop.data_home() == Path("/somebody/.local/share")
