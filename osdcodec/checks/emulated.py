"""The format on other processors, emulated: `python -m osdcodec.checks.emulated FOLDER [--machine NAME]`, in a checkout.

FOLDER, a new one or that of an earlier run, keeps for each machine a small Debian system (packages are unpacked, not installed) and
what pip installs for it; qemu runs its Python as an ordinary process of this system, so neither root nor binfmt is needed. It takes
Debian's apt and dpkg, the network and 0.5 GB; on one core 20 minutes for all machines.

aarch64 (ARM64 Linux): pip installs the checkout, with the wheels that there are, then `osdc` encodes, tells and decodes a picture, and
every vector is decoded to pixels. s390x (big-endian) and arm (32-bit) have no wheels of NumPy, Pillow and ONNX Runtime: there every
vector is decoded to symbols, by the package and by spec/reference.py, and `osdc` has to say what it lacks. Ends with 1 if anything fails.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ..console import run_command
from ..errors import OsdError
from .conformance import MANIFEST, ROOT, VECTORS

EMBEDDED = VECTORS / "embedded"  # goes last: spec/reference.py takes half of the time for it
MIRROR, KEYS = "http://deb.debian.org/debian", "/usr/share/keyrings/debian-archive-keyring.gpg"
QEMU = "qemu-user-static"
# What osdc needs beside NumPy, Pillow and ONNX Runtime. All are pure Python, or wheels for every Python.
PURE = (
    "safetensors",
    "typer<0.29",
    "rich",
    "click",
    "shellingham",
    "markdown-it-py",
    "mdurl",
    "pygments",
    "annotated-doc",
)
ONNXRUNTIME = "onnxruntime==1.22.*"  # later ones crash in qemu 7.2


@dataclass(frozen=True)
class Machine:
    """A processor, and the Debian system that stands for it."""

    debian: str  # Debian's name of the processor
    triple: str  # folder of its libraries
    release: str  # of Debian
    packages: tuple[str, ...]
    wheels: str  # the processor in the names of wheels
    pictures: bool  # whether there are wheels of ONNX Runtime


_FROM_DEBIAN = "python3", "python3-numpy", "python3-pil"
MACHINES = {
    "aarch64": Machine(
        "arm64", "aarch64-linux-gnu", "trixie", ("python3", "python3-pip", "libstdc++6"), "aarch64", True
    ),
    "s390x": Machine("s390x", "s390x-linux-gnu", "forky", _FROM_DEBIAN, "s390x", False),
    "arm": Machine("armhf", "arm-linux-gnueabihf", "forky", _FROM_DEBIAN, "armv7l", False),
}


def call(*command: str | Path, cwd: Path | None = None) -> None:
    """Runs a command. OsdError with its last words if it fails."""
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise OsdError(f"{' '.join(map(str, command[:3]))} … ended with {done.returncode}: {done.stdout[-500:]}")


def qemu(folder: Path, name: str) -> Path:
    """The emulator of a machine: the one on the path, else Debian's, unpacked in the folder."""
    program = f"qemu-{name}-static"
    if found := shutil.which(program):
        return Path(found)
    unpacked = folder / QEMU / "usr" / "bin" / program
    if not unpacked.exists():
        (folder / QEMU).mkdir(parents=True, exist_ok=True)
        call("apt-get", "-q", "download", QEMU, cwd=folder / QEMU)
        for package in (folder / QEMU).glob("*.deb"):
            call("dpkg-deb", "-x", package, folder / QEMU)
    return unpacked


def fetch_system(machine: Machine, folder: Path) -> Path:
    """Unpacks the machine's packages and all that they depend on -> the folder of its files."""
    apt, root = folder / "apt", folder / "root"
    unpacked, wanted = folder / "unpacked", " ".join(machine.packages)
    if unpacked.exists() and unpacked.read_text() == wanted:
        return root
    for name in ("lists/partial", "cache/archives/partial"):
        (apt / name).mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()  # nothing is installed
    source = {
        "Types": "deb", "URIs": MIRROR, "Suites": machine.release, "Components": "main",
        "Architectures": machine.debian, "Signed-By": KEYS,
    }  # fmt: skip
    (apt / "debian.sources").write_text("".join(f"{key}: {value}\n" for key, value in source.items()))
    settings = {
        "Dir::State": apt, "Dir::State::status": apt / "status", "Dir::Cache": apt / "cache",
        "Dir::Etc::sourcelist": apt / "debian.sources", "Dir::Etc::sourceparts": "/dev/null",
        "APT::Architecture": machine.debian, "APT::Architectures": machine.debian,
        "APT::Sandbox::User": "root", "Acquire::Languages": "none", "Debug::NoLocking": "1",
    }  # fmt: skip
    options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
    call("apt-get", "-q", *options, "update")
    call("apt-get", "-qy", *options, "--download-only", "--no-install-recommends", "install", *machine.packages)
    for package in sorted((apt / "cache" / "archives").glob("*.deb")):
        call("dpkg-deb", "-x", package, root)
    for name in ("lib", "lib64"):  # which a package of the base system would make
        if not os.path.lexists(root / name):
            (root / name).symlink_to(Path("usr") / name)
    unpacked.write_text(wanted)
    return root


