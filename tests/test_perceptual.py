"""LPIPS and DISTS on random weights in the layout of the packages that carry the real ones."""

import hashlib
import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from osdcodec.errors import WeightsError
from osdcodec.models import perceptual
from osdcodec.models.perceptual import ArrayUnpickler, Dists, Lpips, at_hand, content, layers_of

ALEXNET = [(3, 64, 11), (64, 192, 5), (192, 384, 3), (384, 256, 3), (256, 256, 3)]
WIDTHS = {"alexnet": (64, 192, 384, 256, 256), "vgg16": (64, 128, 256, 512, 512)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The three files, whose SHA-256 are those that are meant while this module runs."""
    folder, random = tmp_path_factory.mktemp("perceptual"), np.random.default_rng(0)
    counts = zip((2, 2, 3, 3, 3), (3, *WIDTHS["vgg16"]), WIDTHS["vgg16"], strict=False)
    vgg16 = [(before if n == 0 else width, width, 3) for count, before, width in counts for n in range(count)]
    for name, sizes in (("alexnet", ALEXNET), ("vgg16", vgg16)):
        convolutions = {}
        for n, (inputs, outputs, side) in enumerate(sizes):
            kernel = random.normal(0, (2 / (inputs * side**2)) ** 0.5, (side, side, inputs, outputs)).astype(np.float32)
            convolutions[f"Conv_{n}"] = {"kernel": kernel, "bias": np.zeros(outputs, np.float32)}
        tree = {"Network_0": convolutions}
        for n, width in enumerate(WIDTHS[name]):
            tree[f"NetLinLayer_{n}"] = {"Conv_0": {"kernel": np.full((1, 1, width, 1), 1 / width, np.float32)}}
        (folder / f"{name}.ckpt").write_bytes(pickle.dumps(tree))
    channels = 3 + sum(WIDTHS["vgg16"])
    torch.save({name: torch.rand(1, channels, 1, 1) for name in ("alpha", "beta")}, folder / "weights.pt")
    with pytest.MonkeyPatch.context() as patch:
        for name, (package, file, _) in perceptual.FILES.items():
            digest = hashlib.sha256((folder / Path(file).name).read_bytes()).hexdigest()
            patch.setitem(perceptual.FILES, name, (package, file, digest))
        yield folder


@pytest.mark.parametrize("build", [lambda f: Lpips("alexnet", f), lambda f: Lpips("vgg16", f), Dists])
def test_a_distance_grows_with_noise_and_has_a_gradient_at_zero(folder, build):
    distance = build(folder)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(1, 3, 64, 64, generator=generator) * 2 - 1
    noise = torch.randn(x.shape, generator=generator)
    same, little, much = (distance(x + level * noise, x).item() for level in (0, 0.1, 0.5))
    assert same == pytest.approx(0, abs=1e-5) and 0 < little < much
    moved = x.clone().requires_grad_(True)
    distance(moved, x).sum().backward()
    assert moved.grad.isfinite().all()
    assert not any(parameter.requires_grad for parameter in distance.parameters())


def test_another_file_and_a_missing_one_are_told(folder, tmp_path):
    (tmp_path / "alexnet.ckpt").write_bytes((folder / "alexnet.ckpt").read_bytes() + b"0")
    with pytest.raises(WeightsError, match="SHA-256 differs"):
        content("alexnet", tmp_path)
    found, missing = at_hand(("lpips_vgg", "dists"), tmp_path)
    assert not found and all(perceptual.INSTALL in reason for reason in missing.values())


def test_a_pickle_that_names_a_function_is_not_read():
    class Attack:
        def __reduce__(self):
            return os.system, ("true",)

    with pytest.raises(WeightsError, match="system"):
        ArrayUnpickler(io.BytesIO(pickle.dumps({"a": Attack()}))).load()


def test_layers_are_in_the_order_of_torch(folder):
    kernels, linear = layers_of((folder / "alexnet.ckpt").read_bytes())
    assert [tuple(kernel.shape) for kernel, _ in kernels] == [(o, i, s, s) for i, o, s in ALEXNET]
    assert [len(weights) for weights in linear] == list(WIDTHS["alexnet"])
