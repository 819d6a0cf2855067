"""The float networks, in torch: autoencoder, transforms, semantics, denoiser, and the fake-quantised prior."""

from ..extras import require

try:
    from .codec import CodecModel
except ImportError:
    require("coding with torch", "torch", "diffusers", "open_clip")
    raise

__all__ = ["CodecModel"]
