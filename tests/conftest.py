import hashlib
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.perceptual import ALEXNET, WIDTHS
from helpers.pictures import EXAMPLES
from helpers.training import CONFIG
from PIL import Image

from osdcodec import cache, effort


@pytest.fixture(scope="session", autouse=True)
def compiled_networks(tmp_path_factory) -> Iterator[Path]:
    """Compiled networks are shared by the tests of a session, and leave nothing behind in the user's cache."""
    folder = tmp_path_factory.mktemp("compiled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(cache.VARIABLE, str(folder))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def no_search_by_default() -> Iterator[None]:
    """Searching takes seconds a file, which tests/test_encoder_search.py is about; elsewhere it is for those who ask for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(effort.VARIABLE, "0")
        yield


@pytest.fixture(scope="session")
def perceptual_weights(tmp_path_factory) -> Path:
    """A perceptual network with random weights, in the layout of the real one."""
    path = tmp_path_factory.mktemp("perceptual") / "vgg.safetensors"
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    from osdcodec.metrics.vgg_like import PerceptualDistance

    torch.manual_seed(5)
    tensors, inputs = {}, 3
    for stage, width in enumerate(PerceptualDistance.CHANNELS):
        for conv, norm in (("0", "1"), ("3", "4")):
            tensors[f"st.{stage}.{conv}.weight"] = torch.randn(width, inputs, 3, 3) * (2 / (9 * inputs)) ** 0.5
            for key, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
                tensors[f"st.{stage}.{norm}.{key}"] = torch.full((width,), value)
            inputs = width
    save_file({key: value.half() for key, value in tensors.items()}, path)
    return path


@pytest.fixture(scope="module")
def lpips_folder(tmp_path_factory) -> Path:
    """Random weights of LPIPS and DISTS in the layout of the packages that carry the real ones, whose SHA-256 are those meant while a module of tests runs."""
    torch = pytest.importorskip("torch")
    from osdcodec.metrics import perceptual

    folder, random = tmp_path_factory.mktemp("perceptual"), np.random.default_rng(0)
    counts = zip((2, 2, 3, 3, 3), (3, *WIDTHS["vgg16"]), WIDTHS["vgg16"], strict=False)
    vgg16 = [(before if n == 0 else width, width, 3) for count, before, width in counts for n in range(count)]
    for name, sizes in (("alexnet", ALEXNET), ("vgg16", vgg16)):
        convolutions = {}
        for n, (inputs, outputs, side) in enumerate(sizes):
            kernel = random.normal(0, (2 / (inputs * side**2)) ** 0.5, (side, side, inputs, outputs)).astype(np.float32)
            convolutions[f"Conv_{n}"] = {"kernel": kernel, "bias": np.zeros(outputs, np.float32)}
        tree = {"Network_0": convolutions}
        for n, width in enumerate(WIDTHS[name]):
            tree[f"NetLinLayer_{n}"] = {"Conv_0": {"kernel": np.full((1, 1, width, 1), 1 / width, np.float32)}}
        (folder / f"{name}.ckpt").write_bytes(pickle.dumps(tree))
    channels = 3 + sum(WIDTHS["vgg16"])
    torch.save({name: torch.rand(1, channels, 1, 1) for name in ("alpha", "beta")}, folder / "weights.pt")
    with pytest.MonkeyPatch.context() as patch:
        for name, (package, file, _) in perceptual.FILES.items():
            digest = hashlib.sha256((folder / Path(file).name).read_bytes()).hexdigest()
            patch.setitem(perceptual.FILES, name, (package, file, digest))
        yield folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory, perceptual_weights) -> Path:
    """The folder that three steps of every stage leave behind."""
    from osdcodec.training.__main__ import main

    data, out = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("runs")
    (data / "perceptual").symlink_to(perceptual_weights.parent)
    (data / "train").symlink_to(EXAMPLES)
    thumbnails = data / "thumbnails"
    thumbnails.mkdir()
    (thumbnails / "classes.tsv").write_text("0\tn0\tsky, heaven\n1\tn1\tgrass\n")
    random = np.random.default_rng(0)
    with zipfile.ZipFile(thumbnails / "thumbnails.zip", "w") as archive:
        for n in range(16):
            picture = (
                random.integers(0, 99, (64, 64, 3), np.uint8) + np.array([[0, 50, 150], [0, 150, 50]], np.uint8)[n % 2]
            )
            with archive.open(f"{n % 2:03}/{n:03}.webp", "w") as file:
                Image.fromarray(picture).save(file, "WEBP")
    (data / "config.toml").write_text(CONFIG)
    main(["--data", str(data), "--out", str(out), "--config", str(data / "config.toml"), "--steps", "3", "--cpu"])
    return out


@pytest.fixture(scope="module")
def tiny_profile():
    """Profile turbo at the sizes of tiny_turbo.py, while a module of tests runs."""
    from helpers.tiny_turbo import TINY

    from osdcodec.profile import PROFILES

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROFILES, "turbo", TINY)
        patch.delenv("OSDC_WEIGHTS", raising=False)
        yield


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder of weights with both of profile turbo's pretrained models, tiny and random."""
    from helpers.tiny_turbo import lay_out

    folder = tmp_path_factory.mktemp("weights")
    lay_out(folder)
    return folder


@pytest.fixture(scope="session")
def small_photos(tmp_path_factory) -> Path:
    """A folder with one photograph, just large enough for every measure."""
    folder = tmp_path_factory.mktemp("small")
    with Image.open(EXAMPLES / "astronaut.png") as picture:
        picture.convert("RGB").resize((192, 192), Image.Resampling.LANCZOS).save(folder / "astronaut.png")
    return folder


@pytest.fixture(scope="session")
def photo() -> Image.Image:
    """A real photograph, RGB, 256x192."""
    path = next(p for p in sorted(EXAMPLES.iterdir()) if "astronaut" in p.name)
    return Image.open(path).convert("RGB").resize((256, 192), Image.Resampling.LANCZOS)
