"""How a weights file keeps its tensors small: int8 with a scale for each row, half precision, deflated bytes."""

import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from weakref import WeakValueDictionary

import numpy as np
from safetensors import deserialize

from ..errors import WeightsError

GRAPH = "graph."  # begins the names of what are no tensors but ONNX graphs
TURNED = "|turned"  # ends the names of kernels that are made of others: see `Tensors`
INT8 = "|int8"  # ends names of kernels as they are stored, without their scales
SCALE = "|scale"  # ends names of these scales
_DEFLATED, _SHAPE = "|deflated", "|shape"
# Types of safetensors, which are little-endian on every machine; safetensors.numpy reads them in the byte order of this one.
_TYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "I16": "<i2", "U16": "<u2", "I32": "<i4", "U32": "<u4", "I64": "<i8", "U64": "<u8",
    "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip


def parse(data: bytes) -> dict[str, np.ndarray]:
    """The bytes of a safetensors file -> its tensors by name, in the byte order of this machine.

    Raises:
        SafetensorError: The bytes are not such a file.
        KeyError: A tensor has a type that NumPy does not know.
    """
    tensors = {}
    for name, told in deserialize(data):  # type: ignore[no-untyped-call]
        stored = np.frombuffer(told["data"], _TYPES[told["dtype"]]).reshape(told["shape"])
        tensors[name] = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    return tensors


def deflate(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """int8 and 1-D uint8 tensors NAME -> NAME|deflated, uint8, and of the former NAME|shape, int32; others as they are.

    The int8 weights of `training.export` hold 7 bits: Huffman codes take an eighth off the file.
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


class Tensors(Mapping[str, np.ndarray]):
    """The tensors of a weights file, without the graphs. Each is made when it is first asked for, for who decodes has no use for the
    encoder's networks, and kept: inflated, int8 (out, …) times its scale (out,) and half precision as float32. The
    gradient of a convolution takes NAME|turned: its kernel (out, in, k, k) as (in, out, k, k), turned by half a turn. A convolution in
    int8 takes NAME|int8 (out, …), int8, and NAME|scale (out,), float32.

    WeightsError, which names the file, of a tensor that cannot be inflated.
    """

    def __init__(self, stored: dict[str, np.ndarray], path: Path) -> None:
        self._stored, self._path = stored, path
        self._made: WeakValueDictionary[str, np.ndarray] = WeakValueDictionary()

    def __getitem__(self, name: str) -> np.ndarray:
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = self._make(name)
        return made

    def _make(self, name: str) -> np.ndarray:
        if name.endswith(TURNED):
            kernel = self[name.removesuffix(TURNED)]
            return np.ascontiguousarray(kernel[:, :, ::-1, ::-1].transpose(1, 0, 2, 3))
        if name.endswith(INT8):
            return self.inflated(name.removesuffix(INT8)).copy()  # OpenVINO wants it writable
        array = self.inflated(name)
        scale = self._stored.get(name + SCALE)
        if scale is not None:
            rows = scale.astype(np.float32).reshape(-1, *[1] * (array.ndim - 1))
            return np.multiply(array, rows, dtype=np.float32)
        return array.astype(np.float32) if array.dtype == np.float16 else array

    def __iter__(self) -> Iterator[str]:
        names = (name.removesuffix(_DEFLATED) for name in self._stored if not name.endswith((SCALE, _SHAPE)))
        return (name for name in names if not name.startswith(GRAPH))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def inflated(self, name: str) -> np.ndarray:
        """A tensor, or a graph, as `deflate` took it."""
        deflated = self._stored.get(name + _DEFLATED)
        if deflated is None:
            return self._stored[name]
        shape = self._stored.get(name + _SHAPE)
        try:
            content = zlib.decompress(deflated.data)
            return np.frombuffer(content, np.uint8) if shape is None else np.frombuffer(content, np.int8).reshape(shape)
        except (zlib.error, ValueError) as error:
            raise WeightsError(f"{self._path} holds a tensor, {name}, that cannot be inflated: {error}") from error

    def graphs(self) -> dict[str, bytes]:
        """The graphs by name, without "graph."."""
        names = (name.removesuffix(_DEFLATED) for name in self._stored if name.startswith(GRAPH))
        return {name.removeprefix(GRAPH): self.inflated(name).tobytes() for name in names}
