"""Encoder and Decoder: from a picture to the bytes of an .osd file, and back by one diffusion step."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, cast, overload

import numpy as np
from PIL import Image

from . import container, decoding, encoding, image, weights
from .container import Box
from .container.salvage import salvage as read_damaged
from .devices import Device
from .effort import Effort
from .errors import OsdWarning, WeightsError
from .families import PictureDecoder, open_decoder, open_encoder, open_symbol_coder
from .file_info import FileInfo, describe
from .files import Source, bytes_of
from .image.arrays import Tensor
from .image.resizing import ORIGINAL, Sizing, enlarged
from .options import Alpha, EncodeOptions, Icc
from .rate_control import Progress, Target
from .runtime import Machine

if TYPE_CHECKING:
    from .trust.maps import TrustMap

Picture = Image.Image | np.ndarray[Any, Any] | Tensor | Source


class Encoder:
    """Keeps a model loaded: `Encoder().encode(picture, quality=60)`.

    Args:
        profile: Which model encodes: "small", "turbo" or "cod-lite".
        device: What the networks run in, such as "auto", "cpu", "cpu-bf16" or "cuda"; devices.py has them all.
        weights_dir: Folder whose weights take precedence.
        compiled: What torch runs is compiled first, which pays for many pictures of one size.
        threads: Of ONNX Runtime for a picture, by default one for each core. Where several threads of yours encode at the
            same time, one each is best.

    Raises:
        WeightsError: The profile's weights are missing or damaged.
    """

    def __init__(
        self,
        profile: str = "small",
        device: Device = "auto",
        weights_dir: str | Path | None = None,
        compiled: bool = False,
        threads: int | None = None,
    ) -> None:
        self.coder = open_encoder(profile, Machine(device, compiled, threads), weights_dir)

    def encode(
        self,
        picture: Picture,
        lmbda: float | None = None,
        *,
        quality: float | None = None,
        target: Target | None = None,
        roi: Sequence[Box] = (),
        alpha: Alpha = "white",
        icc: Icc = "srgb",
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
        """Encodes a picture into the bytes of an .osd file.

        Args:
            picture: A path, the bytes of a file, a binary file, a PIL image, an array (H, W) or (H, W, C), or a tensor
                (C, H, W). Values of arrays: uint8, uint16, bool, or floats in 0 .. 1.
            lmbda: Lambda 0.1 (largest file) .. 2 (smallest). It multiplies the rate: larger lambda, smaller file. 1 by default.
            quality: 0 (smallest file) .. 100 (best), in place of lambda.
            target: The size or similarity to reach, in place of both.
            progress: Hears, after each tile of a large picture, which share of the work is done.

        The other arguments are those of `options.EncodeOptions`, which describes them.

        Raises:
            InputError: The picture cannot be used.
            TargetError: The target is out of reach.
            ValueError: An argument is out of range.
        """
        options = EncodeOptions(
            lmbda=lmbda, quality=quality, target=target, roi=roi, alpha=alpha, icc=icc, keep_metadata=keep_metadata,
            progressive=progressive, effort=effort, tell_errors=tell_errors, verify=verify, max_pixels=max_pixels,
            crop=crop, resize=resize, scale=scale, show=show, shrink=shrink, strict=strict,
        )  # fmt: skip
        return self.encode_with(options, picture, progress)

    def encode_with(self, options: EncodeOptions, picture: Picture, progress: Progress | None = None) -> bytes:
        """Encodes a picture, as `encode` does, with all options in one.

        Args:
            options: What `encode` takes one by one.
            picture: As for `encode`.
            progress: Hears, after each tile of a large picture, which share of the work is done, 0 .. 1.

        Returns:
            The bytes of an .osd file.

        Raises:
            InputError: The picture cannot be used.
            TargetError: The target is out of reach.
        """
        opened = image.open_image(
            picture, options.max_pixels, options.alpha, options.icc, options.keep_metadata, strict=options.strict
        )
        limit = options.limit(*opened.size)
        shown, roi = options.sizing.prepare(opened, options.roi)
        return container.pack(encoding.code(self.coder, shown, replace(options, roi=roi), limit, progress))

    def sizes(
        self,
        picture: Image.Image,
        lambdas: Sequence[float],
        roi: Sequence[Box] = (),
        progressive: bool = False,
        sizing: Sizing | None = None,
    ) -> list[int]:
        """Returns the bytes that the file of a picture would have at each of some lambdas, without making the files.

        Args:
            picture: As `image.open_image` gives it: 8 bits, upright, RGB or RGBA.
            lambdas: Each from 0.1 to 2.
            roi: Boxes (x, y, width, height) in pixels that get more bits.
            progressive: Whether the files are progressive.
            sizing: Crops and shrinks the picture first.
        """
        picture, roi = (sizing or Sizing()).prepare(picture, roi)
        return self.coder.sizes(picture, lambdas, roi, progressive)


class Decoder:
    """Keeps models loaded: `Decoder().decode(data)`. The model is found by the id in the file.

    Args:
        device: What the networks run in, such as "auto", "cpu", "cpu-bf16" or "cuda"; devices.py has them all.
        weights_dir: Folder whose weights take precedence.
        compiled: What torch runs is compiled first, which pays for many pictures of one size.
        threads: Of ONNX Runtime for a picture, by default one for each core.
    """

    def __init__(
        self,
        device: Device = "auto",
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
        """Decodes an .osd file into an RGB picture, or L if it is grey; RGBA or LA if the file holds alpha.

        A grey picture with a colour profile comes as RGB of equal channels, for such profiles are of RGB colours. The info of
        a picture has what its file holds of icc_profile, exif, xmp and original_size, the size before it was shrunk.

        Args:
            data: Bytes of a file, a path, or a binary file.
            seed: Draws the noise that the diffusion starts from, 0 .. 2**64 - 1.
            detail: 0 .. 1.5, from the coarse picture (0) through the denoised one (1) and beyond.
            max_pixels: Larger pictures are refused.
            preview: A coarse picture of half the size, much sooner.
            progress: Hears, after each tile of a large picture, which share of the work is done.
            partial: The beginning of a progressive file will do, for as much of the picture as has arrived, unverified.
            steps: Of the diffusion: refused unless the model was trained for so many, which are taken anyway.
            original_size: A picture that was shrunk before it was coded is enlarged again, by Lanczos.
            salvage: A damaged file will do, for what can be read of it; info["fault"] and the comment say what is wrong.
            trust: The result is (picture, TrustMap), which says where the picture is likely to be true.
            mark: XMP and a comment tell that the picture is partly synthetic (trust/README.md).

        Raises:
            FormatError: The file is damaged.
            WeightsError: Its model is not available, or lacks what was asked for: these steps, a map of trust.
            ValueError: An argument is out of range.
        """
        if not 0 <= detail <= 1.5:
            raise ValueError(f"detail must lie between 0 and 1.5, not {detail}")
        if not (isinstance(seed, Integral) and 0 <= seed < 2**64):
            raise ValueError(f"seed must be a whole number from 0 to 2**64 - 1, not {seed!r}")
        data = bytes_of(data)
        osd = _read(data, max_pixels, partial, salvage)
        if partial and not osd.progressive:
            warnings.warn("the file is not progressive: `partial` changes nothing", OsdWarning, stacklevel=2)
        model = self._model(osd.model_id)
        _check_steps(steps, model.weights.profile.step_count(osd.quality))
        map_of = None
        if trust:
            from .trust.network import decoder_with_map

            # Else the errors that a file tells are of another picture.
            as_told = (seed, detail, preview) == (0, 1, False)
            map_of = decoder_with_map(model, osd, as_told, self.machine.threads)
        osd, symbols, opened = (decoding.salvaged if salvage else decoding.symbols_of)(model, osd)
        view = seed, detail, preview, progress
        colours, found = map_of(osd, symbols, *view) if map_of else (model.reconstruct(osd, symbols, *view), None)
        picture = decoding.finished(colours, osd, opened)
        if mark:
            decoding.mark(picture, osd, len(data))
        if original_size and ORIGINAL in picture.info:
            picture = enlarged(picture, picture.info[ORIGINAL])
        return picture if found is None else (picture, found)

    def _model(self, model_id: bytes) -> PictureDecoder:
        with self.lock:
            if model_id not in self.models:
                model = weights.for_model(model_id, self.weights_dir)
                self.models[model_id] = open_decoder(model, self.machine)
        return self.models[model_id]


def _read(data: bytes, max_pixels: int, partial: bool, salvage: bool) -> container.Osd:
    if salvage:
        return read_damaged(data, max_pixels)
    return container.unpack_prefix(data, max_pixels) if partial else container.unpack(data, max_pixels)


def _check_steps(steps: int | None, trained: int) -> None:
    if steps not in (None, trained):
        many = "s" if trained > 1 else ""
        raise WeightsError(
            f"the weights of this file were trained for {trained} step{many} at its lambda, not for {steps}: leave `steps` out"
        )


def info(
    data: Source,
    parts: bool = False,
    weights_dir: str | Path | None = None,
    max_pixels: int = container.MAX_PIXELS,
) -> FileInfo:
    """Returns what an .osd file says of itself, as `file_info.FileInfo`.

    Args:
        data: Bytes of a file, a path, or a binary file.
        parts: Adds the bits of each part, token_bits, hyper_bits and latent_bits, or index_bits: the file is entropy-decoded.
        weights_dir: Folder whose weights take precedence.
        max_pixels: Larger pictures are refused.

    Raises:
        FormatError: The file is damaged.
        WeightsError: `parts` was asked for and its model is not available.
    """
    data = bytes_of(data)
    osd = container.unpack(data, max_pixels)
    facts = describe(data, osd, weights_dir)
    if parts:
        code = open_symbol_coder(weights.for_model(osd.model_id, weights_dir))
        facts = cast(FileInfo, {**facts, **code.parts(osd, code.symbols(osd))})  # which are named *_bits
    return facts
