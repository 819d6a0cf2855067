"""Running the command line in a process of its own."""

import os
import signal
import subprocess
import sys
from pathlib import Path


def osdc(*arguments, cwd=None, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "osdcodec", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, timeout=120, env=environment(), **options)


def environment() -> dict[str, str]:
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    kept = {name: value for name, value in os.environ.items() if name != "OSDC_WEIGHTS"}
    return {**kept, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, "NO_COLOR": "1"}


def refused(done: subprocess.CompletedProcess, code: int, *words: str) -> None:
    """It left with this exit code, one line on stderr that has these words, and nothing on stdout."""
    assert done.returncode == code, done
    assert done.stdout == b""
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 1, done.stderr.decode()
    assert lines[0].startswith("osdc: ")
    assert all(word in lines[0] for word in words), lines[0]


def hears_signals() -> None:
    """In the child: a background job of a shell would pass on that SIGINT is ignored, nohup that SIGHUP is."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
