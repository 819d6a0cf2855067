"""A picture through a link that loses packets: sender and receiver are two processes with a UDP socket between them.

    python examples/udp_link.py photo.jpg -o grown/ --loss 0.2 --repair 0.5

The socket drops packets at random, as a bad radio link does. The receiver draws the picture anew whenever more of its
beginning has arrived, as grown/1.png, grown/2.png, …, and last as grown/whole.png once enough packets have.
"""

import argparse
import random
import socket
import subprocess
import sys
import time
from pathlib import Path

import osdcodec
from osdcodec.links.transfer import Arrivals, split

END = b"end"  # a stranger to the packet layer


def send(options: argparse.Namespace) -> None:
    data = osdcodec.encode(options.photo, options.lmbda, progressive=True)
    packets, draw = split(data, options.packet, options.repair), random.Random(options.seed)
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    lost = 0
    for packet in [packets[0], *packets]:  # the first piece twice: without it there is nothing to show
        if draw.random() < options.loss:
            lost += 1
        else:
            link.sendto(packet, ("127.0.0.1", options.port))
        time.sleep(options.pause)
    link.sendto(END, ("127.0.0.1", options.port))
    print(f"sent {len(data)} bytes in {len(packets) + 1} packets, of which {lost} were lost on the way", flush=True)


def receive(options: argparse.Namespace) -> None:
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    link.bind(("127.0.0.1", options.port))
    link.settimeout(120)
    print("listening", flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    decoder, arrivals, shown, drawn, transfer = osdcodec.Decoder(), Arrivals(), 0, 0, None
    while (datagram := link.recv(65535)) != END:
        transfer = arrivals.add(datagram) or transfer
        if transfer is None or transfer.whole() is not None:
            continue
        beginning = transfer.beginning()
        if len(beginning) > shown:
            try:
                picture = decoder.decode(beginning, partial=True)
            except osdcodec.FormatError:  # not enough for a first picture yet
                continue
            shown, drawn = len(beginning), drawn + 1
            picture.save(options.output / f"{drawn}.png")
            print(f"picture {drawn}: {shown} of {transfer.length} bytes", flush=True)
    whole = transfer and transfer.whole()
    if whole:
        decoder.decode(whole).save(options.output / "whole.png")
    print("the whole file has come" if whole else "the file stays incomplete", flush=True)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("grown"))
    parser.add_argument("--lambda", dest="lmbda", type=float, default=0.5)
    parser.add_argument("--packet", type=int, default=200, help="bytes")
    parser.add_argument("--repair", type=float, default=0.5, help="repair packets per piece")
    parser.add_argument("--loss", type=float, default=0.2, help="probability that a packet is lost")
    parser.add_argument("--pause", type=float, default=0.2, help="seconds between packets")
    parser.add_argument("--seed", type=int, default=None, help="of the losses")
    parser.add_argument("--port", type=int, default=None)
    parser.add_argument("--as", dest="role", choices=("both", "sender", "receiver"), default="both")
    options = parser.parse_args()
    if options.role == "sender":
        return send(options)
    if options.role == "receiver":
        return receive(options)
    command = [sys.executable, __file__, *sys.argv[1:], "--port", str(options.port or free_port()), "--as"]
    receiver = subprocess.Popen([*command, "receiver"], stdout=subprocess.PIPE, text=True)
    assert receiver.stdout
    print(receiver.stdout.readline(), end="")  # it listens by now
    sender = subprocess.Popen([*command, "sender"])
    for line in receiver.stdout:
        print(line, end="", flush=True)
    sys.exit(sender.wait() or receiver.wait())


if __name__ == "__main__":
    main()
