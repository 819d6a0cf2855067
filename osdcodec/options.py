"""What a picture is encoded with: one set of options for the API, the command, batches and the encoders of both families."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .container import MAX_PIXELS, Box
from .effort import Effort, checked
from .image.resizing import Sizing
from .rate_control import Target, lambda_of_quality, quality_byte

Alpha = Literal["keep", "drop"] | str  # or a colour by name or as #rrggbb
Icc = Literal["srgb", "keep"]


@dataclass(frozen=True, kw_only=True)
class EncodeOptions:
    """The options of one encoding. ValueError or TypeError if one is out of range, or two exclude each other.

    Args:
        lmbda: Lambda 0.1 (best, largest file) .. 2 (smallest), which multiplies the rate: the larger, the smaller the
            file. 1 by default.
        quality: 0 (smallest file) .. 100 (best), in place of lambda; equal steps of its logarithm.
        target: The size or similarity that finds lambda, in place of both.
        roi: Boxes (x, y, width, height) in pixels of the upright picture that get more bits, as if lambda were a quarter.
        alpha: "keep", "drop", or the colour that clear places get.
        icc: "srgb" converts by the embedded profile, "keep" keeps it.
        keep_metadata: EXIF and XMP go into the file.
        progressive: Any beginning of the file, once it has some hundred bytes, shows the whole picture, for about one
            more byte in a hundred.
        effort: How long the encoder searches for symbols that decode to a better picture, 0 (not at all) to 10 (slow,
            best); "auto" goes by the size of the picture alone. Two runs on one machine give the same file; another
            machine may give another one, which decodes to its symbols everywhere.
        tell_errors: The file says how large the error of each 32x32 block is, in eight steps, for a map of trust that is
            true. It costs one decoding, and 1.3 bits a block.
        verify: The file is entropy-decoded before it is returned.
        max_pixels: Larger pictures are refused.
        crop: Box (x, y, width, height) that is coded; the rest is left out.
        resize: Longest side in pixels, or largest (width, height); smaller pictures stay as they are.
        scale: Share of each side that is kept, above 0 and at most 1.
        show: Longest side in pixels at which the picture will be shown; more pixels are not coded.
        shrink: Where a size is the target, and out of reach in all pixels, fewer are coded. The file of a picture that
            was shrunk says how large the original was.
        strict: A picture file that ends early is refused. Otherwise as much of it is taken as is there, with an OsdWarning.
    """

    lmbda: float | None = None
    quality: float | None = None
    target: Target | None = None
    roi: Sequence[Box] = ()
    alpha: Alpha = "white"
    icc: Icc = "srgb"
    keep_metadata: bool = False
    progressive: bool = False
    effort: Effort = "auto"
    tell_errors: bool = False
    verify: bool = True
    max_pixels: int = MAX_PIXELS
    crop: Box | None = None
    resize: int | tuple[int, int] | None = None
    scale: float = 1.0
    show: int | None = None
    shrink: bool = False
    strict: bool = False

    def __post_init__(self) -> None:
        if not (self.target is None or isinstance(self.target, Target)):
            raise TypeError(f"target is an osdcodec.Target, not {type(self.target).__name__}")
        if self.quality is not None and not (self.lmbda is None and self.target is None):
            raise ValueError("give one of `lmbda`, `quality` and `target`")
        quality_byte(self.chosen_lambda)
        checked(self.effort)
        _ = self.sizing  # which checks its own ranges

    @property
    def chosen_lambda(self) -> float:
        """The lambda that was asked for, by itself or as a quality."""
        if self.quality is not None:
            return lambda_of_quality(self.quality)
        return 1.0 if self.lmbda is None else self.lmbda

    @property
    def sizing(self) -> Sizing:
        return Sizing(self.crop, self.resize, self.scale, self.show)

    def limit(self, width: int, height: int) -> int | None:
        """Bytes that the file of a picture of width x height pixels may have; None if no size is the target."""
        if self.target is None or self.target.ms_ssim is not None:
            return None
        return self.target.limit(width, height)


DEFAULTS = EncodeOptions()
