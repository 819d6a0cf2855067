"""A prior of tiny sizes whose integers come from a hash: the same on every machine and with every NumPy."""

import hashlib
from dataclasses import replace

import numpy as np

from osdcodec.profile import SMALL, Profile

TINY = replace(
    SMALL, latent_channels=8, hyper_channels=3, feature_channels=4, context_channels=6, bit_price=0.1, tokens=2,
    codebook_size=7,
)  # fmt: skip
ROWS, LIMIT = 16, 8  # tables, and the largest symbol


def numbers(name: str, shape: tuple[int, ...], low: int, high: int) -> np.ndarray:
    """Integers in low .. high, drawn from the SHAKE-256 of the name."""
    size = int(np.prod(shape))
    drawn = np.frombuffer(hashlib.shake_256(name.encode()).digest(4 * size), "<u4").astype(np.int64)
    return (low + drawn % (high - low + 1)).reshape(shape)


def frequencies(name: str, rows: int, columns: int) -> np.ndarray:
    """Tables that get wider row by row, with irregular counts that sum to 2**24."""
    counts = np.empty((rows, columns), np.int32)
    for row in range(rows):
        distance = np.abs(np.arange(columns) - columns // 2)
        weights = (
            numbers(f"{name}{row}", (columns,), 1, 1000) * 2 ** np.maximum(0, 20 - distance * (rows - row) * 16 // rows)
            + 1
        )
        counts[row] = 1 + weights * (2**24 - columns) // weights.sum()
        counts[row, columns // 2] += 2**24 - counts[row].sum()
    return counts


def tensors(profile: Profile = TINY, rows: int = ROWS, limit: int = LIMIT) -> dict[str, np.ndarray]:
    """All that fixes the symbols of a model, by its names in the weights file."""
    made: dict[str, np.ndarray] = {}

    def layer(name: str, outputs: int, inputs: int, size: int, reach: int, rescale: tuple[int, int, int, int]) -> None:
        shift = rescale[1]
        made[f"prior.{name}.weight"] = numbers(f"{name} w", (outputs, inputs, size, size), -reach, reach).astype("<i2")
        made[f"prior.{name}.bias"] = numbers(f"{name} b", (outputs,), -(2 ** (shift - 1)), 2 ** (shift + 3)).astype(
            "<i4"
        )
        made[f"prior.{name}.rescale"] = np.array(rescale, "<i4")

    latent, hyper, features = profile.latent_channels, profile.hyper_channels, profile.feature_channels
    width, last = profile.context_channels, rows - 1
    layer("hyper_scale.0", 5, 1, 1, 90, (3, 9, 0, 4095))
    layer("hyper_scale.1", hyper, 5, 1, 200, (1, 10, 0, last))
    layer("hyper_synthesis.0", 4 * features, hyper + 1, 3, 500, (5, 9, 0, 4095))
    layer("hyper_synthesis.1", 4 * features, features, 3, 500, (3, 12, 0, 4095))
    layer("hyper_synthesis.2", features, features, 3, 500, (1, 14, 0, 255))
    for t in range(4):
        layer(f"context.{t}.0", width, features + latent, 3, 500, (7, 12, 0, 4095))
        layer(f"context.{t}.1", width, width, 1, 500, (1, 9, 0, 4095))
        layer(f"context.{t}.mean", latent, width, 1, 500, (1, 14, -100, 100))
        layer(f"context.{t}.scale", latent, width, 1, 100, (1, 15, 0, last))
    made["prior.tables"] = frequencies("tables", rows, 2 * limit + 1)
    made["prior.token_tables"] = frequencies("tokens", profile.tokens, profile.codebook_size)
    for name, channels in (("latent", latent), ("inverse", latent), ("hyper", hyper)):
        made[f"gains.{name}"] = (numbers(name, (5, channels), 8, 64) / 16).astype("<f4")
    codebook = numbers("codebook", (profile.codebook_size, 4), -8, 8) / 4
    return made | {"semantics.codebook": codebook.astype("<f2")}


def uncertain_tensors() -> dict[str, np.ndarray]:
    """As `tensors`, with rows of the latent on either side of all thresholds of the progressive order."""
    made = tensors(rows=48)
    return made | {f"prior.context.{t}.scale.rescale": np.array([7, 15, 0, 47], np.int32) for t in range(4)}


def latents(seed: str, h: int, w: int, profile: Profile = TINY) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """y (C_y, h, w) and hyper (C_h, hh, hw) float32, tokens (K,) for a test."""
    y = numbers(f"y {seed}", (profile.latent_channels, h, w), -900, 900) / 100
    hyper = numbers(f"hyper {seed}", (profile.hyper_channels, *profile.hyper_grid(h, w)), -300, 300) / 100
    tokens = numbers(f"tokens {seed}", (profile.tokens,), 0, profile.codebook_size - 1)
    return y.astype(np.float32), hyper.astype(np.float32), tokens
