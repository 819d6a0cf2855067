"""What the networks run in, and why: by the device, the processor and what is installed."""

import json

import pytest
from typer.testing import CliRunner

from osdcodec import extras
from osdcodec.cli import app
from osdcodec.errors import OsdError, WeightsError
from osdcodec.runtime import choice, choose, processor


@pytest.fixture
def here(monkeypatch):
    """A processor with these flags, without a GPU, and these packages."""

    def set_up(flags: str, *packages: str) -> None:
        monkeypatch.delenv(processor.VARIABLE, raising=False)
        monkeypatch.setattr(processor, "_flags", lambda: frozenset(flags.split()))
        monkeypatch.setattr(choice, "sees_cuda", lambda: False)
        monkeypatch.setattr(choice, "available", lambda name: name in packages)
        monkeypatch.setattr(extras, "find_spec", lambda name: name in packages or None)

    return set_up


def test_auto_takes_the_fastest_that_is_installed_and_fits(here, monkeypatch):
    here("avx2 avx512_bf16 amx_bf16", "openvino")
    assert choose("auto") == ("openvino", "bf16", "cpu", "the processor has AMX")
    monkeypatch.setenv(processor.VARIABLE, "avx512_core_bf16")
    assert choose("auto").why == "the processor has AVX512-BF16"
    monkeypatch.setenv(processor.VARIABLE, "AVX2")
    assert choose("auto") == ("onnxruntime", "float", "cpu", "the processor has no instructions for bfloat16 or int8")
    here("avx2 avx512_vnni", "openvino")
    assert choose("auto") == ("onnxruntime", "int8", "cpu", "the processor has AVX512-VNNI")
    here("avx2 avx512_bf16")
    assert choose("auto").runtime == "onnxruntime" and "pip install 'osdc[fast]'" in choose("auto").why
    here("avx2 avx512_bf16 avx512_vnni")
    assert choose("auto").precision == "int8" and "pip install 'osdc[fast]'" in choose("auto").why
    assert choose("auto", torch_only=True).runtime == "torch"


def test_a_named_device_is_taken_or_refused_in_one_line(here):
    here("avx2")
    assert choose("cpu") == choose("onnxruntime") and choose("cpu").runtime == "onnxruntime"
    with pytest.raises(OsdError, match=r"coding in OpenVINO.*pip install 'osdc\[fast\]'"):
        choose("openvino")
    with pytest.raises(OsdError, match=r"half precision on a CPU.*torch"):
        choose("cpu-bf16")
    with pytest.raises(WeightsError, match="CUDA"):
        choose("cuda")
    with pytest.raises(ValueError, match="one of auto, cpu"):
        choose("tpu")
    here("avx2", "openvino")
    assert choose("openvino-bf16").precision == "float" and "no instructions" in choose("openvino-bf16").why
    for device, runtime in (("cpu-int8", "onnxruntime"), ("openvino-int8", "openvino")):
        assert choose(device) == (runtime, "float", "cpu", "the processor has no instructions for int8")
    here("avx2 avx_vnni", "openvino")
    for device, runtime in (("cpu-int8", "onnxruntime"), ("openvino-int8", "openvino")):
        assert choose(device) == (runtime, "int8", "cpu", "--device names it")
    here("avx2 avx512_bf16", "openvino")
    assert choose("openvino-bf16").precision == "bf16" and choose("openvino").precision == "float"


def test_the_commands_tell_it(tmp_path, photo):
    photo.crop((0, 0, 64, 48)).save(tmp_path / "a.png")
    run = CliRunner().invoke(app, ["encode", str(tmp_path / "a.png"), "-v", "--device", "cpu"])
    assert run.exit_code == 0 and "the networks run in ONNX Runtime on the CPU, single precision" in run.stderr
    told = CliRunner().invoke(app, ["info", "--device", "cpu", "--json"])
    assert json.loads(told.stdout)["device"]["runtime"] == "onnxruntime"
    whole = CliRunner().invoke(app, ["info", str(tmp_path / "a.osd"), "--device", "cpu"])
    assert "64 x 48" in whole.stdout and "ONNX Runtime" in whole.stdout
    assert CliRunner().invoke(app, ["info"]).exit_code == 2
