"""Pillow, arrays and tensors: other ways in and out of the same codec."""

import copy
import io
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import environment
from PIL import Image, ImageCms

import osdcodec
from osdcodec.image import arrays
from osdcodec.integrations import pillow


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    Image.init()  # all formats, before what is known is kept
    for name in ("OPEN", "SAVE", "EXTENSION", "MIME"):
        monkeypatch.setattr(Image, name, dict(getattr(Image, name)))
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    monkeypatch.setattr(Image.Image, "save", Image.Image.save)
    pillow.register()


def test_what_a_file_says_is_there_before_its_pixels(tmp_path, photo):
    """And a file that was read is closed."""
    exif, profile = Image.Exif(), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif[0x010F] = "Maker"
    photo.crop((0, 0, 40, 30)).save(tmp_path / "x.jpg", exif=exif, icc_profile=profile)
    (tmp_path / "x.osd").write_bytes(osdcodec.encode(tmp_path / "x.jpg", keep_metadata=True, icc="keep"))
    picture = Image.open(tmp_path / "x.osd")
    for _ in range(2):
        assert picture.getexif()[0x010F] == "Maker" and picture.info["icc_profile"] == profile
        picture.load()
    assert picture.fp is None


def test_there_and_back(tmp_path, photo):
    photo.save(tmp_path / "x.osd", lmbda=0.5)
    assert (tmp_path / "x.osd").read_bytes() == osdcodec.encode(photo, 0.5)
    with Image.open(tmp_path / "x.osd") as picture:
        assert (picture.format, picture.mode, picture.size) == ("OSD", "RGB", photo.size)
        assert picture.info["lmbda"] == pytest.approx(0.5, rel=0.01)
        assert picture.get_format_mimetype() == "image/x-osd"
        assert np.array_equal(picture, osdcodec.decode((tmp_path / "x.osd").read_bytes()))
    buffer = io.BytesIO()
    photo.convert("L").save(buffer, "OSD")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        others, options = (
            io.BytesIO(),
            {"optimize": True, "quality": "keep", "dpi": (72, 72), "exif": b"", "icc_profile": None},
        )
        photo.convert("L").save(others, "OSD", **options)
    assert others.getvalue() == buffer.getvalue()
    with pytest.warns(osdcodec.OsdWarning, match=r"lmbd is no option of \.osd files; lmbda is"):
        photo.save(io.BytesIO(), "OSD", lmbd=2.0)
    assert Image.open(buffer).resize((8, 8)).size == (8, 8)


def test_quality_is_that_of_other_formats(photo):
    small = photo.resize((64, 48))
    sizes = []
    for quality in (1, 50, 95):
        small.save(buffer := io.BytesIO(), "OSD", quality=quality, effort=0)
        sizes.append(len(buffer.getvalue()))
        assert buffer.getvalue() == osdcodec.encode(small, quality=quality, effort=0)
    assert sizes == sorted(sizes) and len(set(sizes)) == 3


def test_a_refused_save_leaves_the_file_that_is_there(tmp_path, photo):
    path = tmp_path / "x.osd"
    path.write_bytes(b"an earlier file")
    for options, error in (({"quality": 300}, ValueError), ({"target": osdcodec.Target(max_bytes=5)}, OSError)):
        for name in (path, str(path), os.fsencode(path)):
            with pytest.raises(error):
                photo.resize((64, 48)).save(name, **options)
        with pytest.raises(error):
            photo.resize((64, 48)).save(path, "osd", **options)
        assert path.read_bytes() == b"an earlier file"
    with pytest.raises((OSError, ValueError)):
        photo.save(tmp_path / "new.osd", quality=300)
    assert not (tmp_path / "new.osd").exists()
    photo.resize((64, 48)).save(path)
    assert path.read_bytes() == osdcodec.encode(photo.resize((64, 48)))
    photo.save(tmp_path / "x.png")  # goes to Pillow as it is
    assert np.array_equal(Image.open(tmp_path / "x.png"), photo)


