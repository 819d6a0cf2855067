"""Three steps of every stage on the CPU, exported and used for a round trip."""

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.pictures import EXAMPLES
from helpers.training import CONFIG
from PIL import Image
from pytorch_msssim import ms_ssim
from safetensors.numpy import load as parse

from osdcodec import weights
from osdcodec.maintenance.embed import LOOKS, SIZES, TABLE, at_rate, sizes, table
from osdcodec.metrics.vgg_like import PerceptualDistance
from osdcodec.models import CodecModel
from osdcodec.profile import SMALL
from osdcodec.training import efficientnet
from osdcodec.training.__main__ import main
from osdcodec.training.adversary import Discriminator, hinge
from osdcodec.training.average import main as average
from osdcodec.training.checkpoints import load
from osdcodec.training.export.tensors import STEPS, quantise
from osdcodec.training.losses import flat_region_error, grey_chroma_error, grid_artefacts, local_contrast, structure
from osdcodec.training.match_rates import main as calibrate
from osdcodec.training.rate import RateControl

pytestmark = pytest.mark.slow


def test_every_stage_leaves_a_checkpoint(trained):
    for stage in ("tower", "autoencoder", "codec", "prior", "gain_tuning"):
        assert torch.load(trained / f"{stage}.pt", weights_only=True)["steps"] == 3
    assert (trained / "small.safetensors").stat().st_size <= 32 * 2**20


def test_quantised_weights_are_within_half_a_step():
    random = np.random.default_rng(0)
    weight = random.normal(0, 1, (4, 64, 3, 3)).clip(-3, 3) * np.array([1, 3, 0.01, 1]).reshape(4, 1, 1, 1)
    weight[3, 0, 0, 0] = 40  # a channel whose largest weight sets the step
    steps, scale = quantise(weight.astype(np.float32))
    assert steps.dtype == np.int8 and scale.dtype == np.float16
    spread = np.sqrt(np.square(weight).mean((1, 2, 3)))
    assert scale[:3] == pytest.approx(spread[:3] / STEPS, rel=1e-3)
    assert scale[3] == pytest.approx(40 / 127, rel=1e-3)
    error = np.abs(steps * scale.astype(np.float32).reshape(-1, 1, 1, 1) - weight).max((1, 2, 3))
    assert (error <= 0.501 * scale + 127 * scale * 2**-11).all()


def test_checkpoints_average(trained, tmp_path, capsys):
    ours, other = (load(trained / f"{name}.pt").state_dict() for name in ("codec", "model"))
    other["gains.latent"] += 1
    torch.save(other, tmp_path / "model.pt")
    average([str(tmp_path / "start.pt"), f"{trained}/codec.pt=0.25", f"{tmp_path}/model.pt=0.75"])
    mean = load(tmp_path / "start.pt").state_dict()
    for name in ("gains.latent", "denoiser.unet.conv_in.weight", "autoencoder.mean"):
        assert torch.allclose(mean[name], 0.25 * ours[name] + 0.75 * other[name], atol=1e-6), name
    with pytest.raises(SystemExit):
        average([str(tmp_path / "none.pt"), f"{trained}/codec.pt=0.5", f"{tmp_path}/model.pt=0.6"])
    assert "sum to 1.1" in capsys.readouterr().err and not (tmp_path / "none.pt").exists()


def test_gains_are_moved_to_the_rates_aimed_at(trained, tmp_path, capsys):
    shutil.copyfile(trained / "model.pt", tmp_path / "model.pt")
    (tmp_path / "train").symlink_to(EXAMPLES)
    before = load(trained / "model.pt").state_dict()
    aims = [0.1, 0.12, 0.14, 0.16, 0.18]  # the prior of three steps needs 0.065 for zeros alone
    arguments = [str(tmp_path / "model.pt"), str(EXAMPLES), "--data", str(tmp_path), "--crops", "3"]
    calibrate([*arguments, "--bpp", *map(str, aims)])
    rounds = [[float(rate) for rate in line.split()[1:]] for line in capsys.readouterr().out.splitlines()]
    assert rounds[0] != pytest.approx(aims, rel=0.05) and rounds[-1] == pytest.approx(aims, rel=0.02)
    after = load(tmp_path / "model.pt").state_dict()
    assert {name for name, value in after.items() if (value != before[name]).any()} == {"gains.latent", "gains.inverse"}
    moved = after["gains.latent"] - before["gains.latent"]
    assert torch.allclose(moved, before["gains.inverse"] - after["gains.inverse"], atol=1e-6)
    assert torch.allclose(moved, moved[:, :1].expand_as(moved), atol=1e-6)  # all channels alike


