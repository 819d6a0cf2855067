"""An open model: weights, networks and prior. From a picture to the fields and symbols of a file, and back.

Each family of models has such a class: `LatentModel` here for the profiles small and turbo, `cod_lite.coder` for the other one.
"""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from threading import Lock

import numpy as np
from PIL import Image

from .. import container, image, weights
from ..container import Box, Osd, Regions, units
from ..effort import Plan, plan_for
from ..entropy.prior import Prior, Symbols
from ..errors import InputError, OsdError, TargetError
from ..image import attachments
from ..image.flat_background import restore_flat_background
from ..metrics import ms_ssim
from ..options import EncodeOptions
from ..profile import Profile
from ..rate_control import Progress, largest_below, quality_byte, smallest_above, stages
from ..relay import relay
from ..runtime import Machine, open_runtime
from ..runtime.noise import standard_normals
from ..runtime.preview import render as draft
from ..runtime.tiles import TiledRuntime
from ..trust.reading import Reading
from .encoder_search import EncoderSearch

LOG = logging.getLogger("osdcodec.search")  # the command line shows it with --verbose
# of a payload, and per position of y beside: a photograph has more than 20 bits a position
PLAIN_BYTES, PLAIN_BITS = 16, 4
WITHOUT_SEARCH = EncodeOptions(effort=0)
REGION_STEP = 118  # quality steps by which a region of interest is better: a quarter of lambda
Encoded = tuple[Osd, Symbols]  # the fields of a file, and the symbols that its payload holds


class LatentSymbolCoder:
    """Tokens, hyper-latent and latent of profiles small and turbo."""

    def __init__(self, model: weights.Weights) -> None:
        self.weights, self.profile, self.prior = model, model.profile, model.prior

    @property
    def model_ids(self) -> list[bytes]:
        return [self.weights.model_id]

    def symbols(self, osd: Osd) -> Symbols:
        return decode_symbols(osd, self.prior)

    def parts(self, osd: Osd, symbols: Symbols) -> dict[str, float]:
        bits = self.prior.parts(symbols, osd.quality, qualities_of(osd, self.profile), osd.progressive)
        return {f"{part.removesuffix('s')}_bits": count for part, count in bits.items()}


