"""The recipes of the papers: three steps of each at a tiny size, exported, used for a round trip; and what each part must do."""

import random
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import tiny
from helpers.pictures import EXAMPLES
from PIL import Image
from torch.nn import functional as F

from osdcodec import container, weights
from osdcodec.checks.conformance import VECTORS, check
from osdcodec.checks.fuzz import attack, mutated, run, sealed
from osdcodec.codec import Decoder, Encoder, info
from osdcodec.entropy.prior import Prior
from osdcodec.errors import InputError, WeightsError
from osdcodec.maintenance.vectors.vq_base import main as make_vectors
from osdcodec.models import CodecModel
from osdcodec.models.growth import grown
from osdcodec.models.vq_base import VqBase
from osdcodec.profile import CONFORMANCE, SMALL, TURBO, changed, changes
from osdcodec.relay import relay
from osdcodec.runtime.tiles import PROJECTOR, TiledRuntime
from osdcodec.runtime.torch import TorchRuntime
from osdcodec.training import small
from osdcodec.training.__main__ import main
from osdcodec.training.checkpoints import load
from osdcodec.training.recipe import read

sys.path.append(str(Path(__file__).parents[1] / "spec"))
import reference

pytestmark = pytest.mark.slow

RECIPES = {
    "onestep": {"noise_low": 300},
    "rdeic": {"noise_low": 300, "steps": (5, 5, 2, 2, 2)},
    "diffo": {"base_codes": 256},
    "sprdiff": {"noise_low": 300, "decoder_semantics": True},
}
SPEC = Path(__file__).parents[1] / "spec"
TINY = """
like = "{recipe}"
[codec]
crops = [[2, 192]]
pictures = 40
variety = {{ turned = 0.0, grey = 0.0, ends = 0.0, flat = 0.0 }}
[codec.losses]
lpips_alex = 0.0
lpips_vgg = 0.0
[export]
pictures = 3
"""


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return Image.open(EXAMPLES / "coffee.png").convert("RGB").crop((120, 60, 290, 190))


