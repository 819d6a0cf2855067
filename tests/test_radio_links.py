"""The examples for radio networks, on the networks' own packages: Meshtastic's interface and two Reticulum instances."""

import random
import runpy
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers.commands import environment
from helpers.pictures import EXAMPLES

import osdcodec
from osdcodec.checks.conformance import VECTORS
from osdcodec.links.transfer import split

FILE = (VECTORS / "conformance" / "anchor-1.osd").read_bytes()
NODES = 0x11111111, 0x22222222


class Air:
    """What is between radios: loses every n-th packet and hands the others on in another order."""

    def __init__(self, lose: int, seed: int = 3) -> None:
        self.lose, self.draw, self.sent, self.lost, self.waiting = lose, random.Random(seed), 0, 0, []

    def carry(self, packet) -> bool:
        self.sent += 1
        if self.sent % self.lose == 0:
            self.lost += 1
            return False
        self.waiting.append(packet)
        return True

    def deliver(self, radio) -> None:
        self.draw.shuffle(self.waiting)
        while self.waiting:
            radio._handlePacketFromRadio(self.waiting.pop())


@pytest.fixture
def mesh():
    """Two of the package's own interfaces, whose radios are joined by air: sender, receiver, air."""
    pytest.importorskip("meshtastic")
    pytest.importorskip("pubsub")
    from meshtastic.mesh_interface import MeshInterface
    from meshtastic.protobuf import mesh_pb2, portnums_pb2

    air = Air(lose=4)

    class Radio(MeshInterface):
        def __init__(self, number: int) -> None:
            super().__init__()
            self.number, self.peer = number, None
            self.nodes, self.nodesByNum = {}, {}
            self.isConnected.set()

        def _sendToRadioImpl(self, toRadio) -> None:
            sent = mesh_pb2.MeshPacket()
            sent.CopyFrom(toRadio.packet)
            setattr(sent, "from", self.number)
            arrived = air.carry(sent)
            if sent.want_ack:
                air.deliver(self.peer)
                self._handlePacketFromRadio(self._answer(sent, arrived))

        def _answer(self, sent, arrived: bool):
            routing = mesh_pb2.Routing()
            routing.error_reason = mesh_pb2.Routing.NONE if arrived else mesh_pb2.Routing.MAX_RETRANSMIT
            answer = mesh_pb2.MeshPacket(to=self.number)
            setattr(answer, "from", self.peer.number if arrived else self.number)
            answer.decoded.portnum = portnums_pb2.PortNum.ROUTING_APP
            answer.decoded.request_id = sent.id
            answer.decoded.payload = routing.SerializeToString()
            return answer

    sender, receiver = map(Radio, NODES)
    sender.peer, receiver.peer = receiver, sender
    yield SimpleNamespace(sender=sender, receiver=receiver, air=air, example=example("meshtastic_link"))


def example(name: str) -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(EXAMPLES / f"{name}.py")))


