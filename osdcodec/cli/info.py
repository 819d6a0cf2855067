"""`osdc info`."""

import json
from typing import Annotated

import typer

from .. import files
from ..container import MAX_PIXELS, unpack_prefix
from ..container.salvage import salvage
from ..container.sections import KINDS
from ..devices import Device
from ..errors import FormatError, InputError
from ..profile import PROFILES
from .links import RegionName, Repair, links_of, share_of, time_on_air, within
from .shared import MaxPixels, WeightsDir, examples, number, printed, reporting, tell_of_gpu

app = typer.Typer()


@app.command(
    epilog=examples(
        "osdc info photo.osd",
        "osdc info photo.osd --parts",
        "osdc info photo.osd --json",
        "osdc info photo.osd --link lora-longfast",
        "osdc info photo.osd --bits-per-second 1070 --packet 233 --overhead 16",
        "osdc info - < photo.osd",
        "osdc info --device auto",
    )
)
def info(
    source: Annotated[str | None, typer.Argument(metavar="INPUT", help="An .osd file, or - for stdin.")] = None,
    parts: Annotated[bool, typer.Option("--parts", help="Entropy-decode, and add the bits of each part.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
    links: Annotated[
        list[str] | None,
        typer.Option(
            "--link", metavar="NAME", help="Add its packets and time on air on a link, or on all (repeatable)."
        ),
    ] = None,
    bits_per_second: Annotated[
        float | None, typer.Option(callback=number, help="The same for a link of so many, with --packet.")
    ] = None,
    packet: Annotated[int | None, typer.Option(min=1, help="Bytes that a packet of that link takes.")] = None,
    overhead: Annotated[int, typer.Option(min=0, help="Bytes that that link adds to each packet.")] = 0,
    repair: Repair = None,
    region: RegionName = None,
    device: Annotated[
        Device | None, typer.Option(help="Tell what the networks would run in here, and why; INPUT may be left out.")
    ] = None,
    weights_dir: WeightsDir = None,
    max_pixels: MaxPixels = MAX_PIXELS,
) -> None:
    """Tell what an .osd file, or the beginning of a progressive one, says of itself."""
    with reporting(source):
        if source is None:
            if device is None:
                raise typer.BadParameter("name a file, or give --device")
            _write({"device": networks_of(device)}, as_json)
            return
        if overhead and packet is None:
            raise typer.BadParameter("--overhead goes with --packet and --bits-per-second")
        source = files.STREAM if files.descriptor(source) == 0 else source
        data = files.read_input(source)
        if parts:
            from ..codec import info as describe_with_parts

            if unpack_prefix(data, max_pixels).missing:
                raise InputError(f"{source}: the beginning of a file, whose parts nobody knows; leave --parts out")
            facts = describe_with_parts(data, parts=True, weights_dir=weights_dir, max_pixels=max_pixels)
        else:
            from ..file_info import describe

            try:
                osd = unpack_prefix(data, max_pixels)
            except FormatError:
                osd = salvage(data, max_pixels)
            facts = describe(data, osd, weights_dir)
        if chosen := links_of(links, bits_per_second, packet, overhead):
            facts["links"] = [
                {
                    "name": link.name,
                    "title": link.title,
                    "packets": link.packets(len(data), share_of(repair)),
                    "seconds": link.seconds(len(data), share_of(repair)),
                    "elapsed": link.elapsed(len(data), share_of(repair)),
                }
                for link in (within(link, region) for link in chosen)
            ]
        if device:
            profile = PROFILES.get(facts["profile"])
            facts["device"] = networks_of(device, bool(profile and profile.bases))
        if not as_json:
            tell_of_gpu()
        _write(facts, as_json)
        if "fault" in facts:
            raise InputError(f"{source}: damaged ({facts['fault']}); osdc decode --salvage shows what can be read")


def networks_of(device: str, torch_only: bool = False) -> dict[str, str]:
    """What the networks run in: runtime, precision, place and why."""
    from ..runtime import choose

    return choose(device, torch_only)._asdict()


def _write(facts: dict, as_json: bool) -> None:
    text = json.dumps(facts, indent=2) + "\n" if as_json else _table(facts)
    files.write_output(files.STREAM, text.encode("utf-8"))


def _size(facts: dict) -> str:
    size = f"{facts['width']} x {facts['height']} pixels{', grey' if facts['grey'] else ''}"
    if "original_width" not in facts:
        return size
    return f"{size}, shrunk from {facts['original_width']} x {facts['original_height']}"


def _table(facts: dict) -> str:
    from rich.table import Table

    rows = _rows(facts) if "version" in facts else {}
    if "device" in facts:
        from ..runtime import Choice

        rows["networks"] = str(Choice(**facts["device"]))
    table = Table.grid(padding=(0, 2))
    for name, value in rows.items():
        table.add_row(f"[bold]{name}[/bold]", value)
    return printed(table)


def _rows(facts: dict) -> dict[str, str]:
    """What is shown of a file."""
    rows = {
        "version": str(facts["version"]),
        "size": _size(facts),
        "bytes": f"{facts['bytes']:,}",
        "rate": f"{facts['bpp']:.4f} bits per pixel",
        "λ": f"{facts['lambda']:.3f} (0.1: best, largest file; 2: smallest)",
        "model": f"{facts['model_id']} ({' '.join(filter(None, (facts['profile'] or 'not known here', facts.get('rate'))))})",
    }
    shown = {
        "version",
        "width",
        "height",
        "original_width",
        "original_height",
        "bytes",
        "bpp",
        "quality",
        "lambda",
        "grey",
        "model_id",
        "profile",
        "rate",
        "sections",
        "progressive",
        "note",
        "fault",
        "links",
        "device",
    }
    if "fault" in facts:
        rows["fault"] = facts["fault"]
    if facts.get("progressive"):
        rows["order"] = "progressive" + ("; " + facts["note"] if "note" in facts else "")
    for key, value in facts.items():
        if key not in shown:  # header_bytes, tokens_bits, …
            name, _, unit = key.rpartition("_")
            rows[name] = f"{value:,} {unit}" if isinstance(value, int) else f"{value:,.1f} {unit}"
    names = {kind: section.name for kind, section in KINDS.items()}
    rows |= {names.get(kind, kind): f"{count:,} bytes" for kind, count in facts["sections"].items()}
    for link in facts.get("links", []):
        rows[link["name"]] = (
            f"{link['packets']:,} packets, {time_on_air(link['seconds'], link['elapsed'])} ({link['title']})"
        )
    return rows
