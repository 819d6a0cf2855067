"""Encoder and Decoder: from a picture to the bytes of an .osd file, and back by one diffusion step."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np
from PIL import Image

from . import container, image, similarity, weights
from .container import Box, Osd, Regions
from .description import describe
from .entropy.prior import Prior, Symbols
from .errors import FormatError, InputError, OsdError
from .files import Source, bytes_of
from .preview import render as draft
from .profile import PROFILES, Profile, lambda_of, quality_of
from .relay import relay
from .runtime import Runtime, open_runtime
from .target import Target, largest_below, smallest_above
from .tiles import Progress, TiledRuntime

Grid = np.ndarray[Any, Any]
Picture = Image.Image | Grid | Source  # or a tensor


REGION_STEP = 118  # quality steps by which a region of interest is better: a quarter of lambda


class Code(Protocol):
    """What each family of models does in its own way: the symbols of a file."""

    def symbols(self, osd: Osd) -> Any:
        """FormatError if the payload is damaged."""

    def parts(self, osd: Osd, symbols: Any) -> dict[str, float]:
        """Ideal code length of each kind of symbol, *_bits."""


class Coder(Code, Protocol):
    """And with its networks: a picture's colours -> symbols and payload. A coder may choose among several models."""

    @property
    def model_ids(self) -> list[bytes]: ...

    def code(
        self,
        picture: Image.Image,
        lmbda: float,
        target: Target | None = None,
        roi: Sequence[Box] = (),
        progress: Progress | None = None,
        progressive: bool = False,
    ) -> tuple[Osd, Any]: ...

    def sizes(
        self, picture: Image.Image, lambdas: Sequence[float], roi: Sequence[Box] = (), progressive: bool = False
    ) -> list[int]: ...


class Viewer(Code, Protocol):
    """And back, with the networks of the one model that a file names."""

    def picture(
        self,
        osd: Osd,
        symbols: Any,
        seed: int = 0,
        detail: float = 1.0,
        preview: bool = False,
        progress: Progress | None = None,
    ) -> Image.Image: ...


def open_coder(profile: str, device: str, weights_dir: str | Path | None, compiled: bool) -> Coder:
    """WeightsError if the weights of the profile are missing or damaged."""
    if profile in PROFILES and PROFILES[profile].family == "indices":
        from .cod_lite.coder import Rates

        return Rates(profile, device, weights_dir, compiled)
    return LatentCoder(weights.load(profile, weights_dir), device, compiled)


def open_viewer(model: weights.Weights, device: str, compiled: bool) -> Viewer:
    if model.profile.family == "indices":
        from .cod_lite.coder import Coder as IndexCoder

        return IndexCoder(model, device, compiled)
    return LatentCoder(model, device, compiled)


def open_code(model: weights.Weights) -> Code:
    if model.profile.family == "indices":
        from .cod_lite.coder import Code as IndexCode

        return IndexCode(model)
    return LatentCode(model)


class Encoder:
    """Keeps a model loaded: `Encoder().encode(picture, lmbda=0.5)`.

    device: "auto", "cpu" or "cuda"; compiled: what torch runs is compiled first, which pays for many pictures of one size.
    WeightsError if the profile's weights are missing or damaged.
    """

    def __init__(
        self,
        profile: str = "small",
        device: str = "auto",
        weights_dir: str | Path | None = None,
        compiled: bool = False,
    ) -> None:
        self.coder = open_coder(profile, device, weights_dir, compiled)

    def encode(
        self,
        picture: Picture,
        lmbda: float = 1.0,
        *,
        target: Target | None = None,
        roi: Sequence[Box] = (),
        alpha: str = "white",
        icc: str = "srgb",
        keep_metadata: bool = False,
        progressive: bool = False,
        verify: bool = True,
        max_pixels: int = container.MAX_PIXELS,
        progress: Progress | None = None,
    ) -> bytes:
        """A picture and lambda 0.1 (largest file) .. 2 (smallest) -> the bytes of an .osd file.

        picture: a path, the bytes of a file, a binary file, PIL image, array or tensor. target: the size or similarity that
        finds lambda, in place of it.
        roi: boxes (x, y, width, height) in pixels of the upright picture that get more bits, as if lambda were a quarter.
        alpha: "keep", "drop", or the colour that clear places get; icc: "srgb" or "keep"; keep_metadata: EXIF and XMP go
        into the file; see `image.open_image`. progressive: any beginning of the file, once it has some hundred bytes, shows
        the whole picture, for about one more byte in a hundred. verify: the file is entropy-decoded before it is given out.
        progress hears, after each tile of a large picture, which share of the work is done.
        InputError if the picture cannot be used, TargetError if the target is out of reach, ValueError if lambda or an
        option is out of range.
        """
        opened = image.open_image(picture, max_pixels, alpha, icc, keep_metadata)
        osd, symbols = self.coder.code(opened, lmbda, target, roi, progress, progressive)
        if verify and not self._decodes(osd, symbols):
            raise OsdError(
                "the file would not decode to what was encoded, so there is none: please report this picture"
            )
        return container.pack(osd)

    def sizes(
        self, picture: Image.Image, lambdas: Sequence[float], roi: Sequence[Box] = (), progressive: bool = False
    ) -> list[int]:
        """Bytes of the files of a picture, as `image.open_image` gives it, at these lambdas."""
        return self.coder.sizes(picture, lambdas, roi, progressive)

    def _decodes(self, osd: Osd, symbols: Any) -> bool:
        try:
            return bool(self.coder.symbols(osd) == symbols)
        except FormatError:
            return False


