import hashlib
import pickle
import signal
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from osdcodec import cache, effort
from osdcodec.container import pack, unpack

EXAMPLES = Path(__file__).parents[1] / "examples"
ALEXNET = [(3, 64, 11), (64, 192, 5), (192, 384, 3), (384, 256, 3), (256, 256, 3)]
WIDTHS = {"alexnet": (64, 192, 384, 256, 256), "vgg16": (64, 128, 256, 512, 512)}
CONFIG = """
[tower]
batch = 8
learning_rate = 1e-3
weight_decay = 0.1
[autoencoder]
pictures = 5
batch = 2
crop = 64
learning_rate = 1e-3
weight_decay = 0.0
latent_noise = 0.1
losses = { mse = 38.0, perceptual = 0.0 }
[codec]
pictures = 6
seed = 2
rate_factors = { prior = 3.0 }
crops = [[2, 192], [1, 192]]
learning_rate = 5e-4
weight_decay = 0.0
bpp = [0.024, 0.044, 0.065, 0.091, 0.12]
rate = [14.0, 8.0, 4.5, 2.5, 1.4]
steer = 0.005
adversary = { weight = 0.1, start = 0.3 }
[codec.losses]
mse = [30.0, 32.0, 34.0, 36.0, 38.0]
coarse = 4.0
relay = 0.5
ms_ssim = [3.0, 2.5, 2.0, 1.5, 1.0]
local_contrast = [3.0, 2.5, 2.0, 1.5, 1.0]
grid_artefacts = 100.0
perceptual = { weight = 1.0, share = 0.5, start = 0.3, stages = 2 }
[prior]
residual_gain = 1.0
pictures = 4
batch = 1
crop = 128
learning_rate = 3e-4
weight_decay = 0.0
[gain_tuning]
share = [0.0, 0.0, 0.0, 0.5, 1.0]
crop = 192
learning_rate = 4e-3
weight_decay = 0.0
[gain_tuning.losses]
mse = [10.0, 10.0, 10.0, 10.0, 10.0]
ms_ssim = [1.0, 1.0, 1.0, 1.0, 1.0]
local_contrast = [5.0, 5.0, 5.0, 5.0, 5.0]
[export]
pictures = 3
"""


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
    from tiny_turbo import TINY

    from osdcodec.profile import PROFILES

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROFILES, "turbo", TINY)
        patch.delenv("OSDC_WEIGHTS", raising=False)
        yield


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder of weights with both of profile turbo's base models, tiny and random."""
    from tiny_turbo import lay_out

    folder = tmp_path_factory.mktemp("weights")
    lay_out(folder)
    return folder


@pytest.fixture(scope="session")
def photo() -> Image.Image:
    """A real photograph, RGB, 256x192."""
    path = next(p for p in sorted(EXAMPLES.iterdir()) if "astronaut" in p.name)
    return Image.open(path).convert("RGB").resize((256, 192), Image.Resampling.LANCZOS)


def screen() -> Image.Image:
    """A window of a computer: a dark bar, lines of words on white, a button."""
    picture = Image.new("RGB", (800, 600), "white")
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, 799, 47), (36, 41, 47))
    draw.text((20, 16), "Files    Search    Settings    Help", "white", ImageFont.load_default(14))
    for line in range(8):
        draw.text(
            (240, 90 + 22 * line),
            "The quick brown fox jumps over the lazy dog. " * 2,
            (30, 30, 30),
            ImageFont.load_default(13),
        )
    draw.rectangle((240, 300, 420, 340), (9, 105, 218))
    draw.line((200, 48, 200, 599), (208, 215, 222), 2)
    return picture


def without_flat_background(data: bytes) -> bytes:
    """The same file, that names no flat background and has no other section."""
    return pack(replace(unpack(data), sections=()))


def hears_signals() -> None:
    """In the child: a background job of a shell would pass on that SIGINT is ignored, nohup that SIGHUP is."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
