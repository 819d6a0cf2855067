"""The float networks, in torch: autoencoder, transforms, semantics, denoiser, and the fake-quantised prior."""

from .codec import CodecModel

__all__ = ["CodecModel"]
