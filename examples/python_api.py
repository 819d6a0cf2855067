"""From pictures of any kind to bytes and back:  python examples/python_api.py [PICTURE]"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

import osdcodec

path = sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("coffee.png")

data = osdcodec.encode(path, lmbda=0.5)  # the bytes of an .osd file
picture = osdcodec.decode(data)  # a PIL image
told = osdcodec.info(data)
print(f"{told['width']}x{told['height']}: {told['bytes']} bytes, {told['bpp']:.4f} bits per pixel")

# PIL images, NumPy arrays (H, W, 3) and torch tensors (3, H, W) do as well, in integers or in 0 .. 1.
pixels = np.asarray(Image.open(path).convert("RGB"), np.float32) / 255
assert osdcodec.encode(pixels, lmbda=0.5) == data

# An Encoder and a Decoder keep their models; both may be used from several threads.
encoder, decoder = osdcodec.Encoder(device="cpu"), osdcodec.Decoder(device="cpu")
for lmbda in (2, 0.1):
    data = encoder.encode(pixels, lmbda)
    coarse, small = decoder.decode(data, detail=0), decoder.decode(data, preview=True)
    print(f"lambda {lmbda}: {len(data)} bytes; coarse picture {coarse.size}, preview {small.size}")

try:
    osdcodec.decode(data[:-1])
except osdcodec.OsdError as error:  # the root of all errors that osdc raises on purpose
    print(error)
