"""A picture is what its format says: orientation, profile before bits, aperture, unusual TIFFs, and files that end early.

Right values are literal, or those of libvips.
"""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from helpers.formats import RANDOM, chunk, make_jpeg, make_png, opened
from PIL import Image, ImageCms, PngImagePlugin

import osdcodec
from osdcodec import image
from osdcodec.errors import InputError, OsdWarning
from osdcodec.formats import heif, jpeg, orientation
from osdcodec.formats.icc import Profile
from osdcodec.image import encode_image

pytestmark = pytest.mark.slow

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Make="M" tiff:Orientation="6"/>'
    b"</rdf:RDF></x:xmpmeta>"
)


def vips(data: bytes) -> np.ndarray:
    """What libvips reads, upright, (H, W, C)."""
    pyvips = pytest.importorskip("pyvips")
    found = pyvips.Image.new_from_buffer(data, "", fail_on="none").autorot().numpy()
    return found.reshape(*found.shape[:2], -1).astype(int)


def saved(picture: Image.Image, name: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, name, **options)
    return buffer.getvalue()


def slope(width: int = 48, height: int = 32) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x * 5, y * 7, (x + y) * 3], 2).astype(np.uint8))


def with_xmp(name: str, turn: int | None) -> bytes:
    """A picture whose XMP says 6, and whose EXIF says this, if anything."""
    exif = Image.Exif()
    options: dict = {"xmp": XMP}
    if turn:
        exif[0x0112] = turn
        options["exif"] = exif
    if name == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", XMP.decode())
    if name == "TIFF":
        exif[0x02BC] = options.pop("xmp")
        options = {"exif": exif}
    if name in ("AVIF", "WEBP", "JPEG"):
        options["quality"] = 100
    return saved(slope(), name, **options)


@pytest.mark.parametrize("turn", [None, 1, 3, 6, 8])
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_orientation_is_that_of_exif_never_of_xmp(name, turn):
    data = with_xmp(name, turn)
    wanted = vips(data)
    found = image.open_image(data, keep_metadata=True)
    assert found.size == wanted.shape[1::-1] == ((32, 48) if turn in (6, 8) else (48, 32))
    assert np.abs(np.asarray(found, int) - wanted[..., :3]).max() <= (0 if name in ("PNG", "TIFF") else 6)
    assert b"tiff:Make" in found.info["xmp"] and b"Orientation" not in found.info["xmp"]
    with Image.open(io.BytesIO(data)) as picture:  # and where Pillow has opened it
        assert image.open_image(picture).size == found.size


def test_a_chain_of_files_turns_nothing():
    """JPEG, .osd, AVIF, .osd: upright all the way."""
    first = osdcodec.encode(io.BytesIO(with_xmp("JPEG", 6)), keep_metadata=True)
    between = encode_image(osdcodec.decode(first), "AVIF")
    second = osdcodec.info(osdcodec.encode(io.BytesIO(between), keep_metadata=True))
    assert (second["width"], second["height"]) == (32, 48) == vips(between).shape[1::-1]


def test_orientation_in_xmp_in_all_its_forms():
    for text in (
        b"<a tiff:Orientation='8' b='1'/>",
        b'<a xmlns:t="http://ns.adobe.com/tiff/1.0/"\n t:Orientation = "3" b="1"/>',
        b"<tiff:Orientation>6</tiff:Orientation>",
        b"<tiff:Orientation rdf:datatype='x'>6</tiff:Orientation >",
        b"<tiff:Orientation/>",
    ):
        assert b"Orientation" not in orientation.without_orientation(text)
    assert orientation.without_orientation(b'<a x:Orientation="6"/>') == b'<a x:Orientation="6"/>'


def profile(gamma: float, grey: bool = False) -> bytes:
    """An ICC profile of sRGB's colours, or of grey, with this curve."""
    base = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack_from(">I", base, 128)[0]
    tags = {}
    for i in range(count):
        name, start, size = struct.unpack_from(">4sII", base, 132 + 12 * i)
        tags[name] = bytes(base[start : start + size])
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    if grey:
        tags = {b"desc": tags[b"desc"], b"cprt": tags[b"cprt"], b"wtpt": tags[b"wtpt"], b"kTRC": curve}
        base[16:20] = b"GRAY"
    else:
        tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    table, body, at = b"", b"", 132 + 12 * len(tags)
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        table, body = table + struct.pack(">4sII", name, at + len(body), len(content)), body + content
    whole = bytes(base[:128]) + struct.pack(">I", len(tags)) + table + body
    return struct.pack(">I", len(whole)) + whole[4:]