@pytest.fixture(scope="module", params=RECIPES)
def made(request, tmp_path_factory) -> tuple[str, Path]:
    """A recipe, and the folder of the weights that three steps of it made of the tiny ones of the conformance vectors."""
    out = tmp_path_factory.mktemp(request.param)
    (out / "tiny.toml").write_text(TINY.format(recipe=small.RECIPE.with_name(f"{request.param}.toml")))
    told = [
        "--config",
        out / "tiny.toml",
        "--weights-dir",
        SPEC / "vectors" / "conformance",
        "--profile",
        "conformance",
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OSDC_WEIGHTS", "")  # which main sets
        stages = ["unpack", "codec", "export"]
        main([*stages, *map(str, told), "--data", str(EXAMPLES), "--out", str(out), "--steps", "3", "--cpu"])
    return request.param, out


def test_a_checkpoint_of_a_recipe_opens_by_itself(made):
    _, folder = made
    assert load(folder / "codec.pt", CONFORMANCE).profile == weights.load("conformance", folder).profile


def test_a_recipe_is_a_codec(made, photo):
    recipe, folder = made
    model = weights.load("conformance", folder)
    assert model.profile == replace(CONFORMANCE, **{"noise_high": 300, **RECIPES[recipe]})
    for lmbda in (2.0, 0.1):
        encoder = Encoder("conformance", "cpu", folder)
        data = encoder.encode(photo, lmbda)  # which decodes the symbols again
        osd = container.unpack(data)
        symbols = encoder.coder.symbols(osd)
        assert symbols.base.shape == ((3, 3) if recipe == "diffo" else (0, 0))
        told = info(data, parts=True, weights_dir=folder)
        assert ("base_bits" in told) == (recipe == "diffo")
        bits = sum(told.get(f"{part}_bits", 0) for part in ("token", "base", "hyper", "latent"))
        assert bits / 8 == pytest.approx(len(osd.payload), abs=6)
        picture = Decoder("cpu", folder).decode(data)
        torch_runtime = TiledRuntime(TorchRuntime(model), model.profile)
        other = encoder.coder.reconstruct(osd, symbols)
        encoder.coder.runtime = torch_runtime.runtime
        third = encoder.coder.reconstruct(osd, symbols)
        assert picture.size == photo.size and picture.tobytes() == other.tobytes()
        assert np.abs(np.asarray(picture, float) - np.asarray(third, float)).max() <= 2


def test_the_reference_reads_the_symbols(made, photo):
    _, folder = made
    encoder = Encoder("conformance", "cpu", folder)
    data = encoder.encode(photo.crop((0, 0, 100, 70)), 1.0, roi=[(0, 0, 32, 32)])
    found = reference.decode(reference.read_safetensors((folder / "conformance.safetensors").read_bytes()), data)
    assert reference.digest(found) == encoder.coder.symbols(container.unpack(data)).digest()


def test_only_format_errors_come_out_of_damaged_files(made, photo):
    _, folder = made
    model = weights.load("conformance", folder)
    prior, encoder = Prior(model.tensors, replace(model.profile, bit_price=0.0)), Encoder("conformance", "cpu", folder)
    seeds = [encoder.encode(photo.resize((60, 45)), 0.5, progressive=each) for each in (False, True)]
    draw = random.Random(1)
    outcomes = [attack(seed, prior) for seed in seeds]
    assert outcomes == ["decoded"] * 2
    outcomes += [attack(sealed(mutated(draw, seeds)), prior) for _ in range(150)]
    assert {"payload", "checksum"} & set(outcomes)


def test_steps_are_offered_where_they_were_trained(made, photo):
    recipe, folder = made
    encoder, decoder = Encoder("conformance", "cpu", folder), Decoder("cpu", folder)
    for lmbda, count in ((2.0, 5), (0.1, 2)):
        data = encoder.encode(photo, lmbda)
        count = count if recipe == "rdeic" else 1
        assert decoder.decode(data, steps=count).tobytes() == decoder.decode(data).tobytes()
        with pytest.raises(WeightsError, match=f"trained for {count} step"):
            decoder.decode(data, steps=3)


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_recipes_differ_by_what_the_papers_say(recipe):
    profile, recipes = read(small.RECIPE.with_name(f"{recipe}.toml"), SMALL, small.STAGES)
    assert profile == replace(SMALL, **{"noise_high": 300, **RECIPES[recipe]})
    _, common = read(small.RECIPE.with_name("onestep.toml"), SMALL, small.STAGES)
    own, other = recipes["codec"], common["codec"]
    losses = {name: value for name, value in own.losses.items() if name != "base"}
    assert losses == other.losses and (own.bpp, own.minutes, own.crops) == (other.bpp, other.minutes, other.crops)
    assert recipes["export"] == common["export"]


def test_what_a_weights_file_says_of_its_profile_comes_back():
    for recipe in RECIPES:
        profile, _ = read(small.RECIPE.with_name(f"{recipe}.toml"), SMALL, small.STAGES)
        assert changed(SMALL, changes(profile)) == profile
    assert changes(SMALL) == changes(TURBO) == {}
    wrong = (
        {"steps": []}, {"steps": [1, 2]}, {"steps": 2}, {"steps": [0]}, {"noise_high": 1000}, {"noise_low": True},
        {"base_codes": -1}, {"base_factor": 0}, {"decoder_semantics": 1}, {"transform_layers": [1]}, {"thumb": 128}, {"new": 1},
    )  # fmt: skip
    for told in wrong:
        with pytest.raises(ValueError):
            changed(SMALL, told)


def test_a_recipe_takes_over_from_another_what_it_does_not_say(tmp_path):
    (tmp_path / "mine.toml").write_text('like = "other.toml"\n[profile]\nsteps = [2]\n[export]\npictures = 7\n')
    with pytest.raises(InputError, match=r"other\.toml"):
        read(tmp_path / "mine.toml", SMALL, small.STAGES)
    (tmp_path / "other.toml").write_text(small.RECIPE.read_text())
    profile, recipes = read(tmp_path / "mine.toml", SMALL, small.STAGES)
    assert profile == replace(SMALL, steps=(2,)) and recipes["export"].pictures == 7
    assert recipes["codec"] == read(small.RECIPE, SMALL, small.STAGES)[1]["codec"]
    (tmp_path / "mine.toml").write_text("[profile]\nsteps = [2, 5]\n")
    with pytest.raises(InputError, match="needs 1 or 5 numbers"):
        read(tmp_path / "mine.toml", SMALL, small.STAGES)


def test_vectors_of_a_base_are_read_and_refused_as_listed(tmp_path):
    results = check(VECTORS / "base")
    assert [result.name for result in results if not result.good] == []
    assert {result.name for result in results} == {path.stem for path in (VECTORS / "base").glob("*.osd")}
    told = run(400, 3, VECTORS / "base")
    assert told["crashes"] == [] and {"decoded", "payload"} <= told["outcomes"].keys()
    make_vectors([str(tmp_path)])
    for path in (*(VECTORS / "base").glob("*.osd"), VECTORS / "base" / "vectors.json"):  # metadata have no order
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_prior_with_symbols_of_another_kind_is_refused():
    profile = replace(tiny.TINY, base_codes=5)
    base = {"prior.base_table": tiny.frequencies("base", 1, 5)[0], "prior.base_factor": np.array([2], np.int32)}
    prior = Prior(tiny.tensors() | base, profile)
    latents = tiny.latents("base", 3, 5)
    codes = np.array([[0, 4, 2], [1, 3, 0]])
    payload, symbols = prior.encode(*latents, 99, base=codes)
    assert np.array_equal(prior.decode(payload, 99, 3, 5).base, codes) and np.array_equal(symbols.base, codes)
    assert prior.parts(symbols, 99)["base"] == pytest.approx((24 - np.log2(base["prior.base_table"][codes])).sum())
    wrong = (
        (base, tiny.TINY), ({}, profile), (base, replace(profile, base_codes=4)), (base, replace(profile, base_factor=3)),
        (base | {"prior.base_table": base["prior.base_table"] + 1}, profile), (base | {"prior.more": codes}, profile),
    )  # fmt: skip
    for told, other in wrong:
        with pytest.raises(WeightsError):
            Prior(tiny.tensors() | told, other)


def test_an_unknown_recipe_is_named(capsys):
    with pytest.raises(SystemExit) as raised:
        main(["--recipe", "diff0", "--data", "."])
    assert raised.value.code == 2 and "diffo, gpu, onestep" in capsys.readouterr().err


@torch.no_grad()
def test_the_parts_see_no_farther_than_the_margins_of_tiles():
    torch.manual_seed(5)
    profile = replace(SMALL, decoder_semantics=True, base_codes=64)
    model = CodecModel(profile)
    for parameter in model.parameters():
        if not parameter.any():
            parameter.normal_(0, 0.03)
    runtime = TorchRuntime(None, model=model)
    random = np.random.default_rng(6)
    picture = Image.fromarray(random.integers(0, 256, (60, 900, 3), np.uint8))
    whole, tiled = TiledRuntime(runtime, profile, core=100), TiledRuntime(runtime, profile, core=12)
    (y, _, tokens, codes), (y2, _, _, codes2) = whole.analyse(picture), tiled.analyse(picture)
    assert codes.shape == (1, 1, 15) and np.array_equal(codes, codes2) and len(np.unique(codes)) > 3
    assert np.allclose(y, y2, atol=1e-3)
    z_c, condition = whole.synthesise(np.round(4 * y), tokens)
    noise = random.standard_normal(z_c.shape, np.float32)
    z, z2, plain = (
        verbs.denoise(z_c, condition, tokens, noise, 200, coarse)
        for verbs, coarse in ((whole, picture), (tiled, picture), (whole, Image.new("RGB", picture.size)))
    )
    assert np.allclose(z, z2, atol=1e-3) and not np.allclose(z, plain, atol=1e-2)

    pixels = torch.zeros(1, 3, 512, 512)
    pixels[..., 256:288] = float("nan")
    z, condition = torch.zeros(1, 48, 32, 32), torch.zeros(1, 64, 32, 32)
    start, _ = model.decoder_semantics(z, condition, pixels, torch.zeros(1, 64, 128))
    (spoilt,) = start[0].isnan().any(0).any(0).nonzero(as_tuple=True)
    assert spoilt.min() >= 16 - 2 * PROJECTOR and spoilt.max() <= 17 + 2 * PROJECTOR


@torch.no_grad()
@pytest.mark.parametrize("told", [{"base_codes": 16}, {"decoder_semantics": True}])
def test_new_parts_are_born_as_nothing(told):
    torch.manual_seed(0)
    before = CodecModel(CONFORMANCE).eval()
    for parameter in before.parameters():
        parameter.add_(0.02 * torch.randn_like(parameter))
    after = CodecModel(replace(CONFORMANCE, **told)).eval()
    after.load_state_dict(grown(dict(sorted(before.state_dict().items())), after))
    x, quality = torch.rand(1, 3, 96, 64) * 2 - 1, torch.tensor([100.0])
    noise = torch.zeros(1, CONFORMANCE.autoencoder_channels, 6, 4)
    one, other = (model(x, quality, noise=noise) for model in (before, after))
    assert torch.allclose(one.x_hat, other.x_hat, atol=1e-5) and torch.allclose(one.bits, other.bits[:, :2])
    with pytest.raises(ValueError, match="no place"):
        grown(after.state_dict(), before)


def test_the_relay_meets_the_picture_by_any_number_of_steps():
    """With a denoiser that knows the picture all steps agree; with one that errs by a share of what it is asked, later steps halve it."""
    generator = np.random.default_rng(0)
    z, z_c, noise = (generator.normal(size=(4, 3, 3)) for _ in range(3))
    bars = [SMALL.alpha_bar(level) for level in (300, 240, 180, 120, 60)]
    ratios = [(bar / (1 - bar)) ** 0.5 for bar in bars]
    assert np.allclose(relay(lambda noise, place: z, z_c, noise, ratios), z)

    seen = []

    def step(noise, place):
        signal, deviation = bars[place] ** 0.5, (1 - bars[place]) ** 0.5
        seen.append(signal * z_c + deviation * noise)
        return z

    relay(step, z_c, noise, ratios)
    for bar, z_n in zip(bars, seen, strict=True):  # RDEIC, eq. 5: z_n of z and of eps + rho e, whatever n
        assert np.allclose(z_n, bar**0.5 * z + (1 - bar) ** 0.5 * (noise + ratios[0] * (z_c - z)))


def test_steps_are_those_of_the_nearest_lambda_and_evenly_spaced():
    profile = replace(SMALL, steps=(5, 5, 2, 2, 2), noise_low=300)
    assert [profile.step_count(quality) for quality in (255, 196, 167, 166, 137, 0)] == [5, 5, 5, 2, 2, 2]
    assert profile.spaced(255) == [300, 240, 180, 120, 60] and profile.spaced(0) == [300, 150]
    assert SMALL.spaced(0) == [120] and SMALL.spaced(255) == [300]


@torch.no_grad()
def test_steps_of_a_batch_are_those_of_each_picture():
    torch.manual_seed(1)
    model = CodecModel(replace(CONFORMANCE, steps=(5, 5, 2, 2, 2))).eval()
    for parameter in model.denoiser.parameters():
        parameter.add_(0.05 * torch.randn_like(parameter))
    x, quality = torch.rand(3, 3, 64, 64) * 2 - 1, torch.tensor([0.0, 255.0, 100.0])
    noise = torch.randn(3, CONFORMANCE.autoencoder_channels, 4, 4)
    whole = model(x, quality, noise=noise)
    for place in range(3):
        alone = model(x[place : place + 1], quality[place : place + 1], noise=noise[place : place + 1])
        assert torch.allclose(whole.z_hat[place], alone.z_hat[0], atol=1e-4)
    assert not torch.allclose(whole.z_hat[:1], model.denoise(
        whole.z_c[:1], torch.zeros(1, 6, 4, 4), torch.zeros(1, 4, dtype=torch.long), noise[:1], torch.tensor([120.0]),
        torch.full((1, 1, 1, 1), SMALL.alpha_bar(120)),
    ), atol=1e-3)  # fmt: skip


@pytest.mark.parametrize("size", [(5, 7), (6, 8), (1, 1)])
def test_a_base_covers_odd_and_even_latents(size):
    torch.manual_seed(2)
    base = VqBase(replace(CONFORMANCE, base_codes=8, base_channels=6)).eval()
    z, like = torch.randn(2, 8, 2 * size[0], 2 * size[1]), torch.zeros(2, 18, *size)
    made, codes = base(z, like)
    assert made.shape == like.shape and codes.shape == (2, -(-size[0] // 2), -(-size[1] // 2))
    assert not made.any()  # zero-initialised
    if min(size) > 1:
        inside = F.unfold(z[:, :, : size[0] // 2 * 4, : size[1] // 2 * 4], 4, stride=4)
        flat = base.down.weight.flatten(1) @ inside + base.down.bias[:, None]
        nearest = torch.cdist(flat.transpose(1, 2), base.codebook[None].expand(2, -1, -1)).argmin(-1)
        assert torch.equal(codes[:, : size[0] // 2, : size[1] // 2].flatten(1), nearest)


def test_the_codebook_follows_the_features_and_revives_dead_codes():
    torch.manual_seed(3)
    base = VqBase(replace(CONFORMANCE, base_codes=4, base_channels=2)).train()
    centres = torch.tensor([[5.0, 0.0], [-5.0, 0.0], [0.0, 5.0]])
    base.codebook.copy_(torch.tensor([[4.0, 0.0], [-4.0, 0.0], [0.0, 4.0], [90.0, 90.0]]))
    base.usage.fill_(0.25)
    for _ in range(600):
        features = (centres[torch.randint(3, (64,))] + 0.1 * torch.randn(64, 2))[None, None]
        base.observe(features[0, 0], base.search(features)[0, 0])
    assert all((base.codebook - centre).norm(dim=1).min() < 0.3 for centre in centres)
    assert base.codebook.abs().max() < 7  # the dead one was given a place among the features
    assert base.usage.sum() == pytest.approx(1, abs=0.05)


def test_the_base_learns_by_the_straight_way():
    torch.manual_seed(4)
    base = VqBase(replace(CONFORMANCE, base_codes=8, base_channels=6)).train()
    z = torch.randn(4, 8, 16, 16)
    base.start(z)
    made, loss, bits = base.quantise(z, torch.zeros(4, 18, 8, 8))
    assert 0 < bits.mean() / 16 < 4  # bits of a code, of 8
    (loss.mean() + (made - 1).square().mean()).backward()
    assert base.up[0].weight.grad.any() and base.down.weight.grad.any()
