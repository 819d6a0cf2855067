"""What a recipe may say, what becomes of it, and the parts of the training that can be tried without training."""

import tomllib
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.pictures import EXAMPLES
from helpers.training import CONFIG
from PIL import Image

from osdcodec.errors import InputError, OsdWarning
from osdcodec.models import CodecModel
from osdcodec.models.growth import grown
from osdcodec.profile import CONFORMANCE, SMALL, TURBO
from osdcodec.training import losses, small, turbo
from osdcodec.training.adversary import Adversary, AdversaryRecipe, Discriminator
from osdcodec.training.data import Photos, Variety
from osdcodec.training.losses import Losses, Seen
from osdcodec.training.recipe import check, read

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("profile", "room"), [(SMALL, small), (TURBO, turbo)])
def test_the_recipes_of_both_profiles_are_whole(profile, room):
    grown_profile, recipes = read(room.RECIPE, profile, room.STAGES)
    assert grown_profile == profile and None not in recipes.values()


@pytest.mark.parametrize("name", ["gpu", "polish"])
def test_recipes_of_one_stage_name_losses_that_there_are(name):
    _, recipes = read(small.RECIPE.with_name(f"{name}.toml"), SMALL, small.STAGES)
    assert set(recipes["codec"].losses) <= {*losses.LOSSES, *losses.NETWORKS}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("learning_rate = 5e-4", "lerning_rate = 5e-4", ["[codec]", "lerning_rate", "did you mean learning_rate"]),
        ("crop = 64", "", ["[autoencoder]", "crop", "missing"]),
        ("steer = 0.005", 'steer = "fast"', ["[codec]", "steer", "number"]),
        ("mse = [30.0,", "mse = [", ["[codec]", "losses", "mse", "at least 5"]),
        ("share = 0.5", "shaer = 0.5", ["[codec]", "losses.perceptual.shaer", "did you mean share"]),
        ("[gain_tuning]", "[gain_tunning]", ["[gain_tunning]", "did you mean gain_tuning"]),
        ("[tower]", "[profile]\ntransform_layers = [2]\n[tower]", ["transform_layers", "2 numbers"]),
        ("[tower]", "[tower", ["is not a recipe"]),
    ],
)
def test_what_is_wrong_in_a_recipe_is_named(old, new, words, tmp_path):
    assert old in CONFIG
    (tmp_path / "mine.toml").write_text(CONFIG.replace(old, new, 1))
    with pytest.raises(InputError) as raised:
        read(tmp_path / "mine.toml", SMALL, small.STAGES)
    assert all(word in str(raised.value) for word in ["mine.toml", *words]), raised.value
    assert "\n" not in str(raised.value)


def test_a_recipe_may_ask_for_more_blocks(tmp_path):
    (tmp_path / "mine.toml").write_text(CONFIG + "[profile]\ntransform_layers = [3, 5]\n")
    profile, _ = read(tmp_path / "mine.toml", SMALL, small.STAGES)
    assert profile == replace(SMALL, transform_layers=(3, 5))


@torch.no_grad()
def test_a_grown_model_does_what_it_did_before():
    before = replace(CONFORMANCE, name="small")
    torch.manual_seed(0)
    model = CodecModel(before).eval()
    for parameter in model.parameters():  # else every residual block is nothing, and a mix-up would not show
        parameter.add_(0.02 * torch.randn_like(parameter))
    after = replace(before, transform_layers=(2, 3), decoder_layers=(0, 2, 3, 1, 4), encoder_layers=(0, 1, 2, 1, 1))
    larger = CodecModel(after).eval()
    larger.load_state_dict(grown(model.state_dict(), larger))
    x, quality = torch.rand(1, 3, 96, 64) * 2 - 1, torch.tensor([100.0])
    noise = torch.zeros(1, before.autoencoder_channels, 6, 4)
    one, other = (m(x, quality, noise=noise) for m in (model, larger))
    assert torch.allclose(one.x_hat, other.x_hat, atol=1e-5) and torch.allclose(one.bits, other.bits)
    assert len(larger.state_dict()) > len(model.state_dict())
    with pytest.raises(ValueError, match="no place"):
        grown(larger.state_dict(), model)
    with pytest.raises(ValueError, match="shape"):
        grown(model.state_dict(), CodecModel(replace(before, condition_channels=7)))


