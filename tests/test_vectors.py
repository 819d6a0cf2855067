"""The conformance vectors: files that stay decodable for ever, to these symbols and, within tolerances, to these pixels."""

import json
import shutil
import subprocess
import sys

import pytest
from PIL import Image

from osdcodec import container, weights
from osdcodec.checks import conformance
from osdcodec.checks.conformance import VECTORS, check, distance, main, renew
from osdcodec.codec import Decoder
from osdcodec.latent.coder import LatentModel, decode_symbols, qualities_of
from osdcodec.maintenance.vectors import edges
from osdcodec.rate_control import ANCHORS, quality_byte
from osdcodec.runtime import Machine

pytestmark = pytest.mark.slow

FOLDER = VECTORS / "conformance"
FILES = {path.stem: path.read_bytes() for path in sorted(FOLDER.glob("*.osd"))}


@pytest.fixture(scope="module")
def model() -> weights.Weights:
    return weights.load("conformance", FOLDER)


def test_every_vector_decodes_to_its_symbols_and_pixels(model):
    results = check(FOLDER)
    assert [r.name for r in results if not r.good] == []
    assert {r.name for r in results} == FILES.keys() and len(FILES) >= 24
    assert model.path.stat().st_size <= 2**20


@pytest.mark.parametrize(
    "folder",
    [
        "cod-lite",
        "container",
        "beginnings",
        "base",
        "indices",
        "arithmetic",
        "unknown-tensor",
        "two-codes",
        "flat-background",
    ],
)
def test_other_vectors_decode_or_are_refused_as_listed(folder):
    results = check(VECTORS / folder)
    assert [r.name for r in results if not r.good] == []
    assert {r.name for r in results} == {path.stem for path in (VECTORS / folder).glob("*.osd")}
    shown = [r.name for r in results if r.rmse is not None]
    assert shown == (
        [r.name for r in results if r.size != "refused"] if folder in ("cod-lite", "flat-background") else []
    )


def test_the_vectors_of_edges_are_made_by_one_call(tmp_path):
    own = "symbols", "conformance"
    for name in own:
        shutil.copytree(VECTORS / name, tmp_path / name)
    edges.main([str(tmp_path)])
    for folder in sorted(path for path in tmp_path.iterdir() if path.name not in own):
        for path in sorted(folder.iterdir()):
            assert path.name in {each.name for each in (VECTORS / folder.name).iterdir()}, f"{folder.name}/{path.name}"
        assert all(result.good for result in check(folder))


def test_vectors_of_the_embedded_weights():
    if not (VECTORS / "embedded").exists():
        pytest.skip("none has been made: python -m osdcodec.checks.conformance --renew")
    results = check(VECTORS / "embedded")
    assert len(results) == 4 and [r.name for r in results if not r.good] == []


def test_vectors_cover_the_format(model):
    """All anchors and some rates between, every length of LEB128, sections, both ends of tables and symbols."""
    files = [container.unpack(data) for data in FILES.values()]
    qualities = {osd.quality for osd in files}
    assert qualities > {quality_byte(lmbda) for lmbda in ANCHORS} and {0, 255} < qualities
    sides = {side for osd in files for side in (osd.width, osd.height)}
    assert {1, 127, 128, 16384} <= sides and any(side % 2 for side in sides - {1, 127})
    assert {kind for osd in files for kind, _ in osd.sections} == {"A", "G", "p", "i", "e", "x", "z"}
    assert {len(osd.payload) % 4 for osd in files} == {0, 1, 2, 3}

    prior, rows_used, symbols_used, tokens = model.prior, set(), set(), set()
    for osd in files:
        symbols = decode_symbols(osd, prior)
        symbols_used |= set(symbols.latent.ravel().tolist()) | set(symbols.hyper.ravel().tolist())
        tokens |= set(symbols.tokens.tolist())

        def code(part, tables, rows, means, mask, symbols=symbols):
            if part == "tokens":
                return symbols.tokens
            rows_used.update(rows.tolist())
            return (symbols.hyper.ravel() if part == "hyper" else symbols.latent[mask]) + prior.limit

        prior._walk(osd.quality, *model.profile.grid(osd.width, osd.height), code, qualities_of(osd, model.profile))
    assert rows_used == set(range(len(prior.tables)))
    assert {-prior.limit, 0, prior.limit} <= symbols_used
    assert {0, model.profile.codebook_size - 1} <= tokens


def test_torch_makes_the_same_pixels(model):
    """The tolerances hold from one runtime to the other."""
    pytest.importorskip("torch")
    from osdcodec.runtime.torch import TorchRuntime

    listed = json.loads((FOLDER / "vectors.json").read_text("utf-8"))
    decoder = Decoder("cpu", FOLDER)
    viewer = decoder.models[model.model_id] = LatentModel(model, Machine("cpu"))
    viewer.runtime = TorchRuntime(model)
    for name in ("anchor-1", "between-0.15", "one-pixel", "limits", "alpha"):
        rmse, peak = distance(decoder.decode(FILES[name]), Image.open(FOLDER / f"{name}.png"))
        assert rmse <= listed["rmse"] and peak <= listed["peak"], name


def test_distance():
    black, grey = Image.new("RGB", (2, 2)), Image.new("RGB", (2, 2))
    grey.putpixel((0, 0), (0, 6, 0))
    assert distance(black, grey) == (pytest.approx(3**0.5), 6)
    assert distance(black, Image.new("RGB", (2, 3)))[0] == float("inf")


@pytest.mark.parametrize("damage", ["symbols", "picture", "weights"])
def test_what_differs_is_reported(tmp_path, capsys, damage, model):
    """One vector, with another digest, another picture, or other tables."""
    for name in ("one-pixel.osd", "one-pixel.png", "weights.toml", "conformance.safetensors"):
        (tmp_path / name).write_bytes((FOLDER / name).read_bytes())
    listed = json.loads((FOLDER / "vectors.json").read_text("utf-8"))
    listed["vectors"] = [vector for vector in listed["vectors"] if vector["name"] == "one-pixel"]
    if damage == "symbols":
        listed["vectors"][0]["symbols"] = "0" * 64
    elif damage == "picture":
        Image.new("RGB", (1, 1)).save(tmp_path / "one-pixel.png")
    else:
        path = tmp_path / "conformance.safetensors"
        path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    (tmp_path / "vectors.json").write_text(json.dumps(listed), "utf-8")
    with pytest.raises(SystemExit) as caught:
        main([str(tmp_path)])
    told = str(caught.value)
    assert told.startswith("1 vectors failed" if damage != "weights" else f"{tmp_path}: ")
    assert ("DIFFER" in capsys.readouterr().out) == (damage == "symbols")


def test_vectors_of_the_embedded_weights_are_made_by_one_call(tmp_path):
    renew(tmp_path)
    assert len(list(tmp_path.glob("*.osd"))) == len(list(tmp_path.glob("*.png"))) == 4
    assert all(result.good for result in check(tmp_path))


def test_the_command_needs_no_torch():
    script = (
        "import sys; from osdcodec.checks.conformance import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit as done: assert not done.code, done\n"
        "assert not {'torch', 'diffusers', 'open_clip', 'compressai'} & set(sys.modules)"
    )
    command = [sys.executable, "-c", script, str(FOLDER)]
    done = subprocess.run(command, cwd=conformance.ROOT, capture_output=True, text=True, check=True)
    assert all(name in done.stdout for name in FILES)
    assert done.stdout.count("equal") == 2 * len(FILES)
