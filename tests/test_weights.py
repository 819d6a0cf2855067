"""weights.toml and the files it lists: found, verified, unpacked, or refused in one line."""

import hashlib
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from helpers import tiny
from safetensors.numpy import save

from osdcodec import weights
from osdcodec.errors import WeightsError
from osdcodec.profile import SMALL
from osdcodec.weights import registry


def network(value: int) -> dict[str, np.ndarray]:
    """Tensors beside those that fix the symbols."""
    plain = {
        "denoiser.weight": np.array([[1, -2, 127], [0, value, -127]], np.int8),
        "denoiser.weight|scale": np.array([0.5, 0.0625], np.float16),
        "denoiser.kernel": np.full((2, 1, 1, 2), value, np.int8),
        "denoiser.kernel|scale": np.array([2, 3], np.float16),
        "denoiser.bias": np.array([0.25, -1.5], np.float16),
        "denoiser.steps": np.array([7], np.int64),
        "graph.render": np.frombuffer(b"\x08onnx\x00", np.uint8),
        "denoiser.deflated|scale": np.array([0.5], np.float16),
    }
    deflated = {
        "graph.render.tensors": np.frombuffer(b"denoiser.weight\ndenoiser.bias", np.uint8),
        "denoiser.deflated": np.full((1, 3, 1), -value, np.int8),
    }
    return plain | weights.deflate(deflated)


