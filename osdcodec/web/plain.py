"""A plain page around a picture that was decoded already: no scripts."""

import html
from collections.abc import Mapping
from typing import Any

_STYLE = "body{margin:1em;font:1em system-ui,sans-serif;color-scheme:light dark}img{max-width:100%;height:auto}"
_POLICY = "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'"


def plain_page(png: bytes, name: str, facts: Mapping[str, Any]) -> dict[str, bytes]:
    """Returns the files of a page that shows a PNG, by their names; facts are those of `osdc info`."""
    title = html.escape(name)
    told = f"{facts['width']} × {facts['height']} pixels, {facts['bytes']:,} bytes, {facts['bpp']:.4f} bits per pixel"
    page = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{title} – osdc</title><link rel="icon" href="data:,"><style>{_STYLE}</style>
</head>
<body>
<img src="picture.png" alt="{title}">
<p>{title}: {told}. Decoded by osdc on this machine: most of the detail is made up to fit the file.</p>
</body>
</html>
"""
    return {"index.html": page.encode(), "picture.png": png}