def deep(kind: str, samples: np.ndarray, icc: bytes) -> bytes:
    if kind == "PNG":
        packed = b"p\0\0" + zlib.compress(icc)
        return make_png(samples, 16, 2 if samples.ndim == 3 else 0, chunk(b"iCCP", packed))
    tifffile = pytest.importorskip("tifffile")
    buffer = io.BytesIO()
    photometric = "rgb" if samples.ndim == 3 else "minisblack"
    tifffile.imwrite(buffer, samples, photometric=photometric, iccprofile=icc)
    return buffer.getvalue()


def shown_by_vips(data: bytes) -> np.ndarray:
    """sRGB of 8 bits by way of 16: (H, W, 3)."""
    pyvips = pytest.importorskip("pyvips")
    found = pyvips.Image.new_from_buffer(data, "").icc_transform("srgb", embedded=True, depth=16).numpy() / 257
    return found.reshape(*found.shape[:2], -1)[..., :3]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("gamma", [1.0, 1.8])
@pytest.mark.parametrize("bands", [1, 3])
def test_profile_first_then_8_bits(bands, gamma, kind):
    """A dark linear ramp to level 64 has all levels, and is that of libvips within one; so are random colours."""
    levels = np.linspace(0, 64 / 255, 256)
    light = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    ramp = (light ** (1 / gamma) * 65535).round().astype(np.uint16)[None].repeat(4, 0)
    noise = RANDOM.integers(0, 65536, (4, 256), np.uint16)
    samples = np.concatenate([ramp, noise])
    if bands == 3:
        samples = np.stack([samples, np.concatenate([ramp, noise[::-1]]), np.concatenate([ramp, noise[:, ::-1]])], 2)
    data = deep(kind, samples, profile(gamma, bands == 1))
    found = np.asarray(image.open_image(data), int)
    assert len(np.unique(found[:4])) == 65
    assert np.abs(found[:4] - 255 * levels[None, :, None]).max() <= 1
    light = (samples.reshape(8, 256, -1) / 65535) ** (round(gamma * 256) / 256)
    wanted = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(found - wanted).max() <= 1
    if bands == 3:
        assert np.abs(found - shown_by_vips(data)).max() <= (1 if gamma == 1 else 2.1)  # it bends dark ends of curves
    if bands == 3:  # as profiles of tables are taken; of linear grey LittleCMS itself is ten levels off
        slow = Profile(profile(gamma)).interpolated(samples)
        assert np.abs(np.asarray(slow, int) - found).max() <= 2
    kept = image.open_image(data, icc="keep")
    assert ("icc_profile" in kept.info) == (bands == 3)


def test_grey_of_16_bits_that_pillow_has_opened_keeps_its_levels():
    ramp = np.linspace(0, 0.05, 256)[None].repeat(4, 0)
    picture = Image.open(io.BytesIO(deep("TIFF", (ramp * 65535).round().astype(np.uint16), profile(1.0, True))))
    assert len(np.unique(np.asarray(image.open_image(picture)))) > 60


def test_alpha_beside_16_bits_and_a_profile():
    samples = np.full((4, 6, 4), 13107, np.uint16)  # a fifth of the light: 124 of sRGB
    samples[:, 3:, 3] = 65535
    data = make_png(samples, 16, 6, chunk(b"iCCP", b"p\0\0" + zlib.compress(profile(1.0))))
    assert opened(data)[0, 0].tolist() == [124, 124, 124, 51] and opened(data)[0, 5].tolist() == [124, 124, 124, 255]


