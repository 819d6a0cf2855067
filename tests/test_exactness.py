"""The matrix: the same symbols under every number of threads, BLAS kernel, tile, order and runtime.

Plain Python integers decode the same vectors in test_vectors.py, single layers in test_integer_net.py; the bound of 2**53 is
tested at its edge there and in test_prior.py. Other versions of NumPy: `python -m osdcodec.checks.conformance` in an
environment that has them (README).
"""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from helpers import tiny
from helpers.pictures import EXAMPLES

from osdcodec import container, weights
from osdcodec.checks import exactness
from osdcodec.checks.conformance import VECTORS
from osdcodec.codec import Encoder
from osdcodec.entropy import integer_net, rans
from osdcodec.entropy.prior import Prior
from osdcodec.image import open_image
from osdcodec.latent.coder import decode_symbols
from osdcodec.options import EncodeOptions
from osdcodec.profile import SMALL

pytestmark = pytest.mark.slow

FOLDER = VECTORS / "conformance"
LISTED = {v["name"]: v["symbols"] for v in json.loads((FOLDER / "vectors.json").read_text("utf-8"))["vectors"]}
FILES = {name: container.unpack((FOLDER / f"{name}.osd").read_bytes()) for name in LISTED}

# In a process of its own, for a BLAS reads its settings when it is loaded: the vectors and the files of a folder, and a
# prior as large as that of profile small, whose products a BLAS does in threads. Prints the kernel, then the digests.
DECODE = """
import ctypes, hashlib, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import numpy
from helpers import tiny
from osdcodec import container, weights
from osdcodec.entropy.prior import Prior
from osdcodec.profile import SMALL

kernel = "unknown"
for path in Path(numpy.__file__).parents[1].glob("numpy.libs/*openblas*"):
    for name in ("openblas_get_corename64_", "scipy_openblas_get_corename64_"):
        ask = getattr(ctypes.CDLL(str(path)), name, None)
        if ask:
            ask.restype = ctypes.c_char_p
            kernel = ask().decode()
print(kernel)
prior = Prior(tiny.tensors(SMALL, 64, 64), SMALL)
payload, symbols = prior.encode(*tiny.latents("threads", 16, 24, SMALL), 100)
assert prior.decode(payload, 100, 16, 24) == symbols
print(hashlib.sha256(payload).hexdigest(), symbols.digest())
model = weights.load("conformance", sys.argv[2])
prior = model.prior
for folder in sys.argv[2:]:
    for path in sorted(Path(folder).glob("*.osd")):
        osd = container.unpack(path.read_bytes())
        grid, found = model.profile.grid(osd.width, osd.height), osd.regions
        qualities = numpy.array(found.qualities(osd.quality, model.profile.stride, *grid)) if found else None
        print(path.stem, prior.decode(osd.payload, osd.quality, *grid, qualities).digest())
heavy = {"torch", "onnxruntime", "PIL", "diffusers"} & set(sys.modules)
assert not heavy, heavy
"""


@pytest.fixture(scope="module")
def model() -> weights.Weights:
    return weights.load("conformance", FOLDER)


@pytest.fixture(scope="module")
def prior(model) -> Prior:
    return model.prior


