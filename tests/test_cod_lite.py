"""Profile cod-lite: the authors' numbers, conversion of checkpoints, choice of rates, bands, and all that files can do."""

import http.server
import io
import json
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.hub import Hub
from helpers.public_cod_lite import SIZES, noise, picture, recorded, shapes, state
from PIL import Image
from typer.testing import CliRunner

from osdcodec import (
    Decoder,
    Encoder,
    FormatError,
    InputError,
    Target,
    TargetError,
    WeightsError,
    container,
    info,
    weights,
)
from osdcodec.cli import app
from osdcodec.cod_lite.bands import Bands, moments
from osdcodec.cod_lite.coder import CodLiteModel, CodLiteSymbolCoder, nearest
from osdcodec.cod_lite.install import install
from osdcodec.cod_lite.runtime import GraphNetworks, TorchNetworks, open_networks
from osdcodec.cod_lite.sizes import Sizes, nearest_rate
from osdcodec.image import open_image
from osdcodec.runtime import Machine, choose
from osdcodec.weights.downloads import Component

pytestmark = pytest.mark.slow

torch = pytest.importorskip("torch")
from osdcodec.cod_lite import checkpoint, graphs, networks  # noqa: E402

TINY = Sizes(
    stride=16,
    entries=16,
    dimension=6,
    encoder_width=32,
    width=32,
    blocks=2,
    pixel_width=5,
    pixel_blocks=2,
    bottleneck=7,
)
# Of `tests/helpers/public_cod_lite.py GenCodec/CoD_Lite`, with torch 2.14.1 on the CPU: the packed indices, and some of the pixels.
PUBLIC = {
    "0.0312": (
        "fcfc64fcf6fcd0fcfcfcfcfcd0d0fc33fcfcfcfcfcfcfcfca1fcfcf6d0fcd0fcd0f6f66464f6f664646402d0d0d0fcd03a64646464d0646464"
        "64f6d05ed0f6cb6499a164fc0264643a643a64d9fc0299fc026464023a02fc643a64fc02cc64fcfc3acc",
        [
            -0.27264,
            1.59682,
            0.18104,
            0.08209,
            -0.73663,
            0.25534,
            0.69448,
            0.51006,
            1.2692,
            0.69887,
            0.62307,
            -0.23826,
            0.6999,
        ],
    ),
    "0.0039": (
        "2c6262",
        [
            2.2554,
            0.18733,
            1.15551,
            1.61328,
            1.56994,
            -0.08784,
            1.57323,
            2.1023,
            1.46053,
            -0.21371,
            -0.48794,
            2.11975,
            1.07898,
        ],
    ),
}


def tensors(sizes: Sizes, seed: int = 0) -> dict[str, "torch.Tensor"]:
    return {name: torch.from_numpy(value) for name, value in state(sizes, seed).items()}


def saved(folder: Path, sizes: Sizes, rate: str, seed: int = 0, recipe: str | None = None) -> Component:
    """A checkpoint in the form that is published, and what a list says of it."""
    name = f"CoD_Lite_bpp_{rate.replace('.', '_')}"
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(
        {"state_dict": {f"net.{key}": value for key, value in tensors(sizes, seed).items()}}, folder / f"{name}.pt"
    )
    settings = {"noise_level": sizes.noise_level, "pred": "v" if sizes.adds_noise else "x", "up2x": True, "light": True}
    text = recipe if recipe is not None else json.dumps({"model": {"net": {"init_args": settings}}})  # JSON is YAML
    (folder / f"{name}.yaml").write_text(text)
    files = {f"{name}.pt": "", f"{name}.yaml": ""}
    return Component(f"cod-lite-{rate}", ("cod-lite",), "who/what", "main", files, "MIT", rate=rate)


