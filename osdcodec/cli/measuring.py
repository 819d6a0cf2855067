"""`osdc compare` and `osdc evaluate`."""

import sys
from pathlib import Path
from typing import Annotated, cast

import typer

from .. import files
from ..batch.jobs import plan
from ..console import Progress
from ..container import MAX_PIXELS
from ..effort import Effort
from ..errors import InputError, WeightsError
from ..extras import require
from ..urls import is_folder
from .shared import Device, EffortLevel, MaxPixels, Overwrite, Profile, WeightsDir, examples, number, printed, reporting

app = typer.Typer()


def _numbers(values: list[float] | None) -> list[float] | None:
    for value in values or ():
        number(value)
    return values


@app.command(
    epilog=examples(
        "osdc compare photo.jpg photo.osd",
        "osdc compare photo.jpg photo.osd -o page.html --detail 0.5",
    )
)
def compare(
    photo: Annotated[str, typer.Argument(metavar="PHOTO", help="The original picture.")],
    coded: Annotated[str, typer.Argument(metavar="FILE.osd", help="What osdc made of it.")],
    output: Annotated[str | None, typer.Option("-o", "--output", help="Page (default: beside FILE.osd).")] = None,
    device: Device = "auto",
    seed: Annotated[int, typer.Option(min=0, max=2**64 - 1, help="As of osdc decode.")] = 0,
    detail: Annotated[float, typer.Option(min=0, max=1.5, callback=number, help="As of osdc decode.")] = 1.0,
    weights_dir: WeightsDir = None,
    max_pixels: MaxPixels = MAX_PIXELS,
    overwrite: Overwrite = None,
) -> None:
    """Make one HTML page: a photo, its .osd file, and AVIF and JPEG 2000 at the same bytes, with a slider."""
    with reporting():
        for name in (photo, coded):
            if is_folder(name):
                raise InputError(f"{name}: a folder; name one photo and the .osd file that was made of it")
            files.check_input(name)
        planned = plan([coded], output, (".osd",), ".html", overwrite=overwrite)
        planned.refuse_existing()
        planned.make_folders()
        [(_, target)] = planned.jobs
        for source in (photo, coded):
            files.check_output(target, planned.replaces, source)
        data = files.read_input(coded)

        from .. import image
        from ..codec import Decoder

        original = image.open_image(photo, max_pixels)
        with reporting(coded):
            decoder, trust = Decoder(device, weights_dir), None
            try:
                shown, trust = decoder.decode(data, seed, detail, max_pixels, trust=True)
            except WeightsError:  # no map was fitted to them, or they are not here at all: then this says so
                shown = decoder.decode(data, seed, detail, max_pixels)
            decoded = image.open_image(shown, max_pixels)
        if decoded.size != original.size:
            sizes = [f"{picture.width}x{picture.height}" for picture in (original, decoded)]
            raise InputError(
                f"{coded}: holds a picture of {sizes[1]} pixels, {photo} has {sizes[0]}; name its original"
            )

        from ..evaluation.comparison import compare_page
        from ..metrics.meter import Meter

        try:
            meter = Meter()
        except ModuleNotFoundError:  # the three metrics that need NumPy only will do
            print("osdc: more metrics are shown after pip install 'osdc[eval]'", file=sys.stderr)
            meter = Meter(plain=True)
        page = compare_page(Path(photo).name, original, data, decoded, meter, trust)
        files.write_output(target, page.encode("utf-8"), planned.replaces)


@app.command(
    epilog=examples(
        "osdc evaluate pictures/ -o report --codec none",
        "osdc evaluate photo.jpg -o report --codec jpeg --lambda 2 --lambda 0.5 --page-pictures 1 --no-memory",
    )
)
def evaluate(
    sources: Annotated[list[Path], typer.Argument(metavar="DIR", help="Folders of pictures, or pictures.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the report.")] = Path("report"),
    lambdas: Annotated[
        list[float] | None,
        typer.Option("--lambda", min=0.1, max=2, callback=_numbers, help="Repeatable (default: 2 1 0.5 0.25 0.1)."),
    ] = None,
    codecs: Annotated[
        list[str] | None,
        typer.Option(
            "--codec", help="Beside osdc: jpeg, jpeg2000, webp, avif, jxl, compressai, none; repeatable (default: all)."
        ),
    ] = None,
    anchor: Annotated[
        str | None, typer.Option(help="What BD-rates refer to (default: jpeg2000 if it is measured, else osdc).")
    ] = None,
    perceptual: Annotated[
        Path | None, typer.Option(help="Safetensors file of the perceptual network; without it, no such distance.")
    ] = None,
    detail: Annotated[float, typer.Option(min=0, max=1.5, callback=number, help="As of osdc decode.")] = 1.0,
    effort: EffortLevel = "auto",
    protocol: Annotated[
        str | None,
        typer.Option(help="rdeic: short side to 768, then the centre 768x768, as papers do with CLIC and Tecnick."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Take only the first N pictures.")] = None,
    page_pictures: Annotated[int, typer.Option(min=0, help="Number of pictures shown in the page.")] = 24,
    page_all: Annotated[bool, typer.Option("--page-all", help="All settings in the page: a large file.")] = False,
    memory: Annotated[bool, typer.Option("--memory/--no-memory", help="Measure peak memory of processes.")] = True,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing of the progress.")] = False,
    device: Device = "auto",
    profile: Profile = "small",
    weights_dir: WeightsDir = None,
) -> None:
    """Measure osdc and everyday codecs over photographs: a table, and a folder with records, plots and a page."""
    with reporting():
        require("osdc evaluate", "torch", "bjontegaard", "matplotlib", "piq", "pytorch_msssim", "pillow_jxl")
        from ..evaluation import report
        from ..evaluation.baselines import FAMILIES
        from ..evaluation.protocols import PROTOCOLS
        from ..rate_control import ANCHORS

        if unknown := set(codecs or ()) - {*FAMILIES, "none"}:
            raise typer.BadParameter(f"{unknown.pop()} is no codec known here; choose of {', '.join(FAMILIES)}, none")
        if protocol not in (None, *PROTOCOLS):
            raise typer.BadParameter(f"there is no protocol {protocol}; choose {', '.join(PROTOCOLS)}")
        families = tuple(f for f in FAMILIES if not codecs or f in codecs)
        if anchor not in (None, *report.curve_names(families)):
            raise typer.BadParameter(
                f"{anchor} is not measured; choose one of {', '.join(report.curve_names(families))}"
            )
        plan = report.Plan(
            paths=report.find_pictures(sources, limit),
            lambdas=tuple(sorted(set(lambdas or ANCHORS), reverse=True)),
            families=families,
            anchor=anchor,
            perceptual=perceptual,
            detail=detail,
            effort=cast(Effort, effort),  # which its callback has made of the text
            memory=memory,
            page_pictures=page_pictures,
            page_all=page_all,
            device=device,
            profile=profile,
            weights_dir=weights_dir,
            protocol=protocol,
        )
        with Progress("measuring", quiet) as progress:
            rows = report.evaluate(
                plan, output, lambda done, total, what: progress.tell(done / total, f"{what} ({done} of {total})")
            )
        files.write_output(files.STREAM, printed(*report.tables(rows)).encode("utf-8"))
