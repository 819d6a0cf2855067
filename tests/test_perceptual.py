"""LPIPS and DISTS on random weights in the layout of the packages that carry the real ones."""

import io
import os
import pickle

import pytest
import torch
from helpers.perceptual import ALEXNET, WIDTHS

from osdcodec.errors import WeightsError
from osdcodec.metrics import perceptual
from osdcodec.metrics.perceptual import ArrayUnpickler, Dists, Lpips, available, content, layers_of

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("build", [lambda f: Lpips("alexnet", f), lambda f: Lpips("vgg16", f), Dists])
def test_a_distance_grows_with_noise_and_has_a_gradient_at_zero(lpips_folder, build):
    distance = build(lpips_folder)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(1, 3, 64, 64, generator=generator) * 2 - 1
    noise = torch.randn(x.shape, generator=generator)
    same, little, much = (distance(x + level * noise, x).item() for level in (0, 0.1, 0.5))
    assert same == pytest.approx(0, abs=1e-5) and 0 < little < much
    moved = x.clone().requires_grad_(True)
    distance(moved, x).sum().backward()
    assert moved.grad.isfinite().all()
    assert not any(parameter.requires_grad for parameter in distance.parameters())


def test_another_file_and_a_missing_one_are_told(lpips_folder, tmp_path):
    (tmp_path / "alexnet.ckpt").write_bytes((lpips_folder / "alexnet.ckpt").read_bytes() + b"0")
    with pytest.raises(WeightsError, match="SHA-256 differs"):
        content("alexnet", tmp_path)
    found, missing = available(("lpips_vgg", "dists"), tmp_path)
    assert not found and all(perceptual.INSTALL in reason for reason in missing.values())


def test_a_pickle_that_names_a_function_is_not_read():
    class Attack:
        def __reduce__(self):
            return os.system, ("true",)

    with pytest.raises(WeightsError, match="system"):
        ArrayUnpickler(io.BytesIO(pickle.dumps({"a": Attack()}))).load()


def test_layers_are_in_the_order_of_torch(lpips_folder):
    kernels, linear = layers_of((lpips_folder / "alexnet.ckpt").read_bytes())
    assert [tuple(kernel.shape) for kernel, _ in kernels] == [(o, i, s, s) for i, o, s in ALEXNET]
    assert [len(weights) for weights in linear] == list(WIDTHS["alexnet"])
