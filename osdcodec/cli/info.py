"""`osdc info`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import files
from ..batch.inputs import expand
from ..batch.report import json_line
from ..console import complaint, printable
from ..container import MAX_PIXELS, unpack_prefix
from ..container.salvage import salvage
from ..container.sections import KINDS
from ..devices import Device
from ..errors import FormatError, InputError, OsdError
from ..file_info import FileInfo, describe
from ..profile import PROFILES
from ..urls import UNREAD, is_folder
from .links import RegionName, Repair, links_of, share_of, time_on_air, within
from .shared import MaxPixels, WeightsDir, complain, examples, number, printed, reporting, tell_of_gpu

if TYPE_CHECKING:
    from ..links.airtime import Link

SUFFIX = ".osd"
app = typer.Typer()


@app.command(
    epilog=examples(
        "osdc info photo.osd",
        "osdc info photo.osd --parts",
        "osdc info photo.osd --json",
        "osdc info coded/ --json",
        "osdc info photo.osd --link lora-longfast",
        "osdc info photo.osd --bits-per-second 1070 --packet 233 --overhead 16",
        "osdc info - < photo.osd",
        "osdc info --device auto",
    )
)
def info(
    sources: Annotated[
        list[str] | None, typer.Argument(metavar="INPUT...", help=".osd files, folders of them, or - for stdin.")
    ] = None,
    parts: Annotated[bool, typer.Option("--parts", help="Entropy-decode, and add the bits of each part.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON line for each file instead of a table.")] = False,
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
    """Tell what .osd files, or the beginnings of progressive ones, say of themselves."""
    with reporting(sources[0] if sources and len(sources) == 1 else None):
        if not sources:
            if device is None:
                raise typer.BadParameter("name a file, or give --device")
            _write({"device": networks_of(device)}, as_json)
            return
        if overhead and packet is None:
            raise typer.BadParameter("--overhead goes with --packet and --bits-per-second")
        chosen = [within(link, region) for link in links_of(links, bits_per_second, packet, overhead)]
        asked = Asked(parts, chosen, share_of(repair), device, weights_dir, max_pixels)
        codes: list[int] = []
        names = _files(sources, codes)
        many = len(sources) > 1 or is_folder(sources[0])
        if not as_json:
            tell_of_gpu()
        for name in names:
            try:
                facts: Mapping[str, Any] = asked.facts(name)
                fault = _fault(name, facts)
            except OsdError as error:
                facts, fault = {"error": complaint(error, name), "exit_code": error.exit_code}, error
            if "error" not in facts or (many and as_json):
                _write({"input": name, **facts} if many else facts, as_json)
            if fault:
                codes.append(complain(fault, name))
    if codes:
        raise typer.Exit(3 if many else codes[0])


def _fault(name: str, facts: Mapping[str, Any]) -> OsdError | None:
    """What is wrong with a file that could be read in part."""
    if "fault" not in facts:
        return None
    return InputError(f"{name}: damaged ({facts['fault']}); osdc decode --salvage shows what can be read")


def _files(sources: list[str], codes: list[int]) -> list[str]:
    """The files that were named, and all .osd files below folders. Complains of folders that give none, and notes the exit codes."""
    names: list[str] = []
    for source in sources:
        if not is_folder(source):
            names.append(files.STREAM if files.descriptor(source) == 0 else source)
            continue
        left_out: list[tuple[str, str]] = []
        found = [path for path, name in expand(source, left_out) if name and name.lower().endswith(SUFFIX)]
        unread = [f"{name}: {why}; make it readable" for name, why in left_out if why.startswith(UNREAD)]
        if not found and not unread:
            unread = [f"{source}: no file in this folder ends in {SUFFIX}; name another"]
        codes += [complain(InputError(text)) for text in unread]
        names += [path for path in found if not PurePath(path).name.startswith("._")]
    return names


@dataclass(frozen=True)
class Asked:
    """What is asked of each file; repair: share of packets, as `share_of` gives it."""

    parts: bool
    links: "list[Link]"
    repair: float
    device: Device | None
    weights_dir: Path | None
    max_pixels: int

    def facts(self, name: str) -> FileInfo:
        """What a file says. OsdError if it cannot be read, or what is asked for cannot be told."""
        data = files.read_input(name)
        facts = self._with_parts(name, data) if self.parts else self._from_the_container(data)
        if self.links:
            facts["links"] = [
                {
                    "name": link.name,
                    "title": link.title,
                    "packets": link.packets(len(data), self.repair),
                    "seconds": link.seconds(len(data), self.repair),
                    "elapsed": link.elapsed(len(data), self.repair),
                }
                for link in self.links
            ]
        if self.device:
            profile = PROFILES.get(facts["profile"] or "")
            facts["device"] = networks_of(self.device, bool(profile and profile.pretrained))
        return facts

    def _from_the_container(self, data: bytes) -> FileInfo:
        try:
            osd = unpack_prefix(data, self.max_pixels)
        except FormatError:
            osd = salvage(data, self.max_pixels)
        return describe(data, osd, self.weights_dir)

    def _with_parts(self, name: str, data: bytes) -> FileInfo:
        from ..codec import info as describe_with_parts

        if unpack_prefix(data, self.max_pixels).missing:
            raise InputError(f"{name}: the beginning of a file, whose parts are not known; leave --parts out")
        return describe_with_parts(data, parts=True, weights_dir=self.weights_dir, max_pixels=self.max_pixels)


def networks_of(device: str, torch_only: bool = False) -> dict[str, str]:
    """What the networks run in: runtime, precision, place and why."""
    from ..runtime import choose

    return choose(device, torch_only)._asdict()


def _write(facts: Mapping[str, Any], as_json: bool) -> None:
    """Facts of a file; "input" is its name, where there are several."""
    title = f"{printable(facts['input'])}\n" if "input" in facts else ""
    text = json_line(dict(facts)) + "\n" if as_json else title + _table(facts)
    files.write_output(files.STREAM, text.encode("utf-8"))


def _size(facts: Mapping[str, Any]) -> str:
    size = f"{facts['width']} x {facts['height']} pixels{', grey' if facts['grey'] else ''}"
    if "original_width" not in facts:
        return size
    return f"{size}, shrunk from {facts['original_width']} x {facts['original_height']}"


def _table(facts: Mapping[str, Any]) -> str:
    from rich.table import Table

    rows = _rows(facts) if "version" in facts else {}
    if "device" in facts:
        from ..runtime import Choice

        rows["networks"] = str(Choice(**facts["device"]))
    table = Table.grid(padding=(0, 2))
    for name, value in rows.items():
        table.add_row(f"[bold]{name}[/bold]", value)
    return printed(table)


def _rows(facts: Mapping[str, Any]) -> dict[str, str]:
    """What is shown of a file."""
    rows = {
        "version": str(facts["version"]),
        "size": _size(facts),
        "bytes": f"{facts['bytes']:,}",
        "rate": f"{facts['bpp']:.4f} bits per pixel",
        "λ": f"{facts['lambda']:.3f} (0.1: best, largest file; 2: smallest), quality {facts['quality']:g} of 100",
        "model": f"{facts['model_id']} ({' '.join(filter(None, (facts['profile'] or 'not known here', facts.get('rate'))))})",
    }
    shown = {
        "input",
        "version",
        "width",
        "height",
        "original_width",
        "original_height",
        "bytes",
        "bpp",
        "quality",
        "quality_byte",
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
