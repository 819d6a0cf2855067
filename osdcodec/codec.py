"""Encoder and Decoder: from a picture to the bytes of an .osd file, and back by one diffusion step."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from PIL import Image

from . import container, image, weights
from .container import Box, Osd
from .container.salvage import salvage as read_damaged
from .effort import Effort, checked
from .errors import FormatError, OsdError, OsdWarning, TargetError, WeightsError
from .families import PictureDecoder, open_decoder, open_encoder, open_symbol_coder
from .file_info import NOTE, describe
from .files import Source, bytes_of
from .fitting import COARSE, TIGHT, Fitting
from .image import attachments, marks
from .image.resizing import ORIGINAL, Sizing, enlarged, shrunk
from .rate_control import LAMBDA_MAX, Target, lambda_of
from .runtime import Machine
from .runtime.tiles import Progress

if TYPE_CHECKING:
    from .trust.maps import TrustMap

Picture = Image.Image | np.ndarray[Any, Any] | Source  # or a tensor


class Encoder:
    """Keeps a model loaded: `Encoder().encode(picture, lmbda=0.5)`.

    device: "auto", "cpu", "cpu-bf16" or "cuda"; compiled: what torch runs is compiled first, which pays for many pictures of one size;
    threads: of ONNX Runtime for a picture, by default one for each core: several pictures at a time, each in a thread of its own, had
    better have one each.
    WeightsError if the profile's weights are missing or damaged.
    """

    def __init__(
        self,
        profile: str = "small",
        device: str = "auto",
        weights_dir: str | Path | None = None,
        compiled: bool = False,
        threads: int | None = None,
    ) -> None:
        self.coder = open_encoder(profile, Machine(device, compiled, threads), weights_dir)

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
        effort: Effort = "auto",
        tell_errors: bool = False,
        verify: bool = True,
        max_pixels: int = container.MAX_PIXELS,
        progress: Progress | None = None,
        crop: Box | None = None,
        resize: int | tuple[int, int] | None = None,
        scale: float = 1.0,
        show: int | None = None,
        shrink: bool = False,
        strict: bool = False,
    ) -> bytes:
        """A picture and lambda 0.1 (largest file) .. 2 (smallest) -> the bytes of an .osd file.

        picture: a path, the bytes of a file, a binary file, PIL image, array or tensor. target: the size or similarity that
        finds lambda, in place of it.
        roi: boxes (x, y, width, height) in pixels of the upright picture that get more bits, as if lambda were a quarter.
        alpha: "keep", "drop", or the colour that clear places get; icc: "srgb" or "keep"; keep_metadata: EXIF and XMP go
        into the file; see `image.open_image`. progressive: any beginning of the file, once it has some hundred bytes, shows
        the whole picture, for about one more byte in a hundred. effort: how much the encoder searches for
        symbols that the decoder makes more of, 0 (not at all) to 10 (slow, best); "auto" by the size of the picture alone. Two runs
        on one machine give the same file; another machine may give another one, which decodes to its symbols everywhere.
        tell_errors: the file says how large the error of each 32x32 block is, in eight steps, for a map of trust that is true; it costs
        decoding the picture, and 1.3 bits a block. verify: the file is entropy-decoded before it is given out.
        crop, resize, scale, show: what is coded, and in how many pixels; see `image.resizing.Sizing`. shrink: where a size
        is the target, and out of reach in all pixels, fewer are coded (fitting.py). The file of a picture that was shrunk
        says how large the original was.
        progress hears, after each tile of a large picture, which share of the work is done. strict: a picture file that ends
        early is refused; else as much of it is taken as is there, with an OsdWarning.
        InputError if the picture cannot be used, TargetError if the target is out of reach, ValueError if lambda or an
        option is out of range.
        """
        if not (target is None or isinstance(target, Target)):
            raise TypeError(f"target is an osdcodec.Target, not {type(target).__name__}")
        checked(effort)
        sizing = Sizing(crop, resize, scale, show)
        opened = image.open_image(picture, max_pixels, alpha, icc, keep_metadata, strict=strict)
        limit = None if target is None or target.ms_ssim is not None else target.limit(*opened.size)
        opened, roi = sizing.prepare(opened, roi)
        options: dict[str, Any] = {"progressive": progressive, "progress": progress, "effort": effort}
        if limit is None:
            osd, symbols = self.coder.code(opened, lmbda, target, roi, **options)
            if tell_errors:
                osd = self._with_errors(opened, osd, symbols)
        elif tell_errors:
            osd, symbols = self._with_errors_within(limit, opened, roi, shrink, **options)
        else:
            osd, symbols = self._within(limit, opened, roi, shrink, **options)
        if verify and not self._decodes(osd, symbols):
            raise OsdError(
                "the file would not decode to what was encoded, so there is none: please report this picture"
            )
        return container.pack(osd)

    def _within(
        self,
        limit: int,
        picture: Image.Image,
        roi: Sequence[Box],
        shrink: bool,
        progressive: bool,
        **options: Any,
    ) -> tuple[Osd, Any]:
        """The best file of at most so many bytes."""
        tight = limit < TIGHT * picture.width * picture.height / 8
        if tight and (shrink or picture.width * picture.height > COARSE):
            fitting = Fitting(self.coder, picture, limit, roi, progressive)
            if shrink:
                return fitting.made(progressive=progressive, **options)
            fitting.refuse()
        target = Target(max_bytes=limit)
        return self.coder.code(picture, LAMBDA_MAX, target, roi, progressive=progressive, **options)

    def sizes(
        self,
        picture: Image.Image,
        lambdas: Sequence[float],
        roi: Sequence[Box] = (),
        progressive: bool = False,
        sizing: Sizing | None = None,
    ) -> list[int]:
        """Bytes of the files of a picture, as `image.open_image` gives it, at these lambdas."""
        picture, roi = (sizing or Sizing()).prepare(picture, roi)
        return self.coder.sizes(picture, lambdas, roi, progressive)

    def _with_errors(self, picture: Image.Image, osd: Osd, symbols: Any) -> Osd:
        """The fields of a file with the section that tells the errors of what a decoder will show of it."""
        from .trust import told

        size = osd.width, osd.height
        steps = told.steps_of(
            picture if picture.size == size else shrunk(picture, size), self.coder.reconstruct(osd, symbols)
        )
        return replace(osd, sections=(*osd.sections, (told.LETTER, told.encode(steps))))

    def _with_errors_within(self, limit: int, picture: Image.Image, *given: Any, **options: Any) -> tuple[Osd, Any]:
        """As `_within`, with that section, which counts."""
        room, excess = limit, 0
        while (room := room - excess) > 0:
            osd, symbols = self._within(room, picture, *given, **options)
            coded = self._with_errors(picture, osd, symbols)
            excess = len(container.pack(coded)) - limit
            if excess <= 0:
                return coded, symbols
        raise TargetError(f"{limit:,} bytes are too few for a file that tells its errors; give more")

    def _decodes(self, osd: Osd, symbols: Any) -> bool:
        try:
            return bool(self.coder.symbols(osd) == symbols)
        except FormatError:
            return False


class Decoder:
    """Keeps models loaded: `Decoder().decode(data)`. The model is found by the id in the file. Arguments: as an Encoder's."""

    def __init__(
        self,
        device: str = "auto",
        weights_dir: str | Path | None = None,
        compiled: bool = False,
        threads: int | None = None,
    ) -> None:
        self.machine, self.weights_dir = Machine(device, compiled, threads), weights_dir
        self.models: dict[bytes, PictureDecoder] = {}
        self.lock = Lock()  # held while a model is loaded; decoding itself may run in many threads

    @overload
    def decode(
        self,
        data: Source,
        seed: int = ...,
        detail: float = ...,
        max_pixels: int = ...,
        preview: bool = ...,
        progress: Progress | None = ...,
        partial: bool = ...,
        steps: int | None = ...,
        original_size: bool = ...,
        salvage: bool = ...,
        trust: Literal[False] = ...,
        mark: bool = ...,
    ) -> Image.Image: ...
    @overload
    def decode(
        self, data: Source, *args: Any, trust: Literal[True], **kwargs: Any
    ) -> tuple[Image.Image, "TrustMap"]: ...

    def decode(  # type: ignore[misc]  # the overload for maps tells no names
        self,
        data: Source,
        seed: int = 0,
        detail: float = 1.0,
        max_pixels: int = container.MAX_PIXELS,
        preview: bool = False,
        progress: Progress | None = None,
        partial: bool = False,
        steps: int | None = None,
        original_size: bool = False,
        salvage: bool = False,
        trust: bool = False,
        mark: bool = True,
    ) -> "Image.Image | tuple[Image.Image, TrustMap]":
        """An .osd file (bytes, a path, a binary file) -> RGB picture, or L if it is grey; RGBA or LA if the file holds alpha.

        A grey picture with a colour profile comes as RGB of equal channels, for such profiles are of RGB colours.
        Its info has what the file holds of icc_profile, exif and xmp. mark: the XMP, and a comment, tell that the picture is partly
        synthetic (trust/README.md). trust: the map comes too, as (picture, TrustMap), which says where it is so.
        seed draws the noise the diffusion starts with; detail 0 .. 1.5 moves from the coarse picture (0) through the
        denoised one (1) and beyond; preview: a coarse picture of half the size, much sooner; partial: the beginning of a progressive
        file will do, for as much of the picture as has arrived, unverified; steps of the diffusion: those that the model was trained
        for, which are taken anyway; original_size: a picture that was shrunk before it was coded is enlarged again, by Lanczos;
        in any case info["original_size"] has the size that it had; salvage: a damaged file will do, for what can be read of it, and then
        info["fault"] says what is wrong, which the comment says too. FormatError if the file is damaged, WeightsError if its model is not available, was trained for
        another number of steps, or has no map of trust and is asked for one.
        """
        if not 0 <= detail <= 1.5:
            raise ValueError(f"detail must lie between 0 and 1.5, not {detail}")
        if not (isinstance(seed, Integral) and 0 <= seed < 2**64):
            raise ValueError(f"seed must be a whole number from 0 to 2**64 - 1, not {seed!r}")
        read = read_damaged if salvage else container.unpack_prefix if partial else container.unpack
        data = bytes_of(data)
        osd = read(data, max_pixels)
        if partial and not osd.progressive:
            warnings.warn("the file is not progressive: --partial changes nothing", OsdWarning, stacklevel=2)
        model = self._model(osd.model_id)
        trained = model.weights.profile.step_count(osd.quality)
        if steps not in (None, trained):
            raise WeightsError(
                f"the weights of this file were trained for {trained} step{'s' * (trained > 1)} at its lambda, not for {steps}: "
                "leave out --steps"
            )
        map_of = _map_of(model, osd, (seed, detail, preview) == (0, 1, False), self.machine.threads) if trust else None
        if salvage:
            osd, symbols, opened = _salvaged(model, osd)
        else:
            opened, symbols = attachments.decode(osd.sections, (osd.width, osd.height)), model.symbols(osd)
        chosen = osd, symbols, seed, detail, preview, progress
        if map_of:
            picture, found = map_of(*chosen)
        else:
            picture = model.reconstruct(*chosen)
        if osd.grey:
            picture = picture.convert("L").convert("RGB" if "i" in opened else "L")
        attachments.attach(picture, opened)
        if mark:
            name = f"osdc {_version()}"
            picture.info["xmp"] = marks.packet(name, picture.info.get("xmp"))
            picture.info["comment"] = marks.comment(name, len(data), _note(osd))
        if osd.fault:
            picture.info["fault"] = osd.fault
        if original_size and ORIGINAL in picture.info:
            picture = enlarged(picture, picture.info[ORIGINAL])
        return (picture, found) if map_of else picture

    def _model(self, model_id: bytes) -> PictureDecoder:
        with self.lock:
            if model_id not in self.models:
                model = weights.for_model(model_id, self.weights_dir)
                self.models[model_id] = open_decoder(model, self.machine)
        return self.models[model_id]


