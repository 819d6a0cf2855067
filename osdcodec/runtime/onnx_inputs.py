"""Rewrites an ONNX graph so that the tensors it only names become inputs. Standard library only: the package onnx is no part of an install.

The graphs of a weights file hold initialisers without data ("external"). A runtime that cannot take such tensors by name reads the
rewritten graph, and puts constants in place of these inputs.

A message of the wire format of Protocol Buffers is a row of fields: a key (number · 8 + kind) and a value, either a variable-length
integer (kind 0), a length and so many bytes (2), or 8 or 4 bytes (1, 5).
"""

from collections.abc import Iterator
from typing import Final

GRAPH: Final = 7  # field of ModelProto
INITIALIZER, INPUT = 5, 11  # of GraphProto
DIMS, DATA_TYPE, NAME, DATA_LOCATION = 1, 2, 8, 14  # of TensorProto
EXTERNAL = 1  # value of DATA_LOCATION

Value = int | memoryview


def external_as_inputs(graph: bytes) -> tuple[bytes, list[str]]:
    """Turns initialisers without data into inputs.

    Args:
        graph: A serialised ModelProto.

    Returns:
        The rewritten ModelProto, and the names of these tensors in their order.

    Raises:
        ValueError: The bytes are no message of Protocol Buffers.
    """
    made, names = bytearray(), []
    try:
        for number, value, raw in _fields(memoryview(graph)):
            if number != GRAPH or isinstance(value, int):
                made += raw
                continue
            content = bytearray()
            for field, part, whole in _fields(value):
                named = _external(part) if field == INITIALIZER and not isinstance(part, int) else None
                content += _message(INPUT, named[1]) if named else whole
                names += [named[0]] if named else []
            made += _message(GRAPH, bytes(content))
    except (IndexError, KeyError, StopIteration, UnicodeDecodeError) as error:
        raise ValueError(f"not an ONNX graph: {error!r}") from error
    return bytes(made), names


def _external(tensor: memoryview) -> tuple[str, bytes] | None:
    """A TensorProto -> its name and a ValueInfoProto of its type and shape; None if it holds its data."""
    found: dict[int, Value] = {}
    dims: list[int] = []
    for number, value, _ in _fields(tensor):
        if number == DIMS:
            dims += [value] if isinstance(value, int) else _packed(value)
        found[number] = value
    if found.get(DATA_LOCATION) != EXTERNAL:
        return None
    name = bytes(found[NAME])
    shape = b"".join(_message(1, _integer(1, size)) for size in dims)
    kind = _message(1, _integer(1, int(found[DATA_TYPE])) + _message(2, shape))
    return name.decode(), _message(1, name) + _message(2, kind)


def _fields(message: memoryview) -> Iterator[tuple[int, Value, memoryview]]:
    """(number, value, the whole field) of each field."""
    at = 0
    while at < len(message):
        begin = at
        key, at = _varint(message, at)
        value: Value
        if key & 7 == 0:
            value, at = _varint(message, at)
        else:
            if key & 7 == 2:
                length, at = _varint(message, at)
            else:
                length = {1: 8, 5: 4}[key & 7]
            if at + length > len(message):
                raise IndexError("a field ends behind its message")
            value, at = message[at : at + length], at + length
        yield key >> 3, value, message[begin:at]


def _packed(values: memoryview) -> list[int]:
    found, at = [], 0
    while at < len(values):
        value, at = _varint(values, at)
        found.append(value)
    return found


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value, at


def _encoded(value: int) -> bytes:
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    return bytes([*made, value])


def _integer(number: int, value: int) -> bytes:
    return _encoded(number << 3) + _encoded(value)


def _message(number: int, content: bytes) -> bytes:
    return _encoded(number << 3 | 2) + _encoded(len(content)) + content
