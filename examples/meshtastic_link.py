"""A photo over a Meshtastic radio, in packets of 233 bytes.

    python examples/meshtastic_link.py receive arrived/                  # on one radio, by USB
    python examples/meshtastic_link.py send photo.jpg                    # to everybody: repair packets make up for losses
    python examples/meshtastic_link.py send photo.jpg --to '!a1b2c3d4'   # to one node: what it does not confirm goes again

`--host ADDRESS` takes a radio on the network, `--port /dev/ttyUSB0` a certain serial port. Needs `osdc[links]`.
A photo for everybody holds up the whole mesh for as long as `osdc split --link lora-longfast` says: ask first.
"""

import argparse
import time
from pathlib import Path
from threading import Event
from typing import Any

from meshtastic.protobuf.portnums_pb2 import PortNum
from pubsub import pub

import osdcodec
from osdcodec.links.airtime import links
from osdcodec.links.transfer import Arrivals, split

PORT = PortNum.PRIVATE_APP  # what applications of one's own use; text messages have another
TOPIC = "meshtastic.receive.data.PRIVATE_APP"
TRIES, PATIENCE = 5, 60  # of an acknowledged packet; seconds to wait for each answer


def broadcast(radio: Any, packets: list[bytes], pauses: float = 1.0, link: str = "lora-longfast") -> None:
    """Sends packets to all nodes, without answers. pauses: waits so many times each packet's time on air."""
    for packet in packets:
        radio.sendData(packet, portNum=PORT)
        time.sleep(pauses * links()[link].on_air(len(packet) + links()[link].overhead))


def deliver(radio: Any, packets: list[bytes], node: str, patience: float = PATIENCE) -> list[bytes]:
    """Sends packets to one node, each until it is acknowledged; returns those that never were."""
    left = packets
    for _ in range(TRIES):
        left = [packet for packet in left if not acknowledged(radio, packet, node, patience)]
    return left


def acknowledged(radio: Any, packet: bytes, node: str, patience: float) -> bool:
    """Sends one packet and waits for the radio's word."""
    answered, errors = Event(), []

    def answer(received: dict[str, Any]) -> None:
        errors.append(received["decoded"].get("routing", {}).get("errorReason", "NONE"))
        answered.set()

    radio.sendData(packet, node, PORT, wantAck=True, onResponse=answer, onResponseAckPermitted=True)
    return answered.wait(patience) and errors == ["NONE"]


class Receiver:
    """Writes each photo into a folder as soon as enough of its packets have arrived."""

    def __init__(self, radio: Any, folder: Path) -> None:
        self.radio, self.folder, self.arrivals, self.written = radio, folder, Arrivals(), set()
        pub.subscribe(self.take, TOPIC)

    def take(self, packet: dict[str, Any], interface: Any) -> None:
        if interface is not self.radio or (transfer := self.arrivals.add(packet["decoded"]["payload"])) is None:
            return
        whole = transfer.whole()
        print(f"{transfer.name}: {transfer.lacking} more needed", flush=True)
        if whole and transfer.name not in self.written:
            self.written.add(transfer.name)
            (self.folder / f"{transfer.name}.osd").write_bytes(whole)


def file_of(path: Path, limit: int) -> bytes:
    """An .osd file as it is; a photo as the best file of so many bytes."""
    if path.suffix == ".osd":
        return path.read_bytes()
    return osdcodec.encode(path, target=osdcodec.Target(max_bytes=limit), shrink=True)


def connected(options: argparse.Namespace) -> Any:
    if options.host:
        from meshtastic.tcp_interface import TCPInterface

        return TCPInterface(options.host)
    from meshtastic.serial_interface import SerialInterface

    return SerialInterface(options.port)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("send", "receive"))
    parser.add_argument("path", type=Path, help="photo or .osd file to send, or folder for what arrives")
    parser.add_argument("--to", metavar="NODE", help="one node, which confirms each packet (default: all, without)")
    parser.add_argument("--bytes", type=int, default=1500, help="of the file (%(default)s: seven packets, 15 seconds)")
    parser.add_argument("--repair", type=float, default=0.5, help="repair packets per piece, without --to")
    parser.add_argument("--host")
    parser.add_argument("--port", default=None)
    options = parser.parse_args()
    radio = connected(options)
    if options.what == "receive":
        options.path.mkdir(parents=True, exist_ok=True)
        Receiver(radio, options.path)
        Event().wait()
    data = file_of(options.path, options.bytes)
    packets = split(data, links()["lora-longfast"].packet, 0 if options.to else options.repair)
    if options.to:
        lost = deliver(radio, packets, options.to)
        print(f"{len(packets) - len(lost)} of {len(packets)} packets were confirmed")
    else:
        broadcast(radio, packets)
        print(f"{len(data)} bytes are sent in {len(packets)} packets")
    radio.close()


if __name__ == "__main__":
    main()
