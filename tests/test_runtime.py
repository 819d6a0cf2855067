"""The two runtimes give the same pictures on the CPU, and the light one never touches torch."""

import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from helpers.pictures import without_flat_background

from osdcodec import image, weights
from osdcodec.codec import Decoder, Encoder
from osdcodec.errors import OsdError, OsdWarning, WeightsError
from osdcodec.metrics.meter import psnr
from osdcodec.runtime import Machine, open_runtime
from osdcodec.runtime.onnx import OnnxRuntime
from osdcodec.runtime.torch import TorchRuntime

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def loaded() -> weights.Weights:
    return weights.load("small")


@pytest.fixture(scope="module")
def runtimes(loaded) -> tuple[OnnxRuntime, TorchRuntime]:
    return OnnxRuntime(loaded), TorchRuntime(loaded)


@pytest.mark.parametrize("size", [(128, 96), (33, 161), (1, 1)])
def test_verbs_agree(runtimes, loaded, photo, size):
    profile, picture = loaded.profile, photo.crop((40, 40, 40 + size[0], 40 + size[1]))
    inputs = image.to_array(picture, profile.stride), image.thumbnail(picture, profile.thumb)
    (y, hyper, tokens), (y2, hyper2, tokens2) = (runtime.analyse(*inputs) for runtime in runtimes)
    assert np.array_equal(tokens, tokens2)
    assert np.abs(y - y2).max() < 1e-3 and np.abs(hyper - hyper2).max() < 1e-3
    rows, columns = profile.grid(*size)
    assert y.shape == (1, profile.latent_channels, rows, columns)
    assert hyper.shape == (1, profile.hyper_channels, *profile.hyper_grid(rows, columns))

    pictures = []
    noise = np.random.Generator(np.random.Philox(key=1)).standard_normal(
        (1, profile.autoencoder_channels, 2 * rows, 2 * columns), np.float32
    )
    for runtime in runtimes:
        z_c, condition = runtime.synthesise(np.round(y), tokens)
        z_hat = runtime.denoise(z_c, condition, tokens, noise, profile.noise_high)
        assert z_hat.shape == z_c.shape and condition.shape[1] == profile.condition_channels
        pictures.append(image.to_image(runtime.render(z_hat), *size))
    assert psnr(*pictures) >= 50


def test_only_the_sessions_that_are_needed_are_made(photo):
    data, decoder = Encoder(device="cpu").encode(photo.crop((0, 0, 64, 64))), Decoder(device="cpu")
    decoder.decode(data, preview=True)
    (model,) = decoder.models.values()
    assert set(model.runtime.sessions) == {"synthesise"}
    decoder.decode(data, detail=0)
    assert set(model.runtime.sessions) == {"synthesise", "render"}
    decoder.decode(data)
    assert set(model.runtime.sessions) == {"synthesise", "denoise", "render"}


def test_threads_are_those_that_were_asked_for(loaded, monkeypatch):
    """By the caller, else by OMP_NUM_THREADS, else as many as there are cores."""
    z = np.zeros((1, loaded.profile.autoencoder_channels, 2, 2), np.float32)
    for told, asked, counted in (("3", 1, 1), ("3", None, 3), ("", None, 0)):
        monkeypatch.setenv("OMP_NUM_THREADS", told)
        runtime = OnnxRuntime(loaded, asked)
        runtime.render(z)
        assert runtime.sessions["render"].result().get_session_options().intra_op_num_threads == counted


def test_a_session_that_memory_was_short_for_is_made_when_asked_for_again(loaded, monkeypatch):
    runtime, z = OnnxRuntime(loaded), np.zeros((1, loaded.profile.autoencoder_channels, 2, 2), np.float32)
    with monkeypatch.context() as patch:
        patch.setattr(runtime, "open", lambda verb: bytearray(2**62))
        with pytest.raises(MemoryError):
            runtime.render(z)
    assert runtime.render(z).shape == (1, 3, 32, 32)


def test_cuda_is_refused_where_there_is_none(loaded):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("a CUDA device is available")
    with pytest.raises(WeightsError, match="CUDA"):
        open_runtime(loaded, Machine("cuda"))


