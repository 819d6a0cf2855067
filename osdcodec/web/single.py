"""One HTML file that holds a picture, its decoder and the weights: it opens from a file, without a server or a network."""

import base64
import hashlib
import json
import zlib

from ..weights.loading import Weights
from . import described, page_folder, trust_graph

VERBS = ("synthesise", "denoise", "render")  # the networks that a decoder runs
_NORMATIVE = (
    "prior.",
    "gains.",
    "code.",
    "semantics.codebook",
    "base.codebook",
)  # what the symbols and the model id need
_TEMPLATE, _RUNTIME, _PLACE = "template.html", "runtime.wasm.gz", "<!-- data -->"


def single_page(data: bytes, name: str, model: Weights) -> bytes:
    """Builds the page of one picture.

    Args:
        data: the .osd file.
        name: what the page calls it.
        model: the weights that the file names.

    Returns:
        HTML in UTF-8, about 4/3 of the sizes of weights and runtime.

    Raises:
        PageError: the page is not built here, or does not run this model.
    """
    folder = page_folder() / "single"
    weights = decoder_tensors(model.path.read_bytes())
    listed = described(model) | {"sha256": hashlib.sha256(weights).hexdigest(), "bytes": len(weights)}
    # A name must not end the element that it stands in.
    about = json.dumps({"name": name, "listed": listed}).replace("<", "\\u003c")
    blocks = [
        f'<script type="application/json" id="about">{about}</script>',
        _block("picture-data", data),
        _block("runtime", (folder / _RUNTIME).read_bytes()),
        _block("weights", weights),
    ]
    if graph := trust_graph(model):
        blocks.append(_block("trust-graph", graph))
    return (folder / _TEMPLATE).read_text("utf-8").replace(_PLACE, "".join(blocks), 1).encode()


def _block(identity: str, content: bytes) -> str:
    return f'<script type="text/plain" id="{identity}">{base64.b64encode(content).decode()}</script>'


def decoder_tensors(data: bytes) -> bytes:
    """Returns a safetensors file with only the tensors that decoding needs; the model id stays the same."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    metadata = header.pop("__metadata__", None)

    def content(name: str) -> bytes:
        first, last = header[name]["data_offsets"]
        return data[start + first : start + last]

    needed = {"preview.weight", "preview.bias"}
    for verb in VERBS:
        listed = f"graph.{verb}.tensors"
        plain = content(listed) if listed in header else zlib.decompress(content(f"{listed}|deflated"))
        needed |= {f"graph.{verb}", listed, *plain.decode().split("\n")}
    kept = [name for name in header if name.startswith(_NORMATIVE) or name.partition("|")[0] in needed]
    kept.sort(key=lambda name: header[name]["data_offsets"][0])
    parts, made, at = [], {"__metadata__": metadata} if metadata else {}, 0
    for name in kept:
        parts.append(content(name))
        made[name] = header[name] | {"data_offsets": [at, at + len(parts[-1])]}
        at += len(parts[-1])
    head = json.dumps(made, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    return b"".join([len(head).to_bytes(8, "little"), head, *parts])