@pytest.fixture(scope="session")
def home(tmp_path_factory) -> Path:
    """A folder with four converted models of tiny sizes: one of each stride, that of stride 32 with noise."""
    folder = tmp_path_factory.mktemp("cod-lite")
    for rate, changes in (
        ("0.0039", {"stride": 32, "noise_level": 0.5, "adds_noise": True}),
        ("0.0156", {}),
        ("0.125", {"stride": 8, "entries": 256}),
        ("0.5", {"stride": 4, "entries": 256}),
    ):
        install(saved(folder, replace(TINY, **changes), rate), folder, folder)
    return folder


@pytest.fixture(scope="session")
def encoder(home) -> Encoder:
    return Encoder("cod-lite", "cpu", home)


@pytest.fixture(scope="session")
def decoder(home) -> Decoder:
    return Decoder("cpu", home)


@pytest.fixture(scope="session")
def coders(home) -> dict[str, CodLiteModel]:
    found = weights.rates("cod-lite", home)
    return {f"{rate:.4f}": CodLiteModel(weights.for_model(found[rate], home), Machine("cpu")) for rate in found}


@pytest.mark.parametrize("rate", SIZES)
def test_indices_and_pixels_are_those_of_the_authors_code(rate):
    """At the published sizes, with every tensor filled at random, and the same noise; in torch and through ONNX."""
    sizes, public = SIZES[rate], tensors(SIZES[rate])
    model = checkpoint.networks(sizes, public)
    codebook = public["y_embedder.bottleneck.embedding.weight"]
    packed, pixels = PUBLIC[rate]
    bits = sizes.entries.bit_length() - 1
    unpacked = np.unpackbits(np.frombuffer(bytes.fromhex(packed), np.uint8)).reshape(-1, bits)
    file = weights.Weights(None, checkpoint.weights_file(sizes, codebook, model), {}, b"", Path("here"))
    file.graphs.update({name[6:]: value.tobytes() for name, value in file.tensors.items() if name.startswith("graph.")})
    assert sum(value.numel() for value in model.state_dict().values()) > 70e6
    for runtime in (GraphNetworks(file, sizes, choose("cpu")), TorchNetworks(file, sizes)):
        features = runtime.analyse(picture(rate))
        indices = nearest(features[0], codebook.numpy())
        assert np.array_equal(indices.ravel(), unpacked @ (1 << np.arange(bits)[::-1]))
        entries = codebook.numpy()[indices].transpose(2, 0, 1)[None].copy()
        made = runtime.synthesise(entries, [noise(rate)] if sizes.noise_level else [])
        assert np.abs(np.array(recorded(made)) - pixels).max() < 1e-4


def test_half_precision_on_a_cpu_is_near(coders):
    coder = coders["0.0156"]
    features = np.random.default_rng(0).random((1, coder.sizes.dimension, 6, 4), np.float32)
    half = open_networks(coder.weights, coder.sizes, Machine("cpu-bf16")).synthesise(features)
    whole = coder.networks.synthesise(features)
    assert 0 < (half - whole).std() < 0.05 * whole.std()


def test_sizes_follow_from_the_shapes():
    for stride, entries in ((32, 16), (32, 256), (16, 16), (16, 256), (8, 256), (4, 256)):
        sizes = Sizes(stride=stride, entries=entries)
        meta = {name: torch.empty(shape, device="meta") for name, shape in shapes(sizes).items()}
        assert checkpoint.sizes_of(meta, {}) == sizes
    rates = [Sizes(stride=d, entries=v).bpp for d, v in ((32, 16), (32, 256), (16, 16), (16, 256), (8, 256), (4, 256))]
    assert [f"{rate:.4f}" for rate in rates] == ["0.0039", "0.0078", "0.0156", "0.0312", "0.1250", "0.5000"]


@pytest.mark.parametrize(
    ("lmbda", "rate"),
    [(2, 1 / 64), (1.5, 1 / 64), (1.4, 1 / 32), (1, 1 / 32), (0.6, 1 / 32), (0.4, 1 / 8), (0.2, 1 / 8), (0.1, 1 / 2)],
)
def test_lambda_chooses_the_rate(lmbda, rate):
    assert nearest_rate(lmbda, [4 / 32**2, 8 / 32**2, 4 / 16**2, 8 / 16**2, 8 / 8**2, 8 / 4**2]) == rate
    assert nearest_rate(lmbda, [4 / 32**2]) == 4 / 32**2  # if there is no other


