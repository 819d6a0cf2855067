"""Colours with an ICC profile -> sRGB: by LittleCMS, which Pillow has for 8 bits, and for 16 bits by curves and matrix."""

import io
import struct
from typing import Any, cast

import numpy as np
from PIL import Image

from .colour import shown

STRIP = 2**20  # pixels that are converted at once
UNUSABLE = (OSError, KeyError, ValueError)  # and ImageCms.PyCMSError, which is an Exception of its own


class Profile:
    """A colour profile. ValueError if it cannot be used."""

    def __init__(self, data: bytes) -> None:
        from PIL import ImageCms

        try:
            self.profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
            self.of_rgb = self.profile.profile.xcolor_space.strip() == "RGB"
        except (ImageCms.PyCMSError, *UNUSABLE) as error:
            raise ValueError(str(error)) from error
        self.data = data
        self.transforms: dict[str, Any] = {}

    def to_srgb(self, colours: Image.Image) -> Image.Image:
        """L, RGB or CMYK of 8 bits -> RGB. Grey pictures may have a profile of RGB colours."""
        from PIL import ImageCms

        colours = colours.convert("RGB") if self.of_rgb else colours
        try:
            if colours.mode not in self.transforms:
                srgb = ImageCms.createProfile("sRGB")
                self.transforms[colours.mode] = ImageCms.buildTransform(self.profile, srgb, colours.mode, "RGB")
            return cast(Image.Image, ImageCms.applyTransform(colours, self.transforms[colours.mode]))
        except (ImageCms.PyCMSError, *UNUSABLE) as error:
            raise ValueError(str(error)) from error

    def deep_to_srgb(self, samples: np.ndarray) -> Image.Image:
        """Grey (H, W) or RGB (H, W, 3) of 16 bits, 65535 the most -> RGB of 8 bits."""
        known = _curves_and_matrix(self.data)
        if samples.ndim == 2 and self.of_rgb:
            samples = np.repeat(samples[..., None], 3, 2)
        if known is not None and len(known[0]) == (3 if samples.ndim == 3 else 1):
            return _by_curves(samples, *known)
        return self.interpolated(samples)

    def interpolated(self, samples: np.ndarray) -> Image.Image:
        """The same for a profile that is more than curves and a matrix: between colours of 8 bits.

        A colour is interpolated in the tetrahedron of the steps around it, so that neutral colours stay neutral.
        """
        made = np.empty((*samples.shape[:2], 3), np.uint8)
        rows = max(1, STRIP // samples.shape[1])
        for top in range(0, len(samples), rows):
            made[top : top + rows] = self._interpolated(samples[top : top + rows])
        return Image.fromarray(made)

    def _interpolated(self, samples: np.ndarray) -> np.ndarray:
        planes = samples if samples.ndim == 3 else samples[..., None]
        below, share = np.divmod(planes, 257)  # the step of 8 bits below, and how far from it to the next
        share = share.astype(np.float32) / 257
        order = np.sort(share, 2)[..., ::-1]  # the largest first
        sums = self._step(below) * (1 - order[..., :1])
        for corner in range(planes.shape[2]):
            weight = order[..., corner : corner + 1] - (
                order[..., corner + 1 : corner + 2] if corner + 1 < planes.shape[2] else 0
            )
            above = below + ((share >= order[..., corner : corner + 1]) & (share > 0))
            sums += self._step(above) * weight
        return sums.round().clip(0, 255).astype(np.uint8)

    def _step(self, values: np.ndarray) -> np.ndarray:
        pixels = values.astype(np.uint8)
        shown = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))
        return np.asarray(self.to_srgb(shown), np.float32)


# Light of sRGB's primaries in the XYZ that profiles connect by, as sRGB's own profile has it.
_SRGB = np.array([[0.4360, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]])


def _by_curves(samples: np.ndarray, curves: list[np.ndarray], matrix: np.ndarray | None) -> Image.Image:
    made = np.empty((*samples.shape[:2], 3), np.uint8)
    rows = max(1, STRIP // samples.shape[1])
    for top in range(0, len(samples), rows):
        part = samples[top : top + rows]
        planes = part if part.ndim == 3 else part[..., None]
        light = np.stack([curve[planes[..., i]] for i, curve in enumerate(curves)], 2)
        if matrix is not None:
            light = light @ matrix.T.astype(np.float32)
        made[top : top + rows] = shown(light)
    return Image.fromarray(made)


def _curves_and_matrix(data: bytes) -> tuple[list[np.ndarray], np.ndarray | None] | None:
    """Light for each of 65536 values, for grey or for red, green and blue, and the matrix to sRGB's light.

    None if the profile is more than that, or damaged.
    """
    try:
        count = struct.unpack_from(">I", data, 128)[0]
        tags = {}
        for at in range(132, 132 + 12 * min(count, 100), 12):
            name, start, size = struct.unpack_from(">4sII", data, at)
            tags[name] = data[start : start + size]
        if any(name[:3] == b"A2B" for name in tags):
            return None
        if data[16:20] == b"GRAY" and data[20:24] == b"XYZ ":
            return [_curve(tags[b"kTRC"])], None
        if data[16:20] != b"RGB " or data[20:24] != b"XYZ ":
            return None
        curves = [_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")]
        columns = [np.frombuffer(tags[name], ">i4", 3, 8) / 65536 for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
        return curves, np.linalg.solve(_SRGB, np.stack(columns, 1))
    except (struct.error, KeyError, ValueError, FloatingPointError):
        return None


def _curve(content: bytes) -> np.ndarray:
    values = np.arange(65536) / 65535
    if content[:4] == b"curv":
        count = struct.unpack_from(">I", content, 8)[0]
        if count == 0:
            return values.astype(np.float32)
        points = np.frombuffer(content, ">u2", count, 12)
        made = (
            values ** (points[0] / 256) if count == 1 else np.interp(values, np.linspace(0, 1, count), points / 65535)
        )
        return made.astype(np.float32)
    if content[:4] != b"para":
        raise ValueError("a curve of an unknown kind")
    kind = struct.unpack_from(">H", content, 8)[0]
    g, *rest = np.frombuffer(content, ">i4", (1, 3, 4, 5, 7)[kind] if kind < 5 else -1, 12) / 65536
    a, b, c, d, e, f = {
        0: (1, 0, 0, 0, 0, 0),
        1: (*rest, 0, 0, 0, 0),
        2: (*rest, 0, 0, 0),
        3: (*rest, 0, 0),
        4: tuple(rest),
    }[kind]
    if kind in (1, 2):  # constant below the place where the power begins
        d, e, f = -b / a, c, c
        c = 0
    above = np.maximum(a * values + b, 0) ** g + e
    return np.where(values >= d, above, c * values + f).clip(0, 1).astype(np.float32)
