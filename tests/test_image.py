"""Picture files of every kind into RGB, arrays and back."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from osdcodec import image
from osdcodec.errors import InputError, OutputError

RED, BLUE = (255, 0, 0), (0, 0, 255)


def data_of(picture: Image.Image, name: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, name, **options)
    return buffer.getvalue()


def gradient(width: int, height: int) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    red, green = x * 255 / max(width - 1, 1), y * 255 / max(height - 1, 1)
    return Image.fromarray(np.stack([red, green, 0 * x], 2).astype(np.uint8))


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM"])
@pytest.mark.parametrize("size", [(1, 1), (17, 3)])
def test_by_content_whatever_the_suffix(name, size, tmp_path):
    path = tmp_path / "picture.txt"
    path.write_bytes(data_of(Image.new("RGB", size, RED), name, **({"lossless": True} if name == "WEBP" else {})))
    for source in (path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes())):
        picture = image.open_image(source)
        assert (picture.mode, picture.size) == ("RGB", size)
        assert np.abs(np.asarray(picture, int) - RED).max() <= 2


@pytest.mark.parametrize(
    ("picture", "pixel"),
    [
        (Image.new("L", (2, 2), 77), (77, 77, 77)),
        (Image.new("1", (2, 2), 1), (255, 255, 255)),
        (Image.new("LA", (2, 2), (0, 0)), (255, 255, 255)),
        (Image.new("RGBA", (2, 2), (255, 0, 0, 0)), (255, 255, 255)),
        (Image.new("RGBA", (2, 2), (255, 0, 0, 255)), RED),
        (Image.new("RGBA", (2, 2), (0, 0, 0, 51)), (204, 204, 204)),
        (Image.new("RGB", (2, 2), BLUE).quantize(4), BLUE),
        (Image.fromarray(np.full((2, 2), 65535, np.uint16)), (255, 255, 255)),
        (Image.fromarray(np.full((2, 2), 0x4D4D, np.uint16)), (0x4D, 0x4D, 0x4D)),
        (Image.fromarray(np.full((2, 2), 384, np.uint16)), (1, 1, 1)),  # 1.49: rounded, not cut
        (Image.fromarray(np.full((2, 2), 386, np.uint16)), (2, 2, 2)),
    ],
)
def test_modes_become_rgb(picture, pixel):
    opened = image.open_image(data_of(picture, "PNG"))
    assert opened.mode == "RGB"
    assert opened.getpixel((1, 1)) == pixel


def test_palette_and_rgb_transparency_lie_over_white():
    palette = Image.new("P", (1, 1), 0)
    palette.putpalette([255, 0, 0])
    for picture, key in ((palette, 0), (Image.new("RGB", (1, 1), RED), RED)):
        assert image.open_image(data_of(picture, "PNG")).getpixel((0, 0)) == RED
        assert image.open_image(data_of(picture, "PNG", transparency=key)).getpixel((0, 0)) == (255, 255, 255)


def test_cmyk_jpeg():
    opened = image.open_image(data_of(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"))
    assert np.abs(np.asarray(opened, int) - RED).max() <= 3


def test_first_frame_of_an_animation():
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, BLUE)]
    for name in ("GIF", "PNG", "WEBP"):
        data = data_of(frames[0], name, save_all=True, append_images=frames[1:])
        assert np.abs(np.asarray(image.open_image(data), int) - RED).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation_is_applied(name, orientation):
    upright = gradient(32, 16)
    turn = Image.Transpose
    back = (
        (), turn.FLIP_LEFT_RIGHT, turn.ROTATE_180, turn.FLIP_TOP_BOTTOM,
        turn.TRANSPOSE, turn.ROTATE_90, turn.TRANSVERSE, turn.ROTATE_270,
    )[orientation - 1]  # fmt: skip
    stored = upright if back == () else upright.transpose(back)
    exif = Image.Exif()
    exif[0x0112] = orientation
    opened = image.open_image(data_of(stored, name, exif=exif, quality=95))
    assert opened.size == (32, 16)
    assert np.abs(np.asarray(opened, int) - np.asarray(upright, int)).mean() < 6


@pytest.mark.filterwarnings("ignore")  # Pillow's own, on broken metadata
def test_broken_exif_does_no_harm():
    data = data_of(gradient(32, 16), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert image.open_image(data).size == (32, 16)


def test_colour_profiles_are_brought_to_srgb():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = srgb.replace(b"rXYZ", b"?XYZ").replace(b"bXYZ", b"rXYZ").replace(b"?XYZ", b"bXYZ")  # its red is blue
    for profile, colour in ((srgb, RED), (swapped, BLUE), (b"nonsense", RED)):
        opened = image.open_image(data_of(Image.new("RGB", (2, 2), RED), "PNG", icc_profile=profile))
        assert np.abs(np.asarray(opened, int) - colour).max() <= 1


@pytest.mark.parametrize("data", [b"", b"x", b"a text file\n" * 20, b"\x8fOSD" + bytes(20), b"%!PS-Adobe-3.0 EPSF\n"])
def test_no_picture(data, tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"photo\.png"):
        image.open_image(path)
    with pytest.raises(InputError):
        image.open_image(data)


def test_opened_images_are_taken_too():
    assert image.open_image(Image.new("RGBA", (3, 2), (255, 0, 0, 0))).getpixel((0, 0)) == (255, 255, 255)
    data = data_of(gradient(64, 64), "PNG")
    with pytest.raises(InputError, match="damaged"):
        image.open_image(Image.open(io.BytesIO(data[: len(data) // 2])))


def test_missing_or_folder(tmp_path):
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(InputError, match=str(path)):
            image.open_image(path)


@pytest.mark.filterwarnings("ignore")  # Pillow's own, on broken metadata
@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "BMP", "TIFF"])
def test_truncated_picture_is_an_input_error(name):
    data = data_of(gradient(64, 64), name)
    for length in {len(data) // 2, len(data) * 3 // 4, 30}:
        with pytest.raises(InputError):
            image.open_image(data[:length])


@pytest.mark.filterwarnings("ignore")  # Pillow's own, on broken metadata
def test_damaged_pictures_raise_nothing_else():
    random = np.random.default_rng(1)
    for name in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM"):
        good = data_of(gradient(40, 30), name)
        for _ in range(60):
            data = bytearray(good)
            for at in random.integers(0, min(len(data), 200), 3):
                data[at] = random.integers(256)
            try:
                image.open_image(bytes(data), max_pixels=10**6)
            except InputError as error:
                assert "\n" not in str(error)


def huge_png(width: int, height: int) -> bytes:
    """A PNG that claims to be huge and has nothing behind its header."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_size_is_judged_before_pixels_are_decoded(recwarn):
    with pytest.raises(InputError, match="30000x30000 is more than"):
        image.open_image(huge_png(30000, 30000))
    with pytest.raises(InputError, match="side above 65535"):
        image.open_image(huge_png(70000, 2))
    assert not recwarn  # Pillow's own limits keep quiet
    data = data_of(Image.new("RGB", (10, 10)), "PNG")
    assert image.open_image(data, max_pixels=100).size == (10, 10)
    with pytest.raises(InputError, match="raise --max-pixels"):
        image.open_image(data, max_pixels=99)