def release(folder: Path, name: str = "small.safetensors", value: int = 3, **other: np.ndarray) -> dict:
    """Writes a weights file and the weights.toml that lists it; returns the entry."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(save(tiny.tensors() | network(value) | other))
    entry = weights.entry(folder / name, "small")
    register(folder, entry)
    return entry


def register(folder: Path, *entries: dict) -> None:
    lines = ["# a comment"]
    for entry in entries:
        lines += ["[[model]]", *(f"{key} = {json.dumps(value)}" for key, value in entry.items())]
        lines += ["revision = 1", 'terms = "none"', "results = [{ lambda = 1.0, bpp = 0.04 }]"]
    (folder / "weights.toml").write_text("\n".join(lines))


@pytest.fixture
def ours(tmp_path, monkeypatch) -> Path:
    """A folder in place of the installed weights; returns its weights.toml."""
    monkeypatch.delenv("OSDC_WEIGHTS", raising=False)
    release(tmp_path / "ours")
    return tmp_path / "ours" / "weights.toml"


def other_codebook() -> np.ndarray:
    return tiny.tensors()["semantics.codebook"] + 1


def test_entry_says_what_the_file_is(ours):
    data = ours.with_name("small.safetensors").read_bytes()
    assert weights.entry(ours.with_name("small.safetensors"), "small") == {
        "profile": "small",
        "file": "small.safetensors",
        "model_id": weights.model_id(tiny.tensors()).hex(),
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
    }


def test_tensors_come_as_the_networks_want_them(ours):
    loaded = weights.load("small", registry=ours)
    assert loaded.profile == SMALL and loaded.path == ours.with_name("small.safetensors")
    assert loaded.model_id == weights.model_id(tiny.tensors()) == weights.model_id(loaded.tensors)
    expected = {
        "denoiser.weight": np.array([[0.5, -1, 63.5], [0, 0.1875, -7.9375]], np.float32),
        "denoiser.kernel": np.array([[[[6, 6]]], [[[9, 9]]]], np.float32),
        "denoiser.bias": np.array([0.25, -1.5], np.float32),
        "denoiser.deflated": np.full((1, 3, 1), -1.5, np.float32),
        "denoiser.steps": np.array([7], np.int64),
    }
    expected |= tiny.tensors() | {"semantics.codebook": tiny.tensors()["semantics.codebook"].astype(np.float32)}
    assert loaded.tensors.keys() == expected.keys()
    for name, array in expected.items():
        assert loaded.tensors[name].dtype == array.dtype, name
        assert np.array_equal(loaded.tensors[name], array), name
    assert loaded.graphs == {"render": b"\x08onnx\x00", "render.tensors": b"denoiser.weight\ndenoiser.bias"}


def test_a_model_is_found_by_its_id(ours):
    first = weights.load("small", registry=ours)
    listed = weights.entry(first.path, "small")
    second = release(ours.parent, "second.safetensors", **{"semantics.codebook": other_codebook()})
    register(ours.parent, listed, second)
    assert weights.for_model(first.model_id, registry=ours).path == first.path
    assert weights.for_model(bytes.fromhex(second["model_id"]), registry=ours).path.name == "second.safetensors"
    assert weights.load("small", registry=ours).path == first.path  # the first of a profile encodes
    with pytest.raises(WeightsError, match="deadbeef"):
        weights.for_model(b"\xde\xad\xbe\xef", registry=ours)


@pytest.mark.parametrize("by", ["argument", "variable"])
def test_a_folder_with_its_own_list_goes_first(ours, tmp_path, monkeypatch, by):
    mine = release(tmp_path / "mine", value=5, **{"semantics.codebook": other_codebook()})
    folder = tmp_path / "mine" if by == "argument" else None
    if by == "variable":
        monkeypatch.setenv("OSDC_WEIGHTS", str(tmp_path / "mine"))
    loaded = weights.load("small", folder, ours)
    assert loaded.model_id.hex() == mine["model_id"] and loaded.path.parent == tmp_path / "mine"
    assert weights.for_model(loaded.model_id, folder, ours).path == loaded.path
    # A file made with the installed model still decodes: a file of the same name in the folder is another one.
    theirs = weights.for_model(weights.model_id(tiny.tensors()), folder, ours)
    assert theirs.path.parent == ours.parent


def test_an_argument_goes_before_the_variable(ours, tmp_path, monkeypatch):
    monkeypatch.setenv("OSDC_WEIGHTS", str(tmp_path / "nowhere"))
    with pytest.raises(WeightsError, match="nowhere"):
        weights.load("small", None, ours)
    assert weights.load("small", ours.parent, tmp_path / "none.toml").path.parent == ours.parent


def test_a_copy_in_a_folder_must_be_the_listed_file(ours, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    assert weights.load("small", copy, ours).path.parent == ours.parent  # nothing there
    data = ours.with_name("small.safetensors").read_bytes()
    (copy / "small.safetensors").write_bytes(data)
    assert weights.load("small", copy, ours).path.parent == copy
    (copy / "small.safetensors").write_bytes(data[:-1] + b"\x01")
    with pytest.raises(WeightsError, match="SHA-256"):
        weights.load("small", copy, ours)


def test_a_changed_file_is_refused_before_it_is_looked_into(ours, monkeypatch):
    path = ours.with_name("small.safetensors")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)

    def parse(data: bytes):
        raise AssertionError("parsed")

    monkeypatch.setattr(weights.loading, "parse", parse)
    with pytest.raises(WeightsError, match="SHA-256"):
        weights.load("small", registry=ours)


def test_a_missing_file_is_named(ours):
    ours.with_name("small.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"small\.safetensors cannot be read"):
        weights.load("small", registry=ours)


def test_a_file_listed_under_a_wrong_id_is_refused(ours):
    entry = weights.entry(ours.with_name("small.safetensors"), "small")
    register(ours.parent, entry | {"model_id": "01020304"})
    with pytest.raises(WeightsError, match=f"{entry['model_id']}, not 01020304"):
        weights.load("small", registry=ours)


class Bomb:
    """Raises when unpickled."""

    def __reduce__(self):
        return eval, ("1 / 0",)


@pytest.mark.parametrize("name", ["small.safetensors", "small.pt", "small.pkl", "small.ckpt"])
def test_pickles_are_refused_unopened(ours, name):
    data = pickle.dumps(Bomb())
    ours.with_name(name).write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    register(ours.parent, {"profile": "small", "file": name, "model_id": "00000000", "sha256": sha256})
    with pytest.raises(WeightsError, match="safetensors"):
        weights.load("small", registry=ours)


def test_a_safetensors_file_of_something_else_is_refused(ours):
    data = save({"some.weight": np.ones(3, np.float32)})
    ours.with_name("small.safetensors").write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    register(ours.parent, {"profile": "small", "file": "small.safetensors", "model_id": "00000000", "sha256": sha256})
    with pytest.raises(WeightsError, match="codebook"):
        weights.load("small", registry=ours)


@pytest.mark.parametrize(
    "damage",
    [
        {"denoiser.deflated|deflated": np.zeros(9, np.uint8)},
        {"denoiser.deflated|shape": np.array([2, 2], np.int32)},
    ],
)
def test_a_tensor_that_cannot_be_inflated_is_refused(ours, damage):
    release(ours.parent, **damage)
    with pytest.raises(WeightsError, match=r"holds a tensor, denoiser\.deflated, that cannot be inflated"):
        weights.load("small", registry=ours).tensors["denoiser.deflated"]
    with pytest.raises(WeightsError, match="cannot be inflated"):
        list(weights.verify(registry=ours))


def test_weights_take_less_when_deflated_and_come_back_the_same():
    normal = np.random.default_rng(0).normal(0, 20, (64, 8, 3, 3)).round().clip(-127, 127).astype(np.int8)
    tensors = {"a": normal, "graph.b": np.frombuffer(b"onnx", np.uint8), "c": np.ones(2, np.float32)}
    stored = weights.deflate(tensors)
    assert set(stored) == {"a|deflated", "a|shape", "graph.b|deflated", "c"}
    assert stored["a|deflated"].size < 0.9 * normal.size
    back = weights.Tensors(stored, Path("file.safetensors"))
    assert back.keys() == {"a", "c"} and back.graphs() == {"b": b"onnx"}
    for name, array in tensors.items():
        if name in back:
            assert back[name].dtype == array.dtype and np.array_equal(back[name], array)


def test_unknown_profiles_are_refused(ours):
    with pytest.raises(WeightsError, match="gigantic is not known here: choose one of small"):
        weights.load("gigantic", registry=ours)
    entry = weights.entry(ours.with_name("small.safetensors"), "gigantic")
    register(ours.parent, entry)
    with pytest.raises(WeightsError, match="no weights of profile small"):
        weights.load("small", registry=ours)
    with pytest.raises(WeightsError, match="gigantic"):
        weights.for_model(bytes.fromhex(entry["model_id"]), registry=ours)


@pytest.mark.parametrize(
    "text",
    ["", "[[model]", "model = 3", "[model]\na = 1", "[[model]]\nprofile = 'small'", "\xff", "[[model]]\nprofile = 1"],
)
def test_a_list_that_is_none_is_refused(ours, text):
    ours.write_text(text, "latin-1")
    with pytest.raises(WeightsError, match=r"weights\.toml is not a list of models") as caught:
        weights.load("small", registry=ours)
    assert "\n" not in str(caught.value)


def test_a_missing_list_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("OSDC_WEIGHTS", raising=False)
    with pytest.raises(WeightsError, match=r"none\.toml is missing"):
        weights.load("small", registry=tmp_path / "none.toml")


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<i2", "<i4", "<i8", "u1", "i1"])
def test_tensors_are_little_endian_on_every_machine(dtype):
    values = np.array([[1, 2, 3], [4, 5, 100]]).astype(dtype)
    data = save({"one": values})
    assert data.endswith(values.tobytes())
    parsed = weights.parse(data)["one"]
    assert parsed.tolist() == values.tolist() and parsed.dtype.isnative


def test_a_tensor_of_a_type_that_numpy_lacks_is_refused(tmp_path):
    entry = release(tmp_path)
    path = tmp_path / entry["file"]
    head = json.dumps({"a": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + b"\0\0")
    with pytest.raises(KeyError, match="BF16"):
        weights.parse(path.read_bytes())


def test_every_listed_model_is_a_release_and_releases_are_decoded_by_one():
    found = registry.released()
    for model in registry.models(registry.installed()):
        assert found[model["model_id"]]["sha256"] == model["sha256"]
    names = [entry["name"] for entry in found.values()]
    assert len(set(names)) == len(names) and {entry["decoder"] for entry in found.values()} <= set(names)
    assert found["e31ec9f1"]["name"] == "small 1"


def test_a_release_that_is_not_here_is_named_with_the_command_that_brings_it(ours):
    entry = {
        "name": "small 0",
        "model_id": "deadbeef",
        "file": "a",
        "sha256": "b",
        "decoder": "small 1",
        "get": "fetch it",
    }
    lines = ["", "[[released]]", *(f"{key} = {json.dumps(value)}" for key, value in entry.items())]
    ours.write_text(ours.read_text("utf-8") + "\n".join(lines), "utf-8")
    with pytest.raises(WeightsError, match="deadbeef, small 0, is not here: `fetch it` brings it"):
        weights.for_model(b"\xde\xad\xbe\xef", registry=ours)
    ours.write_text(ours.read_text("utf-8") + "\n[[released]]\n", "utf-8")
    with pytest.raises(WeightsError, match="does not tell name"):
        weights.for_model(b"\xde\xad\xbe\xef", registry=ours)