@pytest.mark.parametrize("rate", ["0.0039", "0.0156", "0.1250", "0.5000"])
def test_bands_make_no_difference(coders, home, rate):
    """The whole picture through torch, and by bands of a row or two through the graphs; at 1/4 and 1/8 windows are cut too."""
    coder, random = coders[rate], np.random.default_rng(0)
    sizes = coder.sizes
    height, width = sizes.multiple * 3, sizes.multiple * 10
    whole = TorchNetworks(coder.weights, sizes)
    runtime = coder.networks.sessions
    bands = Bands(sizes, runtime.run, coder.weights.tensors, band=2**10, whole=0)
    x = random.random((1, 3, height, width), np.float32)
    features = whole.analyse(x)
    assert features.shape == (1, sizes.dimension, height // sizes.stride, width // sizes.stride)
    assert np.abs(bands.analyse(x) - features).max() < 1e-4 * np.abs(features).max()
    noise = [random.standard_normal(x.shape, np.float32)] if sizes.noise_level else []
    made = whole.synthesise(features, noise)
    assert made.shape == x.shape
    assert np.abs(bands.synthesise(features, *noise) - made).max() < 1e-4 * np.abs(made).max()


@pytest.mark.parametrize("rate", ["0.0039", "0.0156"])
@pytest.mark.parametrize(("half", "tolerance"), [(False, 1e-4), (True, 2**-7)])
def test_pixels_in_parts_make_no_difference(coders, rate, half, tolerance):
    """On a CPU torch runs the layers of each pixel over so many at once as a cache holds; here over fewer than a patch and a half."""
    coder, random = coders[rate], np.random.default_rng(0)
    sizes, networks = coder.sizes, TorchNetworks(coder.weights, coder.sizes, half=half)
    features = random.random((1, sizes.dimension, 2, 3), np.float32)
    shape = 1, 3, 2 * sizes.stride, 3 * sizes.stride
    noise = [random.standard_normal(shape, np.float32)] if sizes.noise_level else []
    assert networks.model.pixels.part == 64 * 256
    made = {}
    for networks.model.pixels.part in (None, 300):
        made[networks.model.pixels.part] = networks.synthesise(features, noise)
    assert made[None].shape == shape
    assert np.abs(made[300] - made[None]).max() < tolerance * np.abs(made[None]).max()


def test_moments_of_many_values_far_from_zero():
    values = np.random.default_rng(0).normal(1000, 0.1, 2**20).astype(np.float32)
    mean, variance = moments(values)
    assert mean == pytest.approx(values.astype(np.float64).mean(), rel=1e-6)
    assert variance == pytest.approx(values.astype(np.float64).var(), rel=1e-3)


def test_progress_ends_with_the_work(encoder, decoder, photo):
    heard = []
    data = encoder.encode(photo, progress=heard.append)
    assert heard == sorted(heard) and heard[-1] == 1
    heard.clear()
    decoder.decode(data, progress=heard.append)
    assert heard == sorted(heard) and heard[-1] == 1


@pytest.mark.parametrize("size", [(1, 1), (17, 5), (33, 64), (256, 192)])
@pytest.mark.parametrize("lmbda", [2, 0.1])
def test_pictures_of_any_size_go_there_and_back(encoder, decoder, photo, size, lmbda):
    picture = photo.resize(size)
    data = encoder.encode(picture, lmbda)
    shown = decoder.decode(data)
    assert shown.size == size and shown.mode == "RGB"
    assert decoder.decode(data).tobytes() == shown.tobytes()


def test_a_file_takes_its_rate_and_a_frame(encoder, photo):
    for lmbda, bits, count in ((2, 4, 16 * 12), (0.1, 8, 64 * 48)):
        data = encoder.encode(photo, lmbda)
        assert len(data) <= bits * count // 8 + 3 + 18


def test_the_quality_is_that_of_the_model(encoder, home):
    data = encoder.encode(Image.new("RGB", (20, 20)), 0.1)
    osd = container.unpack(data)
    assert osd.quality == 0
    code = CodLiteSymbolCoder(weights.for_model(osd.model_id, home))
    with pytest.raises(FormatError, match="quality"):
        code.symbols(replace(osd, quality=1))
    with pytest.raises(FormatError, match="payload"):
        code.symbols(replace(osd, payload=osd.payload[:-3]))


def test_a_size_chooses_among_the_rates(encoder, photo):
    rates = {0.005: None, 0.01: 1 / 256, 0.03: 1 / 64, 9: 1 / 2}
    for bpp, rate in rates.items():
        if rate is None:
            with pytest.raises(TargetError, match=r"smallest rate that is here, 0\.0039"):
                encoder.encode(photo, target=Target(bpp=bpp))
        else:
            data = encoder.encode(photo, target=Target(bpp=bpp))
            assert rate <= 8 * len(data) / (256 * 192) <= bpp
    data = encoder.encode(photo, target=Target(max_bytes=800))
    assert 768 <= len(data) <= 800


def test_sizes_are_known_beforehand(encoder, photo):
    for size, lmbda in zip(encoder.sizes(open_image(photo), [2, 0.1]), [2, 0.1], strict=True):
        assert size - 3 <= len(encoder.encode(photo, lmbda)) <= size


def test_a_similarity_chooses_among_the_rates(home, photo):
    """Networks of random numbers resemble nothing: the largest rate is taken, as the best there is."""
    encoder = Encoder("cod-lite", "cpu", home)
    encoder.coder.ids = {rate: name for rate, name in encoder.coder.ids.items() if rate < 1 / 4}
    photo = photo.resize((176, 176))
    assert len(encoder.encode(photo, target=Target(ms_ssim=0.99))) == 22 * 22 + 3 + 18
    with pytest.raises(InputError, match="MS-SSIM needs sides"):
        encoder.encode(photo.resize((64, 64)), target=Target(ms_ssim=0.5))


def test_what_it_does_not_do_is_said_in_a_line(encoder, decoder, photo):
    with pytest.raises(InputError, match="leave `roi` out"):
        encoder.encode(photo, roi=[(0, 0, 32, 32)])
    with pytest.raises(InputError, match="leave `detail` out"):
        decoder.decode(encoder.encode(photo), detail=0.5)


def test_alpha_metadata_and_preview(encoder, decoder, photo):
    picture = photo.copy()
    picture.putalpha(Image.linear_gradient("L").resize(photo.size))
    exif = Image.Exif()
    exif[0x010F] = "camera"
    picture.info["exif"] = exif.tobytes()
    shown = decoder.decode(encoder.encode(picture, alpha="keep"))
    assert shown.mode == "RGBA" and shown.getchannel("A").tobytes() == picture.getchannel("A").tobytes()
    small = decoder.decode(encoder.encode(picture.crop((0, 0, 101, 50)), alpha="keep"), preview=True)
    assert small.size == (51, 25) and small.mode == "RGBA"


def test_the_seed_counts_where_there_is_noise(encoder, decoder, photo):
    noisy = encoder.encode(photo, target=Target(bpp=0.01))
    assert decoder.decode(noisy, seed=1).tobytes() != decoder.decode(noisy, seed=2).tobytes()
    still = encoder.encode(photo, 2)
    assert decoder.decode(still, seed=1).tobytes() == decoder.decode(still, seed=2).tobytes()


def test_info_and_list_name_the_rate(encoder, home, photo):
    data = encoder.encode(photo, 2)
    facts = info(data, weights_dir=home, parts=True)
    assert facts["profile"] == "cod-lite" and facts["rate"] == "0.0156"
    assert facts["index_bits"] == 4 * 16 * 12
    done = CliRunner().invoke(app, ["weights", "list", "--json", "--weights-dir", str(home)])
    row = next(row for row in json.loads(done.stdout) if facts["model_id"] in row["source"])
    assert row["profile"] == "cod-lite 0.0156" and row["terms"] == "MIT" and Path(row["place"]).is_file()


def test_the_command_line_codes_whole_folders(home, photo, tmp_path):
    for index in range(2):
        (tmp_path / "in").mkdir(exist_ok=True)
        photo.crop((0, 0, 90 + index, 70)).save(tmp_path / "in" / f"{index}.png")
    options = ["--weights-dir", str(home), "--quiet"]
    run = CliRunner().invoke
    coded = run(app, ["encode", str(tmp_path / "in"), "-o", str(tmp_path / "osd"), "--profile", "cod-lite", *options])
    assert coded.exit_code == 0, coded.stderr
    assert run(app, ["decode", str(tmp_path / "osd"), "-o", str(tmp_path / "out"), *options]).exit_code == 0
    assert [Image.open(tmp_path / "out" / f"{index}.png").size for index in range(2)] == [(90, 70), (91, 70)]
    told = run(app, ["info", str(tmp_path / "osd" / "0.osd"), "--weights-dir", str(home)])
    assert "cod-lite 0.0156" in told.stdout


def test_a_light_install_needs_no_torch(home, photo, tmp_path):
    photo.save(tmp_path / "in.png")
    script = (
        "import sys; from pathlib import Path\n"
        "for name in ('torch', 'diffusers', 'open_clip', 'onnx', 'yaml', 'huggingface_hub'): sys.modules[name] = None\n"
        "from osdcodec import Decoder, Encoder\n"
        f"data = Encoder('cod-lite', 'cpu', {str(home)!r}).encode({str(tmp_path / 'in.png')!r})\n"
        f"print(Decoder('cpu', {str(home)!r}).decode(data).size)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(256, 192)"


def test_two_conversions_have_one_model_id(tmp_path, home):
    """The id rests on the checkpoint alone: here it is another person's, of another day."""
    component = saved(tmp_path, TINY, "0.0156")
    made = install(component, tmp_path, tmp_path)
    [(entry, path)] = weights.models_in(tmp_path)
    assert path == made and entry["model_id"] == weights.rates("cod-lite", home)[1 / 64].hex() == "01e6a420"
    before = made.stat().st_mtime_ns
    assert install(component, tmp_path, tmp_path) == made and made.stat().st_mtime_ns == before  # once
    other = install(saved(tmp_path, TINY, "0.0156", seed=1), tmp_path, tmp_path)
    first, second = weights.models_in(tmp_path)
    assert second[1] == other != made and first[0]["model_id"] != second[0]["model_id"]


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub on this machine in place of the real one, and caches that are empty."""
    constants = pytest.importorskip("huggingface_hub").constants
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
    monkeypatch.delenv("OSDC_WEIGHTS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        server.asked, server.files = [], {}
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", constants.ENDPOINT + template)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_pull_fetches_converts_and_codes(hub, photo, tmp_path):
    """The real shapes, from a hub of random numbers, by the command; what it made then codes without being named."""
    file = io.BytesIO()
    torch.save({f"net.{name}": value for name, value in tensors(SIZES["0.0312"]).items()}, file)
    hub.files = {
        "CoD_Lite_bpp_0_0312.pt": file.getvalue(),
        "CoD_Lite_bpp_0_0312.yaml": b"model:\n  net:\n    init_args:\n      pred: x\n      up2x: true\n      light: true\n",
        "CoD_Lite_bpp_0_0039.pt": b"not fetched",
    }
    run = CliRunner().invoke
    done = run(app, ["weights", "pull", "cod-lite", "--rate", "0.0312"])
    assert done.exit_code == 0, done.stderr
    made = Path(done.stdout.strip())
    assert made.is_file() and made.parent == tmp_path / "cache" / "osdc"
    lock = json.loads((tmp_path / "hf" / "osdc.lock.json").read_text())["cod-lite-0.0312"]
    assert {name: entry["bytes"] for name, entry in lock["files"].items()} == {
        name: len(data) for name, data in hub.files.items() if "0_0312" in name
    }
    before = len(hub.asked)
    again = run(app, ["weights", "pull", "cod-lite", "--rate", "0.0312"])
    assert again.stdout == done.stdout and len(hub.asked) == before
    photo.crop((0, 0, 64, 48)).save(tmp_path / "in.png")
    coded = [
        "encode",
        str(tmp_path / "in.png"),
        "-o",
        str(tmp_path / "x.osd"),
        "--profile",
        "cod-lite",
        "--device",
        "cpu",
    ]
    assert run(app, coded).exit_code == 0
    assert (
        run(app, ["decode", str(tmp_path / "x.osd"), "-o", str(tmp_path / "x.png"), "--device", "cpu"]).exit_code == 0
    )
    assert Image.open(tmp_path / "x.png").size == (64, 48)
    assert "cod-lite 0.0312" in run(app, ["info", str(tmp_path / "x.osd")]).stdout
    refused = run(app, ["weights", "pull", "cod-lite", "--rate", "0.04"])
    assert refused.exit_code == 4 and "choose of 0.0039, 0.0078, 0.0156, 0.0312, 0.125, 0.5" in refused.stderr


class Trap:
    def __reduce__(self):
        return print, ("code from a checkpoint ran",)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("code", "not a file of tensors and nothing else"),
        ("missing", "lacks the tensor|missing"),
        ("shape", "not of the expected shape"),
        ("rate", "bits per pixel, not of 0.0312"),
        ("recipe", "up2x = False is not built here"),
        ("text", "does not tell of a network"),
    ],
)
def test_what_is_no_such_checkpoint_is_refused(tmp_path, capsys, damage, told):
    recipe = {"recipe": '{"model": {"net": {"init_args": {"up2x": false}}}}', "text": "- nothing"}.get(damage)
    component = saved(tmp_path, TINY, "0.0312" if damage == "rate" else "0.0156", recipe=recipe)
    path = next(tmp_path.glob("*.pt"))
    content = torch.load(path, weights_only=True)
    if damage == "code":
        torch.save({"state_dict": {}, "trap": Trap()}, path)
    elif damage == "missing":
        del content["state_dict"]["net.blocks.1.conv2.bias"]
    elif damage == "shape":
        content["state_dict"]["net.blocks.1.conv2.bias"] = torch.zeros(31)
    if damage in ("missing", "shape"):
        torch.save(content, path)
    with pytest.raises(WeightsError, match=told):
        install(component, tmp_path, tmp_path)
    assert capsys.readouterr().out == "" and not list(tmp_path.glob("*.safetensors"))


def test_a_model_without_an_encoder_decodes_only(tmp_path, photo, encoder):
    public = tensors(TINY)
    model = checkpoint.networks(TINY, public)
    file = checkpoint.weights_file(TINY, public["y_embedder.bottleneck.embedding.weight"], model, encodes=False)
    from safetensors.numpy import save_file

    save_file(file, tmp_path / "half.safetensors")
    entry = weights.entry(tmp_path / "half.safetensors", "cod-lite") | {"bpp": TINY.bpp}
    lines = [f"{key} = {json.dumps(value)}" for key, value in entry.items()]
    (tmp_path / "weights.toml").write_text("[[model]]\n" + "\n".join(lines))
    data = encoder.encode(photo, 2)
    whole = Decoder("cpu", tmp_path).decode(data)
    assert whole.size == photo.size
    with pytest.raises(WeightsError, match="no encoder"):
        Encoder("cod-lite", "cpu", tmp_path).encode(photo)


def test_without_weights_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match="osdc weights pull cod-lite"):
        Encoder("cod-lite")


def test_every_graph_is_small_and_holds_no_tensors(coders):
    model = networks.Networks(TINY)
    made = graphs.graphs(model)
    names = {name for _, inside in made.values() for name in inside}
    norms = {name for name in model.state_dict() if ".norm." in name and not name.startswith("pixels.")}
    assert names | norms == model.state_dict().keys()
    assert all(len(graph) < 2**16 for graph, _ in made.values())
