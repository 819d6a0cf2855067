"""The networks over a picture of any size, layer by layer, by bands of rows: the same numbers as over the whole at once.

Group norms and channel attention ask for statistics of the whole picture. So a layer ends, over all bands, before what rests on
its statistics begins, and a convolution sees one row more on either side of its band than it gives. Attention sees whole windows.
Memory is that of the two or three maps that a layer reads and writes, and of what the networks need for one band. Small pictures
go through many layers at once, which takes half the time.
"""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from .sizes import EPSILON, GROUPS, PATCH, WINDOW, Layer, Sizes, runs

Array = NDArray[np.float32]
Run = Callable[..., list[Array]]  # run(name of a graph, **inputs) -> its outputs
BAND = 2**22  # numbers in the largest input of a band
CHUNK = 2**18  # numbers that are squared at once: 1 MiB, which a cache holds
WHOLE = 2**20  # pixels of a picture that goes through many layers at once: what these need is 1 KiB a pixel
PATCHES = 64  # that run through the pixels' network at once: their 16,384 pixels stay in a cache


class Bands:
    """tensors: of the weights file, for the group norms. heard: is told, after each layer, that one more is done.

    band: numbers in the largest input of a band; whole: pixels of a picture up to which there are no bands.
    """

    def __init__(
        self,
        sizes: Sizes,
        run: Run,
        tensors: Mapping[str, Array],
        heard: Callable[[], None] = lambda: None,
        band: int = BAND,
        whole: int = WHOLE,
    ) -> None:
        self.sizes, self.run, self.tensors, self.heard, self.band, self.whole = sizes, run, tensors, heard, band, whole

    def analyse(self, x: Array) -> Array:
        """x (1, 3, H, W) in [0, 1] -> features (1, D, H/d, W/d)"""
        return self._network("encoder", self.sizes.encoder(), x, x[0, 0].size <= self.whole)

    def synthesise(self, entries: Array, *noise: Array) -> Array:
        """entries (1, D, h, w), noise (1, 3, H, W) if the model has any -> x (1, 3, H, W), about in [-1, 1]"""
        whole = entries[0, 0].size * self.sizes.stride**2 <= self.whole
        condition = self._network("condition", self.sizes.condition(), entries, whole)
        condition = np.ascontiguousarray(condition.transpose(0, 2, 3, 1))
        patches = [patched(each) for each in noise]  # (1, h, w, 256, 3)
        trunk = self._trunk(condition, whole, *(each.swapaxes(-1, -2).reshape(*each.shape[:3], -1) for each in patches))
        return self._pixels(trunk, condition, *patches)

    @staticmethod
    def layers(sizes: Sizes) -> tuple[int, int]:
        """How often `heard` is called by analyse and by synthesise."""
        return len(sizes.encoder()), len(sizes.condition()) + sizes.blocks + 1

    def _network(self, part: str, layers: list[Layer], x: Array, whole: bool) -> Array:
        for first, last in runs(layers):
            if whole and layers[first].kind != "attend":
                (x,) = self.run(f"{part}.{first}-{last}", x=x)
                for _ in range(first, last + 1):
                    self.heard()
            else:
                x = self._layers(part, layers, range(first, last + 1), x)
        return x

    def _layers(self, part: str, layers: list[Layer], indices: range, x: Array) -> Array:
        for index in indices:
            layer = layers[index]
            name = f"{part}.{index}"
            if layer.kind == "conv":
                x = self._rows(name, {"x": x}, layer.outputs, layer.stride)
            elif layer.kind == "out":
                x = self._rows(name, {"x": x}, layer.outputs, layer.stride, self._norm(f"{name}.norm", x))
            elif layer.kind == "attend":
                x = self._windows(name, x)
            elif layer.kind == "up":
                x = self._block(name, f"{name}.block", x.repeat(2, 2).repeat(2, 3), layer.outputs)
            else:
                x = self._block(name, name, x, layer.outputs)
            self.heard()
        return x

    def _block(self, name: str, tensors: str, x: Array, outputs: int) -> Array:
        h = self._rows(f"{name}.first", {"x": x}, outputs, constants=self._norm(f"{tensors}.first.norm", x))
        norm = self._norm(f"{tensors}.second.norm", h)
        # What this adds to x may lie where x lay: of x it takes the rows it gives, and those of a band before are done with.
        into = x if x.shape[1] == outputs else None
        return self._rows(f"{name}.second", {"h": h, "x": x}, outputs, constants=norm, into=into)

    def _rows(
        self,
        name: str,
        maps: dict[str, Array],
        outputs: int,
        stride: int = 1,
        constants: Mapping[str, Array] = MappingProxyType({}),
        into: Array | None = None,
    ) -> Array:
        """A graph with 3x3 convolutions over maps (1, C, H, W) -> (1, outputs, H / stride, W / stride)"""
        _, channels, height, width = max(maps.values(), key=lambda each: each.shape[1]).shape
        rows, step = height // stride, max(1, self.band // (channels * width * stride))
        if step >= rows:
            return self.run(name, **maps, **constants)[0]
        made = np.empty((1, outputs, rows, width // stride), np.float32) if into is None else into
        for first in range(0, rows, step):
            last = min(first + step, rows)
            above, below = max(first - 1, 0), min(last + 1, rows)
            part = {key: value[:, :, above * stride : below * stride] for key, value in maps.items()}
            made[:, :, first:last] = self.run(name, **part, **constants)[0][:, :, first - above : last - above]
        return made

    def _windows(self, name: str, x: Array) -> Array:
        """Attention over x (1, C, H, W) within windows; those at the right and lower edge repeat its last positions."""
        norm, (_, channels, height, width) = self._norm(f"{name}.norm", x), x.shape
        if height <= WINDOW and width <= WINDOW:
            return self.run(name, x=x, **norm)[0]
        made, columns = np.empty_like(x), -(-width // WINDOW)
        for top in range(0, height, WINDOW):
            rows = x[0, :, top : top + WINDOW]
            missing = (0, 0), (0, WINDOW - rows.shape[1]), (0, columns * WINDOW - width)
            band = np.pad(rows, missing, "edge").reshape(channels, WINDOW, columns, WINDOW).transpose(2, 0, 1, 3)
            for left in range(columns):  # one by one: each takes 4 MiB of weights between its positions
                place = slice(left * WINDOW, (left + 1) * WINDOW)
                window = self.run(name, x=np.ascontiguousarray(band[left : left + 1]), **norm)[0][0]
                target = made[0, :, top : top + WINDOW, place]
                target[...] = window[:, : target.shape[1], : target.shape[2]]
        return made

    def _norm(self, name: str, x: Array) -> dict[str, Array]:
        """The group norm of this name over all of x (1, C, h, w), as a scale and a shift (1, C, 1, 1) of each channel."""
        mean, variance = np.array([moments(group) for group in x.reshape(GROUPS, -1)]).T
        share = x.shape[1] // GROUPS
        scale = np.repeat(1 / np.sqrt(variance + EPSILON), share) * self.tensors[f"{name}.weight"]
        shift = self.tensors[f"{name}.bias"] - np.repeat(mean, share) * scale
        return {key: each.astype(np.float32)[None, :, None, None] for key, each in (("scale", scale), ("shift", shift))}

    def _trunk(self, condition: Array, whole: bool, *noise: Array) -> Array:
        """condition (1, h, w, C), noise (1, h, w, 768) -> (1, h, w, C)"""
        given = {"condition": condition} | ({"noise": noise[0]} if noise else {})
        if whole:
            (x,) = self.run("trunk", **given)
            for _ in range(self.sizes.blocks):
                self.heard()
            return x
        _, height, width, channels = condition.shape
        step = max(1, self.band // (4 * channels * width))

        def over(name: str, halo: int, maps: dict[str, Array], into: Array | None = None, **constants: Array) -> Array:
            if step >= height:
                return self.run(name, **maps, **constants)[0]
            made = np.empty_like(condition) if into is None else into
            for first in range(0, height, step):
                last = min(first + step, height)
                above, below = max(first - halo, 0), min(last + halo, height)
                part = {key: value[:, above:below] for key, value in maps.items()}
                made[:, first:last] = self.run(name, **part, **constants)[0][:, first - above : last - above]
            return made

        x = over("trunk.begin", 0, given)
        for index in range(self.sizes.blocks):
            name = f"trunk.blocks.{index}"
            seen = over(f"{name}.looked", 1, {"x": x})
            mean = seen.mean((1, 2), np.float64, keepdims=True).astype(np.float32)
            x = over(f"{name}.joined", 0, {"x": x, "seen": seen}, into=x, mean=mean)
            self.heard()
        return x

    def _pixels(self, trunk: Array, condition: Array, *noise: Array) -> Array:
        """trunk, condition (1, h, w, C), noise (1, h, w, 256, 3) -> x (1, 3, 16 h, 16 w)"""
        _, height, width, _ = trunk.shape
        made = np.empty((height * width, PATCH**2, 3), np.float32)
        flat = {"trunk": trunk[0].reshape(len(made), -1), "condition": condition[0].reshape(len(made), -1)}
        if noise:
            flat["noise"] = noise[0].reshape(made.shape)
        for part in parts(len(made)):
            made[part] = self.run("pixels", **{key: value[part] for key, value in flat.items()})[0]
        if self.sizes.adds_noise and noise:
            made += flat["noise"]
        self.heard()
        x = made.reshape(height, width, PATCH, PATCH, 3).transpose(4, 0, 2, 1, 3)
        return x.reshape(1, 3, height * PATCH, width * PATCH)


def parts(patches: int) -> Iterator[slice]:
    return (slice(first, first + PATCHES) for first in range(0, patches, PATCHES))


def moments(values: Array) -> tuple[float, float]:
    """Mean and variance of (n,) float32, by chunks that are joined in double precision (Chan et al., 1983)."""
    count, mean, squares = 0, 0.0, 0.0
    for first in range(0, len(values), CHUNK):
        chunk = values[first : first + CHUNK]
        own = float(chunk.mean())
        centred = chunk - np.float32(own)
        difference, total = own - mean, count + len(chunk)
        squares += float(centred @ centred) + difference**2 * count * len(chunk) / total
        mean, count = mean + difference * len(chunk) / total, total
    return mean, squares / count


def patched(x: Array) -> Array:
    """(1, 3, H, W) -> (1, H/16, W/16, 256, 3)"""
    _, _, height, width = x.shape
    cut = x.reshape(3, height // PATCH, PATCH, width // PATCH, PATCH).transpose(1, 3, 2, 4, 0)
    return cut.reshape(1, height // PATCH, width // PATCH, PATCH**2, 3)
