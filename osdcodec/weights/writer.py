"""weights.toml, written; registry.py reads it."""

from pathlib import Path

import tomlkit

HEADER = """# The released models. The file of a profile lies in osdcodec/embedded/; an .osd file names its model by model_id.
# results: bits per pixel of whole files, PSNR in dB and MS-SSIM, means over the 24 Kodak photographs.

"""


def registry_text(models: list[dict], header: str = HEADER) -> str:
    """The text of a weights.toml with these models, below some comments."""
    tables = tomlkit.aot()
    for model in models:
        table = tomlkit.table()
        for key, value in model.items():
            table[key] = _lines(value) if key == "results" and value else value
        tables.append(table)
    document = tomlkit.document()
    document["model"] = tables
    return header + tomlkit.dumps(document)


def _lines(rows: list[dict]) -> tomlkit.items.Array:
    """Inline tables, one on a line."""
    array = tomlkit.array().multiline(True)
    for row in rows:
        inline = tomlkit.inline_table()
        inline.update(row)
        array.append(inline)
    return array


def components_text(registry: Path) -> str:
    """What a weights.toml says of the search and of pretrained models, to be kept when its models are written anew."""
    text = registry.read_text("utf-8") if registry.exists() else ""
    place = min(
        (
            text.find(mark)
            for mark in ("# The encoder's search", "[search]", "# The pretrained models", "[[component]]")
            if mark in text
        ),
        default=len(text),
    )
    return text[place:]
