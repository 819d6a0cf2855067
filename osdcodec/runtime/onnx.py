"""The four verbs through ONNX Runtime on the CPU. Never imports torch."""

import contextlib
import ctypes
import sys

import numpy as np
import onnxruntime as ort

from .graphs import GRADIENTS, GraphRuntime, memory_errors

# Bytes of inputs from which on ONNX Runtime gives its memory back after a run, at the price of a tenth of the time: else every tile of a
# large picture takes more (12000x9000 pixels were encoded in 6.4 GiB, and are in 4.2).
LARGE = 2**24


class OnnxRuntime(GraphRuntime[ort.InferenceSession]):
    """Single precision."""

    def run(self, verb: str, **inputs: np.ndarray) -> list[np.ndarray]:
        options = None
        if verb not in GRADIENTS and sum(array.nbytes for array in inputs.values()) >= LARGE:
            options = ort.RunOptions()
            options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        session = self.opened(verb)
        if verb in GRADIENTS:
            give_back_memory()  # of what ran before
        with memory_errors():
            return session.run(None, inputs, options)

    def open(self, verb: str) -> ort.InferenceSession:
        options = ort.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.log_severity_level = 3
        # Threads that wait for more to do keep their core only while their session runs: the next one to run is another.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        if verb in GRADIENTS:  # else what is kept for the way back takes half as much memory again, for no time
            options.enable_cpu_mem_arena = False
            options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
        # The graphs hold no tensors, only their names in the weights file.
        names = self.weights.graphs[f"{verb}.tensors"].decode().split("\n")
        values = [ort.OrtValue.ortvalue_from_numpy(self.weights.tensors[name]) for name in names]
        options.add_external_initializers(names, values)
        return ort.InferenceSession(self.weights.graphs[verb], options, providers=["CPUExecutionProvider"])


def give_back_memory() -> None:
    """Has glibc give freed memory back to the system: it keeps what lies between blocks in use."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # of another C library
            ctypes.CDLL(None).malloc_trim(0)
