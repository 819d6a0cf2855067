"""Pictures: files and arrays in, files out, and the arrays in [-1, 1] that networks see."""

from .arrays import is_grey, network_inputs, thumbnail, to_array, to_image
from .reading import SUFFIXES, open_image, suffixes, why_left_out
from .writing import encode_image, output_format

__all__ = [
    "SUFFIXES", "encode_image", "is_grey", "network_inputs", "open_image", "output_format", "suffixes",
    "thumbnail", "to_array", "to_image", "why_left_out",
]  # fmt: skip
