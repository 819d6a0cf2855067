"""All that fixes a model: strides, channels, tokens, noise levels. No torch, no numpy.

small  picture (W, H)  ──32──▶  latent y (C_y, h, w)  ──4──▶  hyper-latent (C_h, ceil(h/4), ceil(w/4))
                       ──16──▶  autoencoder latent z (C_z, 2h, 2w)
turbo  picture (W, H)  ──64──▶  latent y (C_y, h, w)  ──4──▶  hyper-latent (C_h, ceil(h/4), ceil(w/4))
                       ───8──▶  autoencoder latent z (C_z, 8h, 8w)
"""

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, NamedTuple

from .rate_control import ANCHORS, quality_byte


class Field(NamedTuple):
    """What a recipe may make of a field of a profile, and what a decoder has to know of it; JSON in a weights file.

    scope: "sizes": of networks, which a decoder sees in their graphs and tensors, or of an optional part; "noise": levels of
        noise, which a decoder follows; "part": an optional part, which a decoder must have unless the value is `off`;
        "pretrained": such a part beside pretrained models, without which it means nothing.
    least, most: Range of each of its numbers; false and true count as 0 and 1.
    off: Each of its numbers where a model has no such part.
    """

    scope: Literal["sizes", "noise", "part", "pretrained"] = "sizes"
    least: int = 0
    most: int = 2**16 - 1
    off: int = 0


def changeable(default: Any, *about: Any, **named: Any) -> Any:
    """A field that a recipe may change; the arguments behind its default are those of `Field`."""
    return field(default=default, metadata={"about": Field(*about, **named)})


