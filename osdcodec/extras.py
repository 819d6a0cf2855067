"""What the light install leaves out."""

from importlib.util import find_spec

from .errors import OsdError

# Module -> the package that has it
PACKAGES = {
    "torch": "torch",
    "torchvision": "torchvision",
    "diffusers": "diffusers",
    "open_clip": "open_clip_torch",
    "peft": "peft",
    "huggingface_hub": "huggingface_hub",
    "compressai": "compressai",
    "accelerate": "accelerate",
    "onnx": "onnx",
    "pydantic": "pydantic",
    "tomlkit": "tomlkit",
    "pytorch_msssim": "pytorch-msssim",
    "fsspec": "fsspec",
    "ray": "ray",
    "raptorq": "raptorq",
    "pillow_heif": "pillow-heif",
}


def available(module: str) -> bool:
    return find_spec(module) is not None


def require(what: str, *modules: str) -> None:
    """OsdError that names the packages to install, unless all modules are there."""
    missing = [PACKAGES[name] for name in modules if find_spec(name) is None]
    if missing:
        raise OsdError(f"{what} needs packages that are not installed: pip install {' '.join(missing)}")