class LatentCode:
    """Tokens, hyper-latent and latent of profiles small and turbo."""

    def __init__(self, model: weights.Weights) -> None:
        self.weights, self.profile, self.prior = model, model.profile, Prior(model.tensors, model.profile)

    @property
    def model_ids(self) -> list[bytes]:
        return [self.weights.model_id]

    def symbols(self, osd: Osd) -> Symbols:
        return decode_symbols(osd, self.prior, self.profile)

    def parts(self, osd: Osd, symbols: Symbols) -> dict[str, float]:
        bits = self.prior.parts(symbols, osd.quality, qualities_of(osd, self.profile), osd.progressive)
        return {f"{part.removesuffix('s')}_bits": count for part, count in bits.items()}


class LatentCoder(LatentCode):
    def __init__(self, model: weights.Weights, device: str = "auto", compiled: bool = False) -> None:
        super().__init__(model)
        self.runtime = open_runtime(model, device, compiled)

    def code(
        self,
        picture: Image.Image,
        lmbda: float,
        target: Target | None = None,
        roi: Sequence[Box] = (),
        progress: Progress | None = None,
        progressive: bool = False,
    ) -> tuple[Osd, Symbols]:
        """A picture, as `image.open_image` gives it -> the fields of the file, and the symbols its payload is made of."""
        quality, at = quality_of(lmbda), self._coder(picture, roi, progress, progressive)
        if target is None:
            return at(quality)
        if target.ms_ssim is None:
            return largest_below(target.limit(*picture.size), at, lambda made: len(container.pack(made[0])))
        if min(picture.size) < similarity.SMALLEST:
            raise InputError(f"MS-SSIM needs sides of {similarity.SMALLEST} pixels or more; give a size as the target")
        rgb = picture.convert("RGB")
        return smallest_above(
            target.ms_ssim,
            at,
            lambda made: similarity.ms_ssim(rgb, reconstruct(*made, self.weights, self.runtime, self.prior)),
        )

    def sizes(
        self, picture: Image.Image, lambdas: Sequence[float], roi: Sequence[Box] = (), progressive: bool = False
    ) -> list[int]:
        """Bytes of the files of a picture, as `image.open_image` gives it, at these lambdas; it is analysed once."""
        at = self._coder(picture, roi, None, progressive)
        return [len(container.pack(at(quality_of(lmbda))[0])) for lmbda in lambdas]

    def _coder(
        self, picture: Image.Image, roi: Sequence[Box], progress: Progress | None, progressive: bool
    ) -> Callable[[int], tuple[Osd, Symbols]]:
        """What makes the file of a picture for a quality byte."""
        rgb, sections = picture.convert("RGB"), image.to_sections(picture)
        grey = image.is_grey(rgb)
        y, hyper, tokens, *codes = TiledRuntime(self.runtime, self.profile, progress).analyse(rgb)

        boxes = units(roi, *picture.size)

        def at(quality: int) -> tuple[Osd, Symbols]:
            better = max(0, quality - REGION_STEP)
            gained = (("G", Regions(better, boxes).to_bytes()),) if boxes and better < quality else ()
            ordered = gained + sections
            if progressive:
                ordered = tuple(sorted(ordered, key=lambda section: section[0].islower()))  # what must be known first
            osd = Osd(
                self.weights.model_id, *picture.size, quality, b"", ordered, grey=grey, progressive=progressive
            )  # fmt: skip
            qualities = qualities_of(osd, self.profile)
            gain = gain_map(self.prior, 0, quality, qualities)
            hyper_gain = self.prior.gains(quality)[2][:, None, None]
            latents = y[0] * gain, hyper[0] * hyper_gain, tokens[0]
            payload, symbols = self.prior.encode(
                *latents, quality, qualities, progressive, *(part[0] for part in codes)
            )
            return replace(osd, payload=payload), symbols

        return at

    def picture(
        self,
        osd: Osd,
        symbols: Symbols,
        seed: int = 0,
        detail: float = 1.0,
        preview: bool = False,
        progress: Progress | None = None,
    ) -> Image.Image:
        return reconstruct(osd, symbols, self.weights, self.runtime, self.prior, seed, detail, preview, progress)