def clapped(box: tuple[int, int, int, int], size=(64, 48)) -> bytes:
    """An AVIF with a property `clap` that shows this part (left, top, width, height)."""
    data = saved(slope(*size), "AVIF", quality=100, subsampling="4:4:4")
    left, top, width, height = box
    right, down = 2 * left + width - size[0], 2 * top + height - size[1]  # twice the distance of the centres
    clap = struct.pack(">I4sIIIIiIiI", 40, b"clap", width, 1, height, 1, right, 2, down, 2)

    def grow(data: bytes, path: list[bytes], change) -> bytes:
        kind, *rest = path
        at = data.index(kind) - 4
        size = int.from_bytes(data[at : at + 4], "big")
        inner = data[at + 8 : at + size]
        inner = grow(inner, rest, change) if rest else change(inner)
        return data[:at] + struct.pack(">I", len(inner) + 8) + kind + inner + data[at + size :]

    ipco = data[data.index(b"ipco") - 4 :]
    properties = list(heif._boxes(ipco[8 : int.from_bytes(ipco[:4], "big")]))
    index = len(properties) + 1

    def associated(body: bytes) -> bytes:
        assert body[4:8] == b"\0\0\0\1" and not body[3] & 1  # one picture, narrow indices
        return body[:10] + bytes([body[10] + 1]) + body[11:] + bytes([0x80 | index])

    before = len(data)
    data = grow(data, [b"meta", b"iprp", b"ipco"], lambda body: body + clap)
    data = grow(data, [b"meta", b"iprp", b"ipma"], associated)
    moved = len(data) - before
    at = data.index(b"iloc") + 4
    assert data[at] == 0 and data[at + 4] == 0x44
    places = at + 8
    for _ in range(int.from_bytes(data[at + 6 : at + 8], "big")):
        offset = int.from_bytes(data[places + 6 : places + 10], "big")
        data = data[: places + 6] + struct.pack(">I", offset + moved) + data[places + 10 :]
        places += 14
    return data


@pytest.mark.parametrize("box", [(0, 0, 30, 20), (10, 6, 32, 24), (33, 27, 31, 21), (0, 0, 64, 48)])
def test_clean_aperture_of_avif(box):
    data = clapped(box)
    left, top, width, height = box
    wanted = np.asarray(slope(64, 48), int)[top : top + height, left : left + width]
    found = opened(data)
    assert found.shape == wanted.shape == vips(data).shape
    assert np.abs(found - wanted).mean() < 2 and np.abs(found - vips(data)).max() <= 3


def test_apertures_without_sense_are_left_alone():
    data = clapped((0, 0, 30, 20))
    at = data.index(b"clap") + 4
    for width, divisor in ((0, 1), (65, 1), (30, 0), (2**31, 1)):
        broken = data[:at] + struct.pack(">II", width, divisor) + data[at + 8 :]
        assert heif.clean_aperture(broken, (64, 48)) is None


TIFFS = [
    ("minisblack", (16, 24, 2), np.uint16, "unassalpha"),
    ("minisblack", (16, 24, 2), np.uint16, "unspecified"),
    ("miniswhite", (16, 24, 2), np.uint16, "unassalpha"),
    ("separated", (16, 24, 5), np.uint8, "unassalpha"),
    ("separated", (16, 24, 5), np.uint16, "unassalpha"),
]


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("options", [
    {}, {"compression": "zlib"}, {"compression": "zlib", "predictor": True}, {"rowsperstrip": 5}, {"tile": (16, 16)},
    {"tile": (16, 16), "compression": "zlib", "predictor": True}, {"bigtiff": True},
])  # fmt: skip
@pytest.mark.parametrize(("photometric", "shape", "dtype", "extra"), TIFFS)
def test_tiffs_that_pillow_has_no_mode_for(photometric, shape, dtype, extra, options, byteorder):
    tifffile = pytest.importorskip("tifffile")
    samples = RANDOM.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    samples[..., -1] = np.maximum(samples[..., -1], np.iinfo(dtype).max // 255)  # clear places get other colours
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, samples, photometric=photometric, extrasamples=[extra], byteorder=byteorder, **options)
    found, scaled = opened(buffer.getvalue()), samples / (np.iinfo(dtype).max / 255)
    if extra == "unspecified":
        assert found.shape[2] == 3
    else:
        assert np.abs(found[..., 3] - scaled[..., -1]).max() <= 0.5 + 1e-6
    if photometric == "separated":
        inks = scaled.astype(np.uint8)[..., :4].astype(int) if dtype == np.uint8 else scaled[..., :4]
        wanted = (255 - inks[..., :3]) * (255 - inks[..., 3:]) / 255  # without a profile
        assert np.abs(found[..., :3] - wanted).max() <= 3
    else:
        wanted = 255 - scaled[..., :1] if photometric == "miniswhite" else scaled[..., :1]
        assert np.abs(found[..., :3] - wanted).max() <= 0.5 + 1e-6


def test_alpha_that_colours_were_multiplied_by():
    tifffile = pytest.importorskip("tifffile")
    buffer = io.BytesIO()
    samples = np.array([[[20000, 40000], [32768, 32768]]], np.uint16)
    tifffile.imwrite(buffer, samples, photometric="minisblack", extrasamples=["assocalpha"], planarconfig="contig")
    assert opened(buffer.getvalue())[0, :, 0].tolist() == [128, 255]


