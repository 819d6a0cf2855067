"""Makes the file of the embedded model's int8 graphs and lists it: `python -m osdcodec.maintenance.embed_int8 DATA`.

DATA is a folder of photographs, or one with train/ in it. Each new model asks for a new file; without one it runs in single precision.
"""

import argparse
import hashlib
import re
from pathlib import Path

from PIL import Image

from .. import weights
from ..console import run_command
from ..training.data import Photos
from ..training.export.int8 import export_int8

PACKAGE = Path(__file__).parents[1]
WIDTH, HEIGHT = 448, 320  # of the photographs' corners that are looked at


def main() -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.maintenance.embed_int8", description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--pictures", type=int, default=20)
    parser.add_argument("--threads", type=int)
    given = parser.parse_args()
    photos = Photos(given.data, seed=8)
    pictures = [
        Image.fromarray(pixels[:HEIGHT, :WIDTH]) for pixels in photos.pictures(given.pictures) if pixels is not None
    ]
    model, path, registry = weights.load(), PACKAGE / "embedded" / "int8.safetensors", PACKAGE.parent / "weights.toml"
    size = export_int8(model, pictures, path, given.threads)
    lines = f'int8 = "{path.name}"\nint8_sha256 = "{hashlib.sha256(path.read_bytes()).hexdigest()}"\n'
    text = re.sub('^int8(_sha256)? = "[^"]*"\n', "", registry.read_text("utf-8"), flags=re.MULTILINE)
    own = f'sha256 = "{model.sha256}"\n'
    registry.write_text(text.replace(own, own + lines, 1), "utf-8")
    print(f"{path}: {size:,} bytes")


if __name__ == "__main__":
    run_command(main)