class Decoder:
    """Keeps models loaded: `Decoder().decode(data)`. The model is found by the id in the file."""

    def __init__(self, device: str = "auto", weights_dir: str | Path | None = None, compiled: bool = False) -> None:
        self.device, self.weights_dir, self.compiled = device, weights_dir, compiled
        self.models: dict[bytes, Viewer] = {}
        self.lock = Lock()  # held while a model is loaded; decoding itself may run in many threads

    def decode(
        self,
        data: Source,
        seed: int = 0,
        detail: float = 1.0,
        max_pixels: int = container.MAX_PIXELS,
        preview: bool = False,
        progress: Progress | None = None,
        partial: bool = False,
    ) -> Image.Image:
        """An .osd file (bytes, a path, a binary file) -> RGB picture, or L if it is grey; RGBA or LA if the file holds alpha.

        A grey picture with a colour profile comes as RGB of equal channels, for such profiles are of RGB colours.
        Its info has what the file holds of icc_profile, exif and xmp, and a comment that tells how the picture came about.
        seed draws the noise the diffusion starts with; detail 0 .. 1.5 moves from the coarse picture (0) through the
        denoised one (1) and beyond; preview: a coarse picture of half the size, much sooner; partial: the beginning of a progressive
        file will do, for as much of the picture as has arrived, unverified. FormatError if the file is
        damaged, WeightsError if its model is not at hand.
        """
        if not 0 <= detail <= 1.5:
            raise ValueError(f"detail must lie between 0 and 1.5, not {detail}")
        osd = (container.unpack_prefix if partial else container.unpack)(bytes_of(data), max_pixels)
        model = self._model(osd.model_id)
        content = dict(osd.sections).get("A")
        alpha = image.decode_alpha(content, osd.width, osd.height) if content else None
        picture = model.picture(osd, model.symbols(osd), seed, detail, preview, progress)
        if osd.grey:
            picture = picture.convert("L").convert("RGB" if "i" in dict(osd.sections) else "L")
        if alpha and preview:
            alpha = alpha.resize(picture.size, Image.Resampling.BOX)
        image.add_sections(picture, alpha, osd.sections, _note(osd))
        return picture

    def _model(self, model_id: bytes) -> Viewer:
        with self.lock:
            if model_id not in self.models:
                found = weights.for_model(model_id, self.weights_dir)
                self.models[model_id] = open_viewer(found, self.device, self.compiled)
        return self.models[model_id]


def decode_symbols(osd: Osd, prior: Prior, profile: Profile) -> Symbols:
    """The integers of a file; FormatError if its payload is damaged."""
    rows, columns = profile.grid(osd.width, osd.height)
    return prior.decode(
        osd.payload, osd.quality, rows, columns, qualities_of(osd, profile), osd.progressive, osd.missing
    )  # fmt: skip


