"""The options of an encoding: what excludes what, and that all layers take the same ones."""

import inspect
from dataclasses import FrozenInstanceError, fields

import pytest

import osdcodec
from osdcodec import Encoder, Target
from osdcodec.options import EncodeOptions
from osdcodec.rate_control import lambda_of_byte, lambda_of_quality, quality_byte, quality_of_byte


def test_the_interval_of_lambda_is_cut_into_equal_steps_of_its_logarithm():
    assert (lambda_of_quality(0), lambda_of_quality(100)) == (2.0, 0.1)
    ratios = [lambda_of_quality(quality) / lambda_of_quality(quality + 1) for quality in range(100)]
    assert ratios == pytest.approx([20 ** (1 / 100)] * 100)
    assert lambda_of_quality(50) == pytest.approx((2.0 * 0.1) ** 0.5)


def test_the_quality_runs_against_the_byte_of_the_file():
    assert (quality_of_byte(0), quality_of_byte(255)) == (100, 0)
    for quality in range(101):
        assert quality_of_byte(quality_byte(lambda_of_quality(quality))) == pytest.approx(quality, abs=0.25)
        assert lambda_of_byte(quality_byte(lambda_of_quality(quality))) == pytest.approx(
            lambda_of_quality(quality), rel=0.01
        )


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"quality": 50, "lmbda": 1.0}, "give one of `lmbda`, `quality` and `target`"),
        ({"quality": 50, "target": Target(bpp=0.1)}, "give one of `lmbda`, `quality` and `target`"),
        ({"quality": 100.1}, "quality must lie between 0 and 100"),
        ({"quality": float("nan")}, "quality must lie between 0 and 100"),
        ({"lmbda": 2.1}, "lambda must lie between"),
        ({"effort": 11}, "effort must be"),
        ({"scale": 0.0}, "scale lies above 0"),
    ],
)
def test_options_out_of_range_are_refused_before_the_picture_is_opened(options, error):
    with pytest.raises(ValueError, match=error):
        osdcodec.encode("no such file", **options)


@pytest.mark.parametrize("options", [{"quality": "80"}, {"lmbda": "1"}, {"target": 500}])
def test_options_of_another_type_are_refused(options):
    with pytest.raises(TypeError):
        EncodeOptions(**options)


def test_a_quality_makes_the_file_of_its_lambda(photo):
    small = photo.resize((64, 48))
    files = {quality: osdcodec.encode(small, quality=quality, effort=0) for quality in (0, 60, 100)}
    assert len(files[0]) < len(files[60]) < len(files[100])
    assert files[60] == osdcodec.encode(small, lambda_of_quality(60), effort=0)
    assert osdcodec.info(files[60])["quality"] == pytest.approx(60, abs=0.25)


def test_the_api_takes_all_options_by_the_same_names_and_defaults():
    options = {each.name: each.default for each in fields(EncodeOptions)}
    for function in (Encoder.encode, osdcodec.encode):
        given = {name: p.default for name, p in inspect.signature(function).parameters.items()}
        assert options == {name: given[name] for name in options}
        assert given.keys() - options.keys() <= {"self", "picture", "progress"}
    with pytest.raises(FrozenInstanceError):
        EncodeOptions().lmbda = 2.0
