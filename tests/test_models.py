from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler

from osdcodec.entropy.prior import Prior as IntegerPrior
from osdcodec.models import CodecModel
from osdcodec.models.prior_twin import IntegerConv, Prior, frequencies, tables
from osdcodec.profile import SMALL
from osdcodec.rate_control import ANCHORS, quality_byte

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model() -> CodecModel:
    torch.manual_seed(1)
    return CodecModel(SMALL).eval()


def test_alpha_bar_is_that_of_diffusers():
    scheduler = DDIMScheduler(beta_start=SMALL.beta_start, beta_end=SMALL.beta_end, beta_schedule="scaled_linear")
    for level in (0, SMALL.noise_low, SMALL.noise_high):
        assert SMALL.alpha_bar(level) == pytest.approx(scheduler.alphas_cumprod[level].item(), rel=1e-5)


def test_noise_level_follows_lambda():
    assert SMALL.level(quality_byte(0.1)) == SMALL.noise_low
    assert SMALL.level(quality_byte(2.0)) == SMALL.noise_high
    levels = [SMALL.level(q) for q in range(256)]
    assert levels == sorted(levels)


def test_gains_meet_the_anchors_and_lie_between_them(model):
    with torch.no_grad():
        model.gains.latent.copy_(torch.randn_like(model.gains.latent))
    anchors = torch.tensor([float(quality_byte(lmbda)) for lmbda in ANCHORS])
    at, _, _ = model.gains(anchors)
    assert torch.allclose(at[:, :, 0, 0].log(), model.gains.latent, atol=1e-5)
    middle, _, _ = model.gains((anchors[1:2] + anchors[2:3]) / 2)
    assert torch.allclose(middle[0, :, 0, 0].log(), (model.gains.latent[1] + model.gains.latent[2]) / 2, atol=1e-5)


def test_tables_are_frequencies():
    counts = tables()
    assert counts.shape == (64, 129)
    assert (counts.sum(1) == 2**24).all() and counts.min() >= 1
    assert (counts[:, 64] == counts.max(1)).all()  # the mean is the likeliest symbol
    assert (np.diff(counts[:, 64]) < 0).all()  # and less so in each wider table


def test_tables_follow_what_was_seen_either_side_of_zero():
    seen = np.zeros((64, 129))
    seen[10, 66] = 1000
    before, after = tables(), tables(seen)
    assert (after.sum(1) == 2**24).all() and after.min() >= 1
    assert after[10, 66] == pytest.approx(after[10, 62], rel=1e-5) and after[10, 66] > 100 * before[10, 66]
    assert np.array_equal(np.delete(after, 10, 0), np.delete(before, 10, 0))


def test_frequencies_keep_what_was_never_seen_codable():
    counts = frequencies(np.array([0.0, 3.0, 1.0]))
    assert counts.tolist() == [1, 12582911, 4194304]


def test_integer_prior_makes_the_symbols_of_its_twin(model):
    random = np.random.default_rng(3)
    with torch.no_grad():
        for layer in model.prior.layers().values():  # a prior at birth predicts next to nothing
            layer.conv.weight.mul_(2)
    y = torch.from_numpy(random.normal(0, 3, (1, SMALL.latent_channels, 5, 7)))
    hyper = torch.from_numpy(random.normal(0, 2, (1, SMALL.hyper_channels, 2, 2)))
    counts = np.stack([frequencies(np.ones(SMALL.codebook_size))] * SMALL.tokens)
    channels = {"latent": SMALL.latent_channels, "inverse": SMALL.latent_channels, "hyper": SMALL.hyper_channels}
    gains = {f"gains.{name}": np.ones((5, count), np.float32) for name, count in channels.items()}
    profile = replace(SMALL, bit_price=0.0)  # by price, they may choose otherwise where costs are nearly equal
    integer = IntegerPrior(model.prior.export() | gains | {"prior.token_tables": counts}, profile)
    twin = model.prior.double()
    twin.profile = profile
    try:
        with torch.no_grad():
            y_hat, bits, _ = twin(y, hyper, torch.tensor([100.0], dtype=torch.float64))
    finally:
        model.prior.float().profile = SMALL
    payload, symbols = integer.encode(y[0].numpy(), hyper[0].numpy(), np.arange(SMALL.tokens), 100)
    assert np.array_equal(symbols.y16, (16 * y_hat[0]).numpy())
    tokens = SMALL.tokens * 10
    assert 8 * len(payload) == pytest.approx(bits.sum().item() + tokens, rel=0.005, abs=48)


def test_by_the_tables_of_a_file_the_twin_chooses_and_counts_as_the_file_does():
    profile = replace(SMALL, latent_channels=8, hyper_channels=3, feature_channels=4, context_channels=6)
    random, twin = np.random.default_rng(3), small_prior()
    seen = random.integers(0, 2, (64, 129)) * 10.0**6  # far from any Gaussian
    channels = {"latent": 8, "inverse": 8, "hyper": 3}
    tensors = twin.export(seen) | {f"gains.{name}": np.ones((5, count), np.float32) for name, count in channels.items()}
    tensors["prior.token_tables"] = np.stack([frequencies(np.ones(profile.codebook_size))] * profile.tokens)
    y, hyper = random.normal(0, 4, (8, 12, 10)).astype(np.float32), random.normal(0, 2, (3, 3, 3)).astype(np.float32)
    integer = IntegerPrior(tensors, profile)
    _, symbols = integer.encode(y, hyper, np.arange(profile.tokens), 100)
    told = integer.parts(symbols, 100)

    def ours() -> tuple[np.ndarray, list[float]]:
        with torch.no_grad():
            y_hat, bits, _ = twin(torch.from_numpy(y)[None], torch.from_numpy(hyper)[None], torch.tensor([100.0]))
        return (16 * y_hat[0]).numpy(), bits[0].tolist()

    assert (ours()[0] != symbols.y16).any()
    twin.price(tensors["prior.tables"])
    y16, bits = ours()
    assert np.array_equal(y16, symbols.y16)
    assert bits == pytest.approx([told["hyper"], told["latent"]], rel=1e-5)