def units(roi: Sequence[Box], width: int, height: int) -> tuple[Box, ...]:
    """Boxes in pixels -> boxes in units of 32 pixels that hold what of them is in the picture. InputError if nothing is."""
    found = []
    if len(roi) > Regions.MOST:
        raise InputError(f"{len(roi)} regions are too many; give {Regions.MOST} at most")
    for x, y, w, h in roi:
        left, top, right, bottom = max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)
        if right <= left or bottom <= top:
            raise InputError(f"the region {x},{y},{w},{h} is outside of the picture of {width}x{height}; correct --roi")
        first = left // Regions.UNIT, top // Regions.UNIT
        found.append((*first, -(-right // Regions.UNIT) - first[0], -(-bottom // Regions.UNIT) - first[1]))
    return tuple(found)


def qualities_of(osd: Osd, profile: Profile) -> Grid | None:
    """(h, w) quality of each position of y, None where all are alike."""
    found = container.regions(osd)
    rows, columns = profile.grid(osd.width, osd.height)
    return np.array(found.qualities(osd.quality, profile.stride, rows, columns)) if found else None


def gain_map(prior: Prior, which: int, quality: int, qualities: Grid | None) -> Grid:
    """(C_y, 1, 1) or (C_y, h, w) factors: of y (which = 0), or of its reconstruction (1)."""
    if qualities is None:
        return prior.gains(quality)[which][:, None, None]
    factors = np.empty((prior.profile.latent_channels, *qualities.shape), np.float32)
    for value in np.unique(qualities):
        factors[:, qualities == value] = prior.gains(int(value))[which][:, None]
    return factors


def reconstruct(
    osd: Osd,
    symbols: Symbols,
    model: weights.Weights,
    runtime: Runtime,
    prior: Prior,
    seed: int = 0,
    detail: float = 1.0,
    preview: bool = False,
    progress: Progress | None = None,
) -> Image.Image:
    """The colours that these symbols of a file stand for, as `Decoder.decode` gives them."""
    profile, tokens = model.profile, symbols.tokens[None]
    tiled = TiledRuntime(runtime, profile, progress)
    inverse = gain_map(prior, 1, osd.quality, qualities_of(osd, profile))
    y_hat = symbols.y16.astype(np.float32) / 16
    if profile.base_codes:
        base = base_of(symbols.base, model.tensors, profile.base_factor)[:, : y_hat.shape[1], : y_hat.shape[2]]
        y_hat += base * gain_map(prior, 0, osd.quality, qualities_of(osd, profile))
    y_hat = (y_hat * inverse)[None]
    z_c, condition = tiled.synthesise(y_hat, tokens)
    if preview:
        return draft(z_c, model.tensors, osd.width, osd.height)
    z = z_c
    if detail > 0:
        noise = np.random.Generator(np.random.Philox(key=seed)).standard_normal(z_c.shape, np.float32)
        coarse = tiled.render(z_c, osd.width, osd.height) if profile.decoder_semantics else None
        levels = profile.spaced(osd.quality)
        ratios = [np.float32((bar / (1 - bar)) ** 0.5) for bar in map(profile.alpha_bar, levels)]

        def step(noise: Grid, place: int) -> Grid:
            return tiled.denoise(z_c, condition, tokens, noise, levels[place], coarse)

        z_hat = relay(step, z_c, noise, ratios)
        z = z_c + np.float32(detail) * (z_hat - z_c)
    return tiled.render(z, osd.width, osd.height)


def base_of(codes: Grid, tensors: dict[str, Grid], factor: int) -> Grid:
    """Structural codes (hb, wb) -> what they say of y, (C_y, factor hb, factor wb): models/base.py has it in torch."""
    weight, bias = tensors["base.up.0.weight"][:, :, 0, 0], tensors["base.up.0.bias"]
    blocks = (tensors["base.codebook"] @ weight.T + bias)[codes]  # (hb, wb, C_y factor²)
    cells = blocks.reshape(*codes.shape, -1, factor, factor).transpose(2, 0, 3, 1, 4)
    return cells.reshape(-1, codes.shape[0] * factor, codes.shape[1] * factor)


def _note(osd: Osd) -> str:
    from . import __version__

    shown = f", from the first {len(osd.payload)} of {len(osd.payload) + osd.missing} bytes" if osd.missing else ""
    return f"osdc {__version__}: reconstructed by a generative codec, lambda {lambda_of(osd.quality):.3g}{shown}"


def encode(
    picture: Picture,
    lmbda: float = 1.0,
    *,
    target: Target | None = None,
    roi: Sequence[Box] = (),
    alpha: str = "white",
    icc: str = "srgb",
    keep_metadata: bool = False,
    progressive: bool = False,
) -> bytes:
    """A picture -> the bytes of an .osd file, as `Encoder.encode`, with the embedded weights, which stay loaded."""
    return _encoder().encode(
        picture,
        lmbda,
        target=target,
        roi=roi,
        alpha=alpha,
        icc=icc,
        keep_metadata=keep_metadata,
        progressive=progressive,
    )


def decode(
    data: Source, seed: int = 0, detail: float = 1.0, preview: bool = False, partial: bool = False
) -> Image.Image:
    """An .osd file (bytes, a path, a binary file) -> picture, as `Decoder.decode`; models stay loaded."""
    return _decoder().decode(data, seed, detail, preview=preview, partial=partial)


def info(
    data: Source,
    parts: bool = False,
    weights_dir: str | Path | None = None,
    max_pixels: int = container.MAX_PIXELS,
) -> dict[str, Any]:
    """What an .osd file (bytes, a path, a binary file) says of itself, as `description.describe`; `parts` adds token_bits, hyper_bits, latent_bits, or index_bits.

    For the parts the file is entropy-decoded: FormatError if it is damaged, WeightsError if its model is not at hand.
    """
    data = bytes_of(data)
    facts = describe(data, max_pixels, weights_dir)
    if parts:
        osd = container.unpack(data, max_pixels)
        code = open_code(weights.for_model(osd.model_id, weights_dir))
        facts |= code.parts(osd, code.symbols(osd))
    return facts


@cache
def _encoder() -> Encoder:
    return Encoder()


@cache
def _decoder() -> Decoder:
    return Decoder()
