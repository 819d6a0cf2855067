"""Everything that a release needs but its tag: `python -m osdcodec.maintenance.release [--python PYTHON …]`, in a checkout.

Compares the versions that stand in several files, builds the browser's page, sdist and wheel, looks into the wheel, installs each of
the two in an empty environment of every Python named, and runs the main commands there, away from the checkout and without Node. Ends
with 1 at the first thing that is wrong. The distributions lie in dist/ afterwards; the tag is the maintainer's to push.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
import urllib.request
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..console import run_command
from ..errors import OsdError

ROOT = Path(__file__).parents[2]
UNWANTED = re.compile(r"osdcodec/(maintenance/|web/(src|test)/|training/LAB)|lock\.json$|\.jsonl$|\.log$")
WANTED = ("osdcodec/py.typed", "osdcodec/weights.toml", "osdcodec/embedded/small.safetensors")
PAGE = "osdcodec/web/build/site/"
NO_NODE = "/usr/bin:/bin"  # a PATH for the commands that must not need Node


def versions() -> dict[str, str]:
    """The version of the package as each file states it."""
    changes = (ROOT / ".github" / "CHANGELOG.md").read_text("utf-8")
    citation = (ROOT / ".github" / "CITATION.cff").read_text("utf-8")
    return {
        "pyproject.toml": tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"],
        "CHANGELOG.md": found[1] if (found := re.search(r"^## \[?(\d[^\]\s]*)", changes, re.MULTILINE)) else "none",
        "CITATION.cff": found[1] if (found := re.search(r"^version: (\S+)", citation, re.MULTILINE)) else "none",
    }


def faults_of_wheel(names: Iterable[str]) -> list[str]:
    """What is wrong with the file names in a wheel; nothing if all is well."""
    names = list(names)
    faults = [f"{name} does not belong into the wheel" for name in names if UNWANTED.search(name)]
    faults += [f"{name} is missing in the wheel" for name in WANTED if name not in names]
    if not any(name.startswith(PAGE) for name in names):
        faults.append("the browser's page is missing in the wheel: npm run build")
    return faults


def environment(path: str | None = None) -> dict[str, str]:
    """That of this process, without what leads back to the checkout, and with another PATH if one is given."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "OSDC_WEIGHTS")}
    return kept | ({"PATH": path} if path else {})


def run(*command: object, where: Path, path: str | None = None) -> None:
    """Runs a command in a folder. OsdError, with the end of its output, if it fails."""
    print("+", *command, flush=True)
    done = subprocess.run([*map(str, command)], cwd=where, env=environment(path), capture_output=True, text=True)
    if done.returncode:
        raise OsdError(f"{command[0]} ended with {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")


def view(*command: object, where: Path) -> None:
    """Runs a command that serves a page, without Node, fetches the page and ends the command. OsdError if one of them fails."""
    print("+", *command, flush=True)
    words = [*map(str, command)]
    with subprocess.Popen(words, cwd=where, env=environment(NO_NODE), stderr=subprocess.PIPE, text=True) as server:
        try:
            told = server.stderr.readline() if server.stderr else ""
            if not (address := re.search(r"http://\S+", told)):
                raise OsdError(f"{words[0]} told no address: {told}")
            with urllib.request.urlopen(address[0], timeout=20) as page:
                if b"<html" not in page.read().lower():
                    raise OsdError(f"{address[0]} is no page")
        finally:
            server.send_signal(signal.SIGINT)
        if server.wait(20):
            raise OsdError(f"{words[0]} ended with {server.returncode}")


def build() -> list[Path]:
    """Makes the page and both distributions -> their paths, the wheel first. OsdError if one cannot be made."""
    web = ROOT / "osdcodec" / "web"
    if not shutil.which("npm"):
        raise OsdError("the browser's page needs Node 20 or newer, with npm")
    run("npm", "ci", "--no-audit", "--no-fund", where=web)
    run("npm", "run", "build", where=web)
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    run(sys.executable, "-m", "build", "--outdir", ROOT / "dist", where=ROOT)
    return [*(ROOT / "dist").glob("*.whl"), *(ROOT / "dist").glob("*.tar.gz")]


def try_out(distribution: Path, python: str) -> None:
    """Installs a distribution in an empty environment and codes a picture with it. OsdError if a step fails."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        run(python, "-m", "venv", "env", where=work)
        tools = work / "env" / "bin"
        run(tools / "pip", "install", "--quiet", distribution, where=work)
        page = [("osdc", "web", "site"), ("osdc", "web", "--single", "coffee.osd", "-o", "coffee.html")]
        commands: tuple[tuple[Any, ...], ...] = (
            ("osdc", "encode", ROOT / "examples" / "coffee.png", "-o", "coffee.osd", "--lambda", "1"),
            ("osdc", "info", "coffee.osd"),
            ("osdc", "decode", "coffee.osd", "-o", "out.png"),
            *(page if distribution.suffix == ".whl" else []),
            ("python", "-m", "osdcodec.checks.conformance", *sorted((ROOT / "spec" / "vectors").glob("[!p]*/"))),
        )
        for arguments in commands:
            run(tools / arguments[0], *arguments[1:], where=work, path=NO_NODE)
        view(tools / "osdc", "view", "coffee.osd", "--no-browser", where=work)


def main() -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.maintenance.release", description=__doc__)
    parser.add_argument("--python", nargs="+", default=[sys.executable], help="interpreters to try the wheel with")
    options = parser.parse_args()
    if len(set(versions().values())) > 1:
        raise OsdError("the versions differ: " + ", ".join(f"{name} {text}" for name, text in versions().items()))
    wheel, sdist = build()
    with zipfile.ZipFile(wheel) as archive:
        if faults := faults_of_wheel(archive.namelist()):
            raise OsdError("; ".join(faults))
    for python in options.python:
        for distribution in (wheel, sdist):
            try_out(distribution, python)
    print(f"{wheel.name} and {sdist.name} are ready; now: git tag v{versions()['pyproject.toml']}")


if __name__ == "__main__":
    run_command(main)