class LatentModel(LatentSymbolCoder):
    """And their networks."""

    def __init__(self, model: weights.Weights, machine: Machine) -> None:
        super().__init__(model)
        self.runtime, self.machine = open_runtime(model, machine), machine
        self.search: Future[EncoderSearch] | None = None  # opened for the first picture that asks for effort
        self.lock = Lock()

    def code(
        self,
        picture: Image.Image,
        options: EncodeOptions = WITHOUT_SEARCH,
        progress: Progress | None = None,
    ) -> Encoded:
        """A picture, as `image.open_image` gives it -> the fields of the file, and the symbols its payload is made of."""
        plan, target = plan_for(options.effort, *picture.size), options.target
        opened = self._opened(picture) if plan else None  # while the picture is analysed
        aim = 0
        if target is not None:
            aim = 1 if target.ms_ssim is None else 20  # a similarity takes eight decodings
        told = stages(progress, 1, aim, 4 * plan.steps if plan else 0, aim if plan else 0)
        quality = quality_byte(options.chosen_lambda)
        at = self.analyse(picture, options.roi, told[0], options.progressive)

        def better(quality: int) -> Analysed:
            return at if plan is None or opened is None else self.searched(at, quality, plan, opened, told[2])

        if target is None:
            return self.finest_as_small(better(quality), quality)
        if target.ms_ssim is None:
            limit = target.limit(*picture.size)
            made = largest_below(limit, at, size_of, told[1])
            if plan:
                with suppress(TargetError):  # if it were a byte too many at the largest lambda, what is there stays
                    made = largest_below(limit, better(made[0].quality), size_of, told[3])
            return made
        if min(picture.size) < ms_ssim.SMALLEST:
            raise InputError(f"MS-SSIM needs sides of {ms_ssim.SMALLEST} pixels or more; give a size as the target")
        rgb = picture.convert("RGB")

        def similarity(made: Encoded) -> float:
            return ms_ssim.ms_ssim(rgb, self.reconstruct(*made))

        made = smallest_above(target.ms_ssim, at, similarity, told[1])
        return smallest_above(target.ms_ssim, better(made[0].quality), similarity, told[3]) if plan else made

    def tiled(self, progress: Progress | None) -> TiledRuntime:
        return TiledRuntime(self.runtime, self.profile, progress, margins=self.weights.margins)

    def sizes(
        self, picture: Image.Image, lambdas: Sequence[float], roi: Sequence[Box] = (), progressive: bool = False
    ) -> list[int]:
        """Bytes of the files of a picture, as `image.open_image` gives it, at these lambdas; it is analysed once."""
        at = self.analyse(picture, roi, None, progressive)
        return [size_of(at(quality_byte(lmbda))) for lmbda in lambdas]

    def finest_as_small(self, analysed: "Analysed", quality: int) -> Encoded:
        """The file for a quality. Of a plain picture finer ones may be no larger: then the finest of these."""
        made = analysed(quality)
        osd, (rows, columns) = made[0], self.profile.grid(*analysed.rgb.size)
        if len(osd.payload) <= PLAIN_BYTES + PLAIN_BITS * rows * columns / 8:
            with suppress(TargetError):  # sizes of plain pictures do not always grow as lambda falls
                finer = largest_below(size_of(made), analysed, size_of)
                return finer if finer[0].quality < quality else made
        return made

    def searched(
        self,
        analysed: "Analysed",
        quality: int,
        plan: Plan,
        opened: "Future[EncoderSearch]",
        progress: Progress | None,
    ) -> "Analysed":
        """With better latents for a quality; the same where there is no search for this model."""
        try:
            search = opened.result()
        except OsdError as error:
            LOG.info("the encoder did not search: %s", error)
            return analysed
        latents = analysed.y, analysed.hyper, analysed.tokens
        qualities = qualities_of(analysed.fields(quality), self.profile)
        with self.lock:  # one search at a time has all the memory and the cores
            y, hyper = search(analysed.rgb, *latents, quality, plan, qualities, progress)
        return replace(analysed, y=y, hyper=hyper)

    def _opened(self, picture: Image.Image) -> "Future[EncoderSearch]":
        """The search, which is opened in a thread of its own, with what the first picture needs."""
        with self.lock:
            if self.search is None:
                pool = ThreadPoolExecutor(1)
                self.search = pool.submit(EncoderSearch, self.weights, self.machine)
                pool.submit(_prepare, self.search, picture.convert("RGB"))
                pool.shutdown(wait=False)
            return self.search

    def analyse(
        self,
        picture: Image.Image,
        roi: Sequence[Box] = (),
        progress: Progress | None = None,
        progressive: bool = False,
    ) -> "Analysed":
        """Runs the networks on a picture, once."""
        rgb, kept = picture.convert("RGB"), attachments.collect(picture)
        boxes = units(roi, *picture.size)  # which may be refused, and that before the networks run
        y, hyper, tokens, *codes = self.tiled(progress).analyse(rgb)
        return Analysed(self, rgb, kept, boxes, image.is_grey(rgb), progressive, y, hyper, tokens, codes)

    def reconstruct(
        self,
        osd: Osd,
        symbols: Symbols,
        seed: int = 0,
        detail: float = 1.0,
        preview: bool = False,
        progress: Progress | None = None,
    ) -> Image.Image:
        """The colours that these symbols of a file stand for, RGB, as `Decoder.decode` describes them."""
        return self.read(osd, symbols, seed, detail, preview, progress).picture

    def read(
        self,
        osd: Osd,
        symbols: Symbols,
        seed: int = 0,
        detail: float = 1.0,
        preview: bool = False,
        progress: Progress | None = None,
    ) -> Reading:
        """The same, with what the networks made on the way: what a map of trust is computed from."""
        if not preview:
            self.runtime.preload(*(["denoise"] if detail else []), "render")
        tiled, tokens = self.tiled(progress), symbols.tokens[None]
        qualities = qualities_of(osd, self.profile)
        gains = self.prior.gain_maps(osd.quality, qualities)
        y_hat = symbols.y16.astype(np.float32) / 16
        if self.profile.base_codes:
            base = base_of(symbols.base, self.weights.tensors, self.profile.base_factor)
            y_hat += base[:, : y_hat.shape[1], : y_hat.shape[2]] * gains.latent
        y_hat = (y_hat * gains.inverse)[None]
        z_c, condition = tiled.synthesise(y_hat, tokens)
        if qualities is None:
            qualities = np.full(y_hat.shape[2:], osd.quality)

        def reading(picture: Image.Image, denoised: np.ndarray) -> Reading:
            shown, size = restore_flat_background(picture, osd.flat_background), (osd.width, osd.height)
            return Reading(shown, *size, symbols, qualities, z_c, denoised, detail, preview, osd.grey)

        if preview:
            return reading(draft(z_c, self.weights.tensors, osd.width, osd.height), z_c)
        z = z_hat = z_c
        if detail > 0:
            noise = standard_normals(seed, z_c.shape)
            coarse = tiled.render(z_c, osd.width, osd.height) if self.profile.decoder_semantics else None
            levels = self.profile.spaced(osd.quality)
            ratios = [np.float32((bar / (1 - bar)) ** 0.5) for bar in map(self.profile.alpha_bar, levels)]

            def step(noise: np.ndarray, place: int) -> np.ndarray:
                return tiled.denoise(z_c, condition, tokens, noise, levels[place], coarse)

            z_hat = relay(step, z_c, noise, ratios)
            z = z_c + np.float32(detail) * (z_hat - z_c)
        return reading(tiled.render(z, osd.width, osd.height), z_hat)