def small_prior() -> Prior:
    return Prior(replace(SMALL, latent_channels=8, hyper_channels=3, feature_channels=4, context_channels=6))


def test_weights_of_the_quality_have_steps_of_a_512th():
    layer = small_prior().hyper_synthesis[0]
    steps = 2.0**-layer.weight_bits / layer.input_scale.flatten()
    assert steps.tolist() == [2**-15] * 3 + [2**-9]


def test_weights_written_in_other_steps_are_read():
    before, after = small_prior(), small_prior()
    for layer in before.layers().values():
        layer.weight_bits = 11
    written = before.export()
    after.load(written)
    for name, tensor in after.export().items():
        if name.endswith("weight"):
            factor = 2 ** (after.layers()[name.removesuffix(".weight")].weight_bits - 11)
            assert np.array_equal(tensor, factor * written[name].astype(int)), name


def test_the_prior_learns_from_the_slope_of_what_the_encoder_weighs():
    prior = small_prior().double()
    for layer in prior.modules():
        if isinstance(layer, IntegerConv):
            layer.exact = False  # steps of integers have no slope
            layer.input_scale = layer.input_scale.double()
    random = torch.Generator().manual_seed(6)
    y = 2 * torch.randn(2, 8, 8, 12, generator=random, dtype=torch.float64)
    hyper, quality = torch.randn(2, 3, 2, 3, generator=random, dtype=torch.float64).round(), torch.tensor([0.0, 255.0])

    def cost() -> torch.Tensor:
        _, bits, error = prior(y, hyper, quality.double())
        return bits.sum() + error.sum()

    # Of the last group: what an earlier one reconstructs changes what later ones see, of which the gradient does not know.
    for bias in (prior.context[-1]["mean"].conv.bias, prior.context[-1]["scale"].conv.bias):
        prior.zero_grad()
        cost().backward()
        slopes = []
        for sign in (1, -1):
            with torch.no_grad():
                bias[2] += sign * 1e-4
                slopes.append(cost())
                bias[2] -= sign * 1e-4
        assert bias.grad[2] == pytest.approx((slopes[0] - slopes[1]).item() / 2e-4, rel=0.02)


def test_the_picture_trains_the_latent_and_the_error_the_means():
    prior, random = small_prior(), torch.Generator().manual_seed(7)
    y, hyper = torch.randn(1, 8, 4, 6, generator=random, requires_grad=True), torch.zeros(1, 3, 1, 2)
    y_hat, bits, error = prior(y, hyper, torch.tensor([100.0]))
    assert torch.allclose(error, (y_hat - y).square().sum() / SMALL.bit_price)
    means = [group["mean"].conv.weight for group in prior.context]
    of_y, *of_means = torch.autograd.grad(y_hat.sum(), [y, *means], retain_graph=True, allow_unused=True)
    assert (of_y == 1).all() and of_means == [None] * 4  # straight through
    of_y, *of_means = torch.autograd.grad(error.sum(), [y, *means], retain_graph=True, allow_unused=True)
    assert of_y is None and all(gradient.abs().sum() > 0 for gradient in of_means)
    assert torch.autograd.grad(bits.sum(), means, allow_unused=True) == (None,) * 4


def test_untrained_denoiser_leaves_the_coarse_latent(model):
    z_c, noise = torch.randn(2, SMALL.autoencoder_channels, 4, 6), torch.randn(2, SMALL.autoencoder_channels, 4, 6)
    condition, tokens = torch.randn(2, SMALL.condition_channels, 4, 6), torch.zeros(2, SMALL.tokens, dtype=torch.int64)
    with torch.no_grad():
        z_hat = model.denoise(
            z_c, condition, tokens, noise, torch.tensor([120.0, 300.0]), torch.full((2, 1, 1, 1), 0.6)
        )
    assert torch.allclose(z_hat, z_c, atol=1e-5)


def test_a_tile_of_the_latent_decodes_as_the_picture_does(model):
    z = torch.randn(1, SMALL.autoencoder_channels, 40, 40)
    with torch.no_grad():
        whole, tile = model.render(z), model.render(z[..., :32, :32])
    assert torch.allclose(whole[..., : 16 * 20, : 16 * 20], tile[..., : 16 * 20, : 16 * 20], atol=1e-4)


def test_tokens_index_the_nearest_code(model):
    features, tokens = model.semantics(torch.rand(3, 3, 64, 64) * 2 - 1)
    assert features.shape == (3, SMALL.tokens, SMALL.tower_width) and tokens.shape == (3, SMALL.tokens)
    distance = (features[:, :, None] - model.semantics.codebook).square().sum(-1)
    assert torch.equal(distance.argmin(-1), tokens)
