"""The names that `--device` takes. Standard library only: the command line shows them before anything else is imported."""

from typing import Final, Literal, get_args

Device = Literal[
    "auto",  # a GPU, else the fastest of the others that is installed and fits the processor
    "cpu",  # ONNX Runtime, single precision
    "onnxruntime",  # the same
    "cpu-int8",  # ONNX Runtime, convolutions in int8
    "cpu-bf16",  # torch
    "cuda",  # torch on an NVIDIA GPU, half precision
    "openvino",  # single precision
    "openvino-bf16",
    "openvino-int8",
    "openvino-gpu",  # an Intel GPU
    "openvino-npu",
]
DEVICES: Final[tuple[str, ...]] = get_args(Device)
