"""What runtimes of ONNX graphs have in common: the four verbs, and graphs that are opened in the background."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import Generic, TypeVar

import numpy as np

from ..weights import Weights

SEEN = "coarse", "coarse_thumb"  # further inputs of the denoiser with decoder semantics
GRADIENTS = ("distance",)  # graphs that go back through the networks, and keep for that all that was made on the way
Opened = TypeVar("Opened")


def thread_count(threads: int | None) -> int:
    """Threads for one picture: as asked for, else as OMP_NUM_THREADS says, else 0, as many as there are cores.

    The runtimes of graphs do not ask for the variable, by which clusters and people share the cores of a machine.
    """
    told = os.environ.get("OMP_NUM_THREADS", "")
    return threads or (int(told) if told.isdecimal() else 0)


@contextmanager
def memory_errors() -> Iterator[None]:
    """What the runtimes say in their own ways becomes a MemoryError."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        if "bad_alloc" in str(error) or "allocate" in str(error):
            raise MemoryError("the networks need more memory than there is") from error
        raise


class GraphRuntime(ABC, Generic[Opened]):
    """Opens a graph when it is first used or preloaded: encoding does not load the decoder's networks.

    Args:
        weights: The model, with its graphs.
        threads: See `thread_count`.
    """

    def __init__(self, weights: Weights, threads: int | None = None) -> None:
        self.weights = weights
        self.threads = thread_count(threads)
        self.sessions: dict[str, Future[Opened]] = {}
        self.lock = Lock()  # held while a session is begun; sessions themselves may run in many threads
        self.makers = ThreadPoolExecutor(2)

    @abstractmethod
    def run(self, verb: str, **inputs: np.ndarray) -> list[np.ndarray]:
        """Runs a graph of the weights file by its name, and returns its outputs. MemoryError if they need too much."""

    @abstractmethod
    def open(self, verb: str) -> Opened:
        """Makes a graph of the weights file ready to run."""

    def opened(self, verb: str) -> Opened:
        """Returns a graph that is ready to run; waits until it is."""
        self.preload(verb)
        with memory_errors():
            return self.sessions[verb].result()

    def preload(self, *verbs: str) -> None:
        """Begins to open graphs, so that one is opened while another is opened or runs."""
        with self.lock:
            for verb in verbs:
                made = self.sessions.get(verb)
                if made is None or (made.done() and made.exception()):  # short of memory then, perhaps not now
                    self.sessions[verb] = self.makers.submit(self.open, verb)

    def fit(self, verb: str, **inputs: np.ndarray) -> None:
        """Begins to open a graph that will be run on arrays of these shapes."""
        self.preload(verb)

    def analyse(self, x: np.ndarray, thumb: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple(self.run("analyse", x=x, thumb=thumb))

    def synthesise(self, y_hat: np.ndarray, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        z_c, condition = self.run("synthesise", y_hat=y_hat, tokens=tokens.astype(np.int64))
        return z_c, condition

    def denoise(
        self,
        z_c: np.ndarray,
        condition: np.ndarray,
        tokens: np.ndarray,
        noise: np.ndarray,
        level: int,
        *seen: np.ndarray,
    ) -> np.ndarray:
        alpha_bar = np.full((1, 1, 1, 1), self.weights.profile.alpha_bar(level), np.float32)
        (z_hat,) = self.run(
            "denoise", z_c=z_c, condition=condition, tokens=tokens.astype(np.int64), noise=noise,
            level=np.array([level], np.float32), alpha_bar=alpha_bar, **dict(zip(SEEN, seen, strict=False)),
        )  # fmt: skip
        return z_hat

    def render(self, z: np.ndarray) -> np.ndarray:
        (x,) = self.run("render", z=z)
        return x
