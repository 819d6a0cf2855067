"""Picture files made by hand, of kinds that Pillow does not write."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

from osdcodec import image

RANDOM = np.random.default_rng(7)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def make_png(samples: np.ndarray, depth: int, kind: int, *chunks: bytes) -> bytes:
    """(H, W) or (H, W, C) samples of any depth, with these chunks before them."""
    height, width = samples.shape[:2]
    values = samples.reshape(height, -1)
    if depth == 16:
        rows = values.astype(">u2").view(np.uint8).reshape(height, -1)
    else:
        bits = np.unpackbits(values.astype(np.uint8)[..., None], axis=-1)[..., 8 - depth :].reshape(height, -1)
        rows = np.packbits(bits, axis=1)
    lines = b"".join(b"\0" + row.tobytes() for row in rows)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    end = chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + end


def opened(data: bytes, **options) -> np.ndarray:
    return np.asarray(image.open_image(data, alpha="keep", **options), int)


def make_jpeg(**options) -> bytes:
    buffer = io.BytesIO()
    y, x = np.mgrid[:96, :128]
    pixels = np.stack([x * 2, y * 2, (x * y) % 256], 2).astype(np.uint8)
    Image.fromarray(pixels).save(buffer, "JPEG", quality=90, **options)
    return buffer.getvalue()
