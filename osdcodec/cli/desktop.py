"""`osdc install-desktop`, and `osdc thumbnail`, which the thumbnailer entry names."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from .. import files
from ..console import printable
from ..container import MAX_PIXELS
from ..errors import InputError
from .shared import MaxPixels, examples, reporting

app = typer.Typer()


@app.command(
    epilog=examples(
        "osdc install-desktop --folder share",
        "osdc install-desktop --folder share --remove",
    )
)
def install_desktop(
    remove: Annotated[bool, typer.Option("--remove", help="Take everything away again.")] = False,
    folder: Annotated[
        Path | None, typer.Option(help="Data folder (default: $XDG_DATA_HOME, else ~/.local/share).")
    ] = None,
) -> None:
    """Tell Linux file managers of .osd files: their MIME type, thumbnails, and a way to open them."""
    with reporting():
        from ..integrations import desktop

        if not remove and not sys.platform.startswith(("linux", "freebsd", "openbsd", "netbsd")):
            raise InputError(
                "file managers of this system do not read these files; they are for Linux and BSD desktops"
            )
        paths = desktop.remove(folder) if remove else desktop.install(folder)
        for path in paths:
            print(f"osdc: {printable(str(path))}: {'removed' if remove else 'written'}", file=sys.stderr)
        if not paths:
            print("osdc: nothing was installed", file=sys.stderr)


@app.command(hidden=True, epilog=examples("osdc thumbnail photo.osd small.png 128"))
def thumbnail(
    source: Annotated[str, typer.Argument(metavar="FILE.osd")],
    output: Annotated[
        str, typer.Argument(metavar="PNG", help="Any name: file managers often give none with a suffix.")
    ],
    side: Annotated[int, typer.Argument(min=1, help="Longest side in pixels.")] = 256,
    max_pixels: MaxPixels = MAX_PIXELS,
) -> None:
    """Write the preview of a picture as a small PNG."""
    with reporting(source):
        from ..codec import Decoder
        from ..image.writing import encode_image

        small = Decoder(device="cpu").decode(files.read_input(source), preview=True, max_pixels=max_pixels)
        small.thumbnail((side, side))
        files.write_output(output, encode_image(small, "PNG"))
