"""The variants lack what they are named for, and the table says by how much a curve differs from another."""

import json

import pytest
import torch
from helpers.pictures import EXAMPLES
from helpers.training import CONFIG

from osdcodec.maintenance.experiments import ablations
from osdcodec.profile import SMALL
from osdcodec.training.measure import METRICS

pytestmark = pytest.mark.slow


def built(name: str):
    torch.manual_seed(0)
    model = ablations.VARIANTS[name](SMALL).eval()
    for head in (model.denoiser.unet.conv_out, model.synthesis.blocks[-1], model.analysis.fuse[-1]):
        torch.nn.init.normal_(head.weight, 0, 0.02)  # they begin at zero, which would hide what goes in
    return model


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1


@torch.no_grad()
def denoised(model, seed: int = 0, token: int = 0, quality: float = 100.0) -> torch.Tensor:
    random = torch.Generator().manual_seed(3)
    z_c = torch.randn(1, 48, 4, 4, generator=random)
    condition = torch.randn(1, 64, 4, 4, generator=random)
    noise = torch.randn(z_c.shape, generator=torch.Generator().manual_seed(seed))
    level = model.levels(torch.tensor([quality]))
    alpha_bar = model.alpha_bars[level.long()][:, None, None, None]
    return model.denoise(z_c, condition, torch.full((1, 4), token), noise, level, alpha_bar) - z_c


@torch.no_grad()
def test_semantics_reach_the_whole_model_and_not_the_one_without(pictures):
    thumbs = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(2)) * 2 - 1
    y_hat = torch.randn(1, SMALL.latent_channels, 2, 2, generator=torch.Generator().manual_seed(2))
    for name, reach in (("whole", True), ("no tokens", False)):
        model = built(name)
        y, other = (model.analyse(pictures[:1], thumb[None])[0] for thumb in thumbs)
        assert torch.equal(y, other) is not reach
        z_c, other = (model.synthesise(y_hat, torch.full((1, 4), token))[0] for token in (0, 1))
        assert torch.equal(z_c, other) is not reach
        assert torch.equal(denoised(model, token=0), denoised(model, token=1)) is not reach


@torch.no_grad()
def test_the_pixel_branch_is_gone(pictures):
    z, features = torch.zeros(1, 48, 4, 4), torch.zeros(1, 4, 128)
    for name, reach in (("whole", True), ("no pixel branch", False)):
        analysis = built(name).analysis
        analysis.linear = torch.nn.Conv2d(3, SMALL.latent_channels, 32, 32)
        torch.nn.init.zeros_(analysis.linear.weight)
        assert torch.equal(analysis(z, pictures[:1], features), analysis(z, pictures[1:], features)) is not reach


def test_noise_reaches_all_but_two():
    for name in ("whole", "trained without noise", "no denoiser"):
        model = built(name)
        assert torch.equal(denoised(model, seed=0), denoised(model, seed=1)) is (name != "whole"), name


def test_a_denoiser_without_relay_residual_begins_with_the_noise_still_in():
    whole, plain = built("whole"), built("no relay residual")
    for model in (whole, plain):
        torch.nn.init.zeros_(model.denoiser.unet.conv_out.weight)
        torch.nn.init.zeros_(model.denoiser.unet.conv_out.bias)
    assert denoised(whole).abs().max() < 1e-5  # the coarse latent
    ratio = denoised(plain) / torch.randn(1, 48, 4, 4, generator=torch.Generator().manual_seed(0))
    alpha_bar = SMALL.alpha_bar(SMALL.level(100))
    assert torch.allclose(ratio, torch.tensor((1 / alpha_bar - 1) ** 0.5), rtol=1e-3)


def test_one_noise_level_serves_all_rates():
    levels = ablations.VARIANTS["one noise level for all rates"](SMALL).levels(torch.tensor([0.0, 130.0, 255.0]))
    assert levels.tolist() == [SMALL.level(128)] * 3


def test_no_loss_of_the_picture_reaches_a_denoiser_trained_in_latents(pictures):
    for name, reach in (("whole", True), ("denoiser trained in latents only", False)):
        model = built(name).train()
        model(pictures, torch.tensor([0.0, 255.0])).x_hat.square().mean().backward()
        assert (model.denoiser.unet.conv_out.weight.grad is not None) is reach


def test_a_run_leaves_a_table(trained, perceptual_weights, small_photos, tmp_path, capsys):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train").symlink_to(EXAMPLES)
    (tmp_path / "data" / "perceptual").symlink_to(perceptual_weights.parent)
    (tmp_path / "config.toml").write_text(CONFIG.replace("weight = 0.1", "weight = 0.0"))
    arguments = [str(small_photos), "--data", str(tmp_path / "data"), "--start", str(trained / "model.pt")]
    arguments += ["--out", str(tmp_path / "out"), "--config", str(tmp_path / "config.toml")]
    ablations.main([*arguments, "--steps", "2", "--every", "9", "--variant", "no tokens", "--threads", "1"])
    found = json.loads((tmp_path / "out" / "ablations.json").read_text())
    assert list(found) == ["whole", "no noise at decode", "no tokens"]
    assert all(len(rows) == 5 and set(rows[0]) == set(METRICS) for rows in found.values())
    told = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in told] == ["| whole", "| no noise at decode", "| no tokens"]
    assert told[0].split(" | ")[1:4] == ["+0.00", "+0.0000", "+0.0000"]
