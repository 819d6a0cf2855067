"""Encoder and Decoder: from a picture to the bytes of an .osd file, and back by one diffusion step."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from . import container, image, weights
from .container import Osd
from .description import describe
from .entropy.prior import Prior, Symbols
from .errors import FormatError, OsdError
from .profile import Profile, lambda_of, quality_of
from .runtime import Runtime, open_runtime


class Encoder:
    """Keeps a model loaded: `Encoder().encode(picture, lmbda=0.5)`.

    device: "auto", "cpu" or "cuda". WeightsError if the profile's weights are missing or damaged.
    """

    def __init__(self, profile: str = "small", device: str = "auto", weights_dir: str | Path | None = None) -> None:
        self.weights = weights.load(profile, weights_dir)
        self.profile = self.weights.profile
        self.runtime = open_runtime(self.weights, device)
        self.prior = Prior(self.weights.tensors, self.profile)

    def encode(
        self,
        picture: Image.Image | str | Path,
        lmbda: float = 1.0,
        *,
        alpha: str = "white",
        icc: str = "srgb",
        keep_metadata: bool = False,
        verify: bool = True,
        max_pixels: int = container.MAX_PIXELS,
    ) -> bytes:
        """A picture and lambda 0.1 (largest file) .. 2 (smallest) -> the bytes of an .osd file.

        alpha: "keep", "drop", or the colour that clear places get; icc: "srgb" or "keep"; keep_metadata: EXIF and XMP go
        into the file; see `image.open_image`. verify: the file is entropy-decoded before it is given out.
        InputError if the picture cannot be used, ValueError if lambda or an option is out of range.
        """
        osd, symbols = self.code(image.open_image(picture, max_pixels, alpha, icc, keep_metadata), lmbda)
        if verify and not self._decodes(osd, symbols):
            raise OsdError(
                "the file would not decode to what was encoded, so there is none: please report this picture"
            )
        return container.pack(osd)

    def _decodes(self, osd: Osd, symbols: Symbols) -> bool:
        try:
            return decode_symbols(osd, self.prior, self.profile) == symbols
        except FormatError:
            return False

    def code(self, picture: Image.Image, lmbda: float) -> tuple[Osd, Symbols]:
        """A picture, as `image.open_image` gives it -> the fields of the file, and the symbols its payload is made of."""
        quality = quality_of(lmbda)
        rgb = picture.convert("RGB")
        x, thumb = image.to_array(rgb, self.profile.stride), image.thumbnail(rgb, self.profile.thumb)
        y, hyper, tokens = self.runtime.analyse(x, thumb)
        gain, _, hyper_gain = (vector[:, None, None] for vector in self.prior.gains(quality))
        payload, symbols = self.prior.encode(y[0] * gain, hyper[0] * hyper_gain, tokens[0], quality)
        sections = image.to_sections(picture)
        return Osd(self.weights.model_id, picture.width, picture.height, quality, payload, sections), symbols


class Decoder:
    """Keeps models loaded: `Decoder().decode(data)`. The model is found by the id in the file."""

    def __init__(self, device: str = "auto", weights_dir: str | Path | None = None) -> None:
        self.device, self.weights_dir = device, weights_dir
        self.models: dict[bytes, tuple[weights.Weights, Runtime, Prior]] = {}

    def decode(
        self, data: bytes, seed: int = 0, detail: float = 1.0, max_pixels: int = container.MAX_PIXELS
    ) -> Image.Image:
        """Bytes of an .osd file -> RGB picture, RGBA if the file holds alpha.

        Its info has what the file holds of icc_profile, exif and xmp, and a comment that tells how the picture came about.
        seed draws the noise the diffusion starts with; detail 0 .. 1.5 moves from the coarse picture (0) through the
        denoised one (1) and beyond. FormatError if the file is damaged, WeightsError if its model is not at hand.
        """
        if not 0 <= detail <= 1.5:
            raise ValueError(f"detail must lie between 0 and 1.5, not {detail}")
        osd = container.unpack(data, max_pixels)
        model, runtime, prior = self._model(osd.model_id)
        profile = model.profile
        content = dict(osd.sections).get("A")
        alpha = image.decode_alpha(content, osd.width, osd.height) if content else None
        symbols = decode_symbols(osd, prior, profile)
        _, inverse, _ = prior.gains(osd.quality)
        y_hat = (symbols.y16.astype(np.float32) / 16 * inverse[:, None, None])[None]
        z_c, condition = runtime.synthesise(y_hat, symbols.tokens[None])
        z = z_c
        if detail > 0:
            noise = np.random.Generator(np.random.Philox(key=seed)).standard_normal(z_c.shape, np.float32)
            z_hat = runtime.denoise(z_c, condition, symbols.tokens[None], noise, profile.level(osd.quality))
            z = z_c + np.float32(detail) * (z_hat - z_c)
        picture = image.to_image(runtime.render(z), osd.width, osd.height)
        image.add_sections(picture, alpha, osd.sections, _note(osd.quality))
        return picture

    def _model(self, model_id: bytes) -> tuple[weights.Weights, Runtime, Prior]:
        if model_id not in self.models:
            found = weights.for_model(model_id, self.weights_dir)
            self.models[model_id] = found, open_runtime(found, self.device), Prior(found.tensors, found.profile)
        return self.models[model_id]


def decode_symbols(osd: Osd, prior: Prior, profile: Profile) -> Symbols:
    """The integers of a file; FormatError if its payload is damaged."""
    return prior.decode(osd.payload, osd.quality, *profile.grid(osd.width, osd.height))


def _note(quality: int) -> str:
    from . import __version__

    return f"osdc {__version__}: reconstructed by a generative codec, lambda {lambda_of(quality):.3g}"


def encode(
    picture: Image.Image | str | Path,
    lmbda: float = 1.0,
    *,
    alpha: str = "white",
    icc: str = "srgb",
    keep_metadata: bool = False,
) -> bytes:
    """A picture -> the bytes of an .osd file, as `Encoder.encode`, with the embedded weights, which stay loaded."""
    return _encoder().encode(picture, lmbda, alpha=alpha, icc=icc, keep_metadata=keep_metadata)


def decode(data: bytes) -> Image.Image:
    """The bytes of an .osd file -> RGB or RGBA picture, as `Decoder.decode`; models stay loaded."""
    return _decoder().decode(data)


def info(
    data: bytes,
    parts: bool = False,
    weights_dir: str | Path | None = None,
    max_pixels: int = container.MAX_PIXELS,
) -> dict[str, Any]:
    """What a file says of itself, as `description.describe`; `parts` adds token_bits, hyper_bits, latent_bits.

    For the parts the file is entropy-decoded: FormatError if it is damaged, WeightsError if its model is not at hand.
    """
    facts = describe(data, max_pixels, weights_dir)
    if parts:
        osd = container.unpack(data, max_pixels)
        model = weights.for_model(osd.model_id, weights_dir)
        prior = Prior(model.tensors, model.profile)
        bits = prior.parts(decode_symbols(osd, prior, model.profile), osd.quality)
        facts |= {"token_bits": bits["tokens"], "hyper_bits": bits["hyper"], "latent_bits": bits["latent"]}
    return facts


@cache
def _encoder() -> Encoder:
    return Encoder()


@cache
def _decoder() -> Decoder:
    return Decoder()
