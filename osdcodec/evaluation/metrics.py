"""Distortion of a decoded picture against its original, both RGB of the same size."""

import numpy as np
from PIL import Image

from ..extras import require

try:
    import torch
    from pytorch_msssim import ms_ssim as _ms_ssim
except ImportError:
    require("evaluation", "torch", "pytorch_msssim")
    raise


def psnr(original: Image.Image, decoded: Image.Image) -> float:
    """Peak signal-to-noise ratio over all RGB samples, in dB; infinite for equal pictures."""
    error = np.mean((np.asarray(original, np.float64) - np.asarray(decoded, np.float64)) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def ms_ssim(original: Image.Image, decoded: Image.Image) -> float:
    """Multi-scale structural similarity on RGB (Wang et al., 2003), 0 .. 1. Both sides must exceed 160 pixels."""
    pair = [torch.from_numpy(np.array(p, np.float32)).permute(2, 0, 1)[None] for p in (original, decoded)]
    return float(_ms_ssim(*pair, data_range=255.0))