def seen(size: int = 4) -> Seen:
    generator = torch.Generator().manual_seed(0)
    x, x_hat = (torch.rand(size, 3, 192, 192, generator=generator) * 2 - 1 for _ in range(2))
    return Seen(x, x_hat, x[:, :, :4, :4], x_hat[:, :, :4, :4], x_hat[:1])


def test_a_loss_is_weighted_for_each_lambda_and_counted_when_it_is_due(tmp_path):
    anchors = torch.eye(5)[:4]
    terms = check(
        small.CodecRecipe,
        tomllib.loads(CONFIG)["codec"]
        | {"losses": {"mse": [1.0, 2.0, 3.0, 4.0, 5.0], "local_contrast": {"weight": 2.0, "every": 2, "start": 0.5}}},
        "[codec]",
    ).losses
    made = Losses(terms, tmp_path, torch.nn.Identity())
    s = seen()
    errors = (s.x_hat - s.x).square().mean((1, 2, 3))
    total, record = made(s, anchors, 0, 0.0)
    assert total == pytest.approx((errors * torch.tensor([1.0, 2.0, 3.0, 4.0])).mean().item(), rel=1e-5)
    assert list(record) == ["mse"] and list(made(s, anchors, 1, 0.6)[1]) == ["mse"]
    both, record = made(s, anchors, 2, 0.6)
    assert both.item() == pytest.approx(total.item() + 2 * losses.local_contrast(s.x_hat, s.x).mean().item(), rel=1e-5)
    assert list(record) == ["mse", "local_contrast"]


def test_a_new_loss_is_one_function_and_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(losses.LOSSES, "brightness", lambda s: (s.x_hat.mean((1, 2, 3)) - s.x.mean((1, 2, 3))).abs())
    made, s = Losses({"brightness": 3.0}, tmp_path, torch.nn.Identity()), seen()
    difference = (s.x_hat.mean((1, 2, 3)) - s.x.mean((1, 2, 3))).abs().mean()
    assert made(s, None, 0, 0.0)[0].item() == pytest.approx(3 * difference.item(), rel=1e-5)


def test_an_unknown_loss_is_named(tmp_path):
    with pytest.raises(InputError, match=r"lpips_alx.*lpips_alex"):
        Losses({"lpips_alx": 1.0}, tmp_path, torch.nn.Identity())


