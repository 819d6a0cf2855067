"""One HTML file without anything outside it: tables, figures, and pictures to slide between."""

import base64
import io
import json
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from string import Template

from PIL import Image

from ..errors import InputError
from ..trust.drawing import VIRIDIS

QUALITY = 90  # of the embedded WebP pictures, where they are not lossless
WEBP_SIDE = 16383  # larger pictures are embedded as PNG


@dataclass(frozen=True)
class View:
    """One picture to be shown. source: an address that holds it; facts: lines below it, name to text; invented: an address that holds
    the picture with the colours of its map of trust, if it has one."""

    label: str
    source: str
    facts: dict[str, str] = field(default_factory=dict)
    invented: str = ""


def view(
    label: str,
    picture: Image.Image,
    facts: dict[str, str] | None = None,
    lossless: bool = False,
    invented: Image.Image | None = None,
) -> View:
    """RGB picture -> a view that holds it as WebP, without loss or at quality 90; invented: the same in the colours of its map."""
    return View(
        label, _embedded(picture, lossless), facts or {}, "" if invented is None else _embedded(invented, False)
    )


def _embedded(picture: Image.Image, lossless: bool) -> str:
    buffer, kind = io.BytesIO(), "webp" if max(picture.size) <= WEBP_SIDE else "png"
    picture.save(buffer, kind, lossless=lossless, quality=60 if lossless else QUALITY)
    return data_url(buffer.getvalue(), f"image/{kind}")


def page(title: str, blocks: list[str], pictures: dict[str, list[View]], notes: str = "") -> str:
    """The whole file. pictures: for each name its views, of one size, the original first; at first the first two are shown.

    blocks: HTML above and below the viewer, in this order: the first one above it. notes: a line below the viewer, as text.
    """
    data = {name: [asdict(view) for view in views] for name, views in pictures.items()}
    template = Template(Path(__file__).with_name("page.html").read_text("utf-8"))
    return template.substitute(
        title=escape(title),
        head=blocks[0] if blocks else "",
        body="\n".join(blocks[1:]),
        notes=escape(notes),
        colours=", ".join(f"rgb({red:.0f} {green:.0f} {blue:.0f})" for red, green, blue in VIRIDIS),
        viewer="" if data else "hidden",
        # Within a script element only "</" and "<!--" could end it or change how it is read.
        data=json.dumps(data, ensure_ascii=False).replace("<", "\\u003c"),
    )


def data_url(data: bytes, kind: str) -> str:
    """The bytes of a file as an address that holds them."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def figure(svg: bytes, caption: str) -> str:
    """An SVG file as a figure. As an image it cannot run scripts, nor fetch anything."""
    text = escape(caption)
    return f'<figure><img src="{data_url(svg, "image/svg+xml")}" alt="{text}"><figcaption>{text}</figcaption></figure>'


def table(titles: list[str], rows: list[list[str]]) -> str:
    """Texts as a table that can be scrolled sideways."""
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    body = "".join(f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def section(title: str, *content: str) -> str:
    """A heading and what belongs below it, already HTML."""
    return f"<h2>{escape(title)}</h2>\n" + "\n".join(content)


def paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def insert(path: Path, place: str, text: str) -> None:
    """Puts a text into a Markdown file, between its lines `<!-- PLACE -->` and `<!-- end of PLACE -->`. InputError if it has none."""
    begin, end = f"<!-- {place} -->\n", f"<!-- end of {place} -->"
    whole = path.read_text("utf-8")
    if begin not in whole or end not in whole:
        raise InputError(f"{path}: has no line {begin.strip()} with {end} below it; add them where the text belongs")
    path.write_text(f"{whole.partition(begin)[0]}{begin}{text}\n{end}{whole.partition(end)[2]}", "utf-8")
