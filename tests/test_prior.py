"""The prior: round trips of every shape, exactness, damage, and what a model must be to be loaded."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import tiny

from osdcodec.entropy.groups import masks, quarters
from osdcodec.entropy.prior import Prior, Symbols, model_id
from osdcodec.errors import FormatError, WeightsError
from osdcodec.profile import SMALL
from osdcodec.rate_control import ANCHORS, quality_byte

SHAPES = [(1, 1), (1, 2), (2, 1), (1, 9), (3, 3), (4, 4), (5, 2), (8, 13), (17, 4)]
GOLDEN = (
    "5aeeffc9b9faffc1d9ffff24eeffff50eeffff27cef1ff2c81ffff7e09000088582de97814f9ff0c300000370d0000b1490b"
    "008bccffffa157b3ffe8bc7887d583fffffcd4ffff899b6141fa150000eb0200008786ffff82010000ad07000065a5ffff4b"
    "f2a4c724664c00c1140000ec0b"
)


@pytest.fixture(scope="module")
def prior() -> Prior:
    return Prior(tiny.tensors(), tiny.TINY)


@pytest.mark.parametrize("quality", [0, 130, 255])
@pytest.mark.parametrize("shape", SHAPES)
def test_round_trip(prior, shape, quality):
    y, hyper, tokens = tiny.latents(f"{quality}", *shape)
    payload, symbols = prior.encode(y, hyper, tokens, quality)
    assert prior.decode(payload, quality, *shape) == symbols
    assert np.array_equal(symbols.tokens, tokens)
    assert np.array_equal(symbols.hyper, np.floor(hyper + 0.5))
    assert all(array.dtype == np.int32 for array in symbols._arrays())
    within = np.abs(symbols.latent) < tiny.LIMIT
    assert within.mean() >= 0.5
    assert np.abs(symbols.y16 / 16 - y)[within].max() <= 1.5 + 1e-5


def test_the_encoder_takes_the_nearest_symbol_or_a_cheaper_one_nearer_to_zero():
    price, latents = 0.3, tiny.latents("cheaper", 8, 13)
    plain = Prior(tiny.tensors(), replace(tiny.TINY, bit_price=0.0))
    frugal = Prior(tiny.tensors(), replace(tiny.TINY, bit_price=price))
    (_, exact), (_, cheap) = (prior.encode(*latents, 100) for prior in (plain, frugal))
    assert (np.abs(exact.y16 / 16 - latents[0])[np.abs(exact.latent) < tiny.LIMIT] <= 0.5).all()
    first = masks(*cheap.latent.shape)[0]  # of which the context is the same
    assert np.isin(np.abs(exact.latent - cheap.latent)[first], [0, 1]).all()
    assert (np.abs(cheap.latent) <= np.abs(exact.latent))[first].all() and (cheap.latent != exact.latent).any()

    def cost(symbols: Symbols) -> float:
        error = np.square(symbols.y16 / 16 - latents[0]).sum()
        return error + price * sum(frugal.parts(symbols, 100).values())

    assert cost(cheap) < cost(exact)


def test_bytes_and_symbols_are_these(prior):
    payload, symbols = prior.encode(*tiny.latents("golden", 2, 3), 100)
    assert payload.hex() == GOLDEN
    assert symbols.digest() == "ac6921c90f5342f868f1619fcda2f027150b197f8ecb9c2d9c2379a25bd420d8"


def test_the_tiny_prior_uses_its_tables(prior):
    """Else the other tests would prove little."""
    used, means = set(), set()

    def code(part, tables, rows, mean, mask):
        if part == "latent":
            used.update(rows.tolist())
            means.update(mean.tolist())
        return np.full(len(rows), tiny.LIMIT, np.int32) if part != "tokens" else np.zeros(len(rows), np.int32)

    prior._walk(100, 8, 13, code)
    assert len(used) >= 6 and len(means) >= 20


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("channels", [8, 7, 96])
def test_groups_share_out_all_symbols(shape, channels):
    groups = masks(channels, *shape)
    for quarter, part in enumerate(quarters(channels)):  # of the first group, one position of a cell for each quarter
        assert groups[0][part].sum() == groups[0][part, quarter // 2 :: 2, quarter % 2 :: 2].sum()
    assert np.array_equal(np.sum(groups, axis=0), np.ones((channels, *shape)))


def test_every_cell_of_a_channel_is_in_all_groups():
    for mask in masks(8, 6, 4):
        cells = mask.reshape(8, 3, 2, 2, 2).sum((2, 4))
        assert (cells == 1).all()


def test_order_of_the_groups():
    order = sum(t * mask for t, mask in enumerate(masks(4, 2, 2)))
    assert order.tolist() == [[[0, 2], [3, 1]], [[2, 0], [1, 3]], [[3, 1], [0, 2]], [[1, 3], [2, 0]]]


@pytest.mark.parametrize("value", [1e9, -1e9, 40.0, -40.0])
def test_what_no_table_holds_is_clamped_and_known(prior, value):
    y, hyper, tokens = tiny.latents("clamp", 3, 5)
    payload, symbols = prior.encode(np.full_like(y, value), np.full_like(hyper, value), tokens, 9)
    limit = int(np.sign(value)) * tiny.LIMIT
    assert (symbols.latent == limit).all() and (symbols.hyper == limit).all()
    assert prior.decode(payload, 9, 3, 5) == symbols


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_latents_that_are_not_finite_are_refused(prior, bad):
    y, hyper, tokens = tiny.latents("", 2, 2)
    for at in (y, hyper):
        kept = at[0, 0, 0]
        at[0, 0, 0] = bad
        with pytest.raises(ValueError, match="finite"):
            prior.encode(y, hyper, tokens, 9)
        at[0, 0, 0] = kept


def test_quality_and_tokens_out_of_range_are_refused(prior):
    y, hyper, tokens = tiny.latents("", 2, 2)
    for quality in (-1, 256):
        with pytest.raises(ValueError, match="quality"):
            prior.encode(y, hyper, tokens, quality)
    with pytest.raises(ValueError, match="symbols"):
        prior.encode(y, hyper, tokens + tiny.TINY.codebook_size, 9)


def test_damage_is_noticed(prior):
    payload, symbols = prior.encode(*tiny.latents("damage", 5, 4), 77)
    damaged = [payload[:n] for n in range(0, len(payload), 5)]
    for bit in range(0, 8 * len(payload), 7):
        flipped = bytearray(payload)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(flipped))
    damaged += [payload + b"\x01", payload + b"\0", b"\xff" * 99]
    missed = 0
    for data in damaged:
        try:
            assert prior.decode(data, 77, 5, 4) != symbols
            missed += 1
        except FormatError as error:
            assert error.field == "payload"
    assert missed <= 0.01 * len(damaged)


def test_wrong_size_or_quality_is_noticed(prior):
    payload, _ = prior.encode(*tiny.latents("size", 5, 4), 20)
    for quality, *shape in ((20, 4, 5), (20, 5, 5), (20, 4, 4), (220, 5, 4)):
        with pytest.raises(FormatError):
            prior.decode(payload, quality, *shape)


def test_parts_add_up_to_the_payload(prior):
    y, hyper, tokens = tiny.latents("parts", 8, 13)
    payload, symbols = prior.encode(y, hyper, tokens, 50)
    parts = prior.parts(symbols, 50)
    counts = prior.token_tables[np.arange(len(tokens)), tokens]
    assert parts["tokens"] == pytest.approx(-np.log2(counts / 2**24).sum())
    assert min(parts.values()) > 0
    assert sum(parts.values()) == pytest.approx(8 * len(payload), abs=48)


def test_symbols_compare_by_value(prior):
    _, symbols = prior.encode(*tiny.latents("compare", 2, 2), 50)
    copy = Symbols(*(array.copy() for array in symbols._arrays()))
    assert copy == symbols and copy.digest() == symbols.digest()
    for array in filter(np.size, copy._arrays()):
        array.flat[-1] += 1
        assert copy != symbols and copy.digest() != symbols.digest()
        array.flat[-1] -= 1
    assert copy != "symbols"


def test_gains_meet_the_anchors_and_lie_between_them(prior):
    stored = [prior._gains[name] for name in ("latent", "inverse", "hyper")]
    for row, lmbda in enumerate(ANCHORS):
        for found, rows in zip(prior.gains(quality_byte(lmbda)), stored, strict=True):
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, rows[row], rtol=1e-6)
    first, second = quality_byte(0.25), quality_byte(0.1)
    share = (first - 30) / (first - second)
    expected = stored[0][3] ** (1 - share) * stored[0][4] ** share
    np.testing.assert_allclose(prior.gains(30)[0], expected, rtol=1e-6)


def test_gains_are_those_of_training():
    torch = pytest.importorskip("torch")
    from osdcodec.models.transforms import Gains

    twin = Gains(tiny.TINY, [quality_byte(lmbda) for lmbda in ANCHORS])
    tensors = tiny.tensors()
    with torch.no_grad():
        for name in ("latent", "inverse", "hyper"):
            getattr(twin, name).copy_(torch.from_numpy(np.log(tensors[f"gains.{name}"])))
        prior = Prior(tensors, tiny.TINY)
        for quality in range(0, 256, 15):
            for ours, theirs in zip(prior.gains(quality), twin(torch.tensor([float(quality)])), strict=True):
                np.testing.assert_allclose(ours, theirs[0, :, 0, 0].numpy(), rtol=1e-5)


def change(tensors: dict[str, np.ndarray], name: str, at: tuple[int, ...], value: int) -> dict[str, np.ndarray]:
    changed = tensors[name].copy()
    changed[at] = value
    return tensors | {name: changed}


@pytest.mark.parametrize(
    ("name", "at", "value", "match"),
    [
        ("prior.tables", (3, 5), 12345, "sum"),
        ("prior.token_tables", (1, 0), 12345, "sum"),
        ("prior.context.2.scale.rescale", (3,), 16, "rows"),
        ("prior.hyper_scale.1.rescale", (2,), -1, "rows"),
        ("prior.context.1.0.rescale", (0,), 2**31 - 1, "2\\*\\*53"),
        ("prior.hyper_synthesis.1.rescale", (0,), 2**31 - 1, "2\\*\\*53"),
        ("prior.hyper_scale.0.rescale", (1,), 63, "rescaling"),
    ],
)
def test_unusable_numbers_are_refused(name, at, value, match):
    with pytest.raises(WeightsError, match=match):
        Prior(change(tiny.tensors(), name, at, value), tiny.TINY)


def test_a_table_with_a_zero_is_refused():
    tables = tiny.tensors()["prior.tables"].copy()
    tables[0, 8] += tables[0, 0]
    tables[0, 0] = 0
    with pytest.raises(WeightsError, match="sum"):
        Prior(tiny.tensors() | {"prior.tables": tables}, tiny.TINY)


@pytest.mark.parametrize("name", [name for name in tiny.tensors() if name != "semantics.codebook"])
def test_a_missing_tensor_is_named(name):
    tensors = tiny.tensors()
    del tensors[name]
    with pytest.raises(WeightsError, match=name):
        Prior(tensors, tiny.TINY)


@pytest.mark.parametrize("field", ["latent_channels", "hyper_channels", "tokens", "codebook_size"])
def test_sizes_of_another_profile_are_refused(field):
    with pytest.raises(WeightsError, match="profile"):
        Prior(tiny.tensors(), replace(tiny.TINY, **{field: getattr(SMALL, field)}))


def test_a_tensor_that_would_change_the_symbols_unseen_is_refused():
    tensors = tiny.tensors() | {"prior.base_tables": np.zeros(1, np.int32), "another": np.zeros(1)}
    with pytest.raises(WeightsError, match="base_tables is not known here"):
        Prior(tensors, tiny.TINY)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("prior.hyper_synthesis.0.weight", np.float32), ("prior.context.1.0.bias", np.int64), ("prior.stride", np.int16)],
)
def test_numbers_of_another_type_are_refused(name, kind):
    """Whole numbers of those types are what exactness rests on."""
    tensors = tiny.tensors() | {"prior.stride": np.array([tiny.TINY.stride], np.int32)}
    with pytest.raises(WeightsError, match=f"{name} holds {np.dtype(kind)}, not int"):
        Prior(tensors | {name: tensors[name].astype(kind)}, tiny.TINY)


LAYERS = [name for name in tiny.tensors() if name.endswith(".weight") and tiny.tensors()[name].shape[1] > 1]


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_that_lacks_a_channel_is_refused(name):
    tensors = tiny.tensors()
    with pytest.raises(WeightsError, match="channels of a layer"):
        Prior(tensors | {name: tensors[name][:, 1:]}, tiny.TINY)


def test_half_a_base_is_refused():
    with pytest.raises(WeightsError, match="profile"):
        Prior(tiny.tensors() | {"prior.base_factor": np.array([2], np.int32)}, tiny.TINY)


def test_weights_that_tell_no_stride_have_32():
    with pytest.raises(WeightsError, match="profile"):
        Prior(tiny.tensors(), replace(tiny.TINY, stride=64))


def test_model_id():
    tensors = tiny.tensors()
    assert model_id(tensors).hex() == "a1b2f71a"
    assert model_id(dict(reversed(tensors.items()))) == model_id(tensors)
    as_loaded = tensors | {"semantics.codebook": tensors["semantics.codebook"].astype(np.float32)}
    assert model_id(as_loaded | {"denoiser.weight": np.ones(3, np.float32)}) == model_id(tensors)
    for name, array in tensors.items():
        other = array.copy()
        other.flat[-1] += 1
        assert model_id(tensors | {name: other}) != model_id(tensors), name
        assert model_id(tensors | {name: array.reshape(-1, 1, 1, 1, 1)}) != model_id(tensors), name


def swapped(array: np.ndarray) -> np.ndarray:
    """The same values as a machine of the other byte order holds them."""
    return array.astype(array.dtype.newbyteorder("S"))


def test_digests_do_not_depend_on_the_byte_order_of_arrays(prior):
    tensors = {name: swapped(array) for name, array in tiny.tensors().items()}
    assert model_id(tensors) == model_id(tiny.tensors())
    _, symbols = prior.encode(*tiny.latents("golden", 2, 3), 100)
    assert Symbols(*map(swapped, symbols._arrays())).digest() == symbols.digest()


@pytest.mark.parametrize("stride", [16, 32, 64])
def test_the_stride_in_the_weights_must_be_that_of_the_profile(stride):
    tensors = tiny.tensors() | {"prior.stride": np.array([stride], np.int32)}
    assert model_id(tensors) != model_id(tiny.tensors())
    if stride == tiny.TINY.stride:
        Prior(tensors, tiny.TINY)
    else:
        with pytest.raises(WeightsError, match="profile"):
            Prior(tensors, tiny.TINY)
