"""Previews: half the size, near what the decoder makes, and much sooner."""

import time

import numpy as np
import pytest
from helpers.commands import osdc
from PIL import Image

from osdcodec import Decoder, Encoder, weights
from osdcodec.runtime import preview

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["embedded", "trained"])
def codec(request) -> tuple[Encoder, Decoder]:
    folder = None if request.param == "embedded" else request.getfixturevalue("trained")
    return Encoder(device="cpu", weights_dir=folder), Decoder(device="cpu", weights_dir=folder)


def error(a: Image.Image, b: Image.Image) -> float:
    return float(np.sqrt(np.mean((np.asarray(a, float) - np.asarray(b, float)) ** 2)))


@pytest.mark.parametrize("size", [(256, 192), (101, 67), (1, 1)])
def test_a_preview_is_the_coarse_picture_at_half_the_size(codec, photo, size):
    encoder, decoder = codec
    data = encoder.encode(photo.crop((0, 0, *size)), 0.5)
    small, whole = decoder.decode(data, preview=True), decoder.decode(data, detail=0.0)
    assert small.mode == "RGB" and small.size == (-(-size[0] // 2), -(-size[1] // 2))
    if min(size) > 1:
        even = whole.crop((0, 0, size[0] // 2 * 2, size[1] // 2 * 2))
        half = even.reduce(2)
        flat = Image.new("RGB", half.size, tuple(np.asarray(half).mean((0, 1)).astype(int)))
        assert error(small.crop((0, 0, *half.size)), half) < 0.3 * error(flat, half)


def test_the_export_fits_the_map(trained):
    fitted, released = weights.load("small", trained), weights.load("small")
    weight, bias = preview.linear_map(fitted.tensors)
    assert "preview.weight" in fitted.tensors
    assert weight.shape == (3 * 8 * 8, released.profile.autoencoder_channels) and bias.shape == (3 * 8 * 8,)
    without = {name: tensor for name, tensor in fitted.tensors.items() if not name.startswith("preview.")}
    assert preview.linear_map(without)[0].shape == weight.shape


def test_a_preview_takes_less_than_half_the_time(codec, photo):
    encoder, decoder = codec
    data = encoder.encode(photo.resize((768, 512)), 2.0)

    def seconds(**options: object) -> float:
        times = []
        for _ in range(4):
            start = time.process_time()
            decoder.decode(data, **options)
            times.append(time.process_time() - start)
        return min(times[1:])

    assert 2 * seconds(preview=True) < seconds()


def test_on_the_command_line(tmp_path, photo):
    photo.save(tmp_path / "photo.png")
    assert osdc("encode", "photo.png", cwd=tmp_path).returncode == 0
    assert osdc("decode", "photo.osd", "-o", "small.jpg", "--preview", cwd=tmp_path).returncode == 0
    assert Image.open(tmp_path / "small.jpg").size == (128, 96)
