"""A photo over Reticulum, as the image of an LXMF message or in packets of osdc's own.

    python examples/reticulum_link.py receive arrived/               # prints its address and announces it
    python examples/reticulum_link.py send photo.jpg ADDRESS         # an LXMF message, repeated until it is confirmed
    python examples/reticulum_link.py send photo.jpg ADDRESS --packets --repair 1   # nothing comes back, losses are made up for

Uses the interfaces of `~/.reticulum/config` (`--config DIR`), whatever they are: LoRa by RNode, packet radio, TCP.
The message holds `["osd", data]` in LXMF's field for images; programs that do not know the format keep it as a file.
Needs `osdc[links]`.
"""

import argparse
import sys
import time
from pathlib import Path
from threading import Event

import LXMF
import RNS

import osdcodec
from osdcodec.links.transfer import Arrivals, split

PACKET = RNS.Packet.ENCRYPTED_MDU  # bytes: 383


def receive(options: argparse.Namespace) -> None:
    options.path.mkdir(parents=True, exist_ok=True)
    arrivals, written = Arrivals(), set()

    def write(name: str, data: bytes) -> None:
        if name not in written:
            written.add(name)
            (options.path / f"{name}.osd").write_bytes(data)
            print(f"{name}: {len(data)} bytes", flush=True)

    def take_message(message: LXMF.LXMessage) -> None:
        kind, data = message.fields.get(LXMF.FIELD_IMAGE, ("", b""))
        if kind == "osd" and message.hash:
            write(message.hash.hex()[:8], data)

    def take_packet(data: bytes, packet: RNS.Packet) -> None:
        transfer = arrivals.add(data)
        if transfer and (whole := transfer.whole()):
            write(transfer.name, whole)

    identity = kept_identity(options.path / "identity")
    router = LXMF.LXMRouter(identity, str(options.path / "lxmf"))
    if not (inbox := router.register_delivery_identity(identity, display_name="osdc")):
        sys.exit("LXMF has an address of this program already")
    router.register_delivery_callback(take_message)
    pictures = RNS.Destination(identity, RNS.Destination.IN, RNS.Destination.SINGLE, "osdc", "packets")
    pictures.set_packet_callback(take_packet)
    print(f"address {inbox.hash.hex()}", flush=True)
    while True:  # who has heard it knows the way here
        router.announce(inbox.hash)
        time.sleep(options.announce)


def send(options: argparse.Namespace) -> str:
    """Returns what became of it, for people."""
    address = bytes.fromhex(options.address)
    identity = heard(address, options.patience)
    data = file_of(options.path, options.bytes)
    if options.packets:
        pictures = RNS.Destination(identity, RNS.Destination.OUT, RNS.Destination.SINGLE, "osdc", "packets")
        packets = split(data, min(options.size, PACKET), options.repair)
        for packet in packets:
            RNS.Packet(pictures, packet, create_receipt=False).send()
            time.sleep(options.pause)
        return f"{len(data)} bytes are sent in {len(packets)} packets"
    router = LXMF.LXMRouter(storagepath=str(Path(RNS.Reticulum.storagepath) / "osdc"))
    source = router.register_delivery_identity(RNS.Identity(), display_name="osdc")
    inbox = RNS.Destination(identity, RNS.Destination.OUT, RNS.Destination.SINGLE, "lxmf", "delivery")
    image, done = {LXMF.FIELD_IMAGE: ["osd", data]}, Event()
    one_packet = LXMF.LXMessage.OPPORTUNISTIC  # where it fits into one; LXMF opens a link for longer ones
    message = LXMF.LXMessage(inbox, source, "", "photo", fields=image, desired_method=one_packet)
    message.register_delivery_callback(lambda _: done.set())
    message.register_failed_callback(lambda _: done.set())
    router.handle_outbound(message)
    done.wait(options.patience)
    if message.state != LXMF.LXMessage.DELIVERED:
        sys.exit(f"{len(data)} bytes were not delivered")
    return f"{len(data)} bytes are delivered"


def file_of(path: Path, limit: int) -> bytes:
    """An .osd file as it is; a photo as the best file of so many bytes."""
    if path.suffix == ".osd":
        return path.read_bytes()
    return osdcodec.encode(path, target=osdcodec.Target(max_bytes=limit), shrink=True)


def heard(address: bytes, patience: float) -> RNS.Identity:
    """The identity behind an address, once it has been announced or somebody on the way has told it."""
    end = time.monotonic() + patience
    while (identity := RNS.Identity.recall(address)) is None or not RNS.Transport.has_path(address):
        if time.monotonic() > end:
            sys.exit("nobody knows this address: is its owner in reach?")
        RNS.Transport.request_path(address)
        time.sleep(min(3.0, patience / 4))
    return identity


def kept_identity(path: Path) -> RNS.Identity:
    """The same address every time."""
    if path.is_file() and (kept := RNS.Identity.from_file(str(path))):
        return kept
    identity = RNS.Identity()
    identity.to_file(str(path))
    return identity


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("send", "receive"))
    parser.add_argument("path", type=Path, help="photo or .osd file to send, or folder for what arrives")
    parser.add_argument("address", nargs="?", help="that of the receiver, for send")
    parser.add_argument("--config", help="folder of Reticulum's configuration")
    parser.add_argument("--bytes", type=int, default=1500, help="of the file at most")
    parser.add_argument("--packets", action="store_true", help="osdc's packets, which are not confirmed")
    parser.add_argument("--size", type=int, default=PACKET, help="bytes of such a packet at most")
    parser.add_argument("--repair", type=float, default=0.5, help="repair packets per piece")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between packets")
    parser.add_argument("--patience", type=float, default=300, help="seconds to wait for a way, and for delivery")
    parser.add_argument("--announce", type=float, default=600, help="seconds between announcements")
    options = parser.parse_args()
    if options.what == "send" and not options.address:
        parser.error("whom to? give the address that the receiver prints")
    RNS.Reticulum(options.config, loglevel=RNS.LOG_ERROR)
    print(send(options) if options.what == "send" else receive(options), flush=True)
    RNS.exit()


if __name__ == "__main__":
    main()