@dataclass(frozen=True)
class Profile:
    """One model family. Two files of the same profile and model id decode to the same symbols."""

    name: str = "small"
    # Which code: "latent", all that stands below, or "indices", whose sizes its weights file holds.
    family: str = "latent"
    stride: int = 32  # pixels per position of y; pictures are padded to a multiple of it
    latent_channels: int = 160  # C_y
    hyper_channels: int = 32  # C_h
    hyper_factor: int = 4  # positions of y per position of the hyper-latent
    feature_channels: int = 64  # C_f, what the hyperprior tells the context model
    context_channels: int = 128  # C_m, width of the context model
    bit_price: float = 0.1  # squared error of a latent, in steps of one, that the encoder accepts to save a bit

    autoencoder_factor: int = 16  # f
    autoencoder_channels: int = 48  # C_z
    autoencoder_widths: tuple[int, ...] = (24, 24, 48, 96, 192)  # the first is unused: no stage runs at full resolution
    encoder_layers: tuple[int, ...] = changeable((0, 1, 1, 2, 2))
    decoder_layers: tuple[int, ...] = changeable((0, 4, 12, 10, 6))

    transform_widths: tuple[int, ...] = (128, 256)  # analysis and synthesis, at 1/16 and at 1/32
    transform_layers: tuple[int, ...] = changeable((4, 5))
    condition_channels: int = 64  # what the synthesis tells the denoiser beside z_c
    denoiser_widths: tuple[int, int] = (128, 160)  # UNet, at 1/16 and at 1/32
    denoiser_layers: int = 1

    thumb: int = 64  # side of the thumbnail that the CLIP tower sees
    tower_patch: int = 8
    tower_width: int = 128
    tower_layers: int = 4
    tokens: int = 4  # K, a 2x2 grid over the picture
    codebook_size: int = 1024

    noise_low: int = changeable(120, "noise", 1, 999)  # diffusion step N at lambda = 0.1
    noise_high: int = changeable(300, "noise", 1, 999)  # and at lambda = 2
    # Of the spaced steps from there to the picture (RDEIC, eq. 3): one number, or one for each of ANCHORS. The networks are
    # trained through that chain and no other.
    steps: tuple[int, ...] = changeable((1,), "part", 1, 50, off=1)
    beta_start: float = 0.00085  # Stable Diffusion's "scaled linear" schedule of 1000 steps
    beta_end: float = 0.012
    diffusion_steps: int = 1000

    # Structural codes of the vector-quantised base (DiffO); 0: all of the latent is coded by itself.
    base_codes: int = changeable(0, "part", 0, 2**16)
    base_channels: int = changeable(32, "sizes", 1)  # dimension of such a code
    base_factor: int = changeable(2, "sizes", 1, 4)  # positions of y per position of the base, on a side
    # What the CLIP tower and a projector see in D(z_c) guides the denoiser (SPRDiff).
    decoder_semantics: bool = changeable(False, "part", 0, 1)

    # A profile built on pretrained models takes their sizes; autoencoder_widths, denoiser_widths and the layers mean nothing to it.
    pretrained: tuple[str, ...] = ()  # their names in weights.toml: diffusion model, CLIP
    denoiser_rank: int = changeable(0, "pretrained", 0, 1024)  # of the low-rank adapters in the UNet
    encoder_rank: int = changeable(0, "pretrained", 0, 1024)  # and in the autoencoder's encoder
    # Width of a trained control branch beside the UNet (RDEIC), in percent of the UNet's; 0: none.
    control: int = changeable(0, "pretrained", 0, 100)

    @property
    def z_per_y(self) -> int:
        """Positions of z per position of y, on a side."""
        return self.stride // self.autoencoder_factor

    def grid(self, width: int, height: int) -> tuple[int, int]:
        """Rows and columns of y for a picture of width x height pixels."""
        return -(-height // self.stride), -(-width // self.stride)

    def hyper_grid(self, rows: int, columns: int) -> tuple[int, int]:
        """Rows and columns of the hyper-latent for rows x columns of y."""
        return -(-rows // self.hyper_factor), -(-columns // self.hyper_factor)

    def base_grid(self, rows: int, columns: int) -> tuple[int, int]:
        """Rows and columns of the base for rows x columns of y; nothing without a base."""
        return (-(-rows // self.base_factor), -(-columns // self.base_factor)) if self.base_codes else (0, 0)

    def step_count(self, quality: int) -> int:
        """Diffusion steps for a quality byte: those of the nearest anchor."""
        nearest = min(range(len(ANCHORS)), key=lambda place: abs(quality_byte(ANCHORS[place]) - quality))
        return self.steps[nearest] if len(self.steps) > 1 else self.steps[0]

    def spaced(self, quality: int) -> list[int]:
        """The diffusion steps that a decoder visits for a quality byte, from N downwards, as far apart as each other."""
        count, level = self.step_count(quality), self.level(quality)
        return [round(level * (count - place) / count) for place in range(count)]

    def level(self, quality: int) -> int:
        """Diffusion step N for a quality byte: linear in log lambda, so linear in q (rate-adaptive noise of DiffO)."""
        return round(self.noise_low + (self.noise_high - self.noise_low) * quality / 255)

    def alpha_bar(self, level: int) -> float:
        """Cumulative product of 1 - beta up to and including step `level` (diffusers' alphas_cumprod[level])."""
        first, last = math.sqrt(self.beta_start), math.sqrt(self.beta_end)
        product = 1.0
        for step in range(level + 1):
            product *= 1 - (first + (last - first) * step / (self.diffusion_steps - 1)) ** 2
        return product


SMALL = Profile()
TURBO = Profile(
    name="turbo",
    stride=64,
    latent_channels=256,  # as many as an 8x8 block of z has numbers: the linear part of the transform loses nothing
    feature_channels=96,
    context_channels=192,
    autoencoder_factor=8,
    autoencoder_channels=4,
    transform_widths=(128, 256, 512, 512),  # at 1/8, 1/16, 1/32 and 1/64
    transform_layers=(1, 1, 2, 2),
    condition_channels=32,
    thumb=224,
    tower_patch=14,
    tower_width=1280,
    tokens=16,  # a 4x4 grid: 192 bits at most
    codebook_size=4096,
    pretrained=("sd-turbo", "clip-vit-h-14"),
    denoiser_rank=32,
    encoder_rank=16,
)
# Of the conformance vectors: as small as may be, and no two channel counts alike, so that no mix-up goes unnoticed.
CONFORMANCE = Profile(
    name="conformance",
    latent_channels=18,
    hyper_channels=5,
    feature_channels=7,
    context_channels=12,
    autoencoder_channels=8,
    autoencoder_widths=(8, 8, 8, 16, 16),
    encoder_layers=(0, 1, 1, 1, 1),
    decoder_layers=(0, 1, 1, 1, 1),
    transform_widths=(8, 16),
    transform_layers=(1, 1),
    condition_channels=6,
    denoiser_widths=(32, 32),
    tower_patch=16,
    tower_width=32,
    tower_layers=1,
    codebook_size=32,
)
COD_LITE = Profile(name="cod-lite", family="indices")  # osdcodec/cod_lite/
# Of the vectors for readers of symbols, whose model has no networks.
SYMBOLS = Profile(
    name="symbols",
    stride=64,
    latent_channels=14,
    hyper_channels=6,
    feature_channels=9,
    context_channels=10,
    bit_price=0.0,
    tokens=3,
    codebook_size=16,
)
OFFERED = (SMALL.name, TURBO.name, COD_LITE.name)  # to users; the others are for the tests of the format
PROFILES = {profile.name: profile for profile in (SMALL, TURBO, COD_LITE, CONFORMANCE, SYMBOLS)}


FIELDS: dict[str, Field] = {each.name: each.metadata["about"] for each in fields(Profile) if each.metadata}


def changes(profile: Profile) -> dict[str, Any]:
    """What a profile has otherwise than the one of its name, for JSON."""
    own = PROFILES[profile.name]
    return {name: getattr(profile, name) for name in FIELDS if getattr(profile, name) != getattr(own, name)}


def changed(profile: Profile, new: dict[str, Any]) -> Profile:
    """The profile with other values of some fields, as `changes` gives them.

    Raises:
        ValueError: A field is unknown or may not be changed, or its value is of the wrong kind or out of range.
    """
    for name, value in new.items():
        _check(profile, name, value)
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in new.items()}
    return replace(profile, **values)


def optional_parts(profile: Profile) -> list[str]:
    """The fields, of those that a profile has otherwise than the one of its name, that switch on an optional part."""
    return [name for name, value in changes(profile).items() if _is_on(FIELDS[name], value)]


def _is_on(about: Field, value: Any) -> bool:
    """Returns True if a field with this value switches on an optional part."""
    numbers = value if isinstance(value, list | tuple) else [value]
    return about.scope in ("part", "pretrained") and any(number != about.off for number in numbers)


def _check(profile: Profile, name: str, value: Any) -> None:
    """ValueError if a field of a profile must not have this value."""
    if name not in FIELDS:
        raise ValueError(f"{name}: is not known here")
    about, own = FIELDS[name], getattr(profile, name)
    several, counts = isinstance(own, tuple), {1}
    if several != isinstance(value, list | tuple):
        raise ValueError(f"{name}: needs {'a list of numbers' if several else 'one value'}, not {value}")
    numbers = value if several else [value]
    if several:
        counts = {1, len(ANCHORS)} if name == "steps" else {len(own)}
    if len(numbers) not in counts:
        raise ValueError(f"{name}: needs {' or '.join(map(str, sorted(counts)))} numbers, not {len(numbers)}")
    kind = bool if isinstance(own, bool) else int
    if any(type(number) is not kind or not about.least <= number <= about.most for number in numbers):
        needed = "true or false" if kind is bool else f"whole numbers from {about.least} to {about.most}"
        raise ValueError(f"{name}: needs {needed}, not {value}")
    if about.scope == "pretrained" and value and not profile.pretrained:
        raise ValueError(f"{name}: is for a profile on pretrained models, such as {TURBO.name}")
