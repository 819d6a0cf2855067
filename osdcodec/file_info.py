"""What an .osd file says of itself, from the container alone; pure Python, for `osdc info` must answer at once."""

from pathlib import Path
from typing import TypedDict

from .container import Osd, layout
from .errors import WeightsError
from .rate_control import lambda_of_byte, quality_of_byte
from .weights import registry

NOTE = "reconstructed by a generative codec"  # in the comment of every picture that was decoded


class LinkInfo(TypedDict):
    """What `osdc info --link` adds of each link."""

    name: str
    title: str
    packets: int
    seconds: float
    elapsed: float


_Always = TypedDict(
    "_Always",
    {
        "version": int,
        "width": int,
        "height": int,
        "bytes": int,
        "bpp": float,  # bits per pixel of the whole file
        "quality": float,  # 0 .. 100 (best), to a tenth
        "quality_byte": int,  # 0 (best) .. 255, what the file stores of it
        "lambda": float,
        "grey": bool,
        "model_id": str,  # in hexadecimal
        "profile": str | None,  # None if no weights.toml lists the model
        "header_bytes": int,  # with the next three it sums to bytes
        "payload_bytes": int,
        "section_bytes": int,
        "checksum_bytes": int,
        "sections": dict[str, int],  # bytes of each, by its letter
    },
)


class FileInfo(_Always, total=False):
    """What is told of an .osd file; the keys below where they apply."""

    original_width: int  # of a picture that was shrunk
    original_height: int
    rate: str  # of a model that has one of its own
    progressive: bool
    fault: str  # what is wrong with a damaged file
    missing_bytes: int  # of the payload, in the beginning of a file
    note: str
    token_bits: float  # of the parts, where they were asked for
    base_bits: float
    hyper_bits: float
    latent_bits: float
    index_bits: float
    links: list[LinkInfo]
    device: dict[str, str]


def describe(data: bytes, osd: Osd, weights_dir: str | Path | None = None) -> FileInfo:
    """Describes an .osd file, or the beginning of a progressive one, that was read as `osd`."""
    counts = layout(data, osd)
    model = registry_entry(osd.model_id, weights_dir)
    facts: FileInfo = {
        "version": osd.version,
        "width": osd.width,
        "height": osd.height,
        "bytes": len(data),
        "bpp": 8 * len(data) / (osd.width * osd.height),
        "quality": quality_of_byte(osd.quality),
        "quality_byte": osd.quality,
        "lambda": lambda_of_byte(osd.quality),
        "grey": osd.grey,
        "model_id": osd.model_id.hex(),
        "profile": model.get("profile"),
        "header_bytes": counts["header"],
        "payload_bytes": counts["payload"],
        "section_bytes": sum(counts["sections"].values()),
        "checksum_bytes": counts["checksum"],
        "sections": counts["sections"],
    }
    if osd.original_size:
        facts["original_width"], facts["original_height"] = osd.original_size
    if "rate" in model:
        facts["rate"] = model["rate"]
    if osd.progressive:
        facts["progressive"] = True
    if osd.fault:
        facts["fault"] = osd.fault
    elif not osd.verified:
        facts["missing_bytes"], facts["note"] = osd.missing, _what_arrived(len(osd.payload), osd.missing)
    return facts


def _what_arrived(payload: int, missing: int) -> str:
    if not missing:
        return "the payload is whole, what follows it is not: unverified"
    return f"{payload:,} of {payload + missing:,} bytes of the payload are there: unverified"


def registry_entry(model_id: bytes, weights_dir: str | Path | None = None) -> dict:
    """What the lists of models say of this one; empty if it is on none."""
    for path in registry.lists(weights_dir):
        try:
            models = registry.models(path, registry.TOLD)
        except WeightsError:  # to describe a file needs no weights, so a bad list is no reason to refuse
            continue
        for model in models:
            if model["model_id"] == model_id.hex():
                return model
    return {}
