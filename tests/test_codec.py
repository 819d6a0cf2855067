"""A photograph through the whole codec, with the embedded weights and with weights trained for three steps."""

import dataclasses
import hashlib
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.pictures import EXAMPLES
from PIL import Image, ImageCms

import osdcodec
from osdcodec import container, weights
from osdcodec.codec import Decoder, Encoder
from osdcodec.entropy.prior import Prior
from osdcodec.errors import FormatError, InputError, OsdError, WeightsError
from osdcodec.latent.coder import decode_symbols
from osdcodec.metrics.meter import ms_ssim, psnr
from osdcodec.rate_control import quality_byte

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(device="cpu")


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return Decoder(device="cpu")


def test_a_photo_comes_back_recognisable(encoder, decoder):
    photo = Image.open(EXAMPLES / "coffee.png").convert("RGB")
    data = encoder.encode(photo, 0.1)
    decoded = decoder.decode(data)
    assert decoded.size == photo.size and decoded.mode == "RGB"
    assert 8 * len(data) / (photo.width * photo.height) < 0.16
    assert psnr(photo, decoded) > 20
    assert ms_ssim(photo, decoded) > 0.7


def test_plain_pictures_take_a_lower_lambda_that_costs_no_byte(encoder, photo):
    plain = Image.new("RGB", (96, 64), (128, 128, 128))
    asked, taken = encoder.coder.analyse(plain)(quality_byte(1.0)), encoder.encode(plain, 1.0)
    assert osdcodec.info(taken)["lambda"] < 0.7 and len(taken) <= len(container.pack(asked[0]))
    assert encoder.encode(plain, 1.0) == encoder.encode(plain, target=osdcodec.Target(max_bytes=len(taken)))
    assert osdcodec.info(encoder.encode(photo, 1.0))["lambda"] == pytest.approx(1.0, rel=0.01)


def test_smaller_lambda_gives_larger_and_better_files(encoder, decoder, photo):
    files = [encoder.encode(photo, lmbda) for lmbda in (2.0, 0.7, 0.1)]
    sizes = [len(data) for data in files]
    assert sizes == sorted(sizes) and sizes[0] < 0.6 * sizes[-1]
    assert psnr(photo, decoder.decode(files[0])) < psnr(photo, decoder.decode(files[-1]))


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (31, 33), (65, 2), (257, 129)])
def test_any_size(encoder, decoder, photo, size):
    picture = photo.resize(size)
    assert decoder.decode(encoder.encode(picture, 1.0)).size == size


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1"])
def test_any_mode(encoder, decoder, photo, mode):
    picture = photo.resize((48, 48)).convert(mode)
    assert decoder.decode(encoder.encode(picture)).mode == ("L" if mode in ("L", "1") else "RGB")