def test_balance_moves_inverse_gains_by_their_shares(trained):
    before, after = (load(trained / f"{name}.pt").state_dict() for name in ("fitted", "model"))
    assert {name for name, value in after.items() if (value != before[name]).any()} == {"gains.inverse"}
    moved = (after["gains.inverse"] - before["gains.inverse"]).abs().mean(1)
    assert (moved[:3] == 0).all() and 0 < moved[3] < moved[4]


def test_a_finished_stage_resumes_without_another_step(trained, tmp_path):
    before = (trained / "codec.pt").read_bytes()
    data = tmp_path / "data"
    data.mkdir()
    (data / "train").symlink_to(EXAMPLES)
    (tmp_path / "config.toml").write_text(CONFIG.replace("weight = 1.0", "weight = 0.0"))
    arguments = ["codec", "--data", str(data), "--out", str(trained), "--config", str(tmp_path / "config.toml")]
    main([*arguments, "--steps", "3", "--cpu"])
    assert torch.load(trained / "codec.pt", weights_only=True)["steps"] == 3
    assert len((trained / "codec.pt").read_bytes()) == len(before)


def test_rate_control_pushes_towards_its_target():
    control = RateControl([0.02, 0.1], [10.0, 1.0], 0.01)
    weights = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    control.update(weights, torch.tensor([0.04, 0.05]))  # the first spends too much, the second too little
    rates = control(weights)
    assert rates[0] > 10 and rates[1] < 1


