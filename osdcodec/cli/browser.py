"""`osdc web` and `osdc view`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from .. import files
from ..container import MAX_PIXELS
from ..errors import FileError
from .shared import MaxPixels, Overwrite, WeightsDir, examples, reporting

app = typer.Typer()


@app.command(
    epilog=examples(
        "osdc web site/",
        "python -m http.server --directory site/",
        "osdc web --single photo.osd -o photo.html",
    )
)
def web(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="New, empty, or written by osdc before.")
    ] = None,
    single: Annotated[
        str | None,
        typer.Option(metavar="FILE.osd", help="Write one HTML file of this picture instead, which opens offline."),
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="The HTML file of --single (default: the picture's name.html).")
    ] = None,
    overwrite: Overwrite = None,
    weights_dir: WeightsDir = None,
    max_pixels: MaxPixels = MAX_PIXELS,
) -> None:
    """Write a static site that decodes .osd files in the browser: page, library, <osd-image>, runtime and weights."""
    if (folder is None) == (single is None):
        raise typer.BadParameter("give a folder for the site, or --single FILE.osd for one page")
    if folder is not None:
        if output is not None:
            raise typer.BadParameter("-o names the file of --single; the site's folder is given alone")
        with reporting():
            from ..web import write_site

            size = write_site(folder, weights_dir)
            print(f"osdc: {folder}: {size / 2**20:.0f} MiB; any web server can serve it", file=sys.stderr)
        return
    assert single is not None
    with reporting(single):
        _write_single(single, output, overwrite, weights_dir, max_pixels)


def _write_single(
    source: str, output: str | None, overwrite: bool | None, weights_dir: Path | None, max_pixels: int
) -> None:
    from .. import weights
    from ..container import unpack
    from ..web.single import single_page

    name = _name(source)
    target = output if output is not None else str(Path(name).with_suffix(".html"))
    may_replace = overwrite if overwrite is not None else output is not None
    files.check_output(target, may_replace, source)
    data = files.read_input(source)
    page = single_page(data, name, weights.for_model(unpack(data, max_pixels).model_id, weights_dir))
    files.write_output(target, page, may_replace)
    print(f"osdc: {target}: {len(page) / 2**20:.1f} MiB; it opens in a browser, offline", file=sys.stderr)


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
    """Show an .osd file in the browser; serves this machine only, until Ctrl-C."""
    with reporting(source or files.STREAM):
        from ..container import unpack
        from ..web import PageError, Server, site

        content: dict[str, Path | bytes]
        picture = None  # what the page is to open
        if source is None:
            content = site(weights_dir)
        else:
            data = files.read_input(source)
            osd = unpack(data, max_pixels)
            try:
                picture = _name(source)
                content = {**site(weights_dir, osd.model_id), picture: data}
            except PageError as error:
                print(f"osdc: {error}; osdc decodes the picture itself", file=sys.stderr)
                content, picture = _decoded(data, _name(source), weights_dir, max_pixels), None
        try:
            server = Server(content, port)
        except OSError as error:
            raise FileError(f"port {port}: {error.strerror}; choose another by --port") from error
        with server:
            address = server.address(picture)
            print(f"osdc: {address}  (Ctrl-C ends it)", file=sys.stderr, flush=True)
            if browser:
                import webbrowser

                webbrowser.open(address)
            try:
                server.serve_forever()
            except KeyboardInterrupt:  # the usual end, no interruption
                print("", file=sys.stderr)


def _name(source: str) -> str:
    return "stdin.osd" if source == files.STREAM else Path(source).name


def _decoded(data: bytes, name: str, weights_dir: Path | None, max_pixels: int) -> dict[str, Path | bytes]:
    """A plain page, whose picture is decoded here."""
    from ..codec import Decoder, info
    from ..image.writing import encode_image
    from ..web.plain import plain_page

    png = encode_image(Decoder(weights_dir=weights_dir).decode(data, max_pixels=max_pixels), "PNG")
    return {**plain_page(png, name, info(data, weights_dir=weights_dir, max_pixels=max_pixels))}
