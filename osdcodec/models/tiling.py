"""Networks that attend to all of a picture, on parts of it: overlapping tiles that fade into each other."""

import math
from collections.abc import Callable
from fractions import Fraction

import torch
from torch import Tensor


def by_tiles(
    work: Callable[..., Tensor], inputs: tuple[Tensor, ...], tile: int, overlap: int, scale: Fraction = Fraction(1)
) -> Tensor:
    """work(*inputs), inputs (B, ·, h, w) of one size, output (B, ·, h·scale, w·scale) in the type of the first input.

    What is longer than `tile` goes through `work` in tiles of that side, which overlap by `overlap` or more; all of them
    are multiples of `1 / scale`, or of whatever the network wants its sides to be multiples of. Where tiles overlap, each
    counts more the farther a place is from its edge. Memory is that of one tile and of the output in float32.
    """
    height, width = inputs[0].shape[2:]
    if height <= tile and width <= tile:
        return work(*inputs)
    whole, total = torch.empty(0), torch.empty(0)
    for rows in spans(height, tile, overlap):
        for columns in spans(width, tile, overlap):
            part = work(*(array[..., rows, columns] for array in inputs)).float()
            if not whole.numel():
                whole = part.new_zeros(*part.shape[:2], int(height * scale), int(width * scale))
                total = part.new_zeros(1, 1, *whole.shape[2:])
            weight = fade(part.shape[2], overlap * scale, part)[:, None] * fade(part.shape[3], overlap * scale, part)
            down, right = (slice(int(edges.start * scale), int(edges.stop * scale)) for edges in (rows, columns))
            whole[..., down, right] += weight * part
            total[..., down, right] += weight
    return (whole / total).to(inputs[0].dtype)


def spans(length: int, tile: int, overlap: int) -> list[slice]:
    """0 .. length in as few parts of side `tile` as overlap by `overlap`; the last ends where the whole does."""
    if length <= tile:
        return [slice(0, length)]
    count = math.ceil((length - overlap) / (tile - overlap))
    starts = [min(index * (tile - overlap), length - tile) for index in range(count)]
    return [slice(start, start + tile) for start in starts]


def fade(length: int, overlap: Fraction, like: Tensor) -> Tensor:
    """(length,) weights that rise from either end over `overlap` places to 1."""
    places = torch.arange(length, device=like.device, dtype=like.dtype) + 0.5
    return (torch.minimum(places, length - places) / float(overlap)).clamp(max=1)
