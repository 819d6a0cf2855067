"""What a release checks before it is one."""

import shlex
import sys

import pytest

from osdcodec.errors import OsdError
from osdcodec.maintenance import release

GOOD = [*release.WANTED, release.PAGE + "index.html", "osdcodec/codec.py"]


def test_the_version_is_found_in_each_file():
    found = release.versions()
    assert found["pyproject.toml"] == found["CITATION.cff"]
    assert found["CHANGELOG.md"] in ("none", found["pyproject.toml"])  # until the release names its section


def test_a_wheel_holds_what_users_run_and_nothing_else():
    assert release.faults_of_wheel(GOOD) == []
    assert release.faults_of_wheel(GOOD[1:]) == [f"{GOOD[0]} is missing in the wheel"]
    for name in ("osdcodec/maintenance/embed.py", "osdcodec/web/src/page.ts", "osdcodec/web/package-lock.json"):
        assert release.faults_of_wheel([*GOOD, name]) == [f"{name} does not belong into the wheel"]
    assert "npm run build" in release.faults_of_wheel(release.WANTED)[0]


def test_the_commands_of_the_readme_are_found():
    lines = [line for block in release.blocks("sh") for line in block.splitlines()]
    assert [shlex.split(line, comments=True)[:2] for line in lines] == [
        ["osdc", "encode"], ["osdc", "decode"], ["osdc", "info"],
    ]  # fmt: skip
    (code,) = release.blocks("python")
    assert "osdcodec.encode(" in code and "osdcodec.decode(" in code
    assert (release.ROOT / "examples" / release.PHOTO).is_file()


def test_an_interpreter_of_another_version_is_not_taken(monkeypatch):
    own = f"{sys.version_info[0]}.{sys.version_info[1]}"
    monkeypatch.setattr(release, "PYTHONS", (own, "2.1"))
    assert release.pythons() == {own: sys.executable, "2.1": None}


def test_commands_of_an_installed_osdc_see_nothing_else(monkeypatch, tmp_path):
    for name in ("PYTHONPATH", "OSDC_WEIGHTS", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "/somewhere")
    told = release.environment(tmp_path / "bin")
    assert told["PATH"] == str(tmp_path / "bin") and told["HOME"] == str(tmp_path)
    assert not told.keys() & {"PYTHONPATH", "OSDC_WEIGHTS", "XDG_CACHE_HOME"}
    code = "import os, sys; print('it was', os.environ['PATH']); sys.exit(3)"
    with pytest.raises(OsdError, match=f"ended with 3: it was {tmp_path}/bin"):
        release.run(sys.executable, "-c", code, where=tmp_path, tools=tmp_path / "bin")
