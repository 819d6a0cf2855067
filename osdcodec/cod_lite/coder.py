"""Pictures <-> files of profile cod-lite: what `model.LatentModel` is for the other profiles."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from PIL import Image

from .. import container, image, weights
from ..container import Box, Osd
from ..entropy.indices import IndexCoder, Indices
from ..errors import FormatError, InputError, TargetError, WeightsError
from ..image import attachments
from ..image.flat_background import restore_flat_background
from ..metrics import ms_ssim
from ..options import EncodeOptions
from ..rate_control import Progress
from ..runtime import Machine
from ..runtime.noise import standard_normals
from .runtime import open_networks
from .sizes import Sizes, nearest_rate

LOG = logging.getLogger("osdcodec.search")  # the command line shows it with --verbose

WITHOUT_SEARCH = EncodeOptions(effort=0)
Made = tuple[Osd, Indices]


class CodLiteSymbolCoder:
    """The symbols of the files of one model. WeightsError if the weights are not those of such a model."""

    def __init__(self, model: weights.Weights) -> None:
        self.weights, self.code = model, IndexCoder(model.tensors)

    def symbols(self, osd: Osd) -> Indices:
        """The integers of a file; FormatError if its payload is damaged, or its quality not that of the model."""
        if osd.quality != self.code.quality and not osd.fault:
            raise FormatError(f"{osd.quality}, but files of its model have {self.code.quality}: damaged", "quality")
        if osd.regions:
            raise FormatError("regions, which files of its model never have: damaged", "section G")
        if osd.progressive:
            raise FormatError("progressive, which files of its model never are: damaged", "flags", 4)
        return self.code.decode(osd.payload, *self.code.grid(osd.width, osd.height), bool(osd.fault))

    def parts(self, osd: Osd, symbols: Indices) -> dict[str, float]:
        """Ideal code length in bits."""
        return {"index_bits": self.code.bits(symbols)}


class CodLiteModel(CodLiteSymbolCoder):
    """One model with its networks, hence one rate."""

    def __init__(self, model: weights.Weights, machine: Machine) -> None:
        super().__init__(model)
        try:
            self.sizes = Sizes.from_dict(json.loads(model.tensors["sizes"].tobytes()))
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise WeightsError(f"{model.path} does not tell the sizes of its networks: fetch it again") from error
        self.networks = open_networks(model, self.sizes, machine)

    def encode(self, colours: Image.Image, kept: tuple[tuple[str, bytes], ...], progress: Progress | None) -> Made:
        """An RGB picture, and what a file holds of it beside its colours -> fields of the file, and its symbols"""
        x = (image.to_array(colours, self.sizes.multiple) + 1) / 2
        features = self.networks.analyse(x, progress)
        indices = Indices(nearest(features[0], self.code.codebook))
        payload = self.code.encode(indices.grid)
        return Osd(
            self.weights.model_id, *colours.size, self.code.quality, payload, kept, grey=image.is_grey(colours)
        ), indices

    def reconstruct(
        self,
        osd: Osd,
        symbols: Indices,
        seed: int = 0,
        detail: float = 1.0,
        preview: bool = False,
        progress: Progress | None = None,
    ) -> Image.Image:
        """The colours that these symbols of a file stand for. InputError for a detail: there is no coarse picture here."""
        if detail != 1:
            raise InputError("files of profile cod-lite hold no coarse picture to move from: leave `detail` out")
        entries = np.ascontiguousarray(self.code.codebook[symbols.grid].transpose(2, 0, 1))[None]
        noise = []
        if self.sizes.noise_level:
            shape = 1, 3, symbols.grid.shape[0] * self.sizes.stride, symbols.grid.shape[1] * self.sizes.stride
            drawn = standard_normals(seed, shape)
            noise = [drawn * np.float32(self.sizes.noise_level)]
        picture = image.to_image(self.networks.synthesise(entries, noise, progress), osd.width, osd.height)
        if preview:
            half = -(-osd.width // 2), -(-osd.height // 2)
            picture = picture.resize(half, Image.Resampling.BOX)
        return restore_flat_background(picture, osd.flat_background)


class CodLiteRates:
    """All models of the profile that are available; λ, a size or a similarity chooses among them."""

    def __init__(self, profile: str, machine: Machine, weights_dir: str | Path | None) -> None:
        self.machine, self.weights_dir = machine, weights_dir
        self.ids = weights.rates(profile, weights_dir)
        if not self.ids:
            weights.load(profile, weights_dir)  # says what to do
        self.coders: dict[float, CodLiteModel] = {}
        self.lock = Lock()  # held while a model is loaded

    def at(self, rate: float) -> CodLiteModel:
        with self.lock:
            if rate not in self.coders:
                self.coders[rate] = CodLiteModel(weights.for_model(self.ids[rate], self.weights_dir), self.machine)
        return self.coders[rate]

    def code(
        self,
        picture: Image.Image,
        options: EncodeOptions = WITHOUT_SEARCH,
        progress: Progress | None = None,
    ) -> Made:
        """A picture, as `image.open_image` gives it -> the fields of the file, and its symbols. TargetError, InputError."""
        self._refuse(options.roi, options.progressive)
        if options.effort not in (0, "auto"):
            LOG.info("the encoder did not search: profile cod-lite has no search")
        colours, kept = picture.convert("RGB"), attachments.collect(picture)
        target = options.target
        if target is None:
            return self.at(nearest_rate(options.chosen_lambda, list(self.ids))).encode(colours, kept, progress)
        if target.ms_ssim is not None:
            return self._similar(colours, kept, target.ms_ssim, progress)
        limit, least = target.limit(*picture.size), 0
        for rate in sorted(self.ids, reverse=True):
            # A file is three bytes and its frame larger than this: the networks of a rate that cannot fit are not run.
            if self._least(rate, *picture.size) > limit:
                continue
            made = self.at(rate).encode(colours, kept, progress)
            least = len(container.pack(made[0]))
            if least <= limit:
                return made
        least = least or round(self._least(min(self.ids), *picture.size))
        raise TargetError(
            f"{limit:,} bytes are out of reach: the smallest rate that is here, {min(self.ids):.4f} bits per pixel, takes "
            f"{least:,} and more",
            least,
        )

    def sizes(
        self, picture: Image.Image, lambdas: Sequence[float], roi: Sequence[Box] = (), progressive: bool = False
    ) -> list[int]:
        """Bytes of the files of a picture, as `image.open_image` gives it, at these λ; a byte or two more than they take.

        Every index takes the same bits, so no network is run.
        """
        self._refuse(roi, progressive)
        kept, found = attachments.collect(picture), []
        for lmbda in lambdas:
            coder = self.at(nearest_rate(lmbda, list(self.ids)))
            payload = b"\1" * coder.code.largest(*coder.code.grid(*picture.size))
            osd = Osd(coder.weights.model_id, *picture.size, coder.code.quality, payload, kept)
            found.append(len(container.pack(osd)))
        return found

    @staticmethod
    def _refuse(roi: Sequence[Box], progressive: bool) -> None:
        if roi:
            raise InputError("profile cod-lite spends the same bits everywhere: leave `roi` out")
        if progressive:
            raise InputError(
                "files of profile cod-lite have no beginning that shows the whole: leave `progressive` out"
            )

    @staticmethod
    def _least(rate: float, width: int, height: int) -> float:
        return rate * width * height / 8

    def _similar(
        self, colours: Image.Image, kept: tuple[tuple[str, bytes], ...], least: float, progress: Progress | None
    ) -> Made:
        """The smallest rate whose picture is so similar, else the largest."""
        if min(colours.size) < ms_ssim.SMALLEST:
            raise InputError(f"MS-SSIM needs sides of {ms_ssim.SMALLEST} pixels or more; give a size as the target")
        for rate in sorted(self.ids):
            coder = self.at(rate)
            made = coder.encode(colours, kept, progress)
            if ms_ssim.ms_ssim(colours, coder.reconstruct(*made)) >= least:
                break
        return made

    @property
    def model_ids(self) -> list[bytes]:
        return list(self.ids.values())

    def symbols(self, osd: Osd) -> Indices:
        return self._of(osd).symbols(osd)

    def parts(self, osd: Osd, symbols: Indices) -> dict[str, float]:
        return self._of(osd).parts(osd, symbols)

    def reconstruct(self, osd: Osd, symbols: Indices) -> Image.Image:
        return self._of(osd).reconstruct(osd, symbols)

    def _of(self, osd: Osd) -> CodLiteModel:
        return self.at(next(rate for rate, name in self.ids.items() if name == osd.model_id))


def nearest(features: np.ndarray[Any, Any], codebook: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """features (D, h, w), codebook (V, D) -> (h, w) int32: the nearest entry, the first of several as near."""
    flat = features.reshape(len(features), -1)
    lengths = np.square(codebook).sum(1)
    found = np.empty(flat.shape[1], np.int32)
    for first in range(0, flat.shape[1], 2**14):
        part = slice(first, first + 2**14)
        found[part] = (lengths[:, None] - 2 * (codebook @ flat[:, part])).argmin(0)
    return found.reshape(features.shape[1:])
