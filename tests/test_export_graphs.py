"""The exported graphs say where their tensors lie, for runtimes that take them from a file and not by name."""

import numpy as np
import onnxruntime as ort
import pytest

pytestmark = pytest.mark.slow

VERBS = ("synthesise", "denoise", "render")


@pytest.mark.parametrize("verb", VERBS)
def test_a_graph_finds_its_tensors_in_one_file(verb):
    torch = pytest.importorskip("torch")
    from osdcodec.models import CodecModel
    from osdcodec.profile import CONFORMANCE
    from osdcodec.training.export.graphs import graph, verbs

    torch.manual_seed(3)
    torch.backends.mha.set_fastpath_enabled(False)
    model = CodecModel(CONFORMANCE).eval()
    with torch.no_grad():
        for value in model.parameters():
            if not value.any():
                value.normal_(0, 0.03)
    proto, names = graph(model, verb)
    tensors = {name: value.float().numpy() for name, value in model.state_dict().items()}

    def session(place) -> ort.InferenceSession:
        options = ort.SessionOptions()
        place(options)
        return ort.InferenceSession(proto, options, providers=["CPUExecutionProvider"])

    whole = b"".join(tensors[name].tobytes() for name in names)
    of_file = session(lambda o: o.add_external_initializers_from_files_in_memory(["weights"], [whole], [len(whole)]))
    values = [ort.OrtValue.ortvalue_from_numpy(tensors[name]) for name in names]
    by_name = session(lambda o: o.add_external_initializers(names, values))
    draw = np.random.default_rng(3)
    inputs = {name: example.numpy() for name, example in verbs(CONFORMANCE)[verb][0].items()}
    inputs |= {
        name: draw.normal(size=x.shape).astype(x.dtype) for name, x in inputs.items() if x.ndim == 4 and x.size > 1
    }
    for found, expected in zip(of_file.run(None, inputs), by_name.run(None, inputs), strict=True):
        assert np.array_equal(found, expected) and np.ptp(found) > 0
