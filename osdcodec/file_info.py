"""What an .osd file says of itself, from the container alone; pure Python, for `osdc info` must answer at once."""

from pathlib import Path

from .container import Osd, layout
from .errors import WeightsError
from .rate_control import lambda_of
from .weights import registry

NOTE = "reconstructed by a generative codec"  # in the comment of every picture that was decoded


def describe(data: bytes, osd: Osd, weights_dir: str | Path | None = None) -> dict:
    """An .osd file, or the beginning of a progressive one, that was read as `osd` -> version, width, height, bytes, bpp, quality, lambda, model_id, profile, grey, *_bytes, sections

    model_id in hexadecimal; profile None if weights.toml does not list the model, rate (a text) if the model has one of its own; the four *_bytes (header, payload,
    section, checksum) sum to bytes; sections: the bytes of each by its letter; progressive, if it is; original_width and original_height, if the picture was shrunk. A beginning adds missing_bytes
    and a note, a damaged file its fault.
    """
    counts = layout(data, osd)
    model = listed(osd.model_id, weights_dir)
    facts = {
        "version": osd.version,
        "width": osd.width,
        "height": osd.height,
        "bytes": len(data),
        "bpp": 8 * len(data) / (osd.width * osd.height),
        "quality": osd.quality,
        "lambda": lambda_of(osd.quality),
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
        facts |= {"missing_bytes": osd.missing, "note": _what_arrived(len(osd.payload), osd.missing)}
    return facts


def _what_arrived(payload: int, missing: int) -> str:
    if not missing:
        return "the payload is whole, what follows it is not: unverified"
    return f"{payload:,} of {payload + missing:,} bytes of the payload are there: unverified"


def listed(model_id: bytes, weights_dir: str | Path | None = None) -> dict:
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
