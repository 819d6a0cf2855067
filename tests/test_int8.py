"""Convolutions in int8: as near to single precision as is told, for the model they were made for, and from a file that is checked."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from osdcodec import weights
from osdcodec.checks.conformance import INT8, VECTORS, distance, within
from osdcodec.codec import Decoder
from osdcodec.errors import WeightsError
from osdcodec.extras import available
from osdcodec.image import open_image
from osdcodec.runtime import Choice, open_graphs
from osdcodec.weights.int8 import with_int8

RUNTIMES = ["onnxruntime", pytest.param("openvino", marks=pytest.mark.skipif(not available("openvino"), reason="fast"))]


@pytest.fixture(scope="module")
def loaded() -> weights.Weights:
    return weights.load("small")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_networks_are_near_single_precision_but_not_equal(loaded, runtime):
    random, profile = np.random.default_rng(3), loaded.profile
    channels = profile.autoencoder_channels
    z = np.broadcast_to(loaded.tensors["autoencoder.mean"], (1, channels, 6, 10)) * 0
    z = (z + random.standard_normal((1, channels, 6, 10)) * 0.4).astype(np.float32)
    exact, near = (open_graphs(loaded, Choice(runtime, p, "cpu", ""), 1).render(z) for p in ("float", "int8"))
    error = 10 * np.log10(np.square(exact).mean() / np.square(exact - near).mean())
    assert 15 < error < 60


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_pictures_are_within_their_tolerance(runtime):
    """In single precision where the processor has no instructions for int8."""
    decoder = Decoder(device={"onnxruntime": "cpu-int8"}.get(runtime, "openvino-int8"))
    for name in ("astronaut", "chelsea", "one-pixel"):
        picture = decoder.decode((VECTORS / "embedded" / f"{name}.osd").read_bytes())
        assert within(*distance(picture, open_image(VECTORS / "embedded" / f"{name}.png")), INT8)


def test_graphs_serve_the_file_they_were_made_for_alone(loaded):
    made = with_int8(loaded, "onnxruntime")
    changed = {
        verb for verb in ("analyse", "synthesise", "denoise", "render") if made.graphs[verb] != loaded.graphs[verb]
    }
    assert changed == {"denoise", "render"} and made.tensors is loaded.tensors
    assert with_int8(loaded, "openvino").graphs["render"] != made.graphs["render"]
    another = replace(loaded, sha256="00" * 32)
    assert with_int8(another, "onnxruntime") is another


def test_kernels_are_those_of_the_weights_file(loaded):
    names = with_int8(loaded, "openvino").graphs["render.tensors"].decode().split("\n")
    kernels = [name.removesuffix("|int8") for name in names if name.endswith("|int8")]
    assert len(kernels) > 60
    for kernel in kernels[:3]:
        stored, scale = loaded.tensors[f"{kernel}|int8"], loaded.tensors[f"{kernel}|scale"]
        assert stored.dtype == np.int8 and scale.dtype == np.float32
        assert np.array_equal(loaded.tensors[kernel], stored * scale[:, None, None, None])


def test_a_damaged_file_is_refused_in_one_line(loaded, tmp_path):
    shutil.copyfile(loaded.path, tmp_path / loaded.path.name)
    (tmp_path / "int8.safetensors").write_bytes(b"{}")
    with pytest.raises(WeightsError, match=r"int8\.safetensors is not the file listed"):
        with_int8(weights.load("small", tmp_path), "onnxruntime")


def test_a_graph_is_quantised_where_its_kernels_are(tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("torch")
    from osdcodec.training.export.int8 import best_range, quantised
    from osdcodec.weights.storage import Tensors

    random = np.random.default_rng(0)
    stored = {"w": random.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8), "w|scale": np.full(4, 0.01, np.float16)}
    tensors = Tensors(stored, tmp_path)
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[4, 3, 3, 3], data_location=1)
    tensor.external_data.add(key="location", value="weights")
    values = [onnx.helper.make_tensor_value_info(name, 1, [1, size, "h", "w"]) for name, size in (("x", 3), ("y", 4))]
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
    graph = onnx.helper.make_graph([node], "convolution", values[:1], values[1:], [tensor])
    data = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)]).SerializeToString()
    weights_ = weights.Weights(
        weights.load("small").profile, tensors, {"render": data, "render.tensors": b"w"}, b"", tmp_path
    )
    x = random.uniform(-1, 1, (1, 3, 8, 8)).astype(np.float32)
    (y,) = open_graphs(weights_, Choice("onnxruntime", "float", "cpu", ""), 1).run("render", x=x)
    ranges = {"x": best_range(x.ravel()), "y": best_range(y.ravel())}
    for outputs in (False, True):
        made, names = quantised(data, ["w"], weights_, ranges, outputs)
        assert names == ["w|int8", "w|scale"]
        graphs = {"render": made, "render.tensors": "\n".join(names).encode()}
        (near,) = open_graphs(replace(weights_, graphs=graphs), Choice("onnxruntime", "float", "cpu", ""), 1).run(
            "render", x=x
        )
        assert 0 < np.abs(y - near).max() < 0.02 * np.abs(y).max()