def _prepare(opened: "Future[EncoderSearch]", rgb: Image.Image) -> None:
    """Gets a search ready for a picture. If that fails, so does the search, which then says why."""
    with suppress(OsdError, MemoryError):
        opened.result().prepare(rgb)


def size_of(made: Encoded) -> int:
    """Bytes of a file."""
    return len(container.pack(made[0]))


@dataclass(frozen=True)
class Analysed:
    """What the networks saw of a picture; called with a quality byte it makes the file."""

    model: LatentSymbolCoder
    rgb: Image.Image
    kept: tuple[tuple[str, bytes], ...]  # sections
    boxes: tuple[Box, ...]  # of the regions, in units of the file
    grey: bool
    progressive: bool
    y: np.ndarray  # (1, C_y, h, w)
    hyper: np.ndarray  # (1, C_h, hh, hw)
    tokens: np.ndarray  # (1, K)
    codes: list[np.ndarray]  # of a base, (1, hb, wb)

    def fields(self, quality: int) -> Osd:
        """What a file of this quality says, but for its payload."""
        better = max(0, quality - REGION_STEP)
        gained = (("G", Regions(better, self.boxes).to_bytes()),) if self.boxes and better < quality else ()
        ordered = gained + self.kept
        if self.progressive:
            ordered = tuple(sorted(ordered, key=lambda section: section[0].islower()))  # what must be known first
        return Osd(
            self.model.weights.model_id, *self.rgb.size, quality, b"", ordered, grey=self.grey, progressive=self.progressive
        )  # fmt: skip

    def __call__(self, quality: int) -> Encoded:
        osd, prior = self.fields(quality), self.model.prior
        qualities = qualities_of(osd, self.model.profile)
        gains = prior.gain_maps(quality, qualities)
        latents = self.y[0] * gains.latent, self.hyper[0] * gains.hyper, self.tokens[0]
        base = (part[0] for part in self.codes)
        payload, symbols = prior.encode(*latents, quality, qualities, self.progressive, *base)
        return replace(osd, payload=payload), symbols


def base_of(codes: np.ndarray, tensors: Mapping[str, np.ndarray], factor: int) -> np.ndarray:
    """Structural codes (hb, wb) -> what they say of y, (C_y, factor hb, factor wb), as models/vq_base.py has it."""
    weight, bias = tensors["base.up.0.weight"][:, :, 0, 0], tensors["base.up.0.bias"]
    blocks = (tensors["base.codebook"] @ weight.T + bias)[codes]  # (hb, wb, C_y factor²)
    cells = blocks.reshape(*codes.shape, -1, factor, factor).transpose(2, 0, 3, 1, 4)
    return cells.reshape(-1, codes.shape[0] * factor, codes.shape[1] * factor)


def decode_symbols(osd: Osd, prior: Prior) -> Symbols:
    """The integers of a file; FormatError if its payload is damaged."""
    grid, qualities = prior.profile.grid(osd.width, osd.height), qualities_of(osd, prior.profile)
    return prior.decode(osd.payload, osd.quality, *grid, qualities, osd.progressive, osd.missing, bool(osd.fault))


def qualities_of(osd: Osd, profile: Profile) -> np.ndarray | None:
    """(h, w) quality of each position of y, None where all are alike."""
    regions, grid = osd.regions, profile.grid(osd.width, osd.height)
    return np.array(regions.qualities(osd.quality, profile.stride, *grid)) if regions else None
