"""A picture of half the size straight from the compressed latent: a linear map of each of its positions, no network.

What it leaves out: the denoiser, and all that the autoencoder's decoder adds to its linear part.
"""

from collections.abc import Mapping

import numpy as np
from PIL import Image

from .. import image
from ..errors import WeightsError

_ROWS = 64  # of the latent at once, so that memory stays that of the picture


def linear_map(tensors: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The tensors of a model -> weight (3 · side², C_z) and bias (3 · side²,) of blocks of side f / 2.

    The export fits them to what the decoder makes of a latent; without that, they are the decoder's linear part.
    """
    if "preview.weight" in tensors:
        return tensors["preview.weight"], tensors["preview.bias"]
    if "autoencoder.up.weight" not in tensors:
        raise WeightsError("this model has no preview; decode the whole picture")
    up, bias = tensors["autoencoder.up.weight"], tensors["autoencoder.up.bias"]  # (C_z, 3, f, f), (3,)
    mean, std = (tensors[f"autoencoder.{name}"].ravel() for name in ("mean", "std"))
    side = up.shape[2] // 2
    blocks = up.reshape(len(up), 3, side, 2, side, 2).mean((3, 5))
    weight = blocks.reshape(len(up), -1).T
    return weight * std, weight @ mean + np.repeat(bias, side**2)


def render(z: np.ndarray, tensors: Mapping[str, np.ndarray], width: int, height: int) -> Image.Image:
    """z (1, C_z, 2h, 2w) -> RGB picture of half the width and height, rounded up."""
    weight, bias = linear_map(tensors)
    side = round((len(weight) / 3) ** 0.5)
    picture = Image.new("RGB", (-(-width // 2), -(-height // 2)))
    for top in range(0, z.shape[2], _ROWS):
        rows, columns = z[0, :, top : top + _ROWS].shape[1:]
        blocks = weight @ z[0, :, top : top + rows].reshape(-1, rows * columns) + bias[:, None]
        x = blocks.reshape(3, side, side, rows, columns).transpose(0, 3, 1, 4, 2).reshape(1, 3, rows * side, -1)
        picture.paste(image.to_image(x, picture.width, picture.height - top * side), (0, top * side))
    return picture
