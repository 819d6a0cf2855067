"""OpenVINO runs the same graphs: within a rounding in single precision, closely in bfloat16, with or without the cache."""

import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("openvino")

from osdcodec import cache, image, weights
from osdcodec.checks.conformance import VECTORS, check
from osdcodec.codec import Decoder, Encoder
from osdcodec.metrics.meter import psnr
from osdcodec.runtime.onnx import OnnxRuntime
from osdcodec.runtime.onnx_inputs import external_as_inputs
from osdcodec.runtime.openvino import OpenVinoRuntime, compile_graph

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def loaded() -> weights.Weights:
    return weights.load("small")


@pytest.mark.parametrize("size", [(128, 96), (33, 161), (1, 1)])
def test_verbs_agree(loaded, photo, size):
    profile, picture = loaded.profile, photo.crop((40, 40, 40 + size[0], 40 + size[1]))
    inputs = image.to_array(picture, profile.stride), image.thumbnail(picture, profile.thumb)
    runtimes = OnnxRuntime(loaded), OpenVinoRuntime(loaded), OpenVinoRuntime(loaded, precision="bf16")
    (y, hyper, tokens), (y2, hyper2, tokens2), (y3, *_) = (runtime.analyse(*inputs) for runtime in runtimes)
    assert np.array_equal(tokens, tokens2)
    assert np.abs(y - y2).max() < 1e-3 and np.abs(hyper - hyper2).max() < 1e-3
    assert np.abs(y - y3).mean() < 0.05 * np.abs(y).mean()
    rows, columns = profile.grid(*size)
    noise = np.random.Generator(np.random.Philox(key=1)).standard_normal(
        (1, profile.autoencoder_channels, 2 * rows, 2 * columns), np.float32
    )
    pictures = []
    for runtime in runtimes:
        z_c, condition = runtime.synthesise(np.round(y), tokens)
        z_hat = runtime.denoise(z_c, condition, tokens, noise, profile.noise_high)
        pictures.append(image.to_image(runtime.render(z_hat), *size))
    assert psnr(pictures[0], pictures[1]) >= 50
    assert psnr(pictures[0], pictures[2]) >= 40


def test_what_was_compiled_is_kept_and_damage_does_no_harm(loaded, photo, tmp_path):
    data = Encoder(device="cpu").encode(photo.crop((0, 0, 64, 64)))
    code = (
        "import sys; from osdcodec.codec import Decoder; from osdcodec.weights.storage import Tensors; asked = []\n"
        "whole = Tensors.__getitem__\n"
        "Tensors.__getitem__ = lambda self, name: (asked.append(name), whole(self, name))[1]\n"
        "picture = Decoder(device='openvino').decode(sys.stdin.buffer.read(), preview=True)\n"
        "print(picture.tobytes().hex(), any(name.startswith('synthesis') for name in asked))"
    )

    def decoded(folder: str) -> list[str]:
        environment = os.environ | {cache.VARIABLE: folder}
        run = subprocess.run([sys.executable, "-c", code], input=data, env=environment, capture_output=True, check=True)
        assert run.stderr == b""
        return run.stdout.decode().split()

    folder = tmp_path / "compiled"
    colours, asked = decoded(str(folder))
    assert asked == "True" and len(list(folder.iterdir())) == 1
    assert decoded(str(folder)) == [colours, "False"]
    (entry,) = folder.iterdir()
    entry.write_bytes(entry.read_bytes()[:-1000])
    assert decoded(str(folder)) == [colours, "True"]
    assert decoded("") == [colours, "True"]
    assert decoded("/proc/nowhere") == [colours, "True"]


def test_neither_torch_nor_telemetry_is_imported(tmp_path):
    code = "import sys, osdcodec.runtime.openvino as o; o.devices(); print([m for m in sys.modules if m.split('.')[0] in ('torch', 'openvino_telemetry')])"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"HOME": str(tmp_path)}
    )
    assert run.stdout == "[]\n" and run.stderr == "" and list(tmp_path.iterdir()) == []


def test_a_graph_that_names_its_tensors_runs_on_arrays():
    onnx = pytest.importorskip("onnx")
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[3, 2], data_location=1)
    tensor.external_data.add(key="location", value="weights")
    values = [onnx.helper.make_tensor_value_info(name, 1, ["n", size]) for name, size in (("x", 3), ("y", 2))]
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph([node], "product", values[:1], values[1:], [tensor])
    data = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)]).SerializeToString()
    w, x = np.arange(6, dtype=np.float32).reshape(3, 2), np.ones((4, 3), np.float32)
    (y,) = compile_graph(data, {"w": w})(x=x)
    assert np.array_equal(y, x @ w)
    assert external_as_inputs(data)[1] == ["w"]
    with pytest.raises(ValueError, match="not an ONNX graph"):
        external_as_inputs(b"\xff\xff")


def test_files_of_one_runtime_are_read_by_another(photo):
    picture = photo.crop((0, 0, 200, 160))
    data = Encoder(device="openvino-bf16").encode(picture)
    pictures = [Decoder(device=device).decode(data) for device in ("cpu", "openvino", "openvino-bf16")]
    assert psnr(pictures[0], pictures[1]) >= 50 and psnr(pictures[0], pictures[2]) >= 40


def test_the_gradient_for_the_first_picture_is_opened_once_while_the_picture_is_analysed(photo, monkeypatch):
    compiled, opened = OpenVinoRuntime._compiled, []

    def watched(self, verb, sizes=None):
        opened.append((verb, sizes and sizes["x"]))
        return compiled(self, verb, sizes)

    monkeypatch.setattr(OpenVinoRuntime, "_compiled", watched)
    data = Encoder(device="openvino").encode(photo.crop((0, 0, 200, 160)), effort=1)
    assert opened.count(("distance", (1, 3, 160, 224))) == 1  # sides are padded to multiples of 32
    assert len(Encoder(device="openvino").encode(photo.crop((0, 0, 200, 160)), effort=1)) == len(data)


def test_the_cache_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path))
    monkeypatch.setattr(cache, "LARGEST", 2500)
    for number in range(4):
        cache.write(bytes(900), str(number))
        os.utime(tmp_path / cache._name((str(number),)), (number, number))
    assert [cache.read(str(number)) is not None for number in range(4)] == [False, False, True, True]
    cache.write(bytes(3000), "large")
    assert cache.read("large") is None


@pytest.mark.parametrize("device", ["openvino", "openvino-bf16"])
def test_the_embedded_vectors_are_within_their_tolerances(device):
    found = check(VECTORS / "embedded", device)
    assert len(found) == 4 and all(result.good for result in found)