@pytest.mark.parametrize("alpha", [False, True])
def test_thumbnails_and_drafts_are_made_of_the_preview(tmp_path, photo, alpha):
    picture = photo.crop((0, 0, 255, 191))
    if alpha:
        picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    data = osdcodec.encode(picture, alpha="keep", effort=0)
    preview = osdcodec.decode(data, preview=True)
    assert preview.size == (128, 96)
    opened = Image.open(io.BytesIO(data))
    assert opened.draft(None, (100, 90)) is not None and opened.size == (128, 96)
    assert opened.mode == preview.mode and np.array_equal(opened, preview)
    opened = Image.open(io.BytesIO(data))
    opened.thumbnail((40, 40))
    shrunk = preview.resize((40, 30), Image.Resampling.BICUBIC, box=(0, 0, 127.5, 95.5), reducing_gap=2.0)
    assert opened.size == (40, 30) and np.array_equal(opened, shrunk)
    for size in (None, (129, 20), (20, 97)):  # more than the preview has
        assert Image.open(io.BytesIO(data)).draft("L", size) is None
    opened = Image.open(io.BytesIO(data))
    opened.thumbnail((120, 120))
    assert opened.size == (120, 90) and not opened.preview


@pytest.mark.parametrize("loaded", [False, True])
def test_copies_and_what_was_pickled_have_pixels(tmp_path, photo, loaded):
    """As with Pillow's own formats: pictures go to other processes so."""
    photo.save(tmp_path / "x.osd")
    picture = Image.open(tmp_path / "x.osd")
    if loaded:
        picture.load()
    for again in (copy.copy(picture), copy.deepcopy(picture), pickle.loads(pickle.dumps(picture))):
        assert np.array_equal(again, picture) and again.size == photo.size


def test_opening_decodes_nothing(tmp_path, photo):
    photo.save(tmp_path / "x.osd")
    script = (
        "import sys; from PIL import Image; import osdcodec.integrations.pillow as p; p.register()\n"
        "picture = Image.open(sys.argv[1]); assert picture.size == (256, 192)\n"
        "assert not {'onnxruntime', 'openvino', 'torch'} & set(sys.modules)\n"
        "picture.load(); assert {'onnxruntime', 'openvino'} & set(sys.modules) and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "x.osd")], check=True, env=environment())


def test_bad_files_are_refused_as_pillow_does(tmp_path, photo):
    data = osdcodec.encode(photo.resize((40, 40)))
    with pytest.raises(Image.UnidentifiedImageError):
        Image.open(io.BytesIO(data[:-1]))
    from osdcodec import container

    osd = container.unpack(data)
    stranger = container.pack(container.Osd(b"\xde\xad\xbe\xef", osd.width, osd.height, osd.quality, osd.payload))
    with Image.open(io.BytesIO(stranger)) as picture, pytest.raises(OSError, match="deadbeef"):
        picture.load()


def test_arrays_are_pictures(photo):
    pixels = np.asarray(photo)
    wanted = osdcodec.encode(photo, 1.0)
    assert osdcodec.encode(pixels, 1.0) == wanted
    assert osdcodec.encode(pixels / 255, 1.0) == osdcodec.encode(pixels / 254.9999, 1.0) == wanted
    assert osdcodec.encode(pixels[:, :, :1]) == osdcodec.encode(pixels[:, :, 0]) == osdcodec.encode(photo.getchannel(0))
    deep = pixels.astype(np.uint16) * 257
    assert np.array_equal(arrays.to_picture(deep), pixels) and np.array_equal(
        arrays.to_picture(deep[..., 0]), pixels[..., 0]
    )
    assert np.asarray(arrays.to_picture(np.array([[0, 128, 129, 65535]], np.uint16))).tolist() == [[0, 0, 1, 255]]
    assert np.array_equal(arrays.to_picture(pixels[:, :, 0] > 99), Image.fromarray(pixels[:, :, 0] > 99).convert("L"))
    for bad in (
        np.zeros((4, 4, 2), np.uint8),
        np.zeros(5),
        np.zeros((4, 4), int),
        np.full((4, 4), np.nan),
        np.full((4, 4), 77.0),
        np.full((4, 4), -0.5),
        np.zeros((0, 4)),
    ):
        with pytest.raises((ValueError, osdcodec.InputError)):
            osdcodec.encode(bad)


def test_tensors_are_pictures(photo):
    torch = pytest.importorskip("torch")
    wanted = osdcodec.encode(photo, 1.0)
    tensor = torch.from_numpy(np.array(photo)).permute(2, 0, 1)
    for same in (tensor, tensor[None], tensor / 255, (tensor[None] / 255).requires_grad_()):
        assert osdcodec.encode(same, 1.0) == wanted
    with pytest.raises((ValueError, osdcodec.InputError)):
        osdcodec.encode(torch.zeros(2, 3, 8, 8))


def test_arrays_ask_for_no_torch(tmp_path):
    script = "import sys, numpy, osdcodec; osdcodec.encode(numpy.zeros((9, 9))); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, env=environment(), cwd=Path(tmp_path))
