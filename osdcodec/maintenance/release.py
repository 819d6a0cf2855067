"""Everything that a release needs but its tag: `python -m osdcodec.maintenance.release [--python PYTHON …]`, in a checkout.

Compares the versions that stand in several files, builds the browser's page, sdist and wheel, and looks into the wheel. Then
installs each of the two in an empty environment of every Python named, and runs the README's commands there, away from the
checkout and without Node. Without --python these are Python 3.11 and 3.14, as far as they are here. Ends with 1 at the first
thing that is wrong. The distributions lie in dist/ afterwards; the tag is the maintainer's to push.
"""

import argparse
import os
import re
import shlex
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

from PIL import Image

from ..console import run_command
from ..errors import OsdError

ROOT = Path(__file__).parents[2]
UNWANTED = re.compile(r"osdcodec/(maintenance/|web/(src|test)/|training/LAB)|lock\.json$|\.jsonl$|\.log$")
WANTED = ("osdcodec/py.typed", "osdcodec/weights.toml", "osdcodec/embedded/small.safetensors")
PAGE = "osdcodec/web/build/site/"
PYTHONS = "3.11", "3.14"  # the first and the last that the package is for
PHOTO = "coffee.png"  # in examples/; as a JPEG the photo.jpg of the README's commands
FURTHER = (  # what README and pages tell beside the README's block of commands
    "osdc decode photo.osd -o trusted.png --trust trust.png",
    "osdc encode photo.jpg -o small.osd --max-bytes 2kB",
    "osdc web site",
    "osdc web --single photo.osd -o photo.html",
)
VIEW = "osdc view photo.osd --no-browser"


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


def blocks(language: str) -> list[str]:
    """The texts of the README's blocks of code in a language, "sh" or "python", under its heading Use."""
    text = (ROOT / "README.md").read_text("utf-8")
    part = text.partition("\n## Use\n")[2].partition("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```", part, re.MULTILINE | re.DOTALL)


def pythons() -> dict[str, str | None]:
    """Returns an interpreter for each version of `PYTHONS`, or None where there is none here that can make environments."""
    return {version: _python(version) for version in PYTHONS}


def _python(version: str) -> str | None:
    for candidate in (sys.executable, shutil.which(f"python{version}")):
        if candidate:
            code = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"
            done = subprocess.run([candidate, "-c", code], capture_output=True, text=True)
            if done.returncode == 0 and done.stdout.strip() == version:
                return candidate
    return None


def environment(tools: Path | None = None) -> dict[str, str]:
    """The variables of this process, without those that lead back to the checkout.

    Args:
        tools: Folder of the commands of an installed osdc. If given, it is the whole PATH, so there is no Node, and its
            parent is the home folder, so no weights and settings of the user are found.
    """
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH" and not name.startswith("OSDC_")}
    if tools is None:
        return kept
    kept = {name: value for name, value in kept.items() if not name.startswith("XDG_")}
    return kept | {"PATH": str(tools), "HOME": str(tools.parent)}


def run(*command: object, where: Path, tools: Path | None = None) -> None:
    """Runs a command in a folder; tools: see `environment`. OsdError, with the end of its output, if it fails."""
    print("+", *command, flush=True)
    words = [*map(str, command)]
    done = subprocess.run(words, cwd=where, env=environment(tools), capture_output=True, text=True)
    if done.returncode:
        raise OsdError(f"{words[0]} ended with {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")


def view(*command: object, where: Path, tools: Path) -> None:
    """Runs a command that serves a page, fetches the page and ends the command. OsdError if one of them fails."""
    print("+", *command, flush=True)
    words = [*map(str, command)]
    with subprocess.Popen(words, cwd=where, env=environment(tools), stderr=subprocess.PIPE, text=True) as server:
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
    """Installs a distribution in an empty environment and runs the README's commands there. OsdError if a step fails."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        run(python, "-m", "venv", "env", where=work)
        tools = work / "env" / "bin"
        run(tools / "pip", "install", "--quiet", distribution, where=work)
        Image.open(ROOT / "examples" / PHOTO).convert("RGB").save(work / "photo.jpg", quality=95)
        for line in (*(line for block in blocks("sh") for line in block.splitlines()), *FURTHER):
            command, *arguments = shlex.split(line, comments=True)
            run(tools / command, *arguments, where=work, tools=tools)
        for code in blocks("python"):
            run(tools / "python", "-c", code, where=work, tools=tools)
        command, *arguments = shlex.split(VIEW)
        view(tools / command, *arguments, where=work, tools=tools)
        vectors = [path.parent for path in sorted((ROOT / "spec" / "vectors").glob("*/vectors.json"))]
        run(tools / "python", "-m", "osdcodec.checks.conformance", *vectors, where=work, tools=tools)


def main() -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.maintenance.release", description=__doc__)
    parser.add_argument("--python", nargs="+", help=f"interpreters to try both with (default: {', '.join(PYTHONS)})")
    options = parser.parse_args()
    if len(set(versions().values())) > 1:
        raise OsdError("the versions differ: " + ", ".join(f"{name} {text}" for name, text in versions().items()))
    found = pythons() if options.python is None else {}
    chosen = options.python or [python for python in found.values() if python]
    if not chosen:
        raise OsdError(f"no Python {' or '.join(PYTHONS)} is here; name one by --python")
    wheel, sdist = build()
    with zipfile.ZipFile(wheel) as archive:
        if faults := faults_of_wheel(archive.namelist()):
            raise OsdError("; ".join(faults))
    for python in chosen:
        for distribution in (wheel, sdist):
            try_out(distribution, python)
    for version in (version for version, python in found.items() if python is None):
        print(f"no Python {version} is here, so nothing was tried with it; name one by --python")
    print(f"{wheel.name} and {sdist.name} are ready; now: git tag v{versions()['pyproject.toml']}")


if __name__ == "__main__":
    run_command(main)