def test_a_grey_picture_comes_back_grey(encoder, decoder, photo):
    grey = photo.resize((70, 50)).convert("L")
    data = encoder.encode(grey)
    assert data[4] == 0x14 and osdcodec.info(data)["grey"] and not osdcodec.info(encoder.encode(photo))["grey"]
    assert encoder.encode(grey.convert("RGB")) == data
    decoded = decoder.decode(data)
    assert decoded.mode == "L" and psnr(grey.convert("RGB"), decoded.convert("RGB")) > 17
    assert decoder.decode(data, preview=True).mode == "L"

    clear = grey.convert("LA")
    clear.putalpha(photo.resize((70, 50)).getchannel("G"))
    assert decoder.decode(encoder.encode(clear, alpha="keep")).mode == "LA"

    profiled = grey.convert("RGB")  # its profile is of RGB colours, and so are the pixels that go with it
    profiled.info["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    decoded = decoder.decode(encoder.encode(profiled, icc="keep"))
    assert decoded.mode == "RGB" and len({band.tobytes() for band in decoded.split()}) == 1


def test_whatever_holds_a_file_is_taken(tmp_path, photo):
    path = tmp_path / "a.png"
    photo.resize((40, 30)).save(path)
    data = osdcodec.encode(path)
    for source in (
        str(path),
        path.read_bytes(),
        bytearray(path.read_bytes()),
        memoryview(path.read_bytes()),
        io.BytesIO(path.read_bytes()),
    ):
        assert osdcodec.encode(source) == data
    coded = tmp_path / "a.osd"
    coded.write_bytes(data)
    wanted = osdcodec.decode(data, seed=3, detail=0.5)
    assert wanted != osdcodec.decode(data)
    for source in (coded, str(coded), bytearray(data), memoryview(data), io.BytesIO(data)):
        assert osdcodec.info(source)["bytes"] == len(data)
    for source in (coded, str(coded), bytearray(data), memoryview(data), io.BytesIO(data)):
        assert osdcodec.decode(source, seed=3, detail=0.5) == wanted
    assert osdcodec.decode(coded, preview=True).size == (20, 15)
    for wrong in (None, 5, io.StringIO("text")):
        with pytest.raises(TypeError, match="binary"):
            osdcodec.decode(wrong)


def test_alpha_is_kept_to_the_last_bit(encoder, decoder, photo):
    picture = photo.resize((70, 50)).convert("RGBA")
    plane = photo.resize((70, 50)).getchannel("G")
    picture.putalpha(plane)
    data = encoder.encode(picture, alpha="keep")
    decoded = decoder.decode(data)
    assert decoded.mode == "RGBA" and decoded.getchannel("A").tobytes() == plane.tobytes()
    sections = osdcodec.info(data)["sections"]
    assert sections.keys() == {"A"} and sections["A"] > 1 + 1 + 25
    opaque = encoder.encode(photo.resize((70, 50)).convert("RGBA"), alpha="keep")
    assert osdcodec.info(opaque)["sections"] == {} and decoder.decode(opaque).mode == "RGB"
    assert opaque == encoder.encode(picture, alpha="drop") == encoder.encode(photo.resize((70, 50)))


def test_damaged_alpha_is_refused_before_the_symbols_are_read(encoder, decoder, photo):
    picture = photo.resize((70, 50)).convert("RGBA")
    picture.putalpha(photo.resize((70, 50)).getchannel("R"))
    osd = container.unpack(encoder.encode(picture, alpha="keep"))
    ((_, content),) = osd.sections
    cut = content[:60] + bytes(len(content) - 60)
    with pytest.raises(FormatError, match="section A"):
        decoder.decode(container.pack(dataclasses.replace(osd, payload=b"\1", sections=(("A", cut),))))


def test_profile_and_metadata_come_back_on_request(encoder, decoder, photo):
    picture, exif = photo.resize((40, 30)), Image.Exif()
    exif[0x010F], exif[0x0112] = "maker", 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture.info = {"exif": exif.tobytes(), "icc_profile": profile, "xmp": b"<x/>"}
    decoded = decoder.decode(encoder.encode(picture))
    assert decoded.info.keys() == {"comment", "xmp"} and decoded.size == (30, 40)
    assert "reconstructed by a generative codec, lambda 1" in decoded.info["comment"]
    assert f" bytes by osdc {osdcodec.__version__}; texture is synthetic" in decoded.info["comment"]
    decoded = decoder.decode(encoder.encode(picture, 0.5, icc="keep", keep_metadata=True))
    assert decoded.info["icc_profile"] == profile and decoded.info["xmp"] == b"<x/>"
    assert dict(decoded.getexif()) == {0x010F: "maker", 0x0112: 1}
    assert decoded.info["comment"].endswith("lambda 0.5")


def test_the_limit_on_pixels_holds_for_both(encoder, decoder, photo):
    picture = photo.resize((40, 30))
    with pytest.raises(InputError, match="raise `max_pixels`"):
        encoder.encode(picture, max_pixels=1199)
    data = encoder.encode(picture, max_pixels=1200)
    with pytest.raises(FormatError, match="raise `max_pixels`"):
        decoder.decode(data, max_pixels=1199)
    with pytest.raises(ValueError):
        encoder.encode(picture, alpha="no colour")


def test_a_file_that_would_not_decode_is_not_given_out(encoder, photo, monkeypatch):
    picture = photo.resize((40, 30))
    good = encoder.encode(picture)
    encode = Prior.encode

    def faulty(self, *arguments):
        payload, symbols = encode(self, *arguments)
        return payload[:-1] + bytes([payload[-1] ^ 1 or 2]), symbols

    monkeypatch.setattr(Prior, "encode", faulty)
    with pytest.raises(OsdError, match="would not decode"):
        encoder.encode(picture)
    assert len(encoder.encode(picture, verify=False)) == len(good)


def test_wrong_arguments_are_told_in_their_own_words(encoder, decoder, photo):
    data = encoder.encode(small := photo.crop((0, 0, 64, 64)))
    for error, words, options in (
        (TypeError, "target is an osdcodec.Target, not int", {"target": 5}),
        (TypeError, "alpha is keep, drop, or a colour", {"alpha": (1, 2, 3)}),
        (TypeError, "four whole numbers", {"roi": ["0,0,8,8"]}),
        (TypeError, "four whole numbers", {"roi": [(0.5, 0, 8, 8)]}),
        (TypeError, "four whole numbers", {"roi": (0, 0, 8, 8)}),
        (ValueError, "effort must be auto or", {"effort": -1}),
    ):
        with pytest.raises(error, match=words):
            encoder.encode(small, **options)
    for seed in (-1, 2**64, 1.5, None):
        with pytest.raises(ValueError, match="seed must be a whole number"):
            decoder.decode(data, seed=seed)
    for size in ((0, 0), (0, 5)):
        with pytest.raises(InputError, match="holds no pixels"):
            encoder.encode(Image.new("RGB", size))


def test_same_seed_same_picture_and_detail_zero_needs_no_noise(encoder, decoder, photo):
    data = encoder.encode(photo.resize((96, 64)), 2.0)
    one, again, other = (np.asarray(decoder.decode(data, seed=seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, again) and not np.array_equal(one, other)
    coarse = [np.asarray(decoder.decode(data, seed=seed, detail=0.0)) for seed in (1, 2)]
    assert np.array_equal(*coarse) and not np.array_equal(coarse[0], one)


@pytest.mark.parametrize("bad", [0.05, 2.1, -1.0, float("nan")])
def test_lambda_out_of_range(encoder, photo, bad):
    with pytest.raises(ValueError, match="lambda"):
        encoder.encode(photo, bad)
    with pytest.raises(TypeError, match="lambda is a number, not str"):
        encoder.encode(photo, str(bad))


def test_every_bit_flip_of_the_payload_is_noticed(encoder, decoder, photo):
    data = bytearray(encoder.encode(photo.resize((40, 40)), 1.0))
    for bit in range(0, 8 * len(data), 13):
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises((FormatError, WeightsError)):
            decoder.decode(bytes(data))
        data[bit // 8] ^= 1 << bit % 8


def test_unknown_model_is_named(encoder, decoder, photo):
    osd = container.unpack(encoder.encode(photo.resize((40, 40))))
    stranger = container.pack(container.Osd(b"\xde\xad\xbe\xef", osd.width, osd.height, osd.quality, osd.payload))
    with pytest.raises(WeightsError, match="deadbeef"):
        decoder.decode(stranger)


def test_info_tells_what_is_in_the_file(encoder, photo):
    data = encoder.encode(photo, 0.5)
    told = osdcodec.info(data, parts=True)
    assert (told["width"], told["height"], told["bytes"]) == (*photo.size, len(data))
    assert told["profile"] == "small" and told["lambda"] == pytest.approx(0.5, rel=0.01)
    coded = told["token_bits"] + told["hyper_bits"] + told["latent_bits"]
    assert coded == pytest.approx(8 * told["payload_bytes"], rel=0.005, abs=48)


@pytest.mark.parametrize("threads", ["1", "2"])
def test_symbols_do_not_depend_on_threads(encoder, photo, tmp_path, threads):
    data = encoder.encode(photo, 0.3)
    (tmp_path / "photo.osd").write_bytes(data)
    script = (
        "import sys; from pathlib import Path; from osdcodec import container, weights; import hashlib\n"
        "from osdcodec.latent.coder import decode_symbols; from osdcodec.entropy.prior import Prior\n"
        "osd = container.unpack(Path(sys.argv[1]).read_bytes()); w = weights.for_model(osd.model_id)\n"
        "print(hashlib.sha256(decode_symbols(osd, w.prior).y16.tobytes()).hexdigest())"
    )
    environment = os.environ | {"OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
    command = [sys.executable, "-c", script, str(tmp_path / "photo.osd")]
    there = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()
    prior = Prior(encoder.coder.weights.tensors, encoder.coder.profile)
    here = decode_symbols(container.unpack(data), prior)
    assert there == hashlib.sha256(here.y16.tobytes()).hexdigest()


def test_weights_trained_for_three_steps_make_a_round_trip(trained, photo):
    loaded = weights.load("small", trained)
    assert loaded.model_id != weights.load("small").model_id
    data = Encoder(device="cpu", weights_dir=trained).encode(photo.resize((96, 64)), 1.0)
    assert container.unpack(data).model_id == loaded.model_id
    assert Decoder(device="cpu", weights_dir=trained).decode(data).size == (96, 64)
    with pytest.raises(WeightsError):
        Decoder(device="cpu").decode(data)


def test_the_embedded_file_is_inside_the_package():
    assert Path(osdcodec.__file__).parent in weights.load("small").path.parents


def test_the_functions_go_there_and_back():
    assert isinstance(osdcodec.decode(osdcodec.encode(Image.new("RGB", (20, 10), "teal"))), Image.Image)
