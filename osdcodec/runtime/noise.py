"""The noise that the diffusion starts from, the same on every machine: spec/weights.md, "Noise"."""

import numpy as np


def standard_normals(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """NumPy's ziggurat on Philox with `seed`, 0 .. 2^64 - 1, as its key: single precision of that shape."""
    return np.random.Generator(np.random.Philox(key=seed)).standard_normal(shape, np.float32)