def test_perceptual_distance_grows_with_blur(perceptual_weights):
    distance = PerceptualDistance(perceptual_weights)
    photo = next(EXAMPLES.glob("*.png"))
    picture = Image.open(photo).convert("RGB").resize((128, 128))
    views = [picture] + [picture.resize((128 // f, 128 // f)).resize((128, 128)) for f in (2, 4)]
    x = torch.stack([torch.from_numpy(np.array(v)).permute(2, 0, 1).float() / 127.5 - 1 for v in views])
    same, little, much = distance(x, x[:1].expand(3, -1, -1, -1)).tolist()
    assert same == 0 and 0 < little < much


def test_a_stage_goes_on_in_half_precision(trained, tmp_path):
    (tmp_path / "codec.pt").write_bytes((trained / "codec.pt").read_bytes())
    (tmp_path / "train").symlink_to(EXAMPLES)
    (tmp_path / "config.toml").write_text(CONFIG.replace("weight = 1.0", "weight = 0.0"))
    command = [
        sys.executable,
        "-m",
        "osdcodec.training",
        "codec",
        "--data",
        tmp_path,
        "--out",
        tmp_path,
        "--steps",
        "4",
    ]
    subprocess.run(
        [*command, "--config", tmp_path / "config.toml", "--cpu", "--bf16"], check=True
    )  # one precision a process
    before, after = (torch.load(folder / "codec.pt", weights_only=True)["model"] for folder in (trained, tmp_path))
    assert all(value.dtype == before[name].dtype and value.isfinite().all() for name, value in after.items())
    assert any((value != before[name]).any() for name, value in after.items())


@pytest.mark.parametrize("size", [(192, 256), (163, 171)])
def test_structure_is_the_ms_ssim_of_pytorch_msssim(size):
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(2, 3, *size, generator=generator) * 2 - 1
    y = x + 0.3 * torch.randn(x.shape, generator=generator)
    expected = ms_ssim(x, y, data_range=2.0, size_average=False)
    assert torch.allclose(1 - structure(x, y), expected, atol=1e-5)


def test_structure_and_contrast_tell_what_was_lost():
    photo = Image.open(next(EXAMPLES.glob("*.png"))).convert("RGB").resize((192, 192))
    x = torch.from_numpy(np.array(photo)).permute(2, 0, 1).float()[None] / 127.5 - 1
    blurred = torch.nn.functional.avg_pool2d(x, 5, 1, 2)
    assert structure(x, x).item() == pytest.approx(0, abs=1e-5) and local_contrast(x, x).item() == 0
    assert structure(blurred, x) > 0.01 and local_contrast(blurred, x) > 0.01
    assert local_contrast(x + 0.3, x) < 1e-4  # it is not the brightness that counts
    assert local_contrast(x.flip(-1), x) > 0.01  # and contrast counts where it is


def test_weave_is_what_repeats_every_sixteen_pixels():
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(1, 3, 128, 128, generator=generator)
    dots, stripes = torch.zeros_like(x), torch.zeros_like(x)
    dots[..., ::8, ::4], stripes[..., ::7] = 0.1, 0.1
    assert grid_artefacts(x, x) == 0 and grid_artefacts(x + 0.1, x) < 1e-10
    assert grid_artefacts(x + dots, x) > 5 * grid_artefacts(x + stripes, x)


def test_unrest_is_the_largest_error_on_plain_ground():
    generator = torch.Generator().manual_seed(2)
    x = torch.rand(2, 3, 64, 64, generator=generator)
    x[0, :, 8:56, 8:56] = 0.5
    spot, elsewhere = torch.zeros_like(x), torch.zeros_like(x)
    spot[:, :, 30:32, 30:32], elsewhere[:, :, :12] = 0.2, 0.2
    assert (
        flat_region_error(x + spot, x)[0] > 0.05 and flat_region_error(x + spot, x)[1] < 0.02
    )  # there is no flat background in the second
    assert (flat_region_error(x + elsewhere, x) < 0.02).all()


def test_tint_is_colour_in_what_was_grey():
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    x[0] = x[0, :1]
    tinted = x + torch.tensor([0.0, 0.0, 0.1])[:, None, None]
    assert (
        grey_chroma_error(x + 0.1, x)[0] < 0.02
        and grey_chroma_error(tinted, x)[0] > 0.08
        and grey_chroma_error(tinted, x)[1] == 0
    )


@pytest.mark.skipif(not find_spec(efficientnet.PACKAGE), reason="its weights are not installed")
def test_features_of_the_published_efficientnet():
    """At four scales, coarser by two each; of a picture that is not flat no channel is dead everywhere."""
    noise = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = efficientnet.FrozenFeatures()(noise)
    assert [tuple(part.shape[1:]) for part in found] == [(24, 16, 16), (40, 8, 8), (112, 4, 4), (320, 2, 2)]
    assert all(0.01 < part.abs().mean() < 100 for part in found)


def test_discriminator_judges_patches_and_learns():
    torch.manual_seed(0)
    judge = Discriminator(4, width=8)
    real, fake, condition = torch.rand(4, 3, 64, 64), torch.rand(4, 3, 64, 64) * 0.1, torch.zeros(4, 4, 4, 4)
    assert judge(real, condition).shape == (4, 1, 4, 4)
    optimizer = torch.optim.Adam(judge.parameters(), 1e-2)
    losses = []
    for _ in range(30):
        loss = hinge(judge(real, condition), judge(fake, condition))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_log_holds_json_lines(trained):
    record = json.loads((trained / "tower.jsonl").read_text().splitlines()[-1])
    assert 0 < record["codebook_cosine"] <= 1


def test_unpacked_weights_export_to_the_same_layers(tmp_path):
    main(["unpack", "--data", str(tmp_path), "--out", str(tmp_path), "--cpu"])
    model = CodecModel(SMALL)
    model.load_state_dict(torch.load(tmp_path / "start.pt", weights_only=True))
    released, exported = weights.load("small").tensors, model.prior.export()
    for layer in model.prior.layers():
        (one, shift, *clamp), (also_one, finer, *also_clamp) = (t[f"{layer}.rescale"] for t in (released, exported))
        assert (one, clamp) == (also_one, also_clamp) and finer >= shift
        for name in (f"{layer}.weight", f"{layer}.bias"):  # in finer steps, perhaps, but the same numbers
            assert np.array_equal(exported[name], released[name].astype(np.int64) * 2 ** (finer - shift)), name


def test_a_folder_of_photographs_is_all_that_training_needs(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("osdcodec.metrics.perceptual.find_spec", lambda package: None)
    (tmp_path / "photos").symlink_to(EXAMPLES)
    (tmp_path / "config.toml").write_text(CONFIG.replace("grid_artefacts = 100.0", "lpips_alex = 1.0"))
    out = tmp_path / "runs"
    arguments = ["--data", str(tmp_path / "photos"), "--out", str(out), "--config", str(tmp_path / "config.toml")]
    main([*arguments, "--steps", "1", "--cpu"])
    told = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in told] == ["osdc"] * 3
    assert "no thumbnails" in told[0] and "loss lpips_alex" in told[1] and "loss perceptual" in told[2]
    released, made = weights.load("small").tensors, weights.load("small", out).tensors
    assert np.array_equal(made["semantics.codebook"], released["semantics.codebook"])


def test_export_takes_the_newest_model_and_can_keep_the_symbols(trained, tmp_path, capsys):
    (tmp_path / "config.toml").write_text(CONFIG)
    arguments = ["--data", str(EXAMPLES), "--out", str(tmp_path), "--config", str(tmp_path / "config.toml"), "--cpu"]
    main(["unpack", *arguments])
    old = weights.load("small")
    state = torch.load(tmp_path / "start.pt", weights_only=True)
    state["autoencoder.up.bias"] += 0.01  # a decoder that was trained
    torch.save(state, tmp_path / "fitted.pt")
    main(["export", *arguments, "--steps", "1", "--keep-symbols", str(old.path)])
    assert "fitted.pt" in capsys.readouterr().out
    new = weights.load("small", tmp_path)
    assert new.model_id == old.model_id and new.path != old.path
    assert not np.array_equal(new.tensors["autoencoder.up.bias"], old.tensors["autoencoder.up.bias"])
    kept, former = (parse(path.read_bytes()) for path in (new.path, old.path))
    fixed = [name for name in former if name.startswith(("prior.", "gains.", "semantics.codebook"))]
    assert len(fixed) >= 70 and all(kept[name].tobytes() == former[name].tobytes() for name in fixed)
    shutil.copyfile(trained / "model.pt", tmp_path / "model.pt")
    with pytest.raises(SystemExit) as ended:
        main(["export", *arguments, "--steps", "1", "--keep-symbols", str(old.path)])
    assert ended.value.code == 4 and "leave out --keep-symbols" in capsys.readouterr().err


def test_export_without_a_model_says_what_to_run_first(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["export", "--data", str(EXAMPLES), "--out", str(tmp_path), "--cpu"])
    assert ended.value.code == 3 and "run the stage `codec`" in capsys.readouterr().err


@pytest.mark.parametrize("length", [["--steps", "0"], ["--steps", "3", "--minutes", "1"]])
def test_a_length_that_is_none_is_refused(tmp_path, length, capsys):
    with pytest.raises(SystemExit) as left:
        main(["codec", "--data", str(tmp_path), "--out", str(tmp_path / "runs"), *length])
    assert left.value.code == 2 and "--steps" in capsys.readouterr().err and not (tmp_path / "runs").exists()


def test_moved_axes_are_counted_from_the_front():
    """The exporter fuses the two; with axes counted from the back it used to read one of them from beyond an array."""
    import io

    import onnx

    from osdcodec.training.export import graphs as export

    class Moved(torch.nn.Module):
        def forward(self, x):
            return (x.movedim(1, -1).movedim(-1, 1) + x).movedim((0, -1), (2, 1))

    assert export._movedim
    buffer = io.BytesIO()
    x = torch.arange(120.0).reshape(2, 3, 4, 5)
    torch.onnx.export(Moved(), x, buffer, opset_version=17, do_constant_folding=False, dynamo=False)
    nodes = onnx.load_from_string(buffer.getvalue()).graph.node
    assert [list(node.attribute[0].ints) for node in nodes if node.op_type == "Transpose"] == [[1, 3, 0, 2]]
    assert torch.equal(x.permute(1, 3, 0, 2), x.movedim((0, -1), (2, 1)))


def test_rivals_in_the_released_table_are_interpolated_between_their_measured_rates():
    def row(codec: str, bpp: float, psnr: float, perceptual: float) -> dict:
        return {"codec": codec, "setting": "λ 1", "bpp": bpp, "bytes": 1, "psnr": psnr, "perceptual": perceptual}

    ours = row("osdc", 0.04, 24.0, 1.0)
    measured = [row("avif", 0.02, 22.0, 1.2), row("avif", 0.08, 26.0, 0.8), row("avif-half", 0.01, 20.0, 1.1)]
    found = at_rate([ours, *measured, row("avif-half", 0.04, 23.0, 0.9)], "avif", ours)
    assert found["psnr"] == pytest.approx(24.0) and found["perceptual"] == pytest.approx(0.9)  # each the better curve's
    assert at_rate([ours, *measured[:2]], "avif", ours | {"bpp": 0.01}) is None
    assert "ms_ssim" not in found
    lines = table([ours, *measured]).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| **osdc, λ 1**", "| AVIF, interpolated"]


def test_pages_have_the_places_that_a_release_fills():
    root = Path(__file__).parents[1]
    assert len(SIZES.findall((root / "README.md").read_text("utf-8"))) == 1
    for page in ("evaluation", "embedded"):
        assert len(TABLE.findall((root / "osdcodec" / page / "README.md").read_text("utf-8"))) == 1


def test_what_a_lambda_comes_to():
    summary = [{"codec": "osdc", "lambda": lmbda, "bpp": 0.046, "psnr": 24.63} for lmbda in LOOKS]
    lines = sizes([*summary, {"codec": "avif", "setting": "q3"}]).splitlines()
    assert lines[3] == f"| 1 | 2.3 kB | 69 kB | 0.046 | 24.6 dB | {LOOKS[1.0]} |" and len(lines) == 7
    assert "| LPIPS |" in sizes([summary[0] | {"lpips": 0.2}]) and "| 0.200 |" in sizes([summary[0] | {"lpips": 0.2}])
