"""The conformance model and its vectors: `python -m osdcodec.maintenance.vectors.conformance spec/vectors/conformance`.

Run once, when the format was fixed: a release never touches what it wrote, for the specification promises that these
files stay decodable. It is kept to say how they came about; another torch would write other last bits.
"""

import argparse
import io
from binascii import crc_hqx
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from PIL import Image, ImageCms
from safetensors.numpy import load, save

from ...checks.conformance import Vector, write
from ...checks.fuzz import sealed
from ...codec import Encoder
from ...console import run_command
from ...container import Osd, pack
from ...image import open_image
from ...latent.coder import LatentModel
from ...models import CodecModel
from ...models.prior_twin import TABLE_ROWS
from ...models.transforms import start_linear
from ...options import EncodeOptions
from ...profile import CONFORMANCE, Profile
from ...rate_control import ANCHORS
from ...training.export.tensors import export, normative
from ...weights import SUFFIX, entry
from ...weights.writer import registry_text

EXAMPLES = Path(__file__).parents[2] / "examples"
SEED = 1


def crops(side: int = 256) -> list[Image.Image]:
    """Squares out of the sample photographs."""
    pictures = [open_image(path) for path in sorted(EXAMPLES.glob("*.png"))]
    return [p.crop((x, y, x + side, y + side)) for p in pictures for x in (0, p.width - side) for y in (0, 40)]


def model(profile: Profile) -> CodecModel:
    """Principal components, and random networks in place of trained ones: every tensor takes part in the picture."""
    torch.manual_seed(SEED)
    made = CodecModel(profile).eval()
    pictures = torch.from_numpy(np.stack([np.asarray(crop) for crop in crops()])).permute(0, 3, 1, 2) / 127.5 - 1
    made.autoencoder.start(pictures)
    start_linear(made.analysis, made.synthesis, made.autoencoder, pictures)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if not name.startswith(("prior.", "gains.")) and not parameter.any():
                parameter.normal_(0, 0.03)
    return made


