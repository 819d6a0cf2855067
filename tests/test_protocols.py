"""What is done to pictures before they are measured, as papers do it."""

import json

import numpy as np
import pytest
from helpers.pictures import EXAMPLES
from PIL import Image
from typer.testing import CliRunner

from osdcodec.cli import app
from osdcodec.evaluation.protocols import opener, rdeic
from osdcodec.image import open_image

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("size", [(1200, 1200), (2048, 1365), (1365, 2048), (769, 2000), (500, 333)])
def test_every_picture_becomes_a_square_of_768_pixels(size):
    assert rdeic(Image.new("RGB", size)).size == (768, 768)


def test_the_centre_is_what_is_left():
    stripes = np.zeros((1200, 2400, 3), np.uint8)
    stripes[:, 600:1800] = 200  # of 2400 pixels the middle half: what is not left is black
    assert np.asarray(rdeic(Image.fromarray(stripes)))[:, 8:-8].min() == 200
    assert np.asarray(rdeic(Image.fromarray(stripes.transpose(1, 0, 2))))[8:-8].min() == 200


def test_a_picture_of_768_pixels_loses_its_ends_only():
    pixels = np.random.default_rng(0).integers(0, 256, (768, 900, 3), np.uint8)
    assert np.array_equal(rdeic(Image.fromarray(pixels)), pixels[:, 66:834])


def test_a_large_picture_is_halved_by_its_means_first():
    """Alternate black and white columns: the mean of two, not what a bicubic filter of four thirds leaves of them."""
    pixels = np.zeros((1536, 1536, 3), np.uint8)
    pixels[:, ::2] = 255
    assert set(np.unique(np.asarray(rdeic(Image.fromarray(pixels))))) <= {127, 128}


def test_without_a_protocol_a_picture_is_as_it_is():
    assert opener(None) is open_image


def test_evaluate_measures_and_says_by_which_protocol(tmp_path):
    (tmp_path / "pictures").mkdir()
    with Image.open(EXAMPLES / "chelsea.png") as photo:
        photo.convert("RGB").save(tmp_path / "pictures" / "chelsea.png")
    report = ["-o", str(tmp_path / "report"), "--codec", "none", "--lambda", "2", "--no-memory", "--page-pictures", "0"]
    done = CliRunner().invoke(app, ["evaluate", str(tmp_path / "pictures"), "--protocol", "rdeic", *report])
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "report" / "records.json").read_text("utf-8"))
    [record] = found["records"]
    assert (record["width"], record["height"]) == (768, 768)
    assert record["bpp"] == 8 * record["bytes"] / 768**2
    assert found["environment"]["protocol"] == "rdeic"


def test_a_protocol_that_is_not_known_is_a_wrong_usage(tmp_path):
    done = CliRunner().invoke(app, ["evaluate", str(EXAMPLES), "--protocol", "clic", "-o", str(tmp_path)])
    assert done.exit_code == 2 and "rdeic" in done.output
