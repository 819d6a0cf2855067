"""What latents cost in bits, and how that changes with them: the integer prior, differentiated.

Forward everything is the integers that a file is made with, so the bits are its bits. Backward rounding passes a gradient straight
through, means pass none, and the slopes of the code length are those of the distributions that the tables were made of. The same
gradient as that of models/prior.py, in NumPy.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from . import Array
from .groups import best_of_cells, masks
from .integer_net import IntegerLayer, shuffle
from .prior import UNIT, Prior


@dataclass(frozen=True)
class Priced:
    """Symbols of one picture: what a decoder sees of them, and their bits with gradients."""

    values: Array  # (C_y, h, w) reconstructed latent, gained, float32
    bits: float  # of hyper-latent and latent
    # Gradients of the bits with respect to gained latent (C_y, h, w) and hyper-latent (C_h, hh, hw); none if not asked for.
    gradients: tuple[Array, ...]


class Price:
    """Prices latents of one size at one quality.

    Args:
        prior: That of the model.
        slopes: "slopes.symbol" and "slopes.row", (64, 129) each: change of the bits with the symbol and with the row.
        quality: 0 .. 255.
        size: Rows and columns of the latent.
        qualities: (h, w) quality of each position, where they differ.
    """

    def __init__(
        self,
        prior: Prior,
        slopes: Mapping[str, Array],
        quality: int,
        size: tuple[int, int],
        qualities: Array | None = None,
    ) -> None:
        self.prior, self.size = prior, size
        self.of_symbol, self.of_row = slopes["slopes.symbol"], slopes["slopes.row"]
        rows = np.full((1, 1, 1), float(quality))
        for layer in prior.hyper_scale:
            rows = layer(rows)
        self.hyper_rows = rows.astype(np.int32)
        grid = prior.profile.hyper_grid(*size)
        if qualities is None:
            self.plane = np.full((1, *grid), float(quality))
        else:
            self.plane = best_of_cells(qualities, prior.profile.hyper_factor)[None].astype(np.float64)
        self.groups = masks(prior.profile.latent_channels, *size)

    def bits(self, latents: tuple[Array, ...]) -> float:
        """Bits of a gained latent and a gained hyper-latent."""
        return self(latents, gradient=False).bits

    def __call__(self, latents: tuple[Array, ...], gradient: bool = True) -> Priced:
        """Prices a gained latent (C_y, h, w) and a gained hyper-latent (C_h, hh, hw)."""
        latent, hyper = latents
        prior, limit, (h, w) = self.prior, self.prior.limit, self.size
        symbols = np.floor(hyper + 0.5).clip(-limit, limit).astype(np.int32)
        places = np.broadcast_to(self.hyper_rows, symbols.shape), symbols + limit
        bits = float(prior._bits[places].sum())
        of_hyper = self.of_symbol[places] * (np.abs(hyper) <= limit) if gradient else None

        first, second, third = prior.hyper_synthesis
        outputs = [first(np.concatenate([symbols, self.plane]))]
        outputs.append(second(shuffle(outputs[0])))
        wide = shuffle(outputs[1])
        outputs.append(third(wide))
        features = outputs[2][:, :h, :w]

        seen = np.zeros(latent.shape)
        of_latent = np.zeros(latent.shape, np.float32) if gradient else None
        of_features = np.zeros(features.shape, np.float32)
        for group, mask in zip(prior.context, self.groups, strict=True):
            hidden = group["0"](np.concatenate([features, seen]))
            deep = group["1"](hidden)
            means, rows = group["mean"](deep)[mask], group["scale"](deep)
            index = rows[mask].astype(np.int32)
            wanted = latent[mask] - means / UNIT
            found = np.floor(wanted + 0.5).clip(-limit, limit).astype(np.int32)
            found = prior._cheaper(wanted, found, index)
            seen[mask] = means + UNIT * found
            places = index, found + limit
            bits += float(prior._bits[places].sum())
            if of_latent is None:
                continue
            of_latent[mask] = self.of_symbol[places]
            given = np.zeros(latent.shape, np.float32)
            given[mask] = self.of_row[places]
            for layer, output in ((group["scale"], rows), (group["1"], deep), (group["0"], hidden)):
                given = _back(layer, output, given)
            of_features += given[: len(features)]
        values = (seen / UNIT).astype(np.float32)
        if of_latent is None or of_hyper is None:
            return Priced(values, bits, ())
        given = np.zeros(outputs[2].shape, np.float32)
        given[:, :h, :w] = of_features
        given = _unshuffle(_back(third, outputs[2], given))
        given = _unshuffle(_back(second, outputs[1], given))
        of_hyper = (of_hyper + _back(first, outputs[0], given)[: len(symbols)]).astype(np.float32)
        return Priced(values, bits, (of_latent, of_hyper))


def _back(layer: IntegerLayer, output: Array, given: Array) -> Array:
    """The gradient of a layer's output, (out, h, w) -> of its input, both in units of their integers."""
    given = given * ((output > layer.low) & (output < layer.high)) * np.float32(layer.multiplier * 2.0**-layer.shift)
    outputs, inputs, side, _ = layer.weight.shape
    _, h, w = given.shape
    # All positions of the kernel in one product of matrices.
    matrix = np.ascontiguousarray(layer.weight.transpose(2, 3, 1, 0).reshape(-1, outputs), np.float32)
    parts = (matrix @ given.reshape(outputs, -1)).reshape(side, side, inputs, h, w)
    pad = side // 2
    total = np.zeros((inputs, h + 2 * pad, w + 2 * pad), np.float32)
    for i in range(side):
        for j in range(side):
            total[:, i : i + h, j : j + w] += parts[i, j]
    return total[:, pad : pad + h, pad : pad + w]


def _unshuffle(x: Array, factor: int = 2) -> Array:
    """The inverse of `shuffle`: (C, h * f, w * f) -> (C * f * f, h, w)."""
    channels, h, w = x.shape
    cells = x.reshape(channels, h // factor, factor, w // factor, factor)
    return cells.transpose(0, 2, 4, 1, 3).reshape(-1, h // factor, w // factor)