def written(folder: Path, seconds: float = 120) -> bytes:
    """The one file that a receiver writes, within so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := [path for path in folder.iterdir() if path.suffix == ".osd" and path.stat().st_size]:
            return found[0].read_bytes()
        time.sleep(0.02)
    return b"nothing came"


def test_meshtastic_broadcasts_with_repair(mesh, tmp_path):
    """A quarter of the packets is lost and the others come in another order; nobody answers."""
    receiver = mesh.example.Receiver(mesh.receiver, tmp_path)
    packets = split(FILE, 40, repair=1.0)
    mesh.example.broadcast(mesh.sender, packets, pauses=0)
    assert not receiver.written and mesh.air.lost == len(packets) // 4 > 0
    mesh.air.deliver(mesh.receiver)
    assert written(tmp_path) == FILE


def test_meshtastic_repeats_what_is_not_acknowledged(mesh, tmp_path):
    receiver = mesh.example.Receiver(mesh.receiver, tmp_path)
    packets = split(FILE, 40)
    assert mesh.example.deliver(mesh.sender, packets, f"!{NODES[1]:08x}", patience=5) == []
    assert mesh.air.lost > 0 and mesh.air.sent == len(packets) + mesh.air.lost
    assert written(tmp_path) == FILE and receiver.radio is mesh.receiver


def test_meshtastic_says_what_was_never_acknowledged(mesh, tmp_path):
    mesh.air.lose = 1
    packets = split(FILE, 100)
    assert mesh.example.deliver(mesh.sender, packets, f"!{NODES[1]:08x}", patience=5) == packets


def test_meshtastic_takes_no_longer_packets_than_links_say(mesh):
    from meshtastic.mesh_interface import MeshInterface

    from osdcodec.links.airtime import links

    size = links()["lora-longfast"].packet
    mesh.sender.sendData(bytes(size))
    with pytest.raises(MeshInterface.MeshInterfaceError, match="too big"):
        mesh.sender.sendData(bytes(size + 1))


CONFIG = """[reticulum]
enable_transport = no
share_instance = no
[interfaces]
[[loopback]]
type = UDPInterface
enabled = yes
listen_ip = 127.0.0.1
listen_port = {listen}
forward_ip = 127.0.0.1
forward_port = {forward}
bitrate = 1000
"""


class SlowLink(threading.Thread):
    """Carries datagrams between two ports of this machine at so many bits per second, and loses every n-th."""

    def __init__(self, bits_per_second: float, lose: int) -> None:
        super().__init__(daemon=True)
        self.rate, self.lose, self.carried, self.lost, self.ended = bits_per_second, lose, 0, 0, False
        self.inputs = [self.bound() for _ in NODES]
        with self.bound() as first, self.bound() as second:
            self.listeners = [taken.getsockname()[1] for taken in (first, second)]

    @staticmethod
    def bound() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind(("127.0.0.1", 0))
        made.settimeout(0.05)
        return made

    def config(self, side: int) -> str:
        return CONFIG.format(listen=self.listeners[side], forward=self.inputs[side].getsockname()[1])

    def run(self) -> None:
        while not self.ended:
            for side, taken in enumerate(self.inputs):
                try:
                    data = taken.recv(65535)
                except TimeoutError:
                    continue
                time.sleep(8 * len(data) / self.rate)
                self.carried += 1
                if self.carried % self.lose == 0:
                    self.lost += 1
                else:
                    taken.sendto(data, ("127.0.0.1", self.listeners[1 - side]))


@pytest.fixture
def reticulum(tmp_path, photo) -> Iterator[SimpleNamespace]:
    """Two instances with a link of 1 kbit/s between them that loses every fifth packet; one of them receives."""
    pytest.importorskip("RNS")
    pytest.importorskip("LXMF")
    link = SlowLink(1000, lose=5)
    for side, name in enumerate(("sender", "receiver")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config").write_text(link.config(side))
    link.start()
    photo.resize((96, 64)).save(tmp_path / "photo.png")
    script = str(EXAMPLES / "reticulum_link.py")

    def command(name: str, *words: str) -> list[str]:
        return [sys.executable, script, *words, "--config", str(tmp_path / name)]

    receive = command("receiver", "receive", str(tmp_path / "arrived"))
    with subprocess.Popen(receive, stdout=subprocess.PIPE, text=True, env=environment()) as receiver:
        address = receiver.stdout.readline().split()[-1]

        def send(path: Path, *options: str) -> str:
            words = "send", str(path), address, *options
            done = subprocess.run(
                command("sender", *words), env=environment(), capture_output=True, text=True, timeout=240
            )
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        yield SimpleNamespace(send=send, link=link, arrived=tmp_path / "arrived")
        receiver.terminate()
    link.ended = True
    link.join()


def test_reticulum_carries_packets_and_messages(reticulum, tmp_path):
    """Packets with repair go one way; the message of LXMF is repeated until it is confirmed."""
    file = VECTORS / "embedded" / "chelsea.osd"
    assert "packets" in reticulum.send(file, "--packets", "--size", "72", "--repair", "1")
    assert written(reticulum.arrived) == file.read_bytes()
    assert "delivered" in reticulum.send(tmp_path / "photo.png", "--bytes", "250")
    end = time.monotonic() + 120
    while len(found := list(reticulum.arrived.glob("*.osd"))) < 2 and time.monotonic() < end:
        time.sleep(0.1)
    (message,) = (data for path in found if (data := path.read_bytes()) != file.read_bytes())
    assert osdcodec.info(message)["width"] == 96 and len(message) <= 250
    assert reticulum.link.lost > 0
