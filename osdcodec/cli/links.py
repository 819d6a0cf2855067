"""`osdc split` and `osdc join`: files through links that carry short packets and lose some."""

import json
import re
import sys
from pathlib import PurePath
from typing import Annotated, Any

import typer

from .. import files, urls
from ..console import label, printable
from ..container import MAX_PIXELS, unpack_prefix
from ..errors import FormatError, InputError, OutputError
from .shared import MaxPixels, Overwrite, examples, reporting

app = typer.Typer()

Repair = Annotated[str | None, typer.Option(metavar="SHARE", help="So many repair packets for the pieces: 25%.")]
RegionName = Annotated[
    str | None, typer.Option("--region", metavar="NAME", help="Keep its limits of time on air: eu868, eu869, us915.")
]
Json = Annotated[bool, typer.Option("--json", help="Say what was done as a JSON object on stderr.")]


def share_of(value: str | None) -> float:
    """25% or 0.25 -> repair packets per piece. Without the sign nobody means more than one for each."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", value or "0")
    if not match or (share := float(match[1]) / (100 if match[2] else 1)) > (100 if match[2] else 1):
        raise typer.BadParameter(f"{value} is no share; give so many repair packets per hundred pieces: 25%")
    return share


def _size(packet: int | None, link: str | None, text: bool, region: str | None = None) -> int:
    """Bytes of a packet."""
    from ..links.carriers import bytes_of_text
    from ..links.packet import LARGEST
    from ..links.transfer import SMALLEST

    if (packet is None) == (link is None):
        raise typer.BadParameter("give one of --packet and --link")
    most: int = link_of(link, region).packet if link else packet or 0
    size = bytes_of_text(most) if text else most
    if size < SMALLEST:
        least = -(-SMALLEST * 4 // 3) if text else SMALLEST
        raise typer.BadParameter(f"a packet needs {least} {'characters' if text else 'bytes'} or more, not {most}")
    if size > LARGEST:
        raise typer.BadParameter(f"a packet has at most {LARGEST:,} bytes")
    return size


def link_of(name: str, region: str | None = None) -> Any:
    """A link of links.toml, as a region allows it."""
    from ..links.airtime import links

    if name not in links():
        raise typer.BadParameter(f"{name} is no link known here; choose of {', '.join(links())}")
    return within(links()[name], region)


def within(link: Any, region: str | None) -> Any:
    """A link as a region allows it."""
    from ..links.airtime import regions

    if region is None:
        return link
    if region not in regions():
        raise typer.BadParameter(f"{region} is no region known here; choose of {', '.join(regions())}")
    try:
        return link.within(regions()[region])
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def links_of(names: list[str] | None, bits_per_second: float | None, packet: int | None, overhead: int) -> list:
    """The links that `osdc info` is asked about."""
    from ..links.airtime import custom, links

    if (bits_per_second is None) != (packet is None):
        raise typer.BadParameter("--bits-per-second and --packet go together")
    chosen = [link for name in names or () for link in (links().values() if name == "all" else [link_of(name)])]
    if bits_per_second is not None and packet is not None:
        try:
            chosen.append(custom(bits_per_second, packet, overhead))
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
    return chosen


@app.command(
    epilog=examples(
        "osdc split photo.osd --packet 200 -o packets",
        "osdc split photo.osd --link lora-longfast --repair 25% -o repaired",
        "osdc split photo.osd --packet 160 --text > lines.txt",
        "osdc split photo.osd --only '0,2-3 x64' -o again",
        "osdc split photo.osd --link lora-longfast --more 4 -o packets2",
        "osdc split - --packet 200 < photo.osd | osdc join - > copy.osd",
    )
)
def split(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="An .osd file, or - for stdin.")],
    output: Annotated[
        str, typer.Option("-o", "--output", help="Folder for the packets; with --text a file; or - for stdout.")
    ] = files.STREAM,
    packet: Annotated[
        int | None, typer.Option(min=1, help="Bytes of a packet at most; with --text characters.")
    ] = None,
    link: Annotated[str | None, typer.Option(metavar="NAME", help="Packets as this link takes them.")] = None,
    repair: Repair = None,
    region: RegionName = None,
    only: Annotated[
        str | None, typer.Option(metavar="LIST", help="Make these packets again: what osdc join --missing prints.")
    ] = None,
    more: Annotated[int | None, typer.Option(min=1, metavar="N", help="Make so many new repair packets.")] = None,
    text: Annotated[bool, typer.Option("--text", help="A line of letters and digits for each packet.")] = False,
    as_json: Json = False,
    max_pixels: MaxPixels = MAX_PIXELS,
    overwrite: Overwrite = None,
) -> None:
    """Split an .osd file into packets for a link that carries short ones and may lose some."""
    with reporting(source):
        if only is not None and more is not None:
            raise typer.BadParameter("give one of --only and --more")
        if region and link is None:
            raise typer.BadParameter("--region goes with --link")
        from ..links.carriers import to_stream, to_text
        from ..links.packet import AROUND
        from ..links.transfer import belongs, packets_at, plan

        share, asked = share_of(repair), _request(only)
        told = asked and asked.size and packet is None and link is None
        size = asked.size + AROUND if told else _size(packet, link, text, region)
        data = files.read_input(source)
        unpack_prefix(data, max_pixels)  # what is no .osd file is worth no airtime
        stem = "packet" if files.is_stream(source) else PurePath(urls.plain(source)).stem
        piece, count, repairs = plan(len(data), size, share)
        if asked:
            _check_name(asked, stem, data)
            piece, indices = asked.size or piece, list(asked.indices)
        elif more:
            sent = [int(name.rsplit(".", 2)[1]) for name in _packets_of(stem, output)]
            first = max([count + repairs, *(index + 1 for index in sent)])
            indices = list(range(first, first + more))
        else:
            indices = list(range(count + repairs))
        packets, replace = packets_at(data, piece, indices), overwrite is not False
        if text or files.is_stream(output):
            files.check_output(output, replace, source)
        if text:
            lines = "".join(f"{to_text(packet)}\n" for packet in packets)
            files.write_output(output, lines.encode("ascii"), replace)
        elif files.is_stream(output):
            files.write_output(output, to_stream(packets), replace)
        else:
            names = [urls.join(output, f"{stem}.{index:05}.osdp") for index in indices]
            for name in filter(files.exists, names):
                if not (replace if overwrite is not None else belongs(files.read_input(name), packets[0])):
                    what = "exists, and is no packet of this file" if overwrite is None else "exists"
                    raise OutputError(f"{name}: {what}; name another folder with -o, or replace it by --overwrite")
            stale = [] if asked or more else [name for name in _packets_of(stem, output) if name not in names]
            if stale:
                raise OutputError(
                    f"{stale[0]}: a packet of another split, which would be mixed with these; remove it, or name another folder with -o"
                )
            urls.make_folder(output)
            for name, content in zip(names, packets, strict=True):
                files.write_output(name, content, replace)
        pieces = sum(content[0] & 0x0F < 2 for content in packets)
        row: dict[str, Any] = {
            "file": source,
            "packets": len(packets),
            "pieces": pieces,
            "repair": len(packets) - pieces,
            "largest": max(map(len, packets)),
        }
        line = f"{label(source)}: {pieces:,} pieces"
        line += f" and {row['repair']:,} for repair" if row["repair"] else ""
        line += f", packets of at most {row['largest']} bytes"
        if link:
            chosen = link_of(link, region)
            sizes = [len(to_text(packet)) if text else len(packet) for packet in packets]
            row["seconds"] = sum(chosen.on_air(size + chosen.overhead) for size in sizes)
            row["elapsed"] = chosen.region.elapsed(row["seconds"])
            line += f", {time_on_air(row['seconds'], row['elapsed'])}"
        _tell(row, line, as_json)


def time_on_air(seconds: float, elapsed: float) -> str:
    """For people: how long a sender is on air, and how long the pauses make it take."""
    paused = f", {elapsed:,.0f} s with the pauses that the region asks for" if elapsed > seconds else ""
    return f"{seconds:,.1f} s on air{paused}"


def _request(line: str | None) -> Any:
    """What --only asks for."""
    from ..links.requests import Request

    if line is None:
        return None
    try:
        return Request.parse(line)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _check_name(asked: Any, stem: str, data: bytes) -> None:
    """Packets of two pictures are kept apart: InputError if the line asks for those of another one."""
    from ..links.packet import crc16

    if asked.name and asked.name not in (stem, f"{crc16(data):04x}"):
        raise InputError(f"the list asks for packets of {asked.name}, and this is {stem} ({crc16(data):04x})")


@app.command(
    epilog=examples(
        "osdc join packets -o joined.osd",
        "osdc join packets/*.osdp -o joined.osd --partial",
        "osdc join lines.txt > joined.osd",
        "osdc join packets/photo.00001.osdp --missing",
    )
)
def join(
    sources: Annotated[
        list[str], typer.Argument(metavar="INPUT...", help="Packets, folders of them, lines of text, streams, or -.")
    ],
    output: Annotated[str, typer.Option("-o", "--output", help="The .osd file, or - for stdout.")] = files.STREAM,
    partial: Annotated[
        bool, typer.Option("--partial", help="Write the beginning that has arrived, for osdc decode --partial.")
    ] = False,
    missing: Annotated[
        bool, typer.Option("--missing", help="Print which packets are needed, a line for each file: photo 3,7-9 x216.")
    ] = False,
    file_id: Annotated[str | None, typer.Option("--id", metavar="ID", help="Which file, if packets are mixed.")] = None,
    as_json: Json = False,
    max_pixels: MaxPixels = MAX_PIXELS,
    overwrite: Overwrite = None,
) -> None:
    """Join packets, in any order, into the .osd file that they come from."""
    with reporting():
        from ..links.carriers import candidates
        from ..links.transfer import Arrivals

        inputs, arrived_packets = _inputs(sources), Arrivals()
        for name in inputs:
            if not missing:
                files.check_output(output, overwrite is not False, name)
            for packet in candidates(files.read_input(name)):
                transfer = arrived_packets.add(packet)
                if transfer and (found := re.fullmatch(r"(.+)\.\d{5,}\.osdp", PurePath(urls.plain(name)).name)):
                    transfer.title = found[1]
        if missing:
            return _tell_missing(arrived_packets, file_id)
        transfer = arrived_packets.only(file_id)
        whole = transfer.whole()
        data = transfer.beginning() if whole is None else whole
        arrived = f"{len(transfer.pieces):,} of {transfer.count:,} pieces"
        arrived += f" and {len(transfer.repairs):,} for repair" if transfer.repairs else ""
        left = "".join(f"; {what}" for what in (_duplicates(transfer.duplicates), arrived_packets.left_out()) if what)
        if whole is None and not partial:
            more = f"{transfer.lacking:,} more {'is' if transfer.lacking == 1 else 'are'} needed"
            beginning = f"; --partial writes the first {len(data):,} bytes" if _shows(data, max_pixels) else ""
            raise InputError(f"file {transfer.name}: {arrived} have arrived, {more}{beginning}{left}")
        if whole is None:
            if not data:
                raise InputError(f"file {transfer.name}: {arrived} have arrived, but not the first one{left}")
            if not _shows(data, max_pixels):
                raise InputError(
                    f"file {transfer.name}: {arrived} have arrived, and nothing of it can be shown: the file is not progressive, "
                    f"or more of its beginning is needed{left}"
                )
        files.write_output(output, data, overwrite is not False)
        row = {
            "id": transfer.name,
            "whole": whole is not None,
            "bytes": len(data),
            "of_bytes": transfer.length,
            "pieces": len(transfer.pieces),
            "of_pieces": transfer.count,
            "repair": len(transfer.repairs),
            "duplicates": transfer.duplicates,
            "damaged": arrived_packets.damaged,
            "strangers": arrived_packets.strangers,
        }
        made = "the whole file, " if whole is not None else f"the first {len(data):,} of "
        _tell(row, f"{made}{transfer.length:,} bytes, from {arrived}{left}", as_json)


def _tell_missing(arrived: Any, file_id: str | None) -> None:
    """A line to stdout for each file that is not whole, which `osdc split --only` understands."""
    from ..links.requests import missing

    if file_id is not None or not arrived.transfers:
        arrived.only(file_id)  # which says what is wrong if there is none
    asked = []
    for transfer in arrived.transfers.values():
        if file_id in (None, transfer.name):
            request = missing(transfer, transfer.title)
            asked += [f"{request}\n"] if request else []
            if not request:
                print(f"osdc: {printable(transfer.title or transfer.name)}: nothing is missing", file=sys.stderr)
    files.write_output(files.STREAM, "".join(asked).encode())


def _shows(beginning: bytes, max_pixels: int) -> bool:
    """Whether something can be shown of the beginning of a file."""
    try:
        unpack_prefix(beginning, max_pixels)
    except FormatError:
        return False
    return True


def _duplicates(count: int) -> str:
    return f"{count} came again" if count else ""


def _inputs(sources: list[str]) -> list[str]:
    """Files that were named, and those in folders that were named, in the order of their names."""
    inputs = []
    for source in sources:
        if not files.is_stream(source) and urls.is_folder(source):
            within = sorted(name for name in urls.walk(source) if "/" not in name and not name.startswith("."))
            inputs += [urls.join(source, name) for name in within]
        else:
            inputs.append(source)
    return inputs


def _packets_of(stem: str, folder: str) -> list[str]:
    """Packets in a folder that `split` has made, now or before, of a file of this name."""
    within = urls.walk(folder) if urls.is_folder(folder) else ()
    return [urls.join(folder, name) for name in within if re.fullmatch(re.escape(stem) + r"\.\d{5,}\.osdp", name)]


def _tell(row: dict, line: str, as_json: bool) -> None:
    print(json.dumps(row) if as_json else f"osdc: {printable(line)}", file=sys.stderr)