def integer_prior(profile: Profile) -> dict[str, np.ndarray]:
    """Random integers, scaled so that means and rows vary; multipliers other than 1, and sums that end at a floor's edge."""
    random, made = np.random.default_rng(SEED), {}

    def layer(name: str, outputs: int, reaches: list[int], size: int, *rescale: int, step: int = 1) -> None:
        """reaches: largest weight of each input.

        Of every other output weights and bias are multiples of `step`, or the bias of one less: such sums often meet the
        edge where floor jumps, or stay just below it.
        """
        multiplier, shift, low, high = rescale
        steps = np.where(np.arange(outputs) % 2, step, 1)
        weight = np.zeros((outputs, len(reaches), size, size), np.int64)
        for channel, reach in enumerate(reaches):
            drawn = random.integers(-reach, reach, (outputs, size, size), endpoint=True)
            weight[:, channel] = drawn // steps[:, None, None] * steps[:, None, None]
        middle = max(0, (low + min(high, TABLE_ROWS)) // 2)
        spread = 2**shift // multiplier
        bias = middle * spread + random.integers(-8 * spread, 8 * spread, outputs)
        made[f"prior.{name}.weight"] = weight.astype("<i2")
        made[f"prior.{name}.bias"] = (bias // steps * steps - (np.arange(outputs) % 4 == 3)).astype("<i4")
        made[f"prior.{name}.rescale"] = np.array(rescale, "<i4")

    hyper, features = profile.hyper_channels, profile.feature_channels
    width, latent, last = profile.context_channels, profile.latent_channels, TABLE_ROWS - 1
    layer("hyper_scale.0", 16, [90], 1, 3, 8, 0, 230, step=64)
    layer("hyper_scale.1", hyper, [30] * 16, 1, 1, 8, 0, last, step=16)
    layer("hyper_synthesis.0", 4 * features, [900] * hyper + [12], 3, 3, 6, 0, 500, step=32)
    layer("hyper_synthesis.1", 4 * features, [600] * features, 3, 1, 12, 0, 250, step=256)
    layer("hyper_synthesis.2", features, [600] * features, 3, 5, 14, 0, 127, step=256)
    for t in range(4):
        layer(f"context.{t}.0", width, [400] * features + [1000] * latent, 3, 1, 12, 0, 255, step=256)
        layer(f"context.{t}.1", width, [1500] * width, 1, 7, 12, 0, 1000, step=256)
        layer(f"context.{t}.mean", latent, [200] * width, 1, 1, 13, -40, 36, step=64)
        layer(f"context.{t}.scale", latent, [400] * width, 1, 3, 15, 0, last, step=512)
    return made


def weights_file(folder: Path) -> Path:
    """Writes the model and the weights.toml that lists it."""
    profile = CONFORMANCE
    path, counts = folder / f"{profile.name}{SUFFIX}", np.arange(profile.tokens * profile.codebook_size) % 37
    made = model(profile)
    export(made, normative(made, counts.reshape(profile.tokens, -1) ** 2), path, {})
    path.write_bytes(save(load(path.read_bytes()) | integer_prior(profile), {"profile": profile.name}))
    told = {"revision": 1, "terms": "Apache-2.0", "data": "random numbers; principal components of examples/"}
    (folder / "weights.toml").write_text(registry_text([entry(path, profile.name) | told | {"results": []}]), "utf-8")
    return path


def pictures(encoder: Encoder) -> list[Vector]:
    """Vectors that photographs and drawings make."""
    astronaut, chelsea, coffee = (open_image(path) for path in sorted(EXAMPLES.glob("*.png")))
    face, cup = astronaut.crop((150, 20, 278, 148)).resize((64, 64)), coffee.resize((96, 64))
    rows, columns = np.mgrid[:48, :80]
    stripes = np.stack([(rows + columns) % 2, columns % 2, rows % 2], -1).astype(np.uint8) * 255
    noise = np.random.default_rng(SEED).integers(0, 256, (40, 72, 3), np.uint8)
    vectors = [(f"anchor-{lmbda:g}", f"λ = {lmbda:g}", face, lmbda) for lmbda in ANCHORS]
    vectors += [(f"between-{lmbda:g}", f"λ = {lmbda:g}, between anchors", cup, lmbda) for lmbda in (1.5, 0.7, 0.15)]
    vectors += [
        ("one-pixel", "1x1", chelsea.resize((1, 1)), 1.0),
        ("odd", "97x35", chelsea.resize((97, 35)), 0.3),
        ("sides-127-128", "one LEB128 byte and two", chelsea.resize((127, 128)), 2.0),
        ("wide", "16384x1: three LEB128 bytes", coffee.resize((512, 1)).resize((16384, 1)), 1.2),
        ("tall", "3x1100", coffee.resize((3, 1100)), 0.6),
        ("grey", "a grey picture", open_image(chelsea.resize((75, 50)).convert("L")), 0.5),
        ("black", "all black", Image.new("RGB", (64, 32)), 1.0),
        ("white", "all white", Image.new("RGB", (32, 64), "white"), 0.1),
        ("noise", "noise: many large symbols", Image.fromarray(noise), 0.1),
        ("stripes", "stripes of one pixel", Image.fromarray(stripes), 0.4),
    ]
    # These are files of version 1.1 and earlier: "grey" has no flag that says so, "black" and "white" name no background.
    return [
        (
            name,
            what,
            pack(replace(encoder.coder.code(p, EncodeOptions(lmbda=lmbda, effort=0))[0], grey=False, sections=())),
        )
        for name, what, p, lmbda in vectors
    ]


def latents(encoder: Encoder) -> list[Vector]:
    """Vectors of latents that no picture has: both ends of the tables, symbols at their limits, edges of rounding."""
    coder = cast(LatentModel, encoder.coder)
    profile, prior, random = coder.profile, coder.prior, np.random.default_rng(SEED)
    last = profile.codebook_size - 1

    def vector(
        name: str, what: str, size: tuple[int, int], quality: int, y: int, hyper: int, tokens: list[int]
    ) -> Vector:
        """Multiples of 1/16 nudged by 1/1000 up to ±y, and of 1/2 up to ±hyper: on either side of every edge."""
        h, w = profile.grid(*size)
        shape, hyper_shape = (profile.latent_channels, h, w), (profile.hyper_channels, *profile.hyper_grid(h, w))
        values = random.integers(-16 * y, 16 * y, shape, endpoint=True) / 16 + random.choice([-0.001, 0, 0.001], shape)
        hypers = random.integers(-2 * hyper, 2 * hyper, hyper_shape, endpoint=True) / 2
        payload, _ = prior.encode(values, hypers, np.array(tokens), quality)
        return name, what, pack(Osd(coder.weights.model_id, *size, quality, payload))

    return [
        vector("edges-0", "values at the edges of rounding, q = 0", (130, 70), 0, 6, 2, [0, last, 0, last]),
        vector("edges-99", "the same, q = 99", (70, 130), 99, 6, 8, [last] * 4),
        vector("scales-low", "scales at the lower end", (160, 64), 30, 0, 0, [1, 2, 3, 4]),
        vector("scales-high", "scales at the upper end", (64, 160), 255, 64, 64, [9, 8, 7, 6]),
        vector("limits", "symbols at -64 and 64", (96, 96), 128, 4096, 256, [0] * 4),
    ]


def sections(encoder: Encoder) -> list[Vector]:
    """Vectors with sections: each lower-case one, all at once, one that no reader knows, alpha, and regions."""
    coffee = open_image(EXAMPLES / "coffee.png")
    picture = coffee.resize((48, 40))
    osd, _ = encoder.coder.code(picture, EncodeOptions(lmbda=1.0, effort=0))
    exif = Image.Exif()
    exif[0x010E] = "coffee"  # ImageDescription
    kinds = {
        "i": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        "e": exif.tobytes().removeprefix(b"Exif\0\0"),
        "x": b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>',
        "z": bytes(200),
    }
    alpha = io.BytesIO()
    Image.radial_gradient("L").resize(picture.size).save(alpha, "WEBP", lossless=True)
    chosen = [
        ("icc", "section i, an sRGB profile", "i"),
        ("exif", "section e", "e"),
        ("xmp", "section x", "x"),
        ("metadata", "sections x, e, i and the unknown z", "xeiz"),
    ]
    vectors = []
    for name, what, letters in chosen:
        carried = tuple((letter, kinds[letter]) for letter in letters)
        vectors.append((name, what, pack(Osd(osd.model_id, *picture.size, osd.quality, osd.payload, carried))))
    carried = (("A", alpha.getvalue()),)
    alpha_file = pack(Osd(osd.model_id, *picture.size, osd.quality, osd.payload, carried))
    boxes = [(40, 30, 50, 20), (100, 0, 32, 32)]
    regions, _ = encoder.coder.code(coffee.resize((150, 100)), EncodeOptions(lmbda=1.0, roi=boxes, effort=0))
    grey, _ = encoder.coder.code(picture.convert("L").convert("RGB"), EncodeOptions(lmbda=0.5, effort=0))
    # No tolerance but this is safe from what networks differ by from one processor to another.
    background = replace(osd, sections=(("p", bytes((255, 250, 180, 90))),))
    return [
        *vectors,
        ("alpha", "section A, lossless WebP", alpha_file),
        ("regions", "section G, two regions of interest: version 1.1", pack(regions)),
        ("grey-flag", "flag bit 2, a grey picture: version 1.2", pack(grey)),
        ("plain-ground", "section p, one colour near to which are all: version 1.3", pack(background)),
    ]


def beginnings(encoder: Encoder) -> tuple[list[Vector], list[Vector]]:
    """Progressive files, whole and cut; and such as a reader of beginnings refuses."""
    astronaut, _, coffee = (open_image(path) for path in sorted(EXAMPLES.glob("*.png")))
    face = astronaut.crop((150, 20, 278, 148)).resize((64, 64))
    grey = coffee.resize((96, 64)).convert("L").convert("RGB")
    plain = pack(encoder.coder.code(face, EncodeOptions(lmbda=0.25, progressive=True, effort=0))[0])
    boxed_osd, _ = encoder.coder.code(
        coffee.resize((150, 100)), EncodeOptions(lmbda=1.0, roi=[(40, 30, 50, 20)], progressive=True, effort=0)
    )
    boxed = pack(replace(boxed_osd, sections=(*boxed_osd.sections, ("x", b"<x/>"), ("z", b"\0\1"))))
    one = pack(encoder.coder.code(coffee.resize((1, 1)), EncodeOptions(lmbda=1.0, progressive=True, effort=0))[0])
    wide = pack(encoder.coder.code(coffee.resize((300, 60)), EncodeOptions(lmbda=0.1, progressive=True, effort=0))[0])
    grey_file = pack(encoder.coder.code(grey, EncodeOptions(lmbda=0.5, progressive=True, effort=0))[0])
    taken = [
        ("whole", "λ = 0.25", plain),
        ("whole-grey", "a grey picture", grey_file),
        ("whole-one-pixel", "1x1", one),
        ("whole-sections", "G before the payload, x and an unknown z behind it", boxed),
        ("whole-wide", "300x60, λ = 0.1", wide),
        ("cut-no-checksum", "all but the last byte of the checksum", plain[:-1]),
        ("cut-behind-payload", "the whole payload and nothing behind it", plain[:-4]),
        ("cut-in-section", "the whole payload and a part of x", boxed[:-9]),
        ("cut-last-byte", "all but the last byte of the payload", plain[:-5]),
        *((f"cut-{share}", f"{share} % of the file", plain[: len(plain) * share // 100]) for share in (90, 75, 50, 40)),
        *((f"cut-word-{n}", f"four cuts one byte apart: {n}", plain[: len(plain) // 2 // 4 * 4 + n]) for n in range(4)),
        ("cut-sections", "half of a file with G", boxed[: len(boxed) // 2]),
        ("cut-wide", "a third of 300x60", wide[: len(wide) // 3]),
        ("cut-pass-end", "the stack runs out at the last symbol of the third pass", plain[:56]),
        ("cut-hyper-end", "it runs out at the last symbol of the hyper-latent", grey_file[:24]),
    ]
    flipped = bytearray(plain)
    flipped[12] ^= 1
    other = bytearray(plain)
    other[13] ^= 1
    longer = plain[:12] + bytes([plain[12] + 1])  # than the payload is
    shorter = longer + crc_hqx(longer, 0xFFFF).to_bytes(2, "little") + plain[15:-4]
    broken = bytearray(plain[:-4])
    broken[-1] ^= 1
    refused = [
        ("bad-no-payload", "the head alone", wide[:17]),
        ("bad-too-little", "not all of the hyper-latent", wide[:28]),
        ("bad-head", "a bit of the head differs from its CRC-16", bytes(flipped[:-30])),
        ("bad-head-whole", "a bit of the CRC-16 in a whole file whose CRC-32 is right", sealed(bytes(other[:-4]))),
        ("bad-end", "a whole payload whose stack does not end as it must", bytes(broken)),
        ("bad-short-head", "cut before the CRC-16 ends", wide[:16]),
        ("bad-longer", "a byte between payload and CRC-32, which is right", sealed(plain[:-4] + b"\1")),
        ("bad-shorter", "a payload a byte shorter than its length, CRC-16 and CRC-32 right", sealed(shorter)),
    ]
    return taken, refused


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.maintenance.vectors.conformance", description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args(arguments).folder
    folder.mkdir(parents=True, exist_ok=True)
    print(f"{weights_file(folder).stat().st_size / 2**10:.0f} KiB of weights")
    encoder = Encoder(CONFORMANCE.name, "cpu", folder)
    write(folder, CONFORMANCE.name, pictures(encoder) + latents(encoder) + sections(encoder), folder)
    taken, refused = beginnings(encoder)
    beside = folder.parent / "progressive"
    write(beside, CONFORMANCE.name, taken, folder, refused, weights=folder.name, partial=True)


if __name__ == "__main__":
    run_command(main)
