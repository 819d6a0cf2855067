"""The network that computes the map: 150,000 weights on the grid of 16x16 pixels, in ONNX Runtime on the CPU. Never imports torch.

Its graph lies beside the weights that it was fitted to, and names them. Inputs: picture (1, 3, H, W) in [-1, 1], H and W multiples of the
stride; z_c and z_hat (1, C_z, H/16, W/16); spread, activity and setting as `reading.facts` makes them. Output: (1, 3, H/16, W/16),
expected mean square of luma and of chroma, in squared levels, and expected correlation of texture, -1 .. 1.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import onnxruntime as ort
from PIL import Image

from .. import image
from ..container import Osd
from ..errors import WeightsError
from ..runtime.graphs import thread_count
from ..runtime.tiles import Tile, spans
from ..weights import Weights, trust_graph
from . import told
from .maps import CELL, TrustMap, grid
from .reading import Reading, facts

CORE, MARGIN = 64, 8  # of a tile, in positions of y; no output depends on anything farther away: tests/test_trust.py
STRIDE = 32  # pixels per position of y of the models that have a map


def check(model: Any) -> Callable[..., Reading]:
    """What reads a file for a map, of a model as `families.open_decoder` gives it. WeightsError if no map was fitted to its weights."""
    trust_graph(model.weights)
    return model.read


def decoder_with_map(
    model: Any, osd: Osd, as_told: bool, threads: int | None
) -> Callable[..., tuple[Image.Image, TrustMap]]:
    """What reads a file with its map, as `families.PictureDecoder.reconstruct` reads it without. WeightsError, before the work, if no map
    was fitted to the weights; FormatError if the errors that it tells are damaged.

    as_told: the picture is decoded as the encoder did that told its errors.
    """
    read = check(model)
    content = dict(osd.sections).get(told.LETTER) if as_told and not osd.fault else None
    steps = told.decode(content, osd.width, osd.height) if content else None

    def decode(*given: Any) -> tuple[Image.Image, TrustMap]:
        reading = read(*given)
        found = expect(reading, model.weights, threads)
        return reading.picture, found if steps is None else told.applied(found, steps)

    return decode


def expect(reading: Reading, weights: Weights, threads: int | None = None) -> TrustMap:
    """The map of a decoded picture. WeightsError if no map was fitted to these weights."""
    session = _session(trust_graph(weights), thread_count(threads))
    found = np.empty((3, *(2 * side for side in reading.qualities.shape)), np.float32)
    symbols = reading.symbols
    assert symbols.rows is not None  # the prior that read them notes it
    known = symbols.rows, symbols.latent, reading.qualities
    spread, activity, setting = facts(weights.prior, *known, reading.detail, reading.preview)
    rows, columns = reading.qualities.shape
    for row in spans(rows, MARGIN, CORE, 1):
        for column in spans(columns, MARGIN, CORE, 1):
            tile = Tile(row, column)
            inputs = {"z_c": reading.coarse[tile.outer(2)], "z_hat": reading.denoised[tile.outer(2)]}
            inputs |= {"spread": spread[tile.outer(1)], "activity": activity[tile.outer(1)]}
            inputs |= {"setting": setting[tile.outer(2)], "picture": _pixels(reading, tile)}
            (part,) = session.run(None, {name: np.ascontiguousarray(array) for name, array in inputs.items()})
            found[tile.core(2)] = part[0][tile.inner(2)]
    places = grid(reading.width, reading.height)
    luma, chroma, texture = found[:, : places[0], : places[1]]
    if reading.grey:
        chroma = np.zeros_like(chroma)
    return TrustMap(np.sqrt(luma), np.sqrt(chroma), texture.clip(0, 1), reading.width, reading.height, cell=CELL)


def _pixels(reading: Reading, tile: Tile) -> np.ndarray:
    """What a tile sees of the picture, (1, 3, H, W) in [-1, 1]; of a preview each pixel twice in each direction."""
    left, top = STRIDE * tile.columns.low, STRIDE * tile.rows.low
    right, bottom = (
        min(STRIDE * s.high, side) for s, side in ((tile.columns, reading.width), (tile.rows, reading.height))
    )
    if not reading.preview:
        return image.to_array(reading.picture.crop((left, top, right, bottom)), STRIDE)
    box = (left // 2, top // 2, -(-right // 2), -(-bottom // 2))
    part = reading.picture.crop(box)
    part = part.resize((2 * part.width, 2 * part.height), Image.Resampling.NEAREST)
    return image.to_array(part.crop((0, 0, right - left, bottom - top)), STRIDE)


@lru_cache(maxsize=2)
def _session(graph: bytes, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has a class for each kind of damage
        raise WeightsError(f"the map in the weights is not usable: {error}") from error
