"""The large profile on tiny random pretrained models, in the layout in which SD-Turbo and open_clip publish theirs."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from helpers.pictures import EXAMPLES
from helpers.tiny_turbo import TINY
from PIL import Image
from typer.testing import CliRunner

from osdcodec import container, weights
from osdcodec.cli import app
from osdcodec.codec import Decoder, Encoder
from osdcodec.errors import WeightsError
from osdcodec.latent.coder import decode_symbols
from osdcodec.maintenance.benchmarks import budgets, gpu
from osdcodec.maintenance.experiments.gpu_needs import Peak
from osdcodec.models import CodecModel, turbo
from osdcodec.models.tiling import by_tiles
from osdcodec.models.transforms import Synthesis
from osdcodec.options import EncodeOptions
from osdcodec.profile import TURBO
from osdcodec.runtime.torch import TorchRuntime
from osdcodec.training.__main__ import main
from osdcodec.training.recipe import Run, read
from osdcodec.training.turbo import STAGES
from osdcodec.training.turbo.pixels import Pixels
from osdcodec.training.turbo.relay import Relay
from osdcodec.training.turbo.stages import Batch
from osdcodec.weights import downloads
from osdcodec.weights.writer import components_text, registry_text

COMMON = """
batch = 2
accumulate = 2
crop = 128
workers = 0
checkpointing = true
learning_rate = 1e-3
weight_decay = 0.0
decay = 0.99
bpp = [0.024, 0.044, 0.065, 0.091, 0.12]
rate = [8.0, 4.5, 2.8, 1.7, 1.0]
steer = 0.005
rate_factors = { prior = 3.0 }
"""
PIXELS = """
adversary = { weight = 0.1, start = 0.3 }
losses = { mse = 38.0, perceptual = 1.0, relay = 1.0, coarse = 2.0 }
"""
RELAY = "pictures = 12\nrelay = 1.0\ncoarse = 2.0\n"
CONFIG = f"[tokens]\nbatch = 2\n[relay]\n{RELAY}{COMMON}\n[pixels]\n{COMMON}{PIXELS}\n[export]\npictures = 2\n"
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tiny_profile")]


@pytest.fixture(scope="module")
def model(home) -> CodecModel:
    torch.manual_seed(1)
    return CodecModel(TINY, lambda name: downloads.folder_of(name, home))


@pytest.fixture(scope="module")
def trained(home, tmp_path_factory) -> Path:
    """The folder of weights after three steps of every stage."""
    data = tmp_path_factory.mktemp("data")
    (data / "train").symlink_to(EXAMPLES)
    (data / "config.toml").write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OSDC_WEIGHTS", str(home))
        arguments = ["--profile", "turbo", "--data", str(data), "--out", str(home)]
        main([*arguments, "--config", str(data / "config.toml"), "--steps", "3", "--cpu"])
    return home


def test_the_real_sizes_are_the_published_ones():
    with torch.device("meta"):
        real = CodecModel(TURBO)
        whole = turbo.clip_tower(None)

    def million(network: torch.nn.Module, of_pretrained: bool = True) -> float:
        named = network.named_parameters()
        return (
            sum(p.numel() for name, p in named if (".lora_" not in name and ".extra." not in name) == of_pretrained)
            / 1e6
        )

    assert million(real.denoiser.unet) == pytest.approx(866, abs=0.5)
    assert million(real.autoencoder.vae) == pytest.approx(84, abs=0.5)
    projection = 1.31072  # CLIP's last layer, into the space that it shares with text: not used, but counted in 632 M
    assert million(whole) + projection == pytest.approx(632, abs=0.5)
    assert real.autoencoder.scale == 0.18215
    ranks = {p.shape[0] for name, p in real.denoiser.named_parameters() if "lora_A" in name}
    assert ranks == {32}
    assert {p.shape[0] for name, p in real.autoencoder.named_parameters() if "lora_A" in name} == {16}
    with torch.device("meta"):
        y, hyper, _ = real.analyse(torch.zeros(1, 3, 512, 768), torch.zeros(1, 3, 224, 224))
    assert y.shape == (1, 256, 8, 12) and hyper.shape == (1, 32, 2, 3)


def test_only_what_is_no_base_model_is_trained(model):
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad != turbo.of_pretrained(name), name


def test_untrained_the_networks_are_the_published_ones(model, home):
    vae, unet = turbo.diffusion_model(home / "sd-turbo", TINY)
    x, z, n = torch.rand(1, 3, 64, 64) * 2 - 1, torch.randn(1, 4, 16, 16), torch.tensor([200.0])
    condition, words = torch.randn(1, 4, 16, 16), torch.randn(1, 4, 32)
    with torch.no_grad():
        ours = model.denoiser.predict(z, torch.randn_like(z), condition, words, n)
        theirs = unet(z, n, model.denoiser.words(words)).sample
        assert torch.allclose(ours, theirs, atol=1e-5)
        assert torch.allclose(model.autoencoder.encode(x), vae.encode(x).latent_dist.mode() * 0.18215, atol=1e-6)
        assert torch.allclose(model.autoencoder.decode(z), vae.decode(z / 0.18215).sample, atol=1e-5)


def test_the_schedule_is_the_published_one(home, tmp_path):
    scheduler = DDIMScheduler.from_pretrained(home / "sd-turbo", subfolder="scheduler")
    assert TINY.alpha_bar(249) == pytest.approx(scheduler.alphas_cumprod[249].item(), rel=1e-5)
    for part in ("unet", "vae"):
        (tmp_path / part).symlink_to(home / "sd-turbo" / part)
    (tmp_path / "scheduler").mkdir()
    told = json.loads((home / "sd-turbo/scheduler/scheduler_config.json").read_text())
    (tmp_path / "scheduler/scheduler_config.json").write_text(json.dumps(told | {"prediction_type": "v_prediction"}))
    with pytest.raises(ValueError, match="noise schedule"):
        turbo.diffusion_model(tmp_path, TINY)


def test_one_step_with_the_right_noise_gives_the_latent(model, monkeypatch):
    """z_N = sqrt(abar) z + sqrt(1 - abar) (eps + rho e), so a perfect prediction leads to z, wherever z_c lies."""
    z, z_c, noise, alpha_bar = (
        torch.randn(1, 4, 8, 8),
        torch.randn(1, 4, 8, 8),
        torch.randn(1, 4, 8, 8),
        torch.tensor(0.6),
    )
    monkeypatch.setattr(model.denoiser, "predict", lambda *_: noise + (0.6 / 0.4) ** 0.5 * (z_c - z))
    z_hat = model.denoiser(z_c, torch.zeros(1), torch.zeros(1), noise, torch.zeros(1), alpha_bar)
    assert torch.allclose(z_hat, z, atol=1e-5)


def test_the_codec_begins_as_the_principal_components_of_the_latent():
    profile = replace(TINY, latent_channels=TURBO.latent_channels)  # as many as there are, so nothing is lost
    latents = torch.randn(100, 4, 16, 16).cumsum(2).cumsum(3)
    analysis, synthesis = turbo.TurboAnalysis(profile), Synthesis(profile)
    turbo.start_linear(analysis, synthesis, latents)
    with torch.no_grad():
        y = analysis(latents, torch.zeros(100, 3, 128, 128), torch.zeros(100, 4, 32))
        z_c, _ = synthesis(y, torch.zeros(100, 4, 32))
    assert torch.allclose(z_c, latents, atol=1e-3)
    spread = y.std((0, 2, 3))
    assert (spread[:-1] > 0.99 * spread[1:] - 1e-4).all() and y.mean((0, 2, 3)).abs().max() < 1e-3


@pytest.mark.parametrize("stage", [Relay, Pixels])
def test_every_adapter_and_codec_layer_learns(model, stage, tmp_path):
    (tmp_path / "config.toml").write_text(CONFIG.replace("checkpointing = true", "checkpointing = false"))
    _, recipes = read(tmp_path / "config.toml", TINY, STAGES)
    model.semantics.open()
    made = stage(Run(TINY, recipes[stage.__name__.lower()], tmp_path, tmp_path, None), model)
    made.done = 0.5
    loss, record = made(Batch(torch.rand(2, 3, 64, 64) * 2 - 1, torch.tensor([20.0, 230.0])))
    loss.backward()
    assert record["bpp"].shape == (2,)
    still = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    model.zero_grad()
    assert not still  # several processes wait for each other's gradients of all of them


def test_adapters_can_be_added_to_the_weights(home):
    model = CodecModel(TINY, lambda name: downloads.folder_of(name, home))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.1)
    x, z, n = torch.rand(1, 3, 64, 64) * 2 - 1, torch.randn(1, 4, 8, 8), torch.tensor([200.0])
    inputs = z, z, torch.zeros(1, 4, 8, 8), torch.zeros(1, 4, 32), n
    with torch.no_grad():
        before, seen, published = (
            model.denoiser.predict(*inputs),
            model.autoencoder.observe(x),
            model.autoencoder.encode(x),
        )
        assert not torch.allclose(seen, published, atol=1e-4)
        turbo.merged(model)
        assert torch.allclose(model.denoiser.predict(*inputs), before, atol=1e-4)
        assert torch.allclose(model.autoencoder.observe(x), seen, atol=1e-5)
    assert not any("lora" in name for name in model.state_dict())


def test_tiles_of_what_does_not_depend_on_its_surroundings_are_the_whole():
    x, y = torch.randn(1, 2, 37, 50), torch.randn(1, 3, 37, 50)
    joined = by_tiles(lambda a, b: torch.cat([a, b], 1), (x, y), 16, 6)
    assert torch.allclose(joined, torch.cat([x, y], 1), atol=1e-6)
    up = by_tiles(lambda a: a.repeat_interleave(8, 2).repeat_interleave(8, 3), (x,), 16, 8, Fraction(8))
    assert torch.allclose(up, x.repeat_interleave(8, 2).repeat_interleave(8, 3), atol=1e-6)
    down = by_tiles(lambda a: torch.nn.functional.avg_pool2d(a, 8), (up,), 128, 64, Fraction(1, 8))
    assert torch.allclose(down, x, atol=1e-5)
    sizes = []
    by_tiles(lambda a: (sizes.append(a.shape[2:]), a)[1], (torch.zeros(1, 1, 16, 50),), 16, 6)
    assert set(sizes) == {(16, 16)} and len(sizes) == 5


def test_tiles_that_disagree_fade_into_each_other():
    """A norm or an attention sees a tile, not the picture: where that shifts a tile by 1, neighbours differ by 1/8 or so."""
    shifts = iter([0.0, 1.0, 0.0, 1.0, 0.0, 1.0])
    joined = by_tiles(lambda a: a + next(shifts), (torch.zeros(1, 1, 24, 90),), 32, 8, Fraction(1))
    assert joined.min() == 0 and joined.max() == 1
    assert joined.diff(dim=3).abs().max() < 1.5 / 8 and joined.diff(dim=2).abs().max() == 0


def test_a_picture_in_tiles_is_nearly_that_in_one_piece(model, monkeypatch):
    """RMSE below 2 % of the range, in tiles of 192 pixels (the real ones have 1024); whole up to the size of a tile."""
    photo = Image.open(EXAMPLES / "coffee.png").convert("RGB").resize((384, 256))
    x = torch.from_numpy(np.asarray(photo, np.float32).transpose(2, 0, 1).copy())[None] / 127.5 - 1
    with torch.no_grad():
        z = model.autoencoder.encode(x)
        whole = model.autoencoder.decode(z)
        monkeypatch.setattr(turbo, "TILE", 24)
        monkeypatch.setattr(turbo, "OVERLAP", 8)
        tiled, z_tiled = model.autoencoder.decode(z), model.autoencoder.encode(x)
        monkeypatch.setattr(turbo, "TILE", 48)
        assert torch.equal(model.autoencoder.decode(z), whole)
    for one, other in ((tiled, whole), (z_tiled, z)):
        assert 0 < (one - other).square().mean().sqrt() < 0.02 * (other.amax() - other.amin())


def test_training_leaves_a_model_that_makes_a_round_trip(trained, photo):
    for stage in ("relay", "pixels"):
        state = torch.load(trained / f"{stage}.pt", weights_only=True)
        assert state["steps"] == 3
        assert not any(turbo.of_pretrained(name) for name in state["learned"])
        record = json.loads((trained / f"{stage}.jsonl").read_text().splitlines()[-1])
        assert record["step"] == 3 and np.isfinite(list(record.values())).all()
    assert "discriminator_loss" in record
    encoder, decoder = (
        kind(device="cpu", weights_dir=trained) for kind in (lambda **o: Encoder("turbo", **o), Decoder)
    )
    picture = photo.resize((150, 100))
    osd, symbols = encoder.coder.code(picture, EncodeOptions(lmbda=0.3, effort=0))
    assert decode_symbols(osd, encoder.coder.prior) == symbols
    data = encoder.encode(picture, 0.3)
    assert container.unpack(data).payload == osd.payload
    assert decoder.decode(data).size == (150, 100)
    other = [np.asarray(decoder.decode(data, seed=seed)) for seed in (1, 1, 2)]
    assert np.array_equal(*other[:2]) and not np.array_equal(*other[1:])


def test_a_finished_stage_resumes_without_another_step(trained, tmp_path, monkeypatch):
    monkeypatch.setenv("OSDC_WEIGHTS", str(trained))
    (tmp_path / "train").symlink_to(EXAMPLES)
    (tmp_path / "config.toml").write_text(CONFIG)
    before = torch.load(trained / "relay.pt", weights_only=True)
    arguments = ["relay", "--profile", "turbo", "--data", str(tmp_path), "--out", str(trained), "--steps", "3", "--cpu"]
    main([*arguments, "--config", str(tmp_path / "config.toml")])
    after = torch.load(trained / "relay.pt", weights_only=True)
    for one, other in zip(before["average"]["shadow_params"], after["average"]["shadow_params"], strict=True):
        assert torch.equal(one, other)
    assert all(torch.equal(tensor, after["learned"][name]) for name, tensor in before["learned"].items())


def test_a_decoder_needs_no_clip(trained, tmp_path, photo):
    data = Encoder("turbo", device="cpu", weights_dir=trained).encode(photo.resize((64, 64)))
    for name in ("weights.toml", "turbo.safetensors", "sd-turbo"):
        (tmp_path / name).symlink_to(trained / name)
    assert Decoder(device="cpu", weights_dir=tmp_path).decode(data).size == (64, 64)
    with pytest.raises(WeightsError, match="clip-vit-h-14"):
        Encoder("turbo", device="cpu", weights_dir=tmp_path).encode(photo.resize((64, 64)))


def test_many_threads_share_one_model(trained, photo):
    encoder = Encoder("turbo", device="cpu", weights_dir=trained)
    pictures = [photo.resize((64, side)) for side in (64, 80, 130)]
    alone = [encoder.encode(picture) for picture in pictures]
    fresh = Encoder("turbo", device="cpu", weights_dir=trained)  # whose tower nobody has loaded yet
    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(fresh.encode, pictures)) == alone


def test_half_precision_gives_nearly_the_same_picture(trained, photo):
    loaded = weights.load("turbo", trained)
    full, half = TorchRuntime(loaded, "cpu"), TorchRuntime(loaded, "cpu", half=True)
    random = np.random.default_rng(5)
    y_hat, tokens = random.normal(0, 2, (1, 32, 1, 1)).astype(np.float32), np.zeros((1, 4), np.int64)
    noise, pictures = random.normal(0, 1, (1, 4, 8, 8)).astype(np.float32), []
    for runtime in (full, half):
        z_c, condition = runtime.synthesise(y_hat, tokens)
        pictures.append(runtime.render(runtime.denoise(z_c, condition, tokens, noise, 200)))
    assert pictures[1].dtype == np.float32
    assert np.abs(pictures[0] - pictures[1]).max() < 0.02 * np.ptp(pictures[0])


def test_the_table_of_times_has_both_profiles_and_the_baselines(home):
    model = CodecModel(TINY, lambda name: downloads.folder_of(name, home))
    small = weights.load("small")
    rows = gpu.measure(model, small, "cpu", width=128, height=64, steps=2, repeats=1, compiled=False)
    assert {what.split()[0] for what, *_ in rows} == {"2", "1", "turbo", "small"}
    assert all(measured > 0 for _, measured, _, _ in rows) and len(rows) == 12


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is available")
def test_the_table_of_times_wants_a_gpu():
    with pytest.raises(SystemExit) as ended:
        budgets.main(["--device", "cuda"])
    assert "no CUDA device" in ended.value.code and "\n" not in ended.value.code  # a text as code: stderr, and exit 1


def test_memory_is_counted_while_tensors_live():
    with Peak() as peak:
        a = torch.zeros(1000)
        b = a + 1
        del a
        c = b[:500] * 2  # 2000 bytes more, where 4000 have gone
    assert peak.bytes == 8000 and len(c) == 500


def test_a_release_keeps_the_listed_base_models(tmp_path):
    listed = downloads.components()
    registry = tmp_path / "weights.toml"
    registry.write_text((Path(__file__).parents[1] / "weights.toml").read_text("utf-8"), "utf-8")
    for _ in range(2):
        registry.write_text(registry_text([]) + components_text(registry), "utf-8")
    assert downloads.components(None, registry) == listed and {c.name for c in listed} >= {"sd-turbo", "clip-vit-h-14"}


def test_untrained_it_says_how_to_train_it(home, tmp_path, photo):
    photo.save(tmp_path / "photo.png")
    for folder in ([], ["--weights-dir", str(tmp_path)]):
        done = CliRunner().invoke(app, ["encode", str(tmp_path / "photo.png"), "--profile", "turbo", *folder])
        assert done.exit_code == 4
        assert len(done.stderr.splitlines()) == 1 and "python -m osdcodec.training --profile turbo" in done.stderr
    assert not (tmp_path / "photo.osd").exists()


def test_training_without_base_models_says_where_they_come_from(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("OSDC_WEIGHTS", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        main(["tokens", "--profile", "turbo", "--data", str(tmp_path), "--out", str(tmp_path), "--steps", "1", "--cpu"])
    assert ended.value.code == 4 and "osdc weights pull turbo" in capsys.readouterr().err
