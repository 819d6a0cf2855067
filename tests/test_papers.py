"""The papers' systems side by side: what is measured of runs, what is kept, and the tables."""

import json
from pathlib import Path

import pytest

from osdcodec.codec import Encoder
from osdcodec.maintenance.experiments import papers
from osdcodec.maintenance.experiments.papers import System, tables
from osdcodec.metrics.meter import Meter
from osdcodec.profile import SMALL
from osdcodec.weights import registry

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PLAIN = "psnr", "detail_ratio", "detail_correlation"


@pytest.fixture
def run(tmp_path) -> Path:
    """A run that ended with the embedded weights, and whose log tells how long it took."""
    folder = tmp_path / "onestep"
    folder.mkdir()
    [model] = [model for model in registry.models(ROOT / "weights.toml") if model["profile"] == "small"]
    told = "\n".join(f'{key} = "{model[key]}"' for key in ("profile", "file", "model_id", "sha256"))
    (folder / registry.NAME).write_text(f"[[model]]\n{told}\n", "utf-8")
    (folder / model["file"]).symlink_to(ROOT / "osdcodec" / "embedded" / model["file"])
    (folder / "codec.jsonl").write_text('{"step": 50, "seconds": 70}\n{"step": 1100, "seconds": 2700}\n', "utf-8")
    return folder


@pytest.fixture
def pictures(tmp_path, photo) -> list[Path]:
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for left, path in enumerate(paths):
        photo.crop((64 * left, 0, 64 * left + 64, 64)).save(path)
    return paths


def records(rates: dict[float, tuple[float, float]], decode_seconds: float = 0.5) -> list[dict]:
    """lambda -> bits per pixel and PSNR of the one picture that there is."""
    common = {"picture": "a", "width": 8, "height": 8, "codec": "osdc", "setting": "λ"}
    return [
        common | {"setting": f"λ {lmbda}", "lambda": lmbda, "bpp": bpp, "psnr": psnr, "decode_seconds": decode_seconds}
        for lmbda, (bpp, psnr) in rates.items()
    ]


def test_a_run_is_measured_once_and_goes_on_where_it_was_cut_off(run, pictures, monkeypatch):
    meter, encoded = Meter(plain=True), []
    encode = Encoder.encode
    monkeypatch.setattr(Encoder, "encode", lambda self, *a, **k: encoded.append(a) or encode(self, *a, **k))
    first = papers.measured(run, pictures[:1], (2.0, 0.5), meter)
    assert len(encoded) == 1 + 2  # one to warm up
    assert (first.name, first.trained, len(first.records)) == ("onestep", (1100, 45.0), 2)
    both = papers.measured(run, pictures, (2.0, 0.5), meter)
    assert len(encoded) == 3 + 1 + 2 and both.records[:2] == first.records and len(both.records) == 4
    assert papers.measured(run, pictures, (0.5,), meter).records == [r for r in both.records if r["lambda"] == 0.5]
    assert len(encoded) == 6
    kept = json.loads((run / "papers.json").read_text("utf-8"))
    (run / "papers.json").write_text(json.dumps(kept | {"weights": "of other weights"}), "utf-8")
    papers.measured(run, pictures[:1], (0.5,), meter)
    assert len(encoded) == 8 and len(json.loads((run / "papers.json").read_text("utf-8"))["records"]) == 1


def test_bits_are_those_of_files_of_the_run(run, pictures):
    system = papers.measured(run, pictures[:1], (1.0,), Meter(plain=True))
    [record] = system.records
    assert record["bpp"] == 8 * record["bytes"] / 64**2 and set(PLAIN) <= record.keys()
    assert system.million == pytest.approx(papers.parameters(SMALL) / 1e6) and 30 < system.million < 40


def test_the_tables_say_what_each_is_worth_and_what_it_costs():
    slow = System(
        "rdeic",
        records({2.0: (0.015, 22.0), 1.0: (0.03, 24.0), 0.25: (0.06, 26.0)}, 2.0),
        40.0,
        (5, 5, 2, 2, 2),
        (1000, 45.0),
    )
    fast = System("onestep", records({2.0: (0.03, 22.0), 1.0: (0.06, 24.0), 0.25: (0.12, 26.0)}), 36.0, (1,), None)
    text = tables([slow, fast], "onestep").splitlines()
    assert "| rdeic | 2 | 0.0150 | 22.00 | 2.00 |" in text and "| onestep | 0.25 | 0.1200 | 26.00 | 0.50 |" in text
    assert "| rdeic | -50.0 % | 2.00 | 5, 5, 2, 2, 2 | 40.0 | 1,000 | 45 |" in text
    assert "| onestep | +0.0 % | 0.50 | 1 | 36.0 | – | – |" in text
    assert text[0] == "|  | λ | bits per pixel | PSNR / dB | decoding / s |"


def test_the_command_puts_them_into_a_page(run, pictures, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(papers, "Meter", lambda: Meter(plain=True))
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- papers -->\nold\n<!-- end of papers -->\nafter\n", "utf-8")
    arguments = [str(pictures[0]), str(run), "--lambdas", "2", "0.5"]
    papers.main([*arguments, "--write", str(page)])
    printed = capsys.readouterr().out
    assert page.read_text("utf-8") == f"before\n<!-- papers -->\n{printed}<!-- end of papers -->\nafter\n"
    page.write_text("nothing\n", "utf-8")
    with pytest.raises(SystemExit) as ended:
        papers.main([*arguments, "--write", str(page)])
    assert ended.value.code == 3 and "page.md: has no line <!-- papers -->" in capsys.readouterr().err


def test_a_folder_without_weights_and_a_wrong_anchor_are_told(run, pictures, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for arguments, code, word in (
        ([str(tmp_path / "empty")], 3, "export"),
        ([str(run), "--anchor", "diffo"], 2, "diffo"),
        ([str(run), str(run)], 2, "rename"),
    ):
        with pytest.raises(SystemExit) as ended:
            papers.main([str(pictures[0]), *arguments])
        assert ended.value.code == code and word in capsys.readouterr().err
