"""Picture files of every kind into RGB, arrays and back."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from helpers.pictures import gradient
from PIL import Image, ImageCms, PngImagePlugin

from osdcodec import image
from osdcodec.errors import InputError, OsdWarning, OutputError
from osdcodec.image import attachments
from osdcodec.integrations.pillow import register

RED, BLUE = (255, 0, 0), (0, 0, 255)


def data_of(picture: Image.Image, name: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, name, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "AVIF", "BMP", "GIF", "TIFF", "PPM"])
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
    for name in ("PNG", "TIFF"):
        opened = image.open_image(data_of(picture, name))
        assert opened.mode == "RGB"
        assert opened.getpixel((1, 1)) == pixel


def test_16_bit_colours_are_scaled():
    for kind, channels in ((2, 3), (4, 2), (6, 4)):  # RGB, LA, RGBA
        samples = np.array([0x4D40, 0x0001, 0xFFFE, 0xFFFF][:channels] if channels > 2 else [0x4D40, 0xFFFF], ">u2")
        pixel = np.asarray(image.open_image(png(1, 1, b"\0" + samples.tobytes(), 16, kind)))[0, 0]
        assert pixel.tolist() == ([0x4D, 0, 0xFF] if channels > 2 else [0x4D] * 3)


def test_integers_beyond_16_bits_and_floats_are_refused_not_clipped():
    for pixels in (np.array([[0, 65536]], np.int32), np.array([[-1, 5]], np.int32), np.ones((2, 2), np.float32)):
        with pytest.raises(InputError, match="pixels"):
            image.open_image(data_of(Image.fromarray(pixels), "TIFF"))


def test_palette_and_rgb_transparency_lie_over_white():
    palette = Image.new("P", (1, 1), 0)
    palette.putpalette([255, 0, 0])
    for picture, key in ((palette, 0), (Image.new("RGB", (1, 1), RED), RED)):
        assert image.open_image(data_of(picture, "PNG")).getpixel((0, 0)) == RED
        assert image.open_image(data_of(picture, "PNG", transparency=key)).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("name", ["JPEG", "TIFF"])
def test_cmyk(name):
    opened = image.open_image(data_of(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), name))
    assert np.abs(np.asarray(opened, int) - RED).max() <= 3


@pytest.mark.parametrize("name", ["GIF", "PNG", "WEBP", "AVIF", "TIFF"])
def test_first_of_several_frames_or_pages_with_a_warning(name, tmp_path, recwarn):
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, BLUE)]
    (tmp_path / "many").write_bytes(data_of(frames[0], name, save_all=True, append_images=frames[1:]))
    assert np.abs(np.asarray(image.open_image(tmp_path / "many"), int) - RED).max() <= 3
    assert [(w.category, "many: an animation or several" in str(w.message)) for w in recwarn] == [(OsdWarning, True)]
    recwarn.clear()
    image.open_image(data_of(frames[0], name))
    assert not recwarn
    with Image.open(tmp_path / "many") as chosen:  # an image that is given shows one of them, and that is taken
        chosen.seek(1)
        assert np.abs(np.asarray(image.open_image(chosen), int) - BLUE).max() <= 3
    assert not recwarn


def test_the_preview_in_a_photo_of_a_phone_is_no_second_page(recwarn):
    data = data_of(gradient(40, 20), "MPO", save_all=True, append_images=[gradient(4, 2)])
    assert Image.open(io.BytesIO(data)).n_frames == 2
    assert image.open_image(data).size == (40, 20)
    assert not recwarn


DOT = Image.merge(
    "RGBA", [*Image.new("RGB", (3, 2), RED).split(), Image.fromarray(np.uint8([[0, 51, 255], [255] * 3]))]
)


@pytest.mark.parametrize(
    ("alpha", "row"),
    [
        ("white", [(255, 255, 255), (255, 204, 204), RED]),
        ("blue", [BLUE, (51, 0, 204), RED]),
        ("#0000ff", [BLUE, (51, 0, 204), RED]),
        ("drop", [RED, RED, RED]),
        ("keep", [(*RED, 0), (*RED, 51), (*RED, 255)]),
    ],
)
def test_alpha(alpha, row):
    opened = image.open_image(data_of(DOT, "PNG"), alpha=alpha)
    assert [opened.getpixel((x, 0)) for x in range(3)] == row
    assert image.open_image(opened, alpha=alpha).tobytes() == opened.tobytes()


def test_every_kind_of_alpha_is_kept_unless_all_is_opaque():
    palette = Image.new("P", (1, 1), 0)
    palette.putpalette([255, 0, 0])
    wide = Image.fromarray(np.uint16([[1000, 2000]]))
    for picture, key in ((palette, 0), (Image.new("RGB", (1, 1), RED), RED), (Image.new("L", (1, 1)), 0), (wide, 1000)):
        opened = image.open_image(data_of(picture, "PNG", transparency=key), alpha="keep")
        assert opened.mode == "RGBA" and opened.getpixel((0, 0))[3] == 0
    assert opened.getpixel((1, 0)) == (8, 8, 8, 255)
    assert image.open_image(Image.new("LA", (1, 1), (9, 254)), alpha="keep").getpixel((0, 0)) == (9, 9, 9, 254)
    assert image.open_image(Image.new("RGBA", (2, 2), (1, 2, 3, 255)), alpha="keep").mode == "RGB"


def test_options_that_there_are_not():
    for option in ({"alpha": "no colour"}, {"alpha": ""}, {"icc": "cmyk"}):
        with pytest.raises(ValueError):
            image.open_image(Image.new("RGB", (1, 1)), **option)


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


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SWAPPED = SRGB.replace(b"rXYZ", b"?XYZ").replace(b"bXYZ", b"rXYZ").replace(b"?XYZ", b"bXYZ")  # its red is blue


def test_colour_profiles_are_brought_to_srgb():
    for profile, colour in ((SRGB, RED), (SWAPPED, BLUE)):
        opened = image.open_image(data_of(Image.new("RGB", (2, 2), RED), "PNG", icc_profile=profile))
        assert np.abs(np.asarray(opened, int) - colour).max() <= 1
        assert opened.info == {}
        opened = image.open_image(data_of(Image.new("RGBA", (2, 2), (*RED, 9)), "PNG", icc_profile=profile), icc="keep")
        assert np.abs(np.asarray(opened, int) - [255, 229 + 17, 229 + 17]).max() <= 1  # over white, where it is
        assert opened.info == {"icc_profile": profile}
        assert attachments.collect(opened) == (("i", profile),)
    with pytest.warns(OsdWarning, match="colour profile is not usable"):
        opened = image.open_image(data_of(Image.new("RGB", (2, 2), RED), "PNG", icc_profile=b"nonsense"), icc="keep")
    assert opened.getpixel((0, 0)) == RED and opened.info == {}


def test_grey_pictures_have_profiles_of_either_kind(recwarn):
    for space in ("sRGB", "Gray"):
        profile = (
            ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() if space == "sRGB" else grey_profile()
        )
        opened = image.open_image(data_of(Image.new("L", (2, 2), 77), "PNG", icc_profile=profile), icc="keep")
        assert np.abs(np.asarray(opened, int) - 77).max() <= 1
        assert opened.info == ({"icc_profile": profile} if space == "sRGB" else {})  # the pixels of a file are RGB
    assert not recwarn


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
@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "AVIF", "BMP", "TIFF"])
def test_truncated_picture_is_an_input_error(name):
    """Of JPEG, PNG and WebP that is asked for: see test_whole_pictures.py."""
    data = data_of(gradient(64, 64), name)
    for length in {len(data) // 2, len(data) * 3 // 4, 30}:
        with pytest.raises(InputError):
            image.open_image(data[:length], strict=True)


@pytest.mark.filterwarnings("ignore")  # Pillow's own, on broken metadata
def test_damaged_pictures_raise_nothing_else():
    random = np.random.default_rng(1)
    for name in ("PNG", "JPEG", "WEBP", "AVIF", "BMP", "GIF", "TIFF", "PPM"):
        good = data_of(gradient(40, 30), name)
        for _ in range(60):
            data = bytearray(good)
            for at in random.integers(0, min(len(data), 200), 3):
                data[at] = random.integers(256)
            try:
                image.open_image(bytes(data), 10**6, "keep", "keep", keep_metadata=True)
            except InputError as error:
                assert "\n" not in str(error)


def with_metadata(name: str, orientation: int) -> bytes:
    """A picture of 32x16 whose EXIF say who made it, where, and with what, and whose XMP says <x/>."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0131] = orientation, "maker", "firmware"
    exif[0x8769], exif[0x8825] = {0x927C: b"note" * 9}, {1: "N"}
    options = {"xmp": XMP}
    if name == "PNG":
        options = {"pnginfo": PngImagePlugin.PngInfo()}
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", XMP.decode())
    elif name == "TIFF":
        options, exif[0x02BC] = {}, XMP
    return data_of(gradient(32, 16), name, exif=exif.tobytes(), **options)


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>' + b" " * 999 + b'<?xpacket end="w"?>'


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_metadata_travel_only_on_request(name, orientation, recwarn):
    data = with_metadata(name, orientation)
    assert image.open_image(data).info == {}
    opened = image.open_image(data, keep_metadata=True)
    assert opened.size == ((16, 32) if orientation == 6 else (32, 16))
    kept = dict(attachments.collect(opened))
    assert kept.keys() == {"e", "x"}
    assert kept["e"][:4] in (b"II*\0", b"MM\0*")
    assert kept["x"] == XMP.replace(b" " * 999, b"\n")

    decoded = image.open_image(gradient(*opened.size))
    attachments.attach(decoded, kept)
    decoded.info["comment"] = "osdc 1: a note"
    with Image.open(io.BytesIO(image.encode_image(decoded, name))) as saved:
        saved.load()
        exif = saved.getexif()
        assert exif.get(0x0112, 1) == 1
        assert exif[0x010F] == "maker"
        assert exif.get_ifd(0x8769)[0x927C] == b"note" * 9 and exif.get_ifd(0x8825)[1] == "N"
        assert saved.info["xmp"] == kept["x"]
    again = image.open_image(image.encode_image(decoded, name), keep_metadata=True)
    assert dict(attachments.collect(again)).keys() == {"e", "x"}
    assert not recwarn


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF", "GIF", "JPEG2000", "BMP"])
@pytest.mark.filterwarnings("ignore:.*colour profile")
def test_the_note_is_written_where_the_format_has_a_place(name):
    picture = gradient(8, 8)
    attachments.attach(picture, {"i": grey_profile()})
    picture.info["comment"] = "osdc 1: a note"
    saved = Image.open(io.BytesIO(image.encode_image(picture, name)))
    found = saved.info.get("Comment") or saved.getexif().get(0x0131) or saved.info.get("comment", b"").decode()
    assert found == ("" if name == "BMP" else "osdc 1: a note")
    assert saved.info.get("icc_profile") == (None if name in ("GIF", "JPEG2000", "BMP") else grey_profile())


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_metadata_that_a_format_cannot_hold_cost_a_warning_not_the_picture(name):
    for kind, content in (("e", b"II*\0\xff\xff\xff\xff"), ("e", b"nonsense"), ("x", b"\xff\xfe"), ("x", b"<" * 70000)):
        picture = gradient(8, 8)
        attachments.attach(picture, {kind: content})
        picture.info["comment"] = "a note"
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            saved = Image.open(io.BytesIO(image.encode_image(picture, name)))
        assert len([w for w in caught if w.category is OsdWarning]) <= 1
        saved.load()
        assert saved.size == (8, 8)


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "PPM", "JPEG2000", "TGA"])
@pytest.mark.filterwarnings("ignore:.*holds no alpha")
def test_grey_pictures_are_written_in_every_format(name):
    for mode, pixel in (("L", 77), ("LA", (77, 255))):
        saved = Image.open(io.BytesIO(image.encode_image(Image.new(mode, (8, 8), pixel), name)))
        assert saved.convert("RGB").getpixel((0, 0)) == (77, 77, 77)
        assert name not in ("PNG", "JPEG", "TIFF") or saved.mode == ("L" if name == "JPEG" else mode)


