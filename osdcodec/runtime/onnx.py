"""The four verbs through ONNX Runtime on the CPU. Never imports torch."""

import os
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock

import numpy as np
import onnxruntime as ort

from ..weights import Weights

SEEN = "coarse", "coarse_thumb"  # what the denoiser sees besides, with decoder semantics
# Bytes of inputs from which on ONNX Runtime gives its memory back after a run, at the price of a tenth of the time: else every tile of a
# large picture takes more (12000x9000 pixels were encoded in 6.4 GiB, and are in 4.2).
LARGE = 2**24


class OnnxRuntime:
    """Sessions are made when first used, or foreseen: encoding does not load the decoder's networks."""

    def __init__(self, weights: Weights, threads: int | None = None) -> None:
        self.weights = weights
        # ONNX Runtime does not ask for OMP_NUM_THREADS, by which clusters and people share the cores of a machine.
        told = os.environ.get("OMP_NUM_THREADS", "")
        self.threads = threads or (int(told) if told.isdecimal() else 0)  # 0: as many as there are cores
        self.sessions: dict[str, Future[ort.InferenceSession]] = {}
        self.lock = Lock()  # held while a session is begun; sessions themselves may run in many threads
        self.makers = ThreadPoolExecutor(2)

    def foresee(self, *verbs: str) -> None:
        """Begins to make the sessions of verbs, so that one is made while another is made or runs."""
        with self.lock:
            for verb in verbs:
                made = self.sessions.get(verb)
                if made is None or (made.done() and made.exception()):  # short of memory then, perhaps not now
                    self.sessions[verb] = self.makers.submit(self._session, verb)

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

    def run(self, verb: str, **inputs: np.ndarray) -> list[np.ndarray]:
        """A graph of the weights file by its name -> its outputs."""
        self.foresee(verb)
        options = None
        if sum(array.nbytes for array in inputs.values()) >= LARGE:
            options = ort.RunOptions()
            options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        return self.sessions[verb].result().run(None, inputs, options)

    def _session(self, verb: str) -> ort.InferenceSession:
        options = ort.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.log_severity_level = 3
        # Threads that wait for more to do keep their core only while their session runs: the next one to run is another.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        # The graphs hold no tensors, only their names in the weights file.
        names = self.weights.graphs[f"{verb}.tensors"].decode().split("\n")
        values = [ort.OrtValue.ortvalue_from_numpy(self.weights.tensors[name]) for name in names]
        options.add_external_initializers(names, values)
        return ort.InferenceSession(self.weights.graphs[verb], options, providers=["CPUExecutionProvider"])
