"""`osdc web` and `osdc view`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from .. import files
from ..container import MAX_PIXELS
from ..errors import FileError
from .shared import MaxPixels, WeightsDir, examples, reporting

app = typer.Typer()


@app.command(
    epilog=examples(
        "osdc web site/",
        "python -m http.server --directory site/",
    )
)
def web(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="New, empty, or written by osdc before.")],
    weights_dir: WeightsDir = None,
) -> None:
    """Write a static site that decodes .osd files in the browser: page, library, <osd-image>, runtime and weights."""
    with reporting():
        from ..web import write_site

        size = write_site(folder, weights_dir)
        print(f"osdc: {folder}: {size / 2**20:.0f} MiB; any web server can serve it", file=sys.stderr)


@app.command(
    epilog=examples(
        "osdc view photo.osd",
        "osdc view photo.osd --no-browser --port 8000",
        "osdc view - < photo.osd",
    )
)
def view(
    source: Annotated[str | None, typer.Argument(metavar="FILE.osd", help="What to show, or - for stdin.")] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the default browser.")] = True,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the loopback address (default: a free one).")] = 0,
    weights_dir: WeightsDir = None,
    max_pixels: MaxPixels = MAX_PIXELS,
) -> None:
    """Show an .osd file in the browser, decoded there; serves this machine only, until Ctrl-C."""
    with reporting(source or files.STREAM):
        from ..container import unpack
        from ..web import Server, site

        shown: dict[str, bytes] = {}
        if source is not None:
            data = files.read_input(source)
            unpack(data, max_pixels)
            name = "stdin.osd" if source == files.STREAM else Path(source).name
            shown[name] = data
        try:
            server = Server({**site(weights_dir), **shown}, port)
        except OSError as error:
            raise FileError(f"port {port}: {error.strerror}; choose another by --port") from error
        with server:
            address = server.address(next(iter(shown), None))
            print(f"osdc: {address}  (Ctrl-C ends it)", file=sys.stderr, flush=True)
            if browser:
                import webbrowser

                webbrowser.open(address)
            try:
                server.serve_forever()
            except KeyboardInterrupt:  # the usual end, no interruption
                print("", file=sys.stderr)
