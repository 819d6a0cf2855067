"""Effort: how much an encoder searches for better symbols. No torch, no numpy.

The variable OSDC_EFFORT, a level from 0 to 10, sets what "auto" means: on slow machines, 0 encodes at once.
"""

import os
from dataclasses import dataclass
from typing import Literal

from .errors import InputError

Effort = int | Literal["auto"]
HIGHEST = 10
VARIABLE = "OSDC_EFFORT"
# (Pixels, level): up to so many pixels "auto" is that level; above the last, 0, for time grows with the pixels.
AUTO = (600_000, 2), (1_050_000, 1)


@dataclass(frozen=True)
class Plan:
    """How much is done for each window of a picture."""

    steps: int
    # Side of where VGG16 looks, in pixels: at all of the picture it would take longer than everything else.
    place: int = 256
    rate: float = 1.0  # of the lengths of steps: the more there are, the shorter


# Levels 1 to 10.
LEVELS = (
    Plan(1, 128),
    Plan(2, 128),
    Plan(3, 128),
    Plan(4, 192, 0.9),
    Plan(5, rate=0.8),
    Plan(7, rate=0.7),
    Plan(10, rate=0.6),
    Plan(13, rate=0.5),
    Plan(16, rate=0.45),
    Plan(20, rate=0.4),
)


def checked(effort: Effort) -> Effort:
    """The effort as it is. ValueError if it is neither "auto" nor a whole number 0 .. 10."""
    if effort == "auto" or (isinstance(effort, int) and 0 <= effort <= HIGHEST):
        return effort
    raise ValueError(f"effort must be auto or a whole number from 0 to {HIGHEST}, not {effort}")


def plan_for(effort: Effort, width: int, height: int) -> Plan | None:
    """The plan for a picture of width x height pixels, the same on every machine; None for no search.

    InputError if OSDC_EFFORT is asked for and is no level.
    """
    named = os.environ.get(VARIABLE, "")
    if effort == "auto" and named:
        if not named.isdecimal() or int(named) > HIGHEST:
            raise InputError(f"{VARIABLE} must be a whole number from 0 to {HIGHEST}, not {named}")
        effort = int(named)
    automatic = next((steps for pixels, steps in AUTO if width * height <= pixels), 0)
    level = effort if isinstance(effort, int) else automatic
    return LEVELS[level - 1] if level else None