@pytest.fixture(scope="module")
def coded(model, tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """Files of both runtimes, and the digests of what their encoders held."""
    pytest.importorskip("torch")
    from osdcodec.runtime.torch import TorchRuntime

    folder, held = tmp_path_factory.mktemp("coded"), {}
    encoder = Encoder("conformance", "cpu", FOLDER)
    pictures = [open_image(path).resize((150, 110)) for path in sorted(EXAMPLES.glob("*.png"))]
    for name, runtime in {"onnx": encoder.coder.runtime, "torch": TorchRuntime(model)}.items():
        encoder.coder.runtime = runtime
        for i, picture in enumerate(pictures):
            for lmbda in (2.0, 0.33, 0.1):
                osd, symbols = encoder.coder.code(picture, EncodeOptions(lmbda=lmbda, effort=0))
                held[f"{name}-{i}-{lmbda}"] = symbols.digest()
                (folder / f"{name}-{i}-{lmbda}.osd").write_bytes(container.pack(osd))
    return folder, held


@pytest.fixture(scope="module")
def large() -> list[str]:
    """Payload and symbols of the large prior, as this process computes them."""
    import hashlib

    prior = Prior(tiny.tensors(SMALL, 64, 64), SMALL)
    payload, symbols = prior.encode(*tiny.latents("threads", 16, 24, SMALL), 100)
    return [hashlib.sha256(payload).hexdigest(), symbols.digest()]


def kernels() -> list[str]:
    """What OPENBLAS_CORETYPE can be set to here: a kernel for instructions that are missing would crash."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split("flags", 1)[1].split("\n", 1)[0].split())
    except (OSError, IndexError):
        return []
    needs = {"Prescott": "pni", "Nehalem": "sse4_2", "Sandybridge": "avx", "Haswell": "avx2", "SkylakeX": "avx512bw"}
    return [kernel for kernel, flag in needs.items() if flag in flags]


MATRIX = [{"threads": threads} for threads in "124"] + [{"threads": "2", "kernel": kernel} for kernel in kernels()]


@pytest.mark.parametrize("setting", MATRIX, ids=lambda setting: "-".join(setting.values()))
def test_symbols_are_the_same(setting, coded, large):
    folder, held = coded
    environment = os.environ | dict.fromkeys(exactness.THREADS, setting["threads"])
    if "kernel" in setting:
        environment |= {"OPENBLAS_CORETYPE": setting["kernel"]}
    command = [sys.executable, "-c", DECODE, os.path.dirname(__file__), str(FOLDER), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    kernel, first, *rest = done.stdout.splitlines()
    assert first.split() == large
    assert dict(line.split() for line in rest) == LISTED | held
    if setting.get("kernel") in ("Nehalem", "Haswell", "SkylakeX") and kernel != "unknown":
        assert kernel.lower() == setting["kernel"].lower()  # else this would be the same run again


def test_tiles_and_chunks_leave_no_trace(prior, monkeypatch):
    """Layers row by row, and symbols ten at a time, instead of all at once."""
    monkeypatch.setattr(integer_net, "_BLOCK", 1)
    monkeypatch.setattr(rans, "_CHUNK", 10 * prior.tables.shape[1])
    for name in ("one-pixel", "odd", "edges-0", "limits", "tall"):
        assert decode_symbols(FILES[name], prior).digest() == LISTED[name]


@pytest.mark.parametrize("batch", [1, 3])
def test_files_decoded_together_are_decoded_alike(prior, batch):
    """One prior, `batch` files at the same time, each in a thread."""
    names = [name for name in LISTED if name != "wide"]
    with ThreadPoolExecutor(batch) as pool:
        found = list(pool.map(lambda name: decode_symbols(FILES[name], prior).digest(), names))
    assert dict(zip(names, found, strict=True)) == {name: LISTED[name] for name in names}


def test_strides_in_memory_do_not_matter(prior):
    """Latents that come as views, transposed or in Fortran's order, are coded alike."""
    h, w = 5, 7
    y, hyper, tokens = tiny.latents("views", h, w, prior.profile)
    expected = prior.encode(y, hyper, tokens, 80)[0]
    wide = np.repeat(y, 2, axis=2)[:, :, ::2]
    for view in (np.asfortranarray(y), wide, y[::-1][::-1], y.astype(np.float64)):
        assert prior.encode(view, np.asfortranarray(hyper), tokens.astype(np.int64), 80)[0] == expected


def test_the_runtimes_nearly_agree_on_what_to_write(coded):
    """They differ in last bits of floats, so a symbol at an edge may differ: no file does in size by much."""
    folder, held = coded
    for name in (name for name in held if name.startswith("onnx")):
        ours, theirs = ((folder / f"{n}.osd").read_bytes() for n in (name, name.replace("onnx", "torch")))
        assert abs(len(ours) - len(theirs)) <= 0.05 * len(ours) + 4


def test_the_command_tells_the_price(tmp_path, capsys):
    open_image(EXAMPLES / "coffee.png").resize((160, 128)).save(tmp_path / "coffee.png")
    exactness.main([str(tmp_path)])
    told = capsys.readouterr().out
    assert told.count("1 of 1") == 5 and all(f"{n} thread(s): symbols of 5 of 5" in told for n in (1, 2, 4))
