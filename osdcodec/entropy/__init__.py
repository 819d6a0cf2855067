"""Symbols <-> bytes, in integers only: the rANS stack, the integer network and the prior over it. No torch."""

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