@pytest.mark.parametrize(
    "planar", [{"tile": (16, 16)}, {"tile": (16, 16), "compression": "zlib"}, {"compression": "zlib"}]
)
def test_planes_in_tiles_and_of_inks(planar):
    tifffile = pytest.importorskip("tifffile")
    for photometric, bands in (("rgb", 3), ("separated", 4)):
        samples, buffer = RANDOM.integers(0, 65536, (bands, 32, 48), np.uint16), io.BytesIO()
        tifffile.imwrite(buffer, samples, photometric=photometric, planarconfig="separate", **planar)
        scaled = samples.transpose(1, 2, 0) / 257
        wanted = scaled if bands == 3 else (255 - scaled[..., :3]) * (255 - scaled[..., 3:]) / 255
        assert np.abs(opened(buffer.getvalue()) - wanted).max() <= (0.5 + 1e-6 if bands == 3 else 3)


def test_palettes_of_16_bits():
    tifffile = pytest.importorskip("tifffile")
    palette = RANDOM.integers(0, 65536, (3, 65536), np.uint16)
    samples, buffer = RANDOM.integers(0, 65536, (16, 24), np.uint16), io.BytesIO()
    tifffile.imwrite(buffer, samples, photometric="palette", colormap=palette)
    assert np.abs(opened(buffer.getvalue()) - palette[:, samples].transpose(1, 2, 0) / 257).max() <= 0.5 + 1e-6


def test_what_else_such_a_tiff_holds_is_kept():
    tifffile = pytest.importorskip("tifffile")
    buffer = io.BytesIO()
    tags = [(274, "H", 1, 6, True), (271, "s", 0, "Maker", True), (700, "B", len(XMP), XMP, True)]
    samples = np.zeros((16, 24, 2), np.uint16)
    tifffile.imwrite(
        buffer, samples, photometric="minisblack", extrasamples=["unassalpha"], extratags=tags, resolution=(300, 150),
        resolutionunit="INCH",
    )  # fmt: skip
    found = image.open_image(buffer.getvalue(), keep_metadata=True)
    exif = Image.Exif()
    exif.load(found.info["exif"])
    assert found.size == (16, 24) and exif[271] == "Maker" and b"tiff:Make" in found.info["xmp"]
    assert (float(exif[282]), float(exif[283]), exif[296]) == (300, 150, 2) and 258 not in exif


def photo_like(width: int = 96, height: int = 128) -> np.ndarray:
    coarse = RANDOM.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def part_of(data: bytes) -> tuple[np.ndarray, int]:
    """A picture whose file ends early, and the rows that are there by what is said."""
    with pytest.warns(OsdWarning) as caught:
        found = opened(data)
    said = next(str(w.message) for w in caught if "rows are there" in str(w.message))
    rows, of = (int(word) for word in said.split("early: ")[1].split(" rows")[0].split(" of "))
    assert of == len(found)
    with pytest.raises(InputError, match="rows are there"):
        image.open_image(data, strict=True)
    return found, rows


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("options", [{}, {"restart_marker_rows": 1}, {"subsampling": 0}])
def test_jpegs_that_end_early(options, share):
    picture = photo_like()
    data = saved(Image.fromarray(picture), "JPEG", quality=92, **options)
    start = data.index(b"\xff\xda")
    found, rows = part_of(data[: start + int((len(data) - start) * share)])
    assert 0 < abs(rows / 128 - share) <= 0.25
    assert np.abs(found[: rows - 1] - opened(data)[: rows - 1]).max() <= 1
    assert np.abs(found[:rows] - vips(data[: start + int((len(data) - start) * share)])[:rows]).max() <= 2


