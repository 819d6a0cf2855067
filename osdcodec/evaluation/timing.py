"""How long something takes, and how much memory a process of its own needs."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
from PIL import Image


def rendered(width: int, height: int) -> Image.Image:
    """A smooth random landscape of colours with some grain, the same every time."""
    random = np.random.Generator(np.random.Philox(key=7))
    layers = np.zeros((height, width, 3))
    for cells, strength in ((4, 60), (16, 30), (64, 15)):
        noise = random.integers(0, 256, (cells, cells * width // height + 1, 3), np.uint8)
        layers += (
            strength
            / 128
            * (np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC), float) - 128)
        )
    return Image.fromarray((layers + 128 + random.normal(0, 4, layers.shape)).clip(0, 255).astype(np.uint8))


def median_seconds(work: Callable[[], object], repeats: int = 5, warm: int = 1) -> float:
    """Median wall time of `work`, after `warm` calls that do not count."""
    for _ in range(warm):
        work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


# A process of its own, because a child's peak memory begins with that of the process it was forked from.
STARTER = """
import resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(code, time.perf_counter() - start, used.ru_maxrss, used.ru_utime + used.ru_stime)
"""


def resources(*arguments: str, module: str = "osdcodec") -> tuple[float, float, float]:
    """Runs `python -m MODULE ARGUMENTS`.

    Returns:
        Wall seconds, peak resident MiB of the process (Linux counts KiB), and seconds of all cores together.
    """
    command = [sys.executable, "-c", STARTER, sys.executable, "-m", module, *arguments]
    code, *found = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    if code != "0":
        raise RuntimeError(f"{module} {' '.join(arguments)} ended with exit code {code}")
    seconds, peak, processor = map(float, found)
    return seconds, peak / 1024, processor


def process(*arguments: str, module: str = "osdcodec") -> tuple[float, float]:
    """Wall seconds and peak resident MiB, as `resources` measures them."""
    return resources(*arguments, module=module)[:2]
