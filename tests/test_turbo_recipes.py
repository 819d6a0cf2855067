"""The papers' recipes at the large scale, on tiny random pretrained models: the parts they switch on, and each as a codec."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.pictures import EXAMPLES
from helpers.tiny_turbo import TINY, lay_out

from osdcodec import profile
from osdcodec.codec import Decoder, Encoder
from osdcodec.errors import InputError
from osdcodec.latent.coder import decode_symbols
from osdcodec.models import CodecModel, turbo
from osdcodec.options import EncodeOptions
from osdcodec.profile import PROFILES, TURBO
from osdcodec.training import small
from osdcodec.training.__main__ import main
from osdcodec.training.recipe import Run, read
from osdcodec.training.turbo import RECIPE, STAGES
from osdcodec.training.turbo.pixels import Pixels
from osdcodec.training.turbo.relay import Relay
from osdcodec.training.turbo.stages import Batch
from osdcodec.weights import downloads

RECIPES = "onestep", "rdeic", "diffo", "sprdiff"
# What makes a recipe small: everything else is the recipe's own.
SMALLER = """
like = "{}"
[profile]
{}
[tokens]
batch = 2
[relay]
batch = 2
accumulate = 2
crop = 128
workers = 0
pictures = 12
[pixels]
batch = 2
accumulate = 2
crop = 128
workers = 0
[export]
pictures = 2
"""
CONTROLLED = replace(TINY, control=50, denoiser_rank=0, encoder_rank=0)
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tiny_profile")]


@pytest.fixture(scope="module")
def controlled(home) -> CodecModel:
    torch.manual_seed(1)
    return CodecModel(CONTROLLED, lambda name: downloads.folder_of(name, home))


def smaller(name: str, path: Path) -> Path:
    """The recipe of a paper, for a base of few codes and few pictures, in a file."""
    few = "base_codes = 8\nbase_channels = 4" if name == "diffo" else ""
    path.write_text(SMALLER.format(RECIPE.with_name(f"{name}.toml"), few), "utf-8")
    return path


@pytest.fixture(scope="module", params=RECIPES)
def trained(request, tmp_path_factory) -> tuple[str, Path]:
    """The name of a recipe, and the folder of weights after three steps of each of its stages."""
    out, data = tmp_path_factory.mktemp(request.param), tmp_path_factory.mktemp("data")
    lay_out(out)
    (data / "train").symlink_to(EXAMPLES)
    config = smaller(request.param, data / "config.toml")
    arguments = ["--profile", "turbo", "--data", str(data), "--out", str(out), "--weights-dir", str(out)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OSDC_WEIGHTS", str(out))  # which the command sets, and nobody else is to see
        main([*arguments, "--config", str(config), "--steps", "3", "--cpu"])
    return request.param, out


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_says_where_each_number_comes_from(name):
    lines = RECIPE.with_name(f"{name}.toml").read_text("utf-8").splitlines()
    assert f"--recipe {name}" in lines[1]
    told = read(RECIPE.with_name(f"{name}.toml"), TURBO, STAGES)[0]
    assert profile.changed(TURBO, profile.changes(told)) == told
    changing = [
        line for line in lines if line.startswith(("noise_", "steps", "denoiser_", "encoder_", "control", "crop"))
    ]
    assert changing and all(" # " in line or "noise_high" in line or "encoder_rank" in line for line in changing)


def test_the_recipes_are_the_systems_of_the_papers():
    made = {name: read(RECIPE.with_name(f"{name}.toml"), TURBO, STAGES) for name in RECIPES}
    assert {name: (told.noise_low, told.noise_high) for name, (told, _) in made.items()} == {
        "onestep": (300, 300), "rdeic": (300, 300), "diffo": (120, 300), "sprdiff": (300, 300),
    }  # fmt: skip
    assert [name for name, (told, _) in made.items() if told.base_codes] == ["diffo"]
    assert [name for name, (told, _) in made.items() if told.decoder_semantics] == ["sprdiff"]
    (rdeic, stages), (sprdiff, _) = made["rdeic"], made["sprdiff"]
    assert (rdeic.steps, rdeic.control, rdeic.denoiser_rank, rdeic.encoder_rank) == ((5, 5, 2, 2, 2), 20, 0, 0)
    assert (sprdiff.denoiser_rank, sprdiff.encoder_rank) == (32, 16)
    assert (stages["relay"].crop, stages["relay"].batch, stages["pixels"].crop) == (512, 4, 256)
    assert set(stages["relay"].rate_factors.values()) == {1.0}


def test_three_steps_make_a_codec_that_writes_and_reads_files(trained, photo):
    name, out = trained
    for stage in ("relay", "pixels"):
        state = torch.load(out / f"{stage}.pt", weights_only=True)
        assert state["steps"] == 3 and not any(turbo.of_pretrained(tensor) for tensor in state["learned"])
        record = json.loads((out / f"{stage}.jsonl").read_text().splitlines()[-1])
        assert np.isfinite(list(record.values())).all()
    encoder, decoder = Encoder("turbo", device="cpu", weights_dir=out), Decoder(device="cpu", weights_dir=out)
    wanted = read(RECIPE.with_name(f"{name}.toml"), TINY, STAGES)[0]
    told = encoder.coder.profile
    assert (told.steps, told.control, told.decoder_semantics) == (
        wanted.steps,
        wanted.control,
        wanted.decoder_semantics,
    )
    assert bool(told.base_codes) == (name == "diffo")
    picture = photo.resize((150, 100))
    for lmbda in (2.0, 0.1):
        osd, symbols = encoder.coder.code(picture, EncodeOptions(lmbda=lmbda, effort=0))
        assert decode_symbols(osd, encoder.coder.prior) == symbols
        data = encoder.encode(picture, lmbda)
        again = [np.asarray(decoder.decode(data, seed=seed)) for seed in (1, 1, 2)]
        assert again[0].shape == (100, 150, 3)
        assert np.array_equal(*again[:2]) and not np.array_equal(*again[1:])


def test_a_control_branch_begins_as_the_published_network(controlled, home):
    _, unet = turbo.diffusion_model(home / "sd-turbo", TINY)
    z, n, words = torch.randn(1, 4, 16, 16), torch.tensor([200.0]), torch.randn(1, 4, 32)
    inputs = torch.randn_like(z), torch.randn(1, 4, 16, 16), words
    with torch.no_grad():
        ours = controlled.denoiser.predict(z, *inputs, n)
        assert torch.allclose(ours, unet(z, n, controlled.denoiser.words(words)).sample, atol=1e-5)
        last = controlled.denoiser.control.net.controlnet_mid_block
        last.weight.normal_(generator=torch.Generator().manual_seed(0))
        assert not torch.allclose(controlled.denoiser.predict(z, *inputs, n), ours, atol=1e-3)
        last.weight.zero_()


def test_with_a_control_branch_the_base_models_stand_still(controlled):
    learns = [name for name, parameter in controlled.named_parameters() if parameter.requires_grad]
    assert not any("lora" in name or turbo.of_pretrained(name) for name in learns)
    assert any(name.startswith("denoiser.control.net.down_blocks") for name in learns)
    assert all(
        parameter.requires_grad != turbo.of_pretrained(name) for name, parameter in controlled.named_parameters()
    )


def test_the_control_branch_of_the_recipe_has_a_fifth_of_the_width():
    with torch.device("meta"):
        real = CodecModel(read(RECIPE.with_name("rdeic.toml"), TURBO, STAGES)[0])
    net = real.denoiser.control.net
    assert net.config.block_out_channels == (64, 128, 256, 256)
    assert 15 < sum(p.numel() for p in net.parameters()) / 1e6 < 25
    assert not any("lora" in name for name, _ in real.named_parameters())


@pytest.mark.parametrize("stage", [Relay, Pixels])
@pytest.mark.parametrize("name", ["rdeic", "diffo", "sprdiff"])
def test_every_part_learns(name, stage, home, tmp_path):
    told, recipes = read(smaller(name, tmp_path / "config.toml"), TINY, STAGES)
    recipe = replace(recipes[stage.__name__.lower()], checkpointing=False)
    torch.manual_seed(2)
    model = CodecModel(told, lambda base: downloads.folder_of(base, home))
    model.semantics.open()
    made = stage(Run(told, recipe, tmp_path, tmp_path, None), model)
    made.done = 0.6
    loss, record = made(Batch(torch.rand(2, 3, 128, 128) * 2 - 1, torch.tensor([20.0, 230.0])))
    loss.backward()
    assert record["bpp"].shape == (2,) and loss.isfinite()
    still = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not still  # several processes wait for each other's gradients of all of them


def test_what_needs_pretrained_models_is_refused_at_the_small_scale(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(f'like = "{small.RECIPE}"\n[profile]\ncontrol = 20\n', "utf-8")
    with pytest.raises(InputError, match="control: is for a profile on pretrained models"):
        read(path, PROFILES["small"], small.STAGES)
    with pytest.raises(ValueError, match="pretrained"):
        profile.changed(PROFILES["small"], {"control": 20})
    with pytest.raises(ValueError, match="from 0 to 1024"):
        profile.changed(TURBO, {"denoiser_rank": 5000})