def test_networks_that_are_not_at_hand_are_left_out_in_a_line_each(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("osdcodec.metrics.perceptual.find_spec", lambda package: None)
    terms = {"mse": 1.0, "lpips_alex": 8.0, "texture": 1.0, "perceptual": 1.0, "dists": 0.0}
    made = Losses(terms, tmp_path, torch.nn.Identity())
    assert list(made.terms) == ["mse"]
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 3 and all("without the loss" in line for line in told) and "pip install" in told[0]


class Blur(losses.Distance):
    """Counts how often its features are asked for."""

    asked = 0

    def features(self, x):
        Blur.asked += 1
        return [torch.nn.functional.avg_pool2d(x, 4)]

    def between(self, x, y):
        return (x[0] - y[0]).square().mean((1, 2, 3))


def test_features_serve_two_losses_and_both_pictures_are_shifted_alike(tmp_path, monkeypatch):
    for name in ("lpips_vgg", "texture"):
        monkeypatch.setitem(losses.NETWORKS, name, lambda data, model, stages: Blur())
    table = {name: losses.Term(weight=1.0, shift=7, share=0.5) for name in ("lpips_vgg", "texture")}
    made, s = Losses(table, tmp_path, torch.nn.Identity()), seen()
    total, record = made(s._replace(x_hat=s.x), None, 0, 0.0)
    assert total == 0 and Blur.asked == 2 and len(record["texture"]) == 2
    assert made(s, None, 0, 0.0)[0] > 0


def test_an_adversary_begins_late_rises_and_learns():
    torch.manual_seed(0)
    recipe = AdversaryRecipe(weight=0.2, start=0.5, ramp=4, learning_rate=1e-2)
    made = Adversary(recipe, Discriminator(4, width=8))
    x, condition = torch.rand(2, 3, 64, 64), torch.zeros(2, 4, 4, 4)
    x_hat = (0.1 * x).requires_grad_(True)
    assert made.loss(x, x_hat, condition, 0, 0.4) is None and made.learn(1) == {}
    first, later = (made.loss(x, x_hat, condition, steps, 0.6) for steps in (10, 14))
    assert later.item() / first.item() == pytest.approx(4, rel=0.2)  # the spectral norms settle meanwhile
    later.backward()
    assert x_hat.grad.abs().sum() > 0 and all(p.grad is None for p in made.learning)

    class Alone:
        reduce = staticmethod(lambda value, how: value)

    losses_so_far = []
    for step in range(30):
        made.loss(x, x_hat, condition, step, 1.0)
        losses_so_far.append(made.learn(1)["discriminator_loss"].item())
        made.step(Alone)
    assert losses_so_far[-1] < 0.5 * losses_so_far[0]


def test_crops_have_the_sizes_and_the_kinds_that_are_asked_for():
    photos = Photos(EXAMPLES)
    assert photos.batch(2, 64, 96).shape == (2, 3, 64, 96) and photos.batch(1, 33).shape == (1, 3, 33, 33)
    turned = Photos(EXAMPLES, variety=Variety(turned=1.0)).crop(40, 90)
    assert turned.shape == (40, 90, 3)
    grey = Photos(EXAMPLES, variety=Variety(grey=1.0)).crop(64)
    assert (grey == grey[..., :1]).all()
    flat = np.stack([Photos(EXAMPLES, seed, variety=Variety(flat=1.0)).crop(64) for seed in range(8)]).astype(int)
    assert flat.dtype == int and abs(np.diff(flat, axis=1)).max() <= 3 and len(np.unique(flat)) > 8
    screens = np.stack([Photos(EXAMPLES, seed, variety=Variety(screen=1.0)).crop(96, 64) for seed in range(8)])
    grounds = [np.unique(screen.reshape(-1, 3), axis=0, return_counts=True)[1].max() for screen in screens]
    assert (
        screens.shape == (8, 96, 64, 3) and min(grounds) > 96 * 64 / 10 and any(len(np.unique(s)) > 8 for s in screens)
    )
    mixed, drawn = Photos(EXAMPLES, 1, variety=Variety(flat=0.5)).batch_of_kinds(6, 48)
    plain = [len(crop.flatten(1).unique(dim=1).T) < 250 for crop in mixed]
    assert plain == drawn.tolist() and 0 < sum(plain) < 6
    ended = [Photos(EXAMPLES, seed, variety=Variety(ends=1.0)).crop(96) for seed in range(12)]
    mirrored = [n for crop in ended for n in range(2, 31) if (crop[-n:] == crop[-2 * n + 1 : -n + 1][::-1]).all()]
    assert mirrored  # the last rows of some are the reflection of those before them


def test_a_folder_of_photographs_is_enough_and_a_damaged_one_is_left_out(tmp_path):
    Image.open(next(EXAMPLES.glob("*.png"))).convert("RGB").save(tmp_path / "ONE.JPG", "JPEG")
    (tmp_path / "two.png").write_bytes(b"no picture")
    photos = Photos(tmp_path)
    with pytest.warns(OsdWarning, match=r"two\.png"):
        assert len(list(photos.pictures(5))) == 1
    assert photos.crop(64).shape == (64, 64, 3)
    with pytest.raises(InputError, match="4000x4000"):
        photos.crop(4000)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no photographs"):
        Photos(tmp_path / "empty")


def test_decoded_photographs_fill_no_more_memory_than_they_may():
    photos = Photos(EXAMPLES, memory=800_000)
    pictures = list(photos.pictures(9))
    assert sum(picture.nbytes for picture in photos.decoded.values()) <= 800_000 < sum(p.nbytes for p in pictures)


def test_recipes_from_before_1_0_are_read_by_a_table_of_aliases(tmp_path):
    old, new = tmp_path / "old.toml", tmp_path / "new.toml"
    config = CONFIG.replace("start = 0.3 }", 'start = 0.3, discriminator = "features" }')
    new.write_text(config)
    for now, before in (
        ("grid_artefacts", "weave"),
        ("residual_gain", "emphasis"),
        ("gain_tuning", "balance"),
        ("local_contrast", "detail"),
        ("discriminator", "judges"),
    ):
        assert now in config
        config = config.replace(now, before)
    old.write_text(config)
    assert read(old, SMALL, small.STAGES) == read(new, SMALL, small.STAGES)
