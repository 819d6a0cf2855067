"""The manual tells the truth: every example in the help texts and in the README and the page on use runs."""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from helpers.commands import environment, osdc

pytestmark = pytest.mark.slow

README = Path(__file__).parents[1] / "README.md"
USING = README.parent / "osdcodec" / "cli" / "README.md"
COMMANDS = (
    (), ("encode",), ("decode",), ("info",), ("split",), ("join",), ("compare",), ("evaluate",), ("weights",),
    ("install-desktop",),
)  # fmt: skip
BROWSER = {"web", "view"}  # what they serve must have been built by npm: its own tests run them


def help_examples(*command: str) -> list[str]:
    text = osdc(*command, "--help").stdout.decode()
    lines = text.partition("Examples:\n")[2].splitlines()
    return [re.split(r"   +", line.strip())[0] for line in lines if line.strip()]


def readme_section(title: str) -> str:
    return README.read_text("utf-8").partition(f"## {title}\n")[2].partition("\n## ")[0]


def readme_examples() -> list[str]:
    text = readme_section("Use") + USING.read_text("utf-8")
    lines = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)).splitlines()
    return [re.split(r" +# ", line)[0].strip() for line in lines if line.strip()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, photo) -> Path:
    """What the examples speak of; each runs in a copy of it."""
    folder = tmp_path_factory.mktemp("manual")
    (folder / "pictures" / "deep").mkdir(parents=True)
    photo.save(folder / "photo.jpg")
    for name in ("logo.png", "pictures/a.png", "pictures/deep/b.jpg"):
        photo.resize((64, 48)).save(folder / name)
    (folder / "bin").mkdir()
    (folder / "bin" / "osdc").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m osdcodec "$@"\n')
    (folder / "bin" / "osdc").chmod(0o755)
    assert osdc("encode", "photo.jpg", "-o", "photo.osd", cwd=folder).returncode == 0
    assert osdc("split", "photo.osd", "--packet", "200", "-o", "packets", cwd=folder).returncode == 0
    assert osdc("split", "photo.osd", "--packet", "160", "--text", "-o", "lines.txt", cwd=folder).returncode == 0
    assert osdc("encode", "pictures", "-o", "coded", cwd=folder).returncode == 0
    return folder


def run(line: str, folder: Path) -> None:
    environ = environment()
    environ["PATH"] = f"{folder / 'bin'}:{environ['PATH']}"
    command = ["bash", "-euo", "pipefail", "-c", line]
    with tempfile.TemporaryDirectory() as copy:
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        if "osdc encode" in line and "-o" not in line:  # a file that is there would not be replaced
            Path(copy, "photo.osd").unlink()
        done = subprocess.run(command, cwd=copy, env=environ, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{line}\n{done.stderr}"


def test_every_command_has_examples():
    listed = osdc("--help").stdout.decode().partition("Commands:\n")[2].split("\n\n")[0]
    names = {line.split()[0] for line in listed.splitlines() if line[2:3].strip()}  # other lines go on with a summary
    assert names and names <= {"".join(command) for command in COMMANDS} | BROWSER
    assert all(len(help_examples(command)) >= 2 for command in BROWSER)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command) or "osdc")
def test_examples_in_the_help(command, folder):
    lines = help_examples(*command)
    assert len(lines) >= 2
    for line in lines:
        if "COMMAND" not in line and "weights pull" not in line:  # which needs a hub: tests/test_downloads.py
            run(line, folder)


def test_examples_in_the_readme(folder):
    lines = readme_examples()
    assert len(lines) >= 10 and all("osdc" in line for line in lines)
    for line in lines:
        run(line, folder)


def test_python_in_the_readme(folder):
    code = "\n".join(re.findall(r"```python\n(.*?)```", readme_section("Use") + USING.read_text("utf-8"), re.DOTALL))
    script = f"paths = ['photo.jpg', 'logo.png']\n{code}\nassert len(files) == 2 and picture.size == (256, 192)"
    subprocess.run([sys.executable, "-c", script], cwd=folder, env=environment(), check=True, timeout=120)


def test_the_readme_is_short_and_its_links_lead_somewhere():
    text = README.read_text("utf-8")
    assert len(text.splitlines()) <= 130
    below = (README.parent / folder for folder in ("osdcodec", "spec", "examples", ".github"))
    pages = [page for folder in below for page in folder.rglob("*.md") if "node_modules" not in page.parts]
    assert len(pages) > 10
    for page in [README, *pages]:
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
            place, _, anchor = link.partition("#")
            if "://" in link:
                continue
            target = (page.parent / place).resolve() if place else page
            assert target.exists(), f"{page.name}: {link}"
            if anchor and target.suffix == ".md":
                titles = re.findall(r"^#+ (.*)$", target.read_text("utf-8"), re.MULTILINE)
                assert anchor in {re.sub(r"[^\w -]", "", t).lower().replace(" ", "-") for t in titles}, (
                    f"{page}: {link}"
                )


@pytest.mark.parametrize(("words", "wanted"), [("osdc de", {"decode"}), ("osdc decode --de", {"--device", "--detail"})])
def test_shells_complete(words, wanted):
    asked = {"_OSDC_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    command = [sys.executable, "-m", "osdcodec"]
    done = subprocess.run(command, env=environment() | asked, capture_output=True, text=True, timeout=60)
    assert set(done.stdout.split()) == wanted
