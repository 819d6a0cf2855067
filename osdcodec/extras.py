"""What the default install leaves out, and the extra of osdc that brings it."""

from importlib.util import find_spec
from pathlib import Path

from .errors import PackageError

# Module -> the extra that has it
EXTRAS = {
    "torch": "gpu",
    "torchvision": "gpu",
    "diffusers": "gpu",
    "open_clip": "gpu",
    "huggingface_hub": "pull",
    "peft": "turbo",
    "accelerate": "train",
    "onnx": "train",
    "pydantic": "train",
    "tomlkit": "train",
    "bjontegaard": "eval",
    "matplotlib": "eval",
    "piq": "eval",
    "pytorch_msssim": "eval",
    "pillow_jxl": "eval",
    "pillow_heif": "heic",
    "raptorq": "packets",
    "fsspec": "urls",
    "openvino": "fast",
    "ray": "ray",
}
_HAVE = {"turbo": {"gpu", "pull"}, "train": {"gpu", "pull", "turbo"}, "eval": {"gpu"}}  # extras that bring others


def available(module: str) -> bool:
    return find_spec(module) is not None


def install(*modules: str) -> str:
    """The command that brings these modules."""
    extras = {EXTRAS[name] for name in modules}
    wanted = extras - {brought for extra in extras for brought in _HAVE.get(extra, ())}
    return f"pip install 'osdc[{','.join(sorted(wanted))}]'"


def require(what: str, *modules: str) -> None:
    """PackageError that says how to install them, unless all modules are there."""
    missing = [name for name in modules if not available(name)]
    if missing:
        raise PackageError(f"{what} needs packages that are not installed ({', '.join(missing)}): {install(*missing)}")


def gpu_here() -> bool:
    """Whether this machine has a GPU that torch might use; asks no library, for that takes seconds."""
    return any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/dxg"))


def unused_gpu() -> str:
    """What a person should hear of a GPU that nothing here can use, "" if there is none."""
    return (
        f"a GPU is here, and unused: {install('torch')} lets osdc work on it"
        if gpu_here() and not available("torch")
        else ""
    )
