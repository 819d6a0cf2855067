"""The encoder's search: better latents of one picture, by gradient descent through the whole decoder.

The analysis sees a picture once, and has to guess what the decoder will make of its latents. Here the decoder is asked: each step decodes,
looks how far the picture is, in squared error, in LPIPS and in texture, and moves latent and hyper-latent against the gradient, at a price of
bits that holds their number (content-adaptive encoding: Campos et al., 2019; Yang, Bamler and Mandt, 2020, section 3). The file is as any
other, and a decoder need not know of it.
"""

import numpy as np
from PIL import Image

from .. import image
from ..effort import Plan
from ..entropy.price import Price
from ..rate_control import ANCHORS, Progress, quality_byte
from ..runtime import Machine
from ..runtime.noise import standard_normals
from ..runtime.search import SearchNetworks, open_search
from ..runtime.tiles import Span, Tile, spans
from ..weights import Weights
from .descent import Adam, Arrays, priced_step

# Prices at the anchor lambdas 2, 1, 0.5, 0.25 and 0.1: of the squared error in [-1, 1], of LPIPS on AlexNet, and of a bit per pixel to begin with. LPIPS as
# in the training of the embedded weights (gpu.toml). There squared error weighs 0.6, and a bit 1.6 to 4 times as much: at these the search would
# buy LPIPS with squared error, and fewer bits with both.
SQUARED = (44.0, 29.0, 35.0, 70.0, 190.0)
PERCEIVED = (8.0, 9.0, 10.5, 12.0, 14.0)
BITS = (35.0, 25.0, 18.0, 15.0, 14.0)
CLOSELY = (6.0, 3.0, 4.0, 5.0, 6.5)  # of LPIPS on VGG16 and of texture each, which are looked at in one place a step
RATE = (0.1, 0.16, 0.17, 0.18, 0.17)  # of the descent at the same anchors, in units of symbols
LEAST = 32  # side of the smallest place in which texture has windows
CORE, MARGIN = 24, 4  # of a window that is searched at once, in positions of y: 768 pixels, and what is around