def test_without_onnx_runtime_a_picture_is_refused_in_one_line(tmp_path):
    script = (
        "import sys; sys.modules |= dict.fromkeys(('onnxruntime', 'openvino', 'constriction', 'torch'))\n"
        "from osdcodec.__main__ import main; main()"
    )
    one_pixel = Path(__file__).parents[1] / "spec" / "vectors" / "embedded" / "one-pixel.osd"

    def osdc(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True)

    refused = osdc("decode", one_pixel, "-o", tmp_path / "out.png")
    assert (refused.returncode, refused.stderr.count("\n")) == (4, 1)
    assert "needs ONNX Runtime" in refused.stderr and "pip install onnxruntime" in refused.stderr
    assert not list(tmp_path.iterdir())
    assert osdc("info", one_pixel).returncode == 0


def test_what_onnx_runtime_has_is_not_compiled_and_that_is_said(loaded):
    with pytest.warns(OsdWarning, match="nothing is compiled"):
        open_runtime(loaded, Machine("cpu", compiled=True))


def test_half_precision_on_a_cpu_differs_by_a_few_levels(loaded, photo, monkeypatch):
    picture = photo.crop((200, 30, 328, 126))
    # Its black corner is flat background, and whether a window is near enough to that may turn on one level.
    data = without_flat_background(Encoder(device="cpu").encode(picture, 1.0))
    whole, half = (np.asarray(Decoder(device=device).decode(data), int) for device in ("cpu", "cpu-bf16"))
    assert 0 < np.abs(whole - half).max() <= 6 and np.abs(whole - half).mean() < 0.6
    coded = Encoder(device="cpu-bf16").encode(picture, 1.0)  # of other symbols, perhaps, that everybody reads alike
    assert len(without_flat_background(coded)) == pytest.approx(len(data), rel=0.05)
    assert Decoder(device="cpu").decode(coded).size == picture.size
    monkeypatch.setattr("osdcodec.extras.find_spec", lambda name: None)
    with pytest.raises(OsdError, match=r"half precision on a CPU.*torch"):
        open_runtime(loaded, Machine("cpu-bf16"))


def test_encoding_and_decoding_on_the_cpu_import_no_torch(tmp_path, photo):
    photo.crop((0, 0, 64, 64)).save(tmp_path / "in.png")
    script = (
        "import sys, osdcodec; from pathlib import Path\n"
        f"data = osdcodec.encode({str(tmp_path / 'in.png')!r}, lmbda=1.0); osdcodec.decode(data)\n"
        "assert {'onnxruntime', 'openvino'} & set(sys.modules)\n"
        "heavy = {'torch', 'diffusers', 'open_clip', 'compressai'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_pictures_of_one_size_in_a_batch_are_as_by_themselves(runtimes, loaded, photo):
    _, runtime = runtimes
    pictures = [photo.crop((left, 10, left + 96, 74)) for left in (0, 30, 60)]
    inputs = [
        (image.to_array(picture, loaded.profile.stride), image.thumbnail(picture, loaded.profile.thumb))
        for picture in pictures
    ]
    stacked = runtime._work("analyse", *(np.concatenate(arrays) for arrays in zip(*inputs, strict=True)))
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda pair: runtime.analyse(*pair), inputs))
    for index, (y, hyper, tokens) in enumerate(found):
        assert np.abs(y - stacked[0][index]).max() < 1e-4 and np.abs(hyper - stacked[1][index]).max() < 1e-4
        assert np.array_equal(tokens[0], stacked[2][index])


def test_tiles_of_large_pictures_give_their_memory_back(loaded):
    class Session:
        def run(self, names, inputs, options=None):
            return [options and options.get_run_config_entry("memory.enable_memory_arena_shrinkage")]

    made = Future()
    made.set_result(Session())
    runtime = OnnxRuntime(loaded)
    runtime.sessions["analyse"] = made
    small, large = (np.broadcast_to(np.float32(0), (1, 3, side, side)) for side in (768, 2048))
    assert runtime.run("analyse", x=small) == [None]
    assert runtime.run("analyse", x=large) == ["cpu:0"]
