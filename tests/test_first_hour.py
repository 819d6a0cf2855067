"""A new user's first hour: the commands of the README on a folder as phones leave it, and what each says.

`tests/test_packages.py` has the beginning of it: what is built installs and runs where there is no source tree.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.commands import environment
from helpers.pictures import EXAMPLES
from PIL import Image

pytestmark = pytest.mark.slow

# What a default install has not, though the tests' own has it.
LIGHT = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {0!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
from importlib import util
find_spec = util.find_spec
util.find_spec = lambda name, package=None: None if name.partition(".")[0] in {0!r} else find_spec(name, package)
from osdcodec.cli import main
main()
"""
HEAVY = ("torch", "piq", "pillow_heif", "fsspec")


def osdc(*arguments: str, cwd: Path, without: tuple[str, ...] = HEAVY) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", LIGHT.format(without), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, env=environment())


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder from a phone: photos in several formats, the film and the edits of a Live Photo, what macOS adds."""
    home = tmp_path_factory.mktemp("home")
    phone = home / "phone"
    (phone / "2024").mkdir(parents=True)
    astronaut, coffee = (Image.open(EXAMPLES / f"{name}.png").convert("RGB") for name in ("astronaut", "coffee"))
    exif = Image.Exif()
    exif[0x0112] = 6  # held upright
    astronaut.rotate(90).save(phone / "IMG_0001.JPG", exif=exif, quality=95)
    (phone / "IMG_0001.MOV").write_bytes(b"\0\0\0\x14ftypqt  film")
    (phone / "IMG_0002.AAE").write_text("<plist/>")
    (phone / "._IMG_0001.JPG").write_bytes(b"\0\x05\x16\x07")
    logo = coffee.resize((150, 100)).convert("RGBA")
    logo.putalpha(Image.radial_gradient("L").resize(logo.size))
    logo.save(phone / "2024" / "sticker.png")
    coffee.resize((300, 200)).save(phone / "2024" / "IMG_0003.jpg")
    coffee.resize((300, 200)).convert("L").save(phone / "2024" / "IMG_0003.png")
    (phone / "2024" / "cut.jpg").write_bytes((phone / "IMG_0001.JPG").read_bytes()[:9000])
    try:
        import pillow_heif

        pillow_heif.from_pillow(coffee.resize((240, 160))).save(phone / "IMG_0004.HEIC", quality=90)
    except (ImportError, RuntimeError, ValueError):
        (phone / "IMG_0004.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    return home


def test_one_photo_there_and_back(home):
    shutil.copy(EXAMPLES / "coffee.png", home)
    original = (home / "coffee.png").read_bytes()
    done = osdc("encode", "coffee.png", cwd=home)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert 1000 < (home / "coffee.osd").stat().st_size < 2500
    done = osdc("info", "coffee.osd", cwd=home)
    assert (
        done.returncode == 0 and "600 x 400 pixels" in done.stdout and re.search(r"λ +1\.000 \(0\.1: best", done.stdout)
    )

    done = osdc("decode", "coffee.osd", cwd=home)  # would replace the original
    assert done.returncode == 5 and (home / "coffee.png").read_bytes() == original
    assert done.stderr == "osdc: coffee.png: exists; name another file with -o, or replace it by --overwrite\n"
    assert osdc("decode", "coffee.osd", "-o", "out.png", cwd=home).returncode == 0
    assert Image.open(home / "out.png").size == (600, 400)


def test_a_photo_in_two_kilobytes(home):
    done = osdc("encode", "phone/IMG_0001.JPG", "-o", "small.osd", "--max-bytes", "2kB", "--json", cwd=home)
    told = json.loads(done.stdout)
    assert done.returncode == 0 and 1900 < told["bytes"] <= 2000 and (told["width"], told["height"]) == (512, 512)
    assert (home / "small.osd").stat().st_size == told["bytes"]
    done = osdc("encode", "phone/IMG_0001.JPG", "-o", "tiny.osd", "--max-bytes", "40", cwd=home)
    assert done.returncode == 3 and not (home / "tiny.osd").exists()
    assert done.stderr.startswith("osdc: phone/IMG_0001.JPG: 40 bytes are out of reach: of this picture the least is")
    done = osdc("encode", "phone/IMG_0001.JPG", "-o", "tiny.osd", "--max-bytes", "200", "--json", cwd=home)
    assert json.loads(done.stdout)["bytes"] <= 200 and json.loads(done.stdout)["original_width"] == 512


def test_the_whole_phone_and_back(home):
    phone = home / "phone"
    before = {path: path.read_bytes() for path in phone.rglob("*") if path.is_file()}
    done = osdc("encode", "phone", "-o", "coded", cwd=home)
    lines = done.stderr.splitlines()
    assert done.returncode == 0
    (cut,) = [line for line in lines if line.startswith("osdc: phone/2024/cut.jpg: ")]
    assert "rows are there" in cut  # it is taken as far as it goes
    assert (
        "osdc: 2 inputs differ in their suffixes only, which their outputs keep: coded/2024/IMG_0003.jpg.osd, …"
        in lines
    )
    assert re.fullmatch(
        r"5 of 5 files: 5 done, [\d.]+ kB → [\d.]+ kB \([\d.]+ %\), [\d.]+ bpp; "
        r"left out: 1 \.aae \(unknown suffix\), 1 \.heic \(pip install 'osdc\[heic\]'\), 1 \.mov \(unknown suffix\)",
        lines[-1],
    ), lines[-1]
    coded = sorted(path.relative_to(home / "coded").as_posix() for path in (home / "coded").rglob("*.osd"))
    assert coded == [
        "2024/IMG_0003.jpg.osd",
        "2024/IMG_0003.png.osd",
        "2024/cut.osd",
        "2024/sticker.osd",
        "IMG_0001.osd",
    ]
    assert {path: path.read_bytes() for path in before} == before

    done = osdc("decode", "coded", "-o", "back", "--format", "jpg", "--resize", "128", "-q", cwd=home)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list((home / "back").rglob("*.jpg"))) == 5 and Image.open(home / "back" / "IMG_0001.jpg").size == (
        128,
        128,
    )
    assert Image.open(home / "back" / "2024" / "IMG_0003.png.jpg").mode == "L"

    done = osdc("encode", "phone", "-o", "coded", "--skip-existing", "--json", cwd=home)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["status"] for row in rows].count("skipped") == 5 and len(
        [r for r in rows if r["status"] == "left out"]
    ) == 3


def test_heic_with_its_extra(home):
    pytest.importorskip("pillow_heif")
    if (home / "phone" / "IMG_0004.HEIC").stat().st_size < 99:
        pytest.skip("this pillow-heif cannot write HEIC")
    done = osdc("encode", "phone/IMG_0004.HEIC", "-o", "heic.osd", cwd=home)
    assert done.returncode == 4 and "HEIC needs the package pillow-heif: pip install 'osdc[heic]'" in done.stderr
    done = osdc("encode", "phone/IMG_0004.HEIC", "-o", "heic.osd", cwd=home, without=("torch",))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_page_to_compare(home):
    done = osdc("compare", "phone/IMG_0001.JPG", "small.osd", "-o", "page.html", cwd=home)
    assert done.returncode == 0 and "osdc[eval]" in done.stderr
    page = (home / "page.html").read_text("utf-8")
    views = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
    labels = [view["label"] for views_of_one in views.values() for view in views_of_one]
    assert [label.split(" (")[0] for label in labels] == ["original", "osdc", "AVIF", "JPEG 2000"]
    sizes = [int(view["facts"]["bytes"].replace(",", "")) for view in next(iter(views.values()))[1:]]
    assert all(size <= sizes[0] for size in sizes)
