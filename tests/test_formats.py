"""Pictures as they are meant: formats, depths and tags against second readers, and what files hold beside a picture."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from helpers.formats import RANDOM, chunk, make_jpeg, make_png, opened
from PIL import Image

from osdcodec import image
from osdcodec.errors import InputError, OsdWarning, OutputFormatError, PackageError
from osdcodec.formats import colour, heif, jpeg, png, tiff

PNG_KINDS = [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (3, 1), (3, 2), (3, 4), (3, 8), (4, 8), (4, 16),
             (6, 8), (6, 16)]  # fmt: skip


@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize(("kind", "depth"), PNG_KINDS)
def test_png_as_libvips_reads_it(kind, depth, transparent):
    pyvips = pytest.importorskip("pyvips")
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind]
    # Few values in the high bytes, all in the low: samples that differ there only are different colours to tRNS.
    samples = RANDOM.integers(0, 2**depth, (24, 40, channels))
    samples[:8] = samples[0, 0]
    samples[2, 2] ^= 1
    chunks = []
    if kind == 3:
        chunks.append(chunk(b"PLTE", RANDOM.integers(0, 256, 3 * 2**depth, np.uint8).tobytes()))
    if transparent:
        if kind > 3:
            pytest.skip("has alpha of its own")
        named = bytes([0, 99, 255][: min(3, 2**depth)]) if kind == 3 else samples[0, 0].astype(">u2").tobytes()
        chunks.append(chunk(b"tRNS", named))
    data = make_png(samples, depth, kind, *chunks)
    wanted = pyvips.Image.new_from_buffer(data, "").numpy().astype(float)
    wanted = wanted / 257 if depth == 16 else wanted
    wanted = wanted.reshape(24, 40, -1)
    if wanted.shape[2] < 3:
        wanted = np.concatenate([wanted[..., :1]] * 3 + [wanted[..., 1:]], 2)
    found = opened(data)
    assert found.shape[2] == wanted.shape[2] or (wanted[..., 3:] == 255).all()
    if found.shape[2] == 4:
        assert np.abs(found[..., 3] - wanted[..., 3]).max() <= 1
        assert not transparent or ((found[..., 3] == 0) == (wanted[..., 3] == 0)).all()
    shown = found[..., 3] > 0 if found.shape[2] == 4 else np.ones(found.shape[:2], bool)
    assert np.abs(found[..., :3] - wanted[..., :3])[shown].max() <= 0.5 + 1e-6


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("most", [None, 4095])
@pytest.mark.parametrize(("photometric", "dtype"), [
    ("minisblack", np.uint8), ("miniswhite", np.uint8), ("rgb", np.uint8),
    ("minisblack", np.uint16), ("miniswhite", np.uint16), ("rgb", np.uint16),
])  # fmt: skip
def test_tiff_as_tifffile_reads_it(photometric, dtype, most, compression, byteorder):
    tifffile = pytest.importorskip("tifffile")
    top = np.iinfo(dtype).max if most is None or dtype == np.uint8 else most
    samples = RANDOM.integers(0, top, (16, 24, 3) if photometric == "rgb" else (16, 24), dtype, endpoint=True)
    buffer = io.BytesIO()
    tags = [(281, "H", 1, most, True)] if most else []
    tifffile.imwrite(
        buffer, samples, photometric=photometric, compression=compression, byteorder=byteorder, extratags=tags
    )
    wanted = tifffile.imread(io.BytesIO(buffer.getvalue())) * (255 / top)
    wanted = 255 - wanted if photometric == "miniswhite" else wanted
    wanted = wanted if wanted.ndim == 3 else np.stack([wanted] * 3, 2)
    assert np.abs(opened(buffer.getvalue()) - wanted).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("options", [{}, {"rowsperstrip": 5}, {"compression": "zlib"}])
@pytest.mark.parametrize("bands", [3, 4])
def test_planes_of_a_tiff(bands, options, byteorder):
    """One colour behind the other, of 8 or 16 bits."""
    tifffile = pytest.importorskip("tifffile")
    for dtype in (np.uint8, np.uint16):
        samples = RANDOM.integers(0, np.iinfo(dtype).max, (bands, 16, 24), dtype, endpoint=True)
        samples[3:] = np.iinfo(dtype).max  # all opaque
        buffer, extra = io.BytesIO(), {"extrasamples": ["unassalpha"]} if bands == 4 else {}
        tifffile.imwrite(
            buffer, samples, photometric="rgb", planarconfig="separate", byteorder=byteorder, **options, **extra
        )
        wanted = samples[:3].transpose(1, 2, 0) * (255 / np.iinfo(dtype).max)
        assert np.abs(opened(buffer.getvalue()) - wanted).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("orientation", range(1, 9))
def test_planes_are_turned_upright(orientation):
    """As Pillow turns the same samples where they are interleaved."""
    tifffile = pytest.importorskip("tifffile")
    samples = RANDOM.integers(0, 65535, (16, 24, 3), np.uint16, endpoint=True)
    planar, whole, tags = io.BytesIO(), io.BytesIO(), [(274, "H", 1, orientation, True)]
    tifffile.imwrite(whole, samples, photometric="rgb", extratags=tags)
    tifffile.imwrite(planar, samples.transpose(2, 0, 1), photometric="rgb", planarconfig="separate", extratags=tags)
    wanted = opened(whole.getvalue())
    assert wanted.shape == ((24, 16, 3) if orientation > 4 else (16, 24, 3))
    assert np.array_equal(opened(planar.getvalue()), wanted)


@pytest.mark.parametrize("big", [False, True])
def test_grey_that_counts_from_white(big):
    tifffile = pytest.importorskip("tifffile")
    samples = RANDOM.integers(0, 65535, (16, 24), np.uint16, endpoint=True)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, 65535 - samples, photometric="miniswhite", bigtiff=big)
    assert np.abs(opened(buffer.getvalue())[..., 0] - samples / 257).max() <= 0.5 + 1e-6


def test_tiffs_that_are_not_taken():
    """Each is refused by what is unusual in it."""
    tifffile = pytest.importorskip("tifffile")
    planes = np.zeros((16, 24, 3), np.uint16)
    for samples, options, word in (
        (planes.astype(np.int16), {"photometric": "rgb"}, "signed samples of 16 bits"),
        (np.zeros((8, 8), np.int16), {}, "signed samples"),
        (planes.astype(np.float32), {"photometric": "rgb"}, "floating-point samples of 32 bits"),
        (planes[..., 0].astype(np.float32), {}, "floating-point pixels"),
        (planes[..., 0].astype(np.float16), {}, "floating-point samples of 16 bits"),
        (planes.astype(np.uint32), {"photometric": "rgb"}, "samples of 32 bits"),
        (planes, {"photometric": "cielab"}, "Lab colours of 16 bits"),
        (planes.astype(np.uint8), {"photometric": "cielab"}, "Lab colours of 8 bits"),
    ):
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, samples, **options)
        with pytest.raises(InputError, match=word):
            opened(buffer.getvalue())


@pytest.mark.parametrize("photometric", [0, 1])
def test_tiff_of_12_bits(photometric):
    values = np.array([[0, 1, 2048, 4095]])
    bits = "".join(f"{value:012b}" for value in values[0])
    pixels = bytes(int(bits[i : i + 8], 2) for i in range(0, 48, 8))
    tags = [(256, 4), (257, 1), (258, 12), (259, 1), (262, photometric), (273, 8), (277, 1), (278, 1), (279, 6)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    data = struct.pack("<2sHI", b"II", 42, 14) + pixels + struct.pack("<H", len(tags)) + entries + bytes(4)
    wanted = (values * 255 / 4095).round()
    assert opened(data)[..., 0].tolist() == (wanted if photometric else 255 - wanted).tolist()


def light(shown: np.ndarray) -> np.ndarray:
    return np.where(shown <= 0.04045, shown / 12.92, ((shown + 0.055) / 1.055) ** 2.4)


def shown(light: np.ndarray) -> np.ndarray:
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("kind", [0, 2, 6])
@pytest.mark.parametrize("gamma", [1.0, 0.5, 1 / 1.8])
def test_gamma_of_png(gamma, kind, depth):
    channels = {0: 1, 2: 3, 6: 4}[kind]
    samples = RANDOM.integers(0, 2**depth, (8, 9, channels))
    data = make_png(samples, depth, kind, chunk(b"gAMA", struct.pack(">I", round(gamma * 1e5))))
    colours = samples[..., :3] if kind else samples.repeat(3, 2)
    wanted = 255 * shown((colours / (2**depth - 1)) ** (1 / (round(gamma * 1e5) / 1e5)))
    found = opened(data)
    there = found[..., 3] > 0 if kind == 6 else slice(None)
    assert np.abs(found[..., :3] - wanted)[there].max() <= 0.51


def test_what_ranks_above_gamma():
    grey = np.full((4, 4), 55)
    gamma, srgb = chunk(b"gAMA", struct.pack(">I", 100000)), chunk(b"sRGB", b"\0")
    assert opened(make_png(grey, 8, 0, gamma))[0, 0].tolist() == [128] * 3
    assert opened(make_png(grey, 8, 0, gamma, srgb))[0, 0].tolist() == [55] * 3
    assert opened(make_png(grey, 8, 0, gamma, chunk(b"cICP", bytes([1, 13, 0, 1]))))[0, 0].tolist() == [55] * 3
    old = chunk(b"gAMA", struct.pack(">I", 45455))
    assert opened(make_png(grey, 8, 0, old))[0, 0].tolist() == [55] * 3


P3 = np.array([[1.2249, -0.2247, 0], [-0.0420, 1.0419, 0], [-0.0197, -0.0786, 1.0979]])  # to sRGB, as W3C has it


def test_display_p3_by_chromaticities_and_by_code():
    samples = np.array([[[200, 100, 50], [120, 130, 140], [128, 128, 128]]])
    wanted = (255 * shown((P3 @ light(samples / 255).reshape(-1, 3).T).clip(0, 1))).T
    found = opened(make_png(samples, 8, 2, chunk(b"cICP", bytes([12, 13, 0, 1]))))
    assert np.abs(found.reshape(-1, 3) - wanted).max() <= 1
    numbers = (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
    chunks = (
        chunk(b"gAMA", struct.pack(">I", 45455)),
        chunk(b"cHRM", struct.pack(">8I", *(round(n * 1e5) for n in numbers))),
    )
    found = opened(make_png(samples, 8, 2, *chunks))
    wanted = (255 * shown((P3 @ ((samples / 255) ** 2.2).reshape(-1, 3).T).clip(0, 1))).T
    assert np.abs(found.reshape(-1, 3) - wanted).max() <= 1


def test_hdr_and_unknown_codes_are_refused_by_name():
    grey = np.full((4, 4), 55)
    for code, word in (((9, 16, 0, 1), "PQ"), ((9, 18, 0, 1), "HLG"), ((1, 99, 0, 1), "99"), ((1, 13, 5, 1), "matrix")):
        with pytest.raises(InputError, match=f"the picture: .*{word}"):
            image.open_image(make_png(grey, 8, 0, chunk(b"cICP", bytes(code))))


@pytest.mark.parametrize(("code", "refused"), [((1, 13), None), ((12, 13), None), ((9, 16), "PQ"), ((9, 18), "HLG")])
def test_avif_says_its_colours_by_a_code(code, refused):
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), (200, 100, 50)).save(buffer, "AVIF", quality=100, subsampling="4:4:4")
    data = buffer.getvalue()
    at = data.index(b"colrnclx") + 8
    assert heif.colour_code(data) == bytes([data[at + 1], data[at + 3], data[at + 5]])
    data = data[:at] + bytes([0, code[0], 0, code[1]]) + data[at + 4 :]
    if refused:
        with pytest.raises(InputError, match=refused):
            image.open_image(data)
        return
    wanted = np.array([200, 100, 50])
    wanted = 255 * shown((P3 @ light(wanted / 255)).clip(0, 1)) if code[0] == 12 else wanted
    assert np.abs(opened(data)[5, 5] - wanted).max() <= 3


def test_boxes_of_damaged_files_are_no_error():
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "AVIF")
    good = buffer.getvalue()
    for _ in range(300):
        data = bytearray(good)
        for at in RANDOM.integers(0, 300, 4):
            data[at] = RANDOM.integers(256)
        heif.colour_code(bytes(data))
    assert heif.colour_code(b"") is None


def heic(**options) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    try:
        pillow_heif.from_pillow(Image.new("RGB", (64, 48), (200, 100, 50))).save(buffer, quality=95, **options)
    except (RuntimeError, ValueError):
        pytest.skip("this pillow-heif cannot write HEIC")
    return buffer.getvalue()


def test_heic(tmp_path, monkeypatch):
    data = heic()
    assert heif.is_heic(data) and np.abs(opened(data)[9, 9] - [200, 100, 50]).max() <= 4
    with pytest.raises(InputError, match="more than"):
        image.open_image(data, max_pixels=100)
    with pytest.raises(InputError, match="HEIC"):
        image.open_image(data[: len(data) // 2])
    assert ".heic" in image.suffixes()
    monkeypatch.setattr(heif, "available", lambda _: False)
    (tmp_path / "a.heic").write_bytes(data)
    with pytest.raises(PackageError, match=r"a\.heic: HEIC needs the package pillow-heif: pip install 'osdc\[heic\]'"):
        image.open_image(tmp_path / "a.heic")


def test_a_photo_of_an_iphone_lies_upright():
    pillow_heif = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = Image.new("RGB", (64, 48), (200, 100, 50))
    photo.paste((0, 0, 255), (0, 0, 64, 8))
    buffer = io.BytesIO()
    pillow_heif.register_heif_opener()
    photo.save(buffer, "HEIF", exif=exif.tobytes(), quality=95)
    found = image.open_image(buffer.getvalue(), keep_metadata=True)
    assert found.size == (48, 64)  # turned once
    assert np.abs(np.array(found.getpixel((45, 32))) - (0, 0, 255)).max() < 9


def test_heic_is_written_where_its_package_is_there(tmp_path, monkeypatch):
    heic()
    assert image.output_format("a.heic") == image.output_format("a.HIF", ".heic") == "HEIF"
    exif = Image.Exif()
    exif[0x010F] = "maker"
    picture = Image.new("RGBA", (64, 48), (200, 100, 50, 128))
    picture.info = {"exif": exif.tobytes(), "xmp": b"<x/>", "comment": "note"}
    found = image.open_image(image.encode_image(picture, "HEIF"), alpha="keep", keep_metadata=True)
    assert found.mode == "RGBA" and np.abs(np.asarray(found, int) - [200, 100, 50, 128]).max() <= 6
    assert b"maker" in found.info["exif"] and b"note" in found.info["exif"] and found.info["xmp"] == b"<x/>"
    assert image.encode_image(Image.new("L", (9, 9)), "HEIF")
    monkeypatch.setattr("osdcodec.image.writing.available", lambda _: False)
    with pytest.raises(PackageError, match=r"a\.heic: HEIC needs the package pillow-heif"):
        image.output_format("a.heic")
    for name in ("a.xyz", "a.ico", "a"):
        with pytest.raises(OutputFormatError, match="no format to write") as caught:
            image.output_format(name)
        assert caught.value.exit_code == 2


def test_brands_of_heic():
    def head(*brands: bytes) -> bytes:
        body = brands[0] + bytes(4) + b"".join(brands[1:])
        return struct.pack(">I", len(body) + 8) + b"ftyp" + body

    assert heif.is_heic(head(b"heic", b"mif1")) and heif.is_heic(head(b"mif1", b"heic"))
    assert not heif.is_heic(head(b"avif", b"mif1")) and not heif.is_heic(head(b"mif1", b"avif"))
    assert not heif.is_heic(head(b"mp42")) and not heif.is_heic(b"")


def raw_file(order: str, *directories: dict[int, int | bytes]) -> bytes:
    """A TIFF of directories, the second and later ones as SubIFDs of the first."""
    body, places = b"", []
    for tags in reversed(directories):
        tags = dict(tags) | ({330: places[-1]} if places and tags is directories[0] else {})
        entries, extra, at = b"", b"", 8 + len(body)
        for tag, value in sorted(tags.items()):
            if isinstance(value, bytes):
                offset = at + 2 + 12 * len(tags) + 4 + len(extra)
                entries += struct.pack(order + "HHII", tag, 2, len(value), offset)
                extra += value
            else:
                entries += struct.pack(order + "HHII", tag, 4, 1, value)
        places.append(at)
        body += struct.pack(order + "H", len(tags)) + entries + bytes(4) + extra
    return struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, places[-1]) + body


@pytest.mark.parametrize(("data", "maker"), [
    (raw_file("<", {256: 4, 50706: 1}), "DNG"),
    (raw_file(">", {256: 4, 271: b"NIKON CORPORATION\0"}, {256: 9, 262: 32803}), "NIKON CORPORATION"),
    (raw_file("<", {256: 4}, {262: 34892}), "unknown camera"),
    (b"II*\0\x10\0\0\0CR\x02\0" + bytes(40), "Canon CR2"),
    (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(40), "Canon CR3"),
    (b"FUJIFILMCCD-RAW 0201" + bytes(40), "Fujifilm RAF"),
])  # fmt: skip
def test_camera_raw_is_refused_by_name(data, maker, tmp_path):
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(InputError, match=rf"a\.tif: camera raw \({maker}\)"):
        image.open_image(tmp_path / "a.tif")


def test_no_tiff_is_taken_for_raw_or_ends_the_search():
    buffer = io.BytesIO()
    Image.new("RGB", (9, 9)).save(buffer, "TIFF")
    assert tiff.raw_maker(buffer.getvalue()) is None
    for _ in range(300):
        data = bytearray(buffer.getvalue())
        for at in RANDOM.integers(0, len(data), 6):
            data[at] = RANDOM.integers(256)
        tiff.raw_maker(bytes(data))
    for data in (b"", b"II*\0", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08\xff\xff"):
        assert tiff.raw_maker(data) is None


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"subsampling": 0}])
def test_jpeg_without_its_end(options):
    data = make_jpeg(**options)
    assert jpeg.end(data) == len(data) and jpeg.end(data[:-2]) is None and jpeg.end(data + b"more") == len(data)
    whole = opened(data)
    with pytest.warns(OsdWarning, match="all of the picture is there"):
        assert np.array_equal(opened(data[:-2]), whole)
    with pytest.warns(OsdWarning, match="all of the picture is there"):
        assert np.array_equal(opened(data[:-2] + 500 * b"\0rest"), whole)
    with pytest.raises(InputError, match="all of the picture is there; leave out strict"):
        image.open_image(data[:-2], strict=True)
    with pytest.raises(InputError, match="damaged"):
        image.open_image(data[: data.index(b"\xff\xda") - 9])


def test_what_follows_a_picture_is_told():
    webp = io.BytesIO()
    Image.new("RGB", (9, 9)).save(webp, "WEBP")
    ppm = b"P6 # c\n2 1\n255\n" + bytes(6)
    first = make_png(np.zeros((2, 2), int), 8, 0)
    for data, more, word in (
        (make_jpeg(), b"\0\0\0\x18ftypmp42" + bytes(99), "108 bytes behind the end"),
        (make_jpeg(), make_jpeg(), "another picture"),
        (ppm, ppm, "another picture"),
        (b"P5\n3 2\n999\n" + bytes(12), b"P5", "another picture"),
        (b"P4\n9 2\n" + bytes(4), b"P4", "another picture"),
        (first, first, "another picture"),
        (webp.getvalue(), b"more", "4 bytes"),
    ):
        with pytest.warns(OsdWarning, match=f"the picture: {word}"):
            image.open_image(data + more)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            image.open_image(data)
            image.open_image(data + b"\0" * 9)  # padding


def test_text_chunks_do_no_harm():
    def text(size: int, keyword: bytes = b"Comment") -> bytes:
        return chunk(b"iTXt", keyword + b"\0\1\0\0\0" + zlib.compress(b"a" * size))

    grey, broken = np.full((4, 4), 55), bytearray(chunk(b"tEXt", b"Comment\0text"))
    broken[-1] ^= 1
    damaged = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * 99)[:-3])
    many = [chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**20 - 9)))] * 80
    for chunks in (
        [text(2 * 10**6)],
        [bytes(broken)],
        [damaged],
        many,
        [chunk(b"iTXt", b"a")],
        [text(2**25, b"XML:com.adobe.xmp")],
    ):
        found = image.open_image(make_png(grey, 8, 0, *chunks), keep_metadata=True)
        assert found.getpixel((0, 0)) == (55, 55, 55) and "xmp" not in found.info
    found = image.open_image(make_png(grey, 8, 0, text(9, b"XML:com.adobe.xmp")), keep_metadata=True)
    assert found.info["xmp"] == b"a" * 9


def test_damaged_pixels_are_an_error_all_the_same():
    data = bytearray(make_png(RANDOM.integers(0, 256, (40, 40)), 8, 0))
    data[len(data) // 2] ^= 255
    with pytest.raises(InputError, match="damaged"):
        image.open_image(bytes(data))
    assert png.inflated(zlib.compress(bytes(2**25))) == b""


@pytest.mark.parametrize("masks", [True, False])
def test_bmp_whose_alpha_means_nothing(masks):
    """32 bits with the header of version 4, which has a mask of alpha: all of it is 0, or some is not."""
    pixels = np.array([[[10, 20, 30, 0], [40, 50, 60, 0 if masks else 255]]], np.uint8)  # blue, green, red, alpha
    head = struct.pack("<IiiHHIIiiII", 108, 2, 1, 1, 32, 3, 8, 0, 0, 0, 0)
    head += struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(48)
    data = struct.pack("<2sIII", b"BM", 14 + 108 + 8, 0, 14 + 108) + head + pixels.tobytes()
    found = image.open_image(data, alpha="keep")
    assert found.mode == ("RGB" if masks else "RGBA")
    assert found.getpixel((1, 0))[:3] == (60, 50, 40) and (found.getpixel((0, 0)) == (30, 20, 10)) == masks


def test_what_a_first_frame_leaves_of_its_canvas_is_clear():
    def frame(colour: str) -> bytes:
        buffer = io.BytesIO()
        Image.new("RGB", (4, 2), colour).save(buffer, "WEBP", lossless=True)
        return buffer.getvalue()[12:]

    def box(kind: bytes, data: bytes) -> bytes:
        return kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)

    def three(number: int) -> bytes:
        return number.to_bytes(3, "little")

    frames = b"".join(
        box(b"ANMF", three(1) + three(1) + three(3) + three(1) + three(100) + b"\0" + frame(colour))
        for colour in ("red", "blue")
    )
    body = box(b"VP8X", b"\2\0\0\0" + three(9) + three(5)) + box(b"ANIM", bytes(6)) + frames
    webp = b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body
    gif = io.BytesIO()
    Image.new("P", (10, 6), 0).save(gif, "GIF")
    small = io.BytesIO()
    picture = Image.new("P", (4, 2), 1)
    picture.putpalette([0, 0, 0, 255, 0, 0])
    picture.save(small, "GIF")
    data = bytearray(small.getvalue())
    data[6:10] = struct.pack("<HH", 10, 6)  # the canvas
    at = data.index(b",") + 1
    data[at : at + 4] = struct.pack("<HH", 2, 2)  # where the frame lies
    for source in (webp, bytes(data)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OsdWarning)
            found = image.open_image(source, alpha="keep")
            over = image.open_image(source)
        assert found.size == (10, 6) and found.mode == "RGBA"
        assert found.getpixel((3, 3)) == (255, 0, 0, 255) and found.getpixel((0, 0))[3] == 0
        assert over.getpixel((3, 3)) == (255, 0, 0) and over.getpixel((9, 5)) == (255, 255, 255)


def test_hidden_colours_come_from_visible_neighbours():
    pixels = np.zeros((20, 30, 4), np.uint8)
    pixels[5:15, :10] = (255, 255, 255, 255)  # white, then red at the other side, hidden black between
    pixels[5:15, 20:] = (200, 0, 0, 9)
    found = np.asarray(image.open_image(Image.fromarray(pixels), alpha="keep"))
    shown_places = pixels[..., 3] > 0
    assert np.array_equal(found[shown_places], pixels[shown_places]) and np.array_equal(found[..., 3], pixels[..., 3])
    assert (found[~shown_places][:, 0] >= 200).all() and found[10, 10, 1] > 200 and found[10, 19, 1] < 60
    clear = Image.new("RGBA", (5, 7), (9, 9, 9, 0))
    assert image.open_image(clear, alpha="keep").getextrema()[3] == (0, 0)


def test_matrices_to_srgb():
    assert colour._matrix(colour._SRGB) is None and colour._matrix((0.0,) * 8) is None
    assert np.abs(colour._matrix(colour._PRIMARIES[12]) - P3).max() < 2e-3