def _map_of(model: PictureDecoder, osd: Osd, as_told: bool, threads: int | None) -> "Callable[..., Any]":
    from .trust.network import decoder_with_map

    return decoder_with_map(model, osd, as_told, threads)


def _salvaged(model: PictureDecoder, osd: Osd) -> tuple[Osd, Any, dict[str, Any]]:
    """The fields of a file with all faults that were found, its symbols, and what its sections hold, without those that are damaged."""
    opened: dict[str, Any] = {}
    for section in osd.sections:
        try:
            opened |= attachments.decode((section,), (osd.width, osd.height))
        except FormatError as error:
            osd = replace(osd, fault=osd.fault or str(error))
    try:
        return osd, model.symbols(osd), opened
    except FormatError as error:
        if osd.fault:
            raise
        osd = replace(osd, fault=str(error))
    return osd, model.symbols(osd), opened


def _version() -> str:
    from . import __version__

    return __version__


def _note(osd: Osd) -> str:
    shown = f", from the first {len(osd.payload)} of {len(osd.payload) + osd.missing} bytes" if osd.missing else ""
    damage = f", of a damaged file ({osd.fault})" if osd.fault else ""
    return f"{NOTE}, lambda {lambda_of(osd.quality):.3g}{shown}{damage}"


def info(
    data: Source,
    parts: bool = False,
    weights_dir: str | Path | None = None,
    max_pixels: int = container.MAX_PIXELS,
) -> dict[str, Any]:
    """What an .osd file (bytes, a path, a binary file) says of itself, as `description.describe`; `parts` adds token_bits, hyper_bits, latent_bits, or index_bits.

    For the parts the file is entropy-decoded: FormatError if it is damaged, WeightsError if its model is not available.
    """
    data = bytes_of(data)
    osd = container.unpack(data, max_pixels)
    facts = describe(data, osd, weights_dir)
    if parts:
        code = open_symbol_coder(weights.for_model(osd.model_id, weights_dir))
        facts |= code.parts(osd, code.symbols(osd))
    return facts
