"""How far a decoded picture is from its original, both RGB of one size. NumPy here; torch only where a metric needs it."""

import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from PIL import Image

from ..errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

    from .perceptual import Distance

T = TypeVar("T")
BLOCK = 8  # side of the luma blocks whose detail is measured
LARGEST = 2**22  # pixels: of larger pictures the features of the networks would need gigabytes
PATCH = 256  # side of the patches that FID and KID compare


Compute = Callable[[Image.Image, Image.Image], float]  # (original, decoded) -> value


@dataclass(frozen=True)
class Metric:
    """label: for tables and axes; form: a format specification; better: 1 if larger is, -1 if smaller is, 0 if neither.

    compute: (original, decoded) -> value, None where the Meter sees to it; smallest: the side that it asks for.
    """

    label: str
    form: str
    better: int
    compute: Compute | None = None
    smallest: int = 1

    def text(self, value: float | None) -> str:
        return "–" if value is None else format(value, self.form)


def psnr(original: Image.Image, decoded: Image.Image) -> float:
    """Peak signal-to-noise ratio over all RGB samples, in dB; infinite for equal pictures."""
    error = np.mean((np.asarray(original, np.float64) - np.asarray(decoded, np.float64)) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def ms_ssim(original: Image.Image, decoded: Image.Image) -> float:
    """Multi-scale structural similarity on RGB (Wang et al., 2003), 0 .. 1. Both sides must exceed 160 pixels."""
    from pytorch_msssim import ms_ssim as compute

    return float(compute(_tensor(original), _tensor(decoded), data_range=255.0))


def detail_ratio(original: Image.Image, decoded: Image.Image) -> float:
    """Mean standard deviation of the 8x8 luma blocks, decoded over original: below 1 is soft, above 1 is grainy."""
    before, after = (np.sqrt((_detail(picture) ** 2).mean(1)).mean() for picture in (original, decoded))
    return float(after / before) if before else float("nan")


def detail_correlation(original: Image.Image, decoded: Image.Image) -> float:
    """Correlation, -1 .. 1, of the luma of both less the mean of each 8x8 block: invented grain does not count."""
    before, after = _detail(original), _detail(decoded)
    power = np.sqrt((before**2).sum() * (after**2).sum())
    return float((before * after).sum() / power) if power else float("nan")


def _detail(picture: Image.Image) -> np.ndarray:
    """RGB picture -> BT.601 luma of its whole 8x8 blocks without the mean of each, (blocks, 64); exactly 0 where a block is flat."""
    luma = np.asarray(picture, np.int64) @ np.array((299, 587, 114))  # in thousandths, whole numbers
    rows, columns = (side // BLOCK for side in luma.shape)
    blocks = luma[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK).swapaxes(1, 2)
    blocks = blocks.reshape(-1, BLOCK * BLOCK)
    return (BLOCK * BLOCK * blocks - blocks.sum(1, keepdims=True)) / (1000 * BLOCK * BLOCK)


def is_flat(picture: Image.Image) -> bool:
    """Returns True if all pixels are equal, which whole numbers decide and no rounding error."""
    bands = [band.getextrema() for band in picture.split()]
    return all(low == high for low, high in bands)


def _similarity(function: Callable[..., Any], original: Image.Image, decoded: Image.Image) -> float:
    return float(function(_tensor(decoded), _tensor(original), data_range=255.0))


def _tensor(picture: Image.Image) -> "Tensor":
    """RGB picture -> float32 tensor (1, 3, H, W), 0 .. 255."""
    import torch

    return torch.from_numpy(np.array(picture, np.float32)).permute(2, 0, 1)[None]


# A new metric is its line here and, where it needs no more than NumPy, its function; one with a network is added by the Meter.
METRICS = {
    "psnr": Metric("PSNR / dB", ".2f", 1, psnr),
    "ms_ssim": Metric("MS-SSIM", ".4f", 1),
    "haarpsi": Metric("HaarPSI", ".4f", 1),
    "gmsd": Metric("GMSD", ".4f", -1),
    "vif": Metric("VIF", ".4f", 1),
    "detail_ratio": Metric("detail ratio", ".3f", 0, detail_ratio, BLOCK),
    "detail_correlation": Metric("detail correlation", ".3f", 1, detail_correlation, BLOCK),
    "perceptual": Metric("perceptual distance", ".3f", -1),
    "lpips": Metric("LPIPS (AlexNet)", ".4f", -1),
    "lpips_vgg": Metric("LPIPS (VGG16)", ".4f", -1),
    "dists": Metric("DISTS", ".4f", -1),
    "niqe": Metric("NIQE", ".3f", -1),  # of the decoded picture alone
    "fid": Metric(f"FID ({PATCH}x{PATCH})", ".2f", -1),  # of a whole set of pictures, as is KID
    "kid": Metric(f"KID ({PATCH}x{PATCH})", ".5f", -1),
}


class Meter:
    """All metrics of one picture that can be had here: `meter(original, decoded)` -> name to value.

    A value is None where a metric does not apply (the picture is too small, too large, or flat). `unavailable` says of the metrics
    that are never measured why. perceptual: safetensors file of the project's own perceptual network; WeightsError if it is
    not one. LPIPS, DISTS and NIQE are measured where the packages that carry their numbers are installed (metrics/perceptual.py,
    niqe.py): nothing is ever fetched.
    ModuleNotFoundError if the extra `eval` is not installed, unless `plain`: then the metrics that need NumPy only.
    """

    def __init__(self, perceptual: Path | None = None, plain: bool = False) -> None:
        self.unavailable: dict[str, str] = {}
        plainly = {name: metric for name, metric in METRICS.items() if metric.compute}
        self.smallest = {name: metric.smallest for name, metric in plainly.items()}  # sides that a metric asks for
        self.compute: dict[str, Compute] = {name: metric.compute for name, metric in plainly.items() if metric.compute}
        if not plain:
            self._add_similarities()
            self._add_perceptual(perceptual)
            self._add_distances()
            self._add_niqe()
        self.compute = {name: self.compute[name] for name in METRICS if name in self.compute}

    def __call__(self, original: Image.Image, decoded: Image.Image) -> dict[str, float | None]:
        side = min(original.size)
        values = {
            name: compute(original, decoded) if side >= self.smallest.get(name, 1) else float("nan")
            for name, compute in self.compute.items()
        }
        return {name: value if np.isfinite(value) else None for name, value in values.items()}

    def _add_similarities(self) -> None:
        import piq
        import pytorch_msssim  # noqa: F401  so that its lack shows here and not after the first picture

        self.compute["ms_ssim"] = ms_ssim
        for name, function in (("haarpsi", piq.haarpsi), ("gmsd", piq.gmsd), ("vif", piq.vif_p)):
            self.compute[name] = partial(_similarity, function)
        vif = partial(_similarity, piq.vif_p)  # a ratio of information about details; a flat picture has none
        self.compute["vif"] = lambda a, b: float("nan") if is_flat(a) else vif(a, b)
        self.smallest |= {"ms_ssim": 161, "haarpsi": 16, "gmsd": 8, "vif": 41}

    def _add_perceptual(self, path: Path | None) -> None:
        if path is None:
            self.unavailable["perceptual"] = "no network given by `perceptual`"
            return
        from safetensors import SafetensorError
        from torch import nn
        from torch.nn.utils.fusion import fuse_conv_bn_eval as fuse

        from .vgg_like import PerceptualDistance

        try:
            distance = PerceptualDistance(path)
        except (OSError, SafetensorError, KeyError, RuntimeError) as error:
            raise WeightsError(f"{path} is not a perceptual network ({error}); correct `perceptual`") from error
        # The same numbers in half the time: this network takes longer than all other metrics together.
        distance.stages = nn.ModuleList(
            nn.Sequential(fuse(stage[0], stage[1]), nn.ReLU(True), fuse(stage[3], stage[4]), nn.ReLU(True))
            for stage in map(list, cast(Any, distance.stages))
        )
        self._add_network("perceptual", cast("Distance", distance), 16)

    def _add_distances(self) -> None:
        from .perceptual import SMALLEST, available

        found, missing = available()
        self.unavailable |= missing
        for name, distance in found.items():
            self._add_network(name, distance, SMALLEST)

    def _add_niqe(self) -> None:
        from .niqe import SMALLEST, Niqe

        try:
            niqe = Niqe()
        except WeightsError as error:
            self.unavailable["niqe"] = str(error)
        else:
            self.compute["niqe"], self.smallest["niqe"] = lambda original, decoded: niqe(decoded), SMALLEST

    def _add_network(self, name: str, distance: "Distance", smallest: int) -> None:
        """A distance in the features of a network. Those of an original serve all of its settings."""
        import torch

        last: list = [None, None]
        distance.to(memory_format=torch.channels_last)

        def features(picture: Image.Image) -> list[torch.Tensor]:
            return distance.features((_tensor(picture) / 127.5 - 1).contiguous(memory_format=torch.channels_last))

        @torch.no_grad()
        def compute(original: Image.Image, decoded: Image.Image) -> float:
            if math.prod(original.size) > LARGEST:
                return float("nan")
            if last[0] is not original:
                last[:] = original, features(original)
            return float(distance.between(features(decoded), last[1]))

        self.compute[name], self.smallest[name] = compute, smallest


def from_cache(url: str, build: Callable[[], T]) -> tuple[T | None, str | None]:
    """(build(), None) if torch's cache holds the file of this address, else (None, why not). Nothing is fetched."""
    import torch

    path = Path(torch.hub.get_dir(), "checkpoints", url.rsplit("/", 1)[-1])
    if not path.is_file():
        return None, f"weights not in the local cache ({path.name})"
    try:
        return build(), None
    except (OSError, RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError) as error:
        return None, f"{path} cannot be used ({' '.join(str(error).split())[:80]})"


class PatchStatistics:
    """FID and KID of sets of pictures, over their 256x256 patches at steps of 128 (HiFiC, Mentzer et al., 2020).

    `unavailable`: why they cannot be had, or None. With fewer than some thousand patches both are biased: compare them only
    within one set of pictures.
    """

    def __init__(self) -> None:
        from piq.feature_extractors import InceptionV3
        from piq.feature_extractors.fid_inception import FID_WEIGHTS_URL

        self.network, self.unavailable = from_cache(FID_WEIGHTS_URL, lambda: InceptionV3().eval())
        self.features: dict[str, list] = {}

    def add(self, name: str, picture: Image.Image) -> None:
        """One more picture of the set of this name."""
        import torch

        if self.network is None or min(picture.size) < PATCH:
            return
        corners = [(x, y) for y in _steps(picture.height) for x in _steps(picture.width)]
        patches = torch.cat([_tensor(picture.crop((x, y, x + PATCH, y + PATCH))) for x, y in corners]) / 255
        with torch.no_grad():
            self.features.setdefault(name, []).append(self.network(patches)[0].flatten(1))

    def compare(self, original: str, decoded: str) -> dict[str, float]:
        """{"fid": …, "kid": …} of two sets, {} where they cannot be had."""
        import piq
        import torch

        if original not in self.features or decoded not in self.features:
            return {}
        before, after = (torch.cat(self.features[name]) for name in (original, decoded))
        return {"fid": float(piq.FID()(after, before)), "kid": float(piq.KID()(after, before))}


def _steps(side: int) -> range:
    return range(0, side - PATCH + 1, PATCH // 2)
