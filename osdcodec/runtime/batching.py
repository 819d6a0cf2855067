"""Calls of several threads run as one batch: while the networks are at work, what comes in waits, and like goes with like."""

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future

import numpy as np

LARGEST = 8  # calls in a batch
# Of the first input of a batch: eight pictures of a megapixel and less, tiles of large ones by themselves.
ELEMENTS = 2**24

Verbs = Callable[..., list[np.ndarray]]  # work(name, *inputs (B, …)) -> outputs (B, …)


class Batching:
    """run(work, name, *inputs) from any thread is work(name, *inputs), in the one thread that all networks run in.

    Calls of the same work and name on arrays of the same shapes and types, (1, …) each, that wait at the same time are one
    call on (B, …). One thread: CUDA graphs belong to the one that recorded them, and two calls at once need the memory of two.
    """

    def __init__(self) -> None:
        self.waiting: list[tuple[Hashable, Verbs, str, tuple[np.ndarray, ...], Future]] = []
        self.arrived = threading.Condition()
        self.thread: threading.Thread | None = None

    def run(self, work: Verbs, name: str, *inputs: np.ndarray, alone: bool = False) -> list[np.ndarray]:
        """alone: in no batch."""
        future: Future = Future()
        key = work, name, tuple((array.shape, array.dtype) for array in inputs), future if alone else None
        with self.arrived:
            if self.thread is None:
                self.thread = threading.Thread(target=self._serve, name="networks", daemon=True)
                self.thread.start()
            self.waiting.append((key, work, name, inputs, future))
            self.arrived.notify()
        return future.result()

    def _serve(self) -> None:
        while True:
            with self.arrived:
                self.arrived.wait_for(lambda: self.waiting)
                key, work, name, inputs, _ = self.waiting[0]
                count = max(1, min(LARGEST, ELEMENTS // max(1, inputs[0].size)))
                batch = [call for call in self.waiting if call[0] == key][:count]
                self.waiting = [call for call in self.waiting if not any(call is taken for taken in batch)]
            futures = [future for *_, future in batch]
            try:
                stacked = [np.concatenate(arrays) for arrays in zip(*(call[3] for call in batch), strict=True)]
                outputs = work(name, *stacked)
                for index, future in enumerate(futures):
                    future.set_result([output[index : index + 1] for output in outputs])
            except BaseException as error:  # it belongs to those who wait, whatever it is
                for future in futures:
                    if not future.done():
                        future.set_exception(error)
