"""How often a file comes back whole when packets are lost: `python -m osdcodec.maintenance.benchmarks.packet_loss`.

Each trial sends the packets of `osdcodec.links` in random order and drops each with the same probability.
"""

import argparse
import random

from rich.console import Console
from rich.table import Table

from ...console import run_command
from ...links.transfer import arrivals, split

SENDINGS = ((13, 0.25), (13, 0.8), (100, 0.25), (100, 0.5))  # pieces, repair packets per piece
LOSSES = (0.1, 0.2, 0.3)


def restored(pieces: int, repair: float, loss: float, trials: int, seed: int = 0, packet: int = 200) -> int:
    """In how many trials a file of so many pieces came back."""
    draw = random.Random(f"{seed} {pieces} {repair} {loss}")
    size = (packet - 10) // 8 * 8
    data = draw.randbytes(pieces * size - draw.randrange(size))
    packets, count = split(data, packet, repair), 0
    for _ in range(trials):
        arrived = [packet for packet in packets if draw.random() >= loss]
        draw.shuffle(arrived)
        found = arrivals(arrived)
        count += bool(found.transfers) and found.only().whole() == data
    return count


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.maintenance.benchmarks.packet_loss", description=__doc__)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--packet", type=int, default=200, help="bytes")
    options = parser.parse_args(arguments)
    view = Table(
        "pieces", "repair", *(f"{loss:.0%} lost" for loss in LOSSES), title=f"whole, of {options.trials} trials"
    )
    for pieces, repair in SENDINGS:
        counts = [restored(pieces, repair, loss, options.trials, packet=options.packet) for loss in LOSSES]
        view.add_row(str(pieces), f"{repair:.0%}", *map(str, counts))
    Console().print(view)


if __name__ == "__main__":
    run_command(main)
