"""The families of models: what each of them does in its own way, and which one a profile or a file asks for.

`latent/` is the family of the profiles small and turbo, `cod_lite/` that of CoD-Lite's open weights.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from . import weights
from .container import Box, Osd
from .latent.coder import LatentModel, LatentSymbolCoder
from .options import EncodeOptions
from .profile import PROFILES
from .rate_control import Progress
from .runtime import Machine

Encoded = tuple[Osd, Any]  # the fields of a file, and the symbols that its payload holds


class SymbolCoder(Protocol):
    """What each family of models does in its own way: the symbols of a file."""

    def symbols(self, osd: Osd) -> Any:
        """FormatError if the payload is damaged."""

    def parts(self, osd: Osd, symbols: Any) -> dict[str, float]:
        """Ideal code length of each kind of symbol, *_bits."""


class PictureEncoder(SymbolCoder, Protocol):
    """And with its networks: a picture, as `image.open_image` gives it, becomes a file. A coder may choose among several models."""

    @property
    def model_ids(self) -> list[bytes]: ...

    def code(
        self,
        picture: Image.Image,
        options: EncodeOptions = ...,
        progress: Progress | None = None,
    ) -> Encoded:
        """Of the options it follows those for the rate, the regions and the order. TargetError if the target is out of reach, InputError if the model cannot do what is asked for."""

    def sizes(
        self, picture: Image.Image, lambdas: Sequence[float], roi: Sequence[Box] = (), progressive: bool = False
    ) -> list[int]:
        """Bytes of the files at these lambdas."""

    def reconstruct(self, osd: Osd, symbols: Any) -> Image.Image:
        """The colours that a decoder shows of a file that this coder made, RGB."""


class PictureDecoder(SymbolCoder, Protocol):
    """And back, with the networks of the one model that a file names."""

    weights: weights.Weights

    def reconstruct(
        self,
        osd: Osd,
        symbols: Any,
        seed: int = 0,
        detail: float = 1.0,
        preview: bool = False,
        progress: Progress | None = None,
    ) -> Image.Image:
        """The colours that these symbols of a file stand for, RGB, as `Decoder.decode` describes them."""


def open_encoder(profile: str, machine: Machine, weights_dir: str | Path | None) -> PictureEncoder:
    """WeightsError if the weights of the profile are missing or damaged."""
    if profile in PROFILES and PROFILES[profile].family == "indices":
        from .cod_lite.coder import CodLiteRates

        return CodLiteRates(profile, machine, weights_dir)
    return LatentModel(weights.load(profile, weights_dir), machine)


def open_decoder(model: weights.Weights, machine: Machine) -> PictureDecoder:
    if model.profile.family == "indices":
        from .cod_lite.coder import CodLiteModel

        return CodLiteModel(model, machine)
    viewer = LatentModel(model, machine)
    viewer.runtime.preload("synthesise")  # while the first symbols are decoded
    return viewer


def open_symbol_coder(model: weights.Weights) -> SymbolCoder:
    """The symbols alone, for which no network is loaded."""
    if model.profile.family == "indices":
        from .cod_lite.coder import CodLiteSymbolCoder

        return CodLiteSymbolCoder(model)
    return LatentSymbolCoder(model)