def test_what_is_grey():
    assert image.is_grey(Image.new("RGB", (3, 2), (7, 7, 7))) and image.is_grey(Image.new("RGBA", (3, 2), (7, 7, 7, 9)))
    for pixel, grey in (((6, 7, 8), True), ((7, 7, 9), False), ((5, 7, 7), False), ((7, 5, 7), False)):
        almost = Image.new("RGB", (3, 2), (7, 7, 7))
        almost.putpixel((2, 1), pixel)
        assert image.is_grey(almost) == grey
    assert not image.is_grey(gradient(3, 2))


@pytest.mark.parametrize("quality", [5, 75, 100])
def test_a_grey_photograph_is_grey_as_webp_too(tmp_path, photo, quality):
    """Whose conversion of colours rounds greys up or down by a level, channel by channel."""
    photo.convert("L").convert("RGB").save(tmp_path / "grey.webp", quality=quality)
    opened = image.open_image(tmp_path / "grey.webp")
    assert opened.mode == "RGB" and np.ptp(np.asarray(opened, int), 2).max() == 1 and image.is_grey(opened)


def test_alpha_lies_over_white_where_the_format_has_none(recwarn):
    for name in ("PNG", "WEBP", "TIFF", "AVIF"):
        saved = Image.open(io.BytesIO(image.encode_image(DOT, name)))
        assert saved.mode == "RGBA" and saved.getpixel((0, 0))[3] == 0
    assert not recwarn
    for name in ("BMP", "PPM"):
        with pytest.warns(OsdWarning, match=f"{name} holds no alpha"):
            saved = Image.open(io.BytesIO(image.encode_image(DOT, name)))
        assert [saved.getpixel((x, 0)) for x in range(3)] == [(255, 255, 255), (255, 204, 204), RED]


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "AVIF", "TIFF"])
def test_formats_that_hold_profile_and_metadata(name, recwarn):
    saved = Image.open(io.BytesIO(image.encode_image(metadata_for(Image.new("RGB", (16, 16), RED)), name)))
    assert saved.info["icc_profile"] == SWAPPED and saved.getexif()[0x010F] == "Maker" and saved.info["xmp"]
    assert np.abs(np.asarray(saved.convert("RGB"), int) - RED).max() <= 3 and not recwarn


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("name", ["BMP", "GIF", "PPM", "TGA", "JPEG2000"])
@pytest.mark.filterwarnings("ignore:.*holds no alpha")
def test_formats_that_hold_no_profile_have_their_colours_in_srgb(name, mode):
    picture = metadata_for(Image.new(mode, (16, 16), (*RED, 255)[: len(mode)]))
    with (
        pytest.warns(OsdWarning, match=f"{name} holds no colour profile: the colours become sRGB"),
        pytest.warns(OsdWarning, match=f"{name} holds no EXIF and XMP: they are left out"),
    ):
        saved = Image.open(io.BytesIO(image.encode_image(picture, name)))
    assert np.abs(np.asarray(saved.convert("RGB"), int) - BLUE).max() <= 3
    assert picture.info["icc_profile"] == SWAPPED and picture.getpixel((0, 0))[:3] == RED  # the caller's stays