def write_python(machine: Machine, emulator: Path, folder: Path, root: Path) -> Path:
    """Writes a script that runs the system's Python in the emulator, and names itself as Python: pip starts it again."""
    libraries = root / "usr" / "lib" / machine.triple
    paths = {
        "PYTHONHOME": f"{root / 'usr'}",
        "PYTHONPATH": f"{folder / 'site'}:{ROOT}",
        "LD_LIBRARY_PATH": f"{libraries / 'blas'}:{libraries / 'lapack'}",  # Debian links them at installation
    }
    told = " ".join(f'-E "{name}={value}"' for name, value in paths.items())
    script = folder / "python"
    script.write_text(f'#!/bin/sh\nexec "{emulator}" -0 "$0" {told} -L "{root}" "{root}/usr/bin/python3" "$@"\n')
    script.chmod(0o755)
    return script


class Run:
    """Runs commands on a machine and counts what fails."""

    def __init__(self, python: Path, folder: Path) -> None:
        self.python, self.folder, self.failed = python, folder, 0

    def __call__(
        self, what: str, *arguments: str | Path, code: int = 0, says: str = "", cwd: Path | None = None
    ) -> None:
        """Runs Python with these arguments and prints one line: whether it ends as it should.

        Args:
            what: Name of the step; names its log.
            arguments: Those of Python.
            code: The exit code that is right.
            says: Words that it has to write.
            cwd: Working folder, whose modules come first; that of the machine by default.
        """
        start = time.monotonic()
        environment = os.environ | {"PYTHONPYCACHEPREFIX": str(self.folder / "bytecode"), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [self.python, *arguments], cwd=cwd or self.folder, env=environment, capture_output=True, text=True
        )
        words = done.stdout + done.stderr
        (self.folder / f"{what}.log").write_text(words)
        good = done.returncode == code and says in words and "Traceback" not in words
        self.failed += not good
        print(f"  {what}: {'passes' if good else 'FAILS'}, {time.monotonic() - start:.0f} s", flush=True)
        if not good:
            print(
                f"    exit code {done.returncode}, not {code}" if done.returncode != code else f"    not said: {says}"
            )
            print(*(f"    {line}" for line in words.strip().splitlines()[-15:]), sep="\n", flush=True)


def check(name: str, folder: Path) -> int:
    """Checks one machine -> how many of its commands failed."""
    machine, folder = MACHINES[name], folder / name
    folder.mkdir(parents=True, exist_ok=True)
    root = fetch_system(machine, folder)
    run = Run(write_python(machine, qemu(folder.parent, name), folder, root), folder)
    site, picture, packed, shown = (folder / part for part in ("site", "picture.png", "picture.osd", "shown.png"))
    shutil.rmtree(site, ignore_errors=True)
    Image.open(ROOT / "examples" / "coffee.png").resize((64, 64)).save(picture)
    versions = "import platform, sys, numpy; print(platform.machine(), sys.byteorder, sys.maxsize, sys.version, numpy.__version__)"
    version = next((root / "usr" / "lib").glob("python3.*")).name.removeprefix("python")
    platforms = (
        word for glibc in ("2_17", "2_27", "2_28") for word in ("--platform", f"manylinux_{glibc}_{machine.wheels}")
    )
    foreign = "--only-binary=:all:", "--python-version", version, *platforms
    pip, osdc, wheels = (sys.executable, "-m", "pip"), ("-m", "osdcodec"), folder / "wheels"
    if machine.pictures:
        # The foreign pip decides by the markers; it is slow, so this machine's pip brings the wheels.
        shutil.rmtree(wheels, ignore_errors=True)
        call(*pip, "download", "-q", "-d", wheels, *foreign, ONNXRUNTIME, "numpy", "pillow", *PURE)
        call(*pip, "wheel", "-q", "--no-deps", "-w", wheels, ROOT)
        offline = "--no-index", "--find-links", wheels
        run("install", "-m", "pip", "install", "--no-compile", *offline, "--target", site, "osdc", ONNXRUNTIME)
    else:
        call(*pip, "install", "-q", "--no-deps", *foreign, "--target", site, *PURE)
    run("versions", "-c", versions)
    run("info", *osdc, "info", ROOT / "spec" / "vectors" / "embedded" / "astronaut.osd", says="64 x 64 pixels")
    if machine.pictures:
        run(
            "encode", *osdc, "encode", picture, "-o", packed, "--overwrite", "--effort", "0"
        )  # the search takes hours here
        run("decode", *osdc, "decode", packed, "-o", shown, "--overwrite")
    else:
        run("refusal", *osdc, "encode", picture, "-o", packed, "--overwrite", code=4, says="ONNX Runtime")
    for vectors in sorted((path.parent for path in VECTORS.glob(f"*/{MANIFEST}")), key=lambda path: path == EMBEDDED):
        to = () if machine.pictures else ("--symbols",)
        run(f"vectors-{vectors.name}", "-m", "osdcodec.checks.conformance", *to, vectors, cwd=ROOT)
    return run.failed


def main() -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.checks.emulated", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the systems are, or come")
    parser.add_argument("--machine", action="append", choices=MACHINES, help="one of them; by default all")
    options = parser.parse_args()
    failed = 0
    for name in options.machine or MACHINES:
        print(name, flush=True)
        failed += check(name, options.folder.absolute())
    sys.exit(f"{failed} commands failed" if failed else 0)


if __name__ == "__main__":
    run_command(main)
