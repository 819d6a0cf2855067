"""The vectors for readers of symbols: what they are for, and that the usual mistakes do not pass them."""

import json
from contextlib import suppress

import numpy as np
import pytest

from osdcodec import container, weights
from osdcodec.checks.conformance import VECTORS, check
from osdcodec.checks.conformance import main as check_main
from osdcodec.entropy import integer_net
from osdcodec.entropy.prior import Prior
from osdcodec.errors import FormatError
from osdcodec.latent.coder import decode_symbols, qualities_of
from osdcodec.maintenance.vectors.symbols import main

FOLDER = VECTORS / "symbols"
LISTED = json.loads((FOLDER / "vectors.json").read_text("utf-8"))
VALID = {
    vector["name"]: container.unpack((FOLDER / f"{vector['name']}.osd").read_bytes()) for vector in LISTED["vectors"]
}


@pytest.fixture(scope="module")
def prior() -> Prior:
    model = weights.load("symbols", FOLDER)
    return model.prior


def test_package_and_reference_decode_and_refuse_what_is_listed():
    results = check(FOLDER)
    assert [r.name for r in results if not r.good] == []
    assert {r.name for r in results} == {path.stem for path in FOLDER.glob("*.osd")}
    assert sum(r.size == "refused" for r in results) == len(LISTED["refused"]) >= 25


def test_a_file_that_should_be_refused_and_is_not_is_told(tmp_path):
    for name in ("symbols.safetensors", "weights.toml"):
        (tmp_path / name).write_bytes((FOLDER / name).read_bytes())
    (tmp_path / "fine.osd").write_bytes((FOLDER / "one-position.osd").read_bytes())
    told = {"profile": "symbols", "vectors": [], "refused": [{"name": "fine", "what": "nothing is wrong with it"}]}
    (tmp_path / "vectors.json").write_text(json.dumps(told), "utf-8")
    with pytest.raises(SystemExit, match="1 vectors failed"):
        check_main([str(tmp_path)])


@pytest.mark.parametrize("name", VALID)
def test_sums_pass_32_bits(name, prior, monkeypatch):
    """So integers of 32 bits, or sums in single precision, give something else."""
    sums, call = [], integer_net.IntegerLayer.__call__

    def watched(layer: integer_net.IntegerLayer, x: np.ndarray) -> np.ndarray:
        plain = integer_net.IntegerLayer(layer.weight, layer.bias, 1, 0, -(2**53), 2**53)
        sums.append(np.abs(call(plain, x)).max(initial=0))
        return call(layer, x)

    monkeypatch.setattr(integer_net.IntegerLayer, "__call__", watched)
    decode_symbols(VALID[name], prior)
    assert max(sums) > 2**32


def test_hyper_latents_have_rows_and_columns(prior):
    grids = {prior.profile.hyper_grid(*prior.profile.grid(osd.width, osd.height)) for osd in VALID.values()}
    assert {(2, 3), (4, 2), (1, 1)} <= grids


@pytest.mark.parametrize("name", ["regions", "one-region"])
def test_every_region_counts(name, prior):
    osd = VALID[name]
    regions, grid = osd.regions, prior.profile.grid(osd.width, osd.height)
    expected = prior.decode(osd.payload, osd.quality, *grid, qualities_of(osd, prior.profile))
    for left_out in regions.boxes:
        boxes = tuple(box for box in regions.boxes if box != left_out)
        qualities = np.array(container.Regions(regions.quality, boxes).qualities(osd.quality, 64, *grid))
        with suppress(FormatError):
            assert prior.decode(osd.payload, osd.quality, *grid, qualities) != expected


def test_they_are_made_by_one_call(tmp_path):
    main([str(tmp_path)])
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in FOLDER.iterdir()}
    assert all(result.good for result in check(tmp_path))