def test_pillows_limit_is_put_back(monkeypatch, recwarn):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert image.open_image(data_of(Image.new("RGB", (10, 10)), "PNG")).size == (10, 10)
    assert Image.MAX_IMAGE_PIXELS == 10
    assert not recwarn


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (31, 33), (32, 64), (65, 2)])
def test_array_and_back(size):
    picture = gradient(*size)
    x = image.to_array(picture, 32)
    assert x.dtype == np.float32 and x.flags.c_contiguous
    assert x.shape == (1, 3, -(-size[1] // 32) * 32, -(-size[0] // 32) * 32)
    assert x.min() >= -1 and x.max() <= 1
    assert image.to_image(x, *size).tobytes() == picture.tobytes()


def test_padding_reflects():
    picture = Image.fromarray(np.arange(5, dtype=np.uint8)[None].repeat(3, 0)).convert("RGB")
    row = np.round(image.to_array(picture, 8)[0, 1, 0] * 127.5 + 127.5)
    assert row.tolist() == [0, 1, 2, 3, 4, 3, 2, 1]


def test_to_image_clips_and_rounds():
    x = np.array([-9, -1, 0.001, 1, 9], np.float32).reshape(1, 1, 1, 5).repeat(3, 1)
    assert np.asarray(image.to_image(x, 5, 1))[0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_thumbnail_is_antialiased():
    checks = Image.fromarray((np.indices((512, 512)).sum(0) % 2 * 255).astype(np.uint8)).convert("RGB")
    x = image.thumbnail(checks, 64)
    assert x.shape == (1, 3, 64, 64) and x.dtype == np.float32
    assert np.abs(x).max() < 0.05  # mid grey, no moiré
    assert image.thumbnail(Image.new("RGB", (1, 1), "white"), 64).min() == 1


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".jpg", ".webp", ".bmp", ".tiff", ".gif", ".ppm"])
def test_save_in_the_format_of_the_suffix(suffix, tmp_path):
    target = tmp_path / f"out{suffix}"
    image.save_image(gradient(20, 10), target)
    with Image.open(target) as saved:
        assert saved.size == (20, 10)
        assert Image.registered_extensions()[suffix.lower()] == saved.format
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("name", ["out", "out.xyz", "out.psd", "out.xbm", "out.grib", "out.osd"])
def test_unknown_output_format(name, tmp_path):
    with pytest.raises(OutputError, match=name):
        image.save_image(gradient(2, 2), tmp_path / name)
    assert not list(tmp_path.iterdir())
