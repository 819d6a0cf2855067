"""Colours that a file describes without an ICC profile -> sRGB: PNG's gAMA and cHRM, and the codes of ITU-T H.273 (cICP)."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ..errors import InputError

if TYPE_CHECKING:
    from .png import Facts

Curve = Callable[[np.ndarray], np.ndarray]  # samples 0 .. 1 -> light 0 .. 1

_D65 = (0.3127, 0.3290)
_SRGB = (*_D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)  # white, red, green, blue, as cHRM has them
_PRIMARIES = {  # H.273, table 2
    1: _SRGB,
    2: _SRGB,
    4: (0.310, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
}
_HDR = {16: "PQ", 18: "HLG"}
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def _srgb(samples: np.ndarray) -> np.ndarray:
    return np.where(samples <= 0.04045, samples / 12.92, ((samples + 0.055) / 1.055) ** 2.4)


def _power(exponent: float) -> Curve:
    return lambda samples: samples**exponent


# H.273, table 3. BT.709 and its kin, and files that do not say, are shown as sRGB by everyone.
_CURVES: dict[int, Curve] = dict.fromkeys((1, 2, 6, 13, 14, 15), _srgb) | {4: _power(2.2), 5: _power(2.8), 8: _power(1)}


def of_code(code: bytes, name: str) -> tuple[Curve | None, np.ndarray | None]:
    """Curve and matrix to sRGB for primaries and transfer, as `to_srgb` takes them. InputError for HDR and unknown ones."""
    primaries, transfer = code[0], code[1]
    if transfer in _HDR:
        raise InputError(f"{name}: an HDR picture ({_HDR[transfer]} by its colour code); convert it to SDR first")
    if transfer not in _CURVES or primaries not in _PRIMARIES:
        raise InputError(f"{name}: colours of an unknown code ({primaries}, {transfer}); convert it to sRGB first")
    matrix = _matrix(_PRIMARIES[primaries])
    return (None, None) if matrix is None and _CURVES[transfer] is _srgb else (_CURVES[transfer], matrix)


def of_png(facts: "Facts", name: str) -> tuple[Curve | None, np.ndarray | None]:
    """By the first of cICP, iCCP, sRGB, and gAMA with cHRM, as PNG's third edition ranks them."""
    if facts.code is not None:
        facts.info.pop("icc_profile", None)
        if facts.code[2] != 0 or facts.code[3] != 1:
            raise InputError(f"{name}: colours of an unknown code (matrix, range); convert it to sRGB first")
        return of_code(facts.code, name)
    if "icc_profile" in facts.info or facts.srgb or not facts.gamma:
        return None, None
    matrix = _matrix(facts.chromaticities) if facts.chromaticities and facts.kind & 2 else None
    if matrix is None and abs(facts.gamma - 1 / 2.2) < 0.01:  # what old programs write for sRGB
        return None, None
    return _power(1 / facts.gamma), matrix


def from_code(image: Image.Image, code: bytes | None, name: str) -> Image.Image:
    """A loaded picture in the colours of a code -> the same in sRGB. One with a profile is left as it is."""
    if code is None or "icc_profile" in image.info:
        return image
    curve, matrix = of_code(code, name)
    if curve is None:
        return image
    return to_srgb(np.asarray(image), curve, matrix)


def to_srgb(samples: np.ndarray, curve: Curve | None, matrix: np.ndarray | None) -> Image.Image:
    """(H, W) or (H, W, 2 .. 4) of 8 or 16 bits, grey or RGB, alpha last -> picture of 8 bits in sRGB.

    curve: samples to light, None for sRGB; matrix: 3x3, light to light of sRGB.
    """
    most = np.iinfo(samples.dtype).max
    if curve is None:
        return Image.fromarray(rounded(samples * np.float32(255 / most)))
    bands = samples.shape[2] if samples.ndim == 3 else 1
    colours = samples[..., : bands - (bands % 2 == 0)] if samples.ndim == 3 else samples
    table = curve(np.arange(most + 1) / most).astype(np.float32)
    light = table[colours]
    if matrix is not None and light.ndim == 3 and light.shape[2] == 3:
        light = light @ matrix.T.astype(np.float32)
    made = shown(light)
    if bands % 2 == 0:
        made = np.concatenate([made, rounded(samples[..., -1:] * np.float32(255 / most))], 2)
    return Image.fromarray(made)


def shown(light: np.ndarray) -> np.ndarray:
    """Light in sRGB's primaries, 1 the most -> 8 bits."""
    light = light.clip(0, 1)
    curved = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** np.float32(1 / 2.4) - 0.055)
    return rounded(curved * 255)


def rounded(values: np.ndarray) -> np.ndarray:
    return values.round().clip(0, 255).astype(np.uint8)


def _matrix(chromaticities: tuple[float, ...]) -> np.ndarray | None:
    """Light of these primaries -> light of sRGB's, white to white (Bradford); None if they are the same or make no sense."""
    if max(abs(a - b) for a, b in zip(chromaticities, _SRGB, strict=True)) < 0.002:
        return None
    try:
        here, there = _to_xyz(chromaticities), _to_xyz(_SRGB)
        cones, wanted = (_BRADFORD @ _white(c) for c in (chromaticities, _SRGB))
        adapted = np.linalg.inv(_BRADFORD) @ np.diag(wanted / cones) @ _BRADFORD
        matrix = np.linalg.inv(there) @ adapted @ here
    except (np.linalg.LinAlgError, ZeroDivisionError):
        return None
    return matrix if np.isfinite(matrix).all() else None


def _white(chromaticities: tuple[float, ...]) -> np.ndarray:
    x, y = chromaticities[:2]
    return np.array([x / y, 1, (1 - x - y) / y])


def _to_xyz(chromaticities: tuple[float, ...]) -> np.ndarray:
    columns = np.array([[x, y, 1 - x - y] for x, y in zip(chromaticities[2::2], chromaticities[3::2], strict=True)]).T
    return columns * np.linalg.solve(columns, _white(chromaticities))
