"""How a weights file keeps its tensors small: int8 with a scale for each row, half precision, deflated bytes."""

import zlib

import numpy as np

GRAPH = "graph."  # begins the names of what are no tensors but ONNX graphs
_SCALE, _DEFLATED, _SHAPE = "|scale", "|deflated", "|shape"


def deflate(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """int8 and 1-D uint8 tensors NAME -> NAME|deflated, uint8, and of the former NAME|shape, int32; others as they are.

    The int8 weights of `training.export` hold 7 bits: Huffman codes take an eighth off the file, for a tenth of a second when it
    is opened.
    """
    stored = {}
    for name, array in tensors.items():
        if array.dtype not in (np.int8, np.uint8):
            stored[name] = array
            continue
        stored[name + _DEFLATED] = np.frombuffer(zlib.compress(array.tobytes(), 9), np.uint8)
        if array.dtype == np.int8:
            stored[name + _SHAPE] = np.array(array.shape, np.int32)
    return stored


def inflate(stored: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inverse of `deflate`. zlib.error or ValueError if a tensor is damaged."""
    tensors = {}
    for name, array in stored.items():
        if name.endswith(_DEFLATED):
            name, content = name.removesuffix(_DEFLATED), zlib.decompress(array.tobytes())
            shape = stored.get(name + _SHAPE)
            array = (
                np.frombuffer(content, np.uint8) if shape is None else np.frombuffer(content, np.int8).reshape(shape)
            )
        if not name.endswith(_SHAPE):
            tensors[name] = array
    return tensors


def to_floats(stored: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """int8 (out, …) times its scale (out,), and half precision, become float32."""
    tensors = {}
    for name, array in stored.items():
        if name.startswith(GRAPH) or name.endswith(_SCALE):
            continue
        scale = stored.get(name + _SCALE)
        if scale is not None:
            array = array * scale.astype(np.float32).reshape(-1, *[1] * (array.ndim - 1))
        tensors[name] = array.astype(np.float32) if array.dtype == np.float16 else array
    return tensors