def metadata_for(picture: Image.Image) -> Image.Image:
    """With a profile, EXIF and XMP, as a decoded picture has them."""
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    picture.info = {"icc_profile": SWAPPED, "exif": exif.tobytes(), "xmp": b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"}
    return picture


def grey_profile() -> bytes:
    """An ICC profile of grey, gamma 2.2: header, table of tags, white point and curve."""
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    curve = b"curv\0\0\0\0" + struct.pack(">IHxx", 1, round(2.2 * 256))
    tags = struct.pack(">I4sII4sII", 2, b"wtpt", 128 + 28, len(white), b"kTRC", 128 + 28 + len(white), len(curve))
    size = 128 + len(tags) + len(white) + len(curve)
    head = struct.pack(
        ">I4sI4s4s4s12x4s24x3i", size, b"lcms", 0x02400000, b"mntr", b"GRAY", b"XYZ ", b"acsp", *(63190, 65536, 54061)
    )
    return head.ljust(128, b"\0") + tags + white + curve


def png(width: int, height: int, rows: bytes = b"", depth: int = 8, kind: int = 2) -> bytes:
    """A PNG of these rows, each a zero and its samples; without them it claims a size and has nothing behind its header."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_size_is_judged_before_pixels_are_decoded(recwarn):
    with pytest.raises(InputError, match="30000x30000 is more than"):
        image.open_image(png(30000, 30000))
    with pytest.raises(InputError, match="side above 65535"):
        image.open_image(png(70000, 2))
    assert not recwarn  # Pillow's own limits keep quiet
    data = data_of(Image.new("RGB", (10, 10)), "PNG")
    assert image.open_image(data, max_pixels=100).size == (10, 10)
    with pytest.raises(InputError, match="raise `max_pixels`"):
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


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".jpg", ".webp", ".avif", ".bmp", ".tiff", ".gif", ".ppm"])
def test_the_format_is_that_of_the_suffix(suffix):
    data = image.encode_image(gradient(20, 10), image.output_format(f"out{suffix}"))
    with Image.open(io.BytesIO(data)) as saved:
        assert saved.size == (20, 10)
        assert Image.registered_extensions()[suffix.lower()] == saved.format


@pytest.mark.parametrize("name", ["out", "out.xyz", "out.psd", "out.xbm", "out.grib", "out.osd"])
def test_unknown_output_format(name):
    register()  # which makes .osd a format of Pillow's
    with pytest.raises(OutputError, match=name):
        image.encode_image(gradient(2, 2), image.output_format(name))