class EncoderSearch:
    """Searches with the networks of a model.

    Args:
        model: The model.
        machine: What the networks run on.

    Raises:
        WeightsError: There is no search for this model.
    """

    def __init__(self, model: Weights, machine: Machine) -> None:
        self.profile, self.prior = model.profile, model.prior
        self.weights: Weights
        self.networks: SearchNetworks
        self.weights, self.networks = open_search(model, machine)

    def __call__(
        self,
        picture: Image.Image,
        y: np.ndarray,
        hyper: np.ndarray,
        tokens: np.ndarray,
        quality: int,
        plan: Plan,
        qualities: np.ndarray | None = None,
        progress: Progress | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """An RGB picture, its y (1, C_y, h, w), hyper (1, C_h, hh, hw) and tokens (1, K) -> better y and hyper for this quality.

        Large pictures are searched window by window, each beside neighbours that stand still.
        """
        profile, (rows, columns) = self.profile, y.shape[2:]
        x, fine = image.to_array(picture, profile.stride), profile.z_per_y
        noise = standard_normals(
            0, (1, profile.autoencoder_channels, fine * rows, fine * columns)
        )  # of decoding with seed 0
        y, hyper = y.copy(), hyper.copy()
        tiles = self._tiles(rows, columns)
        for n, tile in enumerate(tiles):
            scales = (profile.stride, 1, 1 / profile.hyper_factor, fine)
            seen = [
                np.ascontiguousarray(array[tile.outer(scale)])
                for array, scale in zip((x, y, hyper, noise), scales, strict=True)
            ]
            here = None if qualities is None else qualities[tile.outer(1)]

            def advance(share: float, n: int = n) -> None:
                if progress:
                    progress((n + share) / len(tiles))

            found = self._window([*seen, tokens], quality, here, plan, advance)
            for whole, part, scale in zip((y, hyper), found, scales[1:3], strict=True):
                whole[tile.core(scale)] = part[tile.inner(scale)]
        return y, hyper

    def prepare(self, picture: Image.Image) -> None:
        """Begins to open the gradient for windows of the size that an RGB picture has, while the picture is analysed."""
        profile = self.profile
        x = image.to_array(picture, profile.stride)
        tile = self._tiles(*(side // profile.stride for side in x.shape[2:]))[0]
        x = np.ascontiguousarray(x[tile.outer(profile.stride)])
        rows, columns = (side // profile.stride for side in x.shape[2:])
        noise = np.zeros(
            (1, profile.autoencoder_channels, profile.z_per_y * rows, profile.z_per_y * columns), np.float32
        )
        known = self._known(x, noise, np.zeros((1, profile.tokens), np.int64), 0)
        values = np.zeros((1, profile.latent_channels, rows, columns), np.float32)
        self.networks.fit("distance", values=values, place=np.zeros(4, np.int64), **known)

    def _tiles(self, rows: int, columns: int) -> list[Tile]:
        """Windows of a latent of this size, row by row."""
        factor = self.profile.hyper_factor
        return [Tile(row, column) for row in windows(rows, factor) for column in windows(columns, factor)]

    def _window(
        self, seen: list[np.ndarray], quality: int, qualities: np.ndarray | None, plan: Plan, advance: Progress
    ) -> Arrays:
        """What the last of the steps leads to that has no more bits than the start."""
        x, y, hyper, noise, tokens = seen
        gains = self.prior.gain_maps(quality, qualities)
        start = y[0] * gains.latent, hyper[0] * gains.hyper
        price = Price(self.prior, self.weights.tensors, quality, (y.shape[2], y.shape[3]), qualities)
        known = self._known(x, noise, tokens, quality)
        random, pixels = np.random.default_rng(0), x[0, 0].size
        bit_price = prices_at(quality)["bits"] / pixels
        descent = Adam(plan.rate * rate_at(quality), plan.steps)
        place: Arrays = start
        kept, wanted = place, 0.0
        for step in range(plan.steps):
            priced = price(place)
            if step == 0:
                wanted = priced.bits
            values = (priced.values * gains.inverse)[None]
            sides = [min(plan.place, side) for side in x.shape[2:]]
            corner = [
                int(random.integers((whole - side) // 8 + 1)) * 8
                for whole, side in zip(x.shape[2:], sides, strict=True)
            ]
            spot = np.array([*corner, *(first + side for first, side in zip(corner, sides, strict=True))])
            *_, gradient = self.networks.run("distance", values=values, place=spot, **known)
            of_distortion = gradient[0] * gains.inverse, np.zeros_like(place[1])
            descent, place, bits, _ = priced_step(
                descent, place, of_distortion, priced.gradients, bit_price, price.bits, wanted
            )
            if bits <= wanted:  # the steps become shorter: the last one leads to the best
                kept = place
            advance((step + 1) / plan.steps)
        return (kept[0] / gains.latent)[None], (kept[1] / gains.hyper)[None]

    def _known(self, x: np.ndarray, noise: np.ndarray, tokens: np.ndarray, quality: int) -> dict[str, np.ndarray]:
        """Inputs of the graph that no step changes."""
        level = self.profile.level(quality)
        prices = {
            f"{name}_price": np.array([value], np.float32)
            for name, value in prices_at(quality).items()
            if name != "bits"
        }
        features = {f"features.{n}": part for n, part in enumerate(self.networks.run("look", x=x))}
        return features | {
            "x": x,
            "noise": noise,
            "tokens": tokens.astype(np.int64),
            "level": np.array([level], np.float32),
            "alpha_bar": np.full((1, 1, 1, 1), self.profile.alpha_bar(level), np.float32),
            **prices,
        }


def windows(length: int, step: int) -> list[Span]:
    """Rows or columns of windows that see parts of one size, for which one compiled graph is enough.

    Args:
        length: Of the whole, in positions of y.
        step: Positions of y for each of the hyper-latent; windows begin at multiples of it.
    """
    cores = spans(length, MARGIN, CORE, step)
    seen = max(core.high - core.low for core in cores)
    seen += (length - seen) % step
    lows = [min(max(0, core.start - MARGIN), length - seen) for core in cores]
    return [Span(core.start, core.stop, low, low + seen) for core, low in zip(cores, lows, strict=True)]


def at_anchors(quality: int, values: tuple[float, ...]) -> float:
    """A positive number between those at the anchors, linear in the logarithm."""
    places = [quality_byte(lmbda) for lmbda in reversed(ANCHORS)]  # ascending
    return float(np.exp(np.interp(quality, places, np.log(values[::-1]))))


def prices_at(quality: int) -> dict[str, float]:
    closely = at_anchors(quality, CLOSELY)
    return {
        "squared": at_anchors(quality, SQUARED),
        "perceived": at_anchors(quality, PERCEIVED),
        "near": closely,
        "texture": closely,
        "bits": at_anchors(quality, BITS),
    }


def rate_at(quality: int) -> float:
    return at_anchors(quality, RATE)