def test_a_progressive_jpeg_that_ends_early_is_coarser():
    data = saved(Image.fromarray(photo_like()), "JPEG", quality=92, progressive=True)
    cut = data[: len(data) * 4 // 5]
    with pytest.warns(OsdWarning, match=r"all of the picture is there, \d+ of 128 rows in less detail"):
        found = opened(cut)
    assert np.abs(found - vips(cut)).max() <= 2 and np.abs(found - opened(data)).mean() < 12
    with pytest.raises(InputError, match="in less detail"):
        osdcodec.encode(io.BytesIO(cut), strict=True)


@pytest.mark.parametrize(("kind", "depth"), [(0, 1), (0, 8), (0, 16), (2, 8), (2, 16), (3, 4), (6, 8)])
def test_pngs_that_end_early(kind, depth):
    channels = {0: 1, 2: 3, 3: 1, 6: 4}[kind]
    samples = RANDOM.integers(0, 2**depth, (64, 48, channels))
    if kind == 6:
        samples[..., 3] = 255
    palette = [chunk(b"PLTE", RANDOM.integers(0, 256, 48, np.uint8).tobytes())] if kind == 3 else []
    data = make_png(samples, depth, kind, *palette)
    whole = opened(data)
    for share in (0.4, 0.8):
        found, rows = part_of(data[: int(len(data) * share)])
        assert abs(rows / 64 - share) < 0.15 and np.array_equal(found[:rows, :, :3], whole[:rows, :, :3])
    with pytest.warns(OsdWarning, match="all of the picture is there"):
        assert np.array_equal(opened(data[:-12]), whole)


def test_interlaced_pngs_that_end_early_are_refused():
    data = bytearray(make_png(RANDOM.integers(0, 256, (64, 48)), 8, 0))
    data[28] = 1
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    with pytest.raises(InputError):
        image.open_image(bytes(data[: len(data) // 2]))


@pytest.mark.parametrize("alpha", [False, True])
def test_webps_that_end_early(alpha):
    picture = Image.fromarray(photo_like())
    if alpha:
        picture.putalpha(Image.linear_gradient("L").resize(picture.size).point(lambda v: v | 1))
    data = saved(picture, "WEBP", quality=90, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0")
    whole = opened(data)
    found, rows = part_of(data[: int(len(data) * 0.8)])
    assert 16 <= rows < 128 and np.array_equal(found[: rows - 8, :, :3], whole[: rows - 8, :, :3])
    lossless = saved(picture, "WEBP", lossless=True)
    for cut in (data[:40], lossless[: len(lossless) * 4 // 5]):
        with pytest.raises(InputError, match=r"none of the picture|before its pixels"):
            image.open_image(cut)


def test_gain_maps_that_are_left_out_are_said():
    plain = make_jpeg()
    for mark in (b"urn:iso:std:iso:ts:21496:-1\0", b"http://ns.adobe.com/hdr-gain-map/1.0/"):
        data = plain[:2] + b"\xff\xe2" + struct.pack(">H", len(mark) + 2) + mark + plain[2:]
        with pytest.warns(OsdWarning, match="gain map"):
            assert np.array_equal(opened(data), vips(plain))
    assert not jpeg.has_gain_map(plain) and not heif.has_gain_map(saved(slope(), "AVIF"))


@pytest.mark.parametrize("place", [(0, 0), (3, 2)])
def test_an_animation_shows_its_first_frame_not_a_default_image_outside_of_it(place):
    """A red default image that browsers never show, and a green frame."""

    def pixels(colour: tuple, width: int, height: int) -> bytes:
        return zlib.compress(b"".join(b"\0" + bytes(colour) * width for _ in range(height)))

    size = 10 - place[0], 8 - place[1]
    control = struct.pack(">IIIIIHHBB", 0, *size, *place, 1, 10, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + b"".join((
        chunk(b"IHDR", struct.pack(">IIBBBBB", 10, 8, 8, 2, 0, 0, 0)), chunk(b"acTL", struct.pack(">II", 1, 0)),
        chunk(b"IDAT", pixels((255, 0, 0), 10, 8)), chunk(b"fcTL", control),
        chunk(b"fdAT", struct.pack(">I", 1) + pixels((0, 255, 0), *size)), chunk(b"IEND", b""),
    ))  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # one frame is no animation
        found = image.open_image(data, alpha="keep")
    assert found.size == (10, 8) and found.getpixel((9, 7))[:3] == (0, 255, 0)
    assert place == (0, 0) or found.getpixel((0, 0))[3] == 0
    with pytest.raises(InputError, match="10x8 is more than"):
        image.open_image(data, max_pixels=79)


@pytest.mark.parametrize("source", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("target", ["JPEG", "PNG", "TIFF"])
def test_resolution_comes_back(source, target):
    pyvips = pytest.importorskip("pyvips")
    data = saved(slope(), source, dpi=(300, 150))
    coded = osdcodec.encode(io.BytesIO(data), keep_metadata=True)
    found = pyvips.Image.new_from_buffer(encode_image(osdcodec.decode(coded), target), "")
    assert found.xres == pytest.approx(300 / 25.4, rel=0.01) and found.yres == pytest.approx(150 / 25.4, rel=0.01)
    assert "e" not in osdcodec.info(osdcodec.encode(io.BytesIO(data)))["sections"]
