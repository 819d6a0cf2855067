"""The mean of the weights of several checkpoints: `python -m osdcodec.training.average OUT CHECKPOINT=SHARE …`.

States of one run, or of runs that went on from each other, average to a model better than any of them (model soups, Wortsman et
al., 2022; lab book, revisions 5 and 6). OUT may be called start.pt, from which stage `codec` goes on, averaged.pt, which stage `prior`
then takes in place of codec.pt, or model.pt, for `export`.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from ..console import run_command
from .checkpoints import load


def average(checkpoints: dict[Path, float]) -> dict[str, Tensor]:
    """Checkpoints, as `checkpoints.load` takes them, and their shares, which sum to one -> a state dict.

    ValueError if they do not. Counts and other integers are those of the first.
    """
    if abs(sum(checkpoints.values()) - 1) > 1e-6:
        raise ValueError(f"the shares sum to {sum(checkpoints.values()):g}, not to 1")
    states = [load(path).state_dict() for path in checkpoints]
    return {
        name: sum(share * state[name] for state, share in zip(states, checkpoints.values(), strict=True))
        if first.is_floating_point()
        else first
        for name, first in states[0].items()
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.training.average", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("checkpoints", nargs="+", metavar="CHECKPOINT=SHARE")
    options = parser.parse_args(arguments)
    pairs = (text.rpartition("=") for text in options.checkpoints)
    try:
        state = average({Path(path): float(share) for path, _, share in pairs})
    except ValueError as error:
        parser.error(str(error))
    torch.save(state, options.out)


if __name__ == "__main__":
    run_command(main)
