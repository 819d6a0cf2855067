"""The descent of the encoder's search: where to go from a gradient, and at which price of a bit."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

Arrays = tuple[np.ndarray, ...]
TRIES = 4  # prices that are tried for a step
NEAR = 0.996  # share of the bits wanted from which on a price is good enough
WIDEST = 4.0  # times the usual price, and a part of it: farther away no price is sought


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba, 2015) on several arrays; what hardly matters stays where it is.

    By itself Adam moves all values alike, and zeros would cease to be zeros. So its small number is as large as the first
    gradient's root mean square.
    """

    rate: float
    steps: int  # in all; the rate falls to zero by a half cosine
    first_beta: float = 0.3
    second_beta: float = 0.99
    step: int = 0
    small: float = 0.0
    means: Arrays = ()
    squares: Arrays = ()

    def moved(self, places: Arrays, gradients: Arrays) -> tuple["Adam", Arrays]:
        """One step: the descent as it is then, and the new places."""
        small = self.small if self.step else float(np.sqrt(np.square(gradients[0]).mean()))
        means = self.means or tuple(np.zeros_like(part) for part in gradients)
        squares = self.squares or means
        beta, other = self.first_beta, self.second_beta
        means = tuple(beta * m + (1 - beta) * g for m, g in zip(means, gradients, strict=True))
        squares = tuple(other * s + (1 - other) * g * g for s, g in zip(squares, gradients, strict=True))
        done = self.step + 1
        rate = self.rate * (1 + np.cos(np.pi * self.step / self.steps)) / 2
        fair, fair_square = 1 - beta**done, 1 - other**done
        found = tuple(
            place - np.float32(rate) * (m / fair) / (np.sqrt(s / fair_square) + small)
            for place, m, s in zip(places, means, squares, strict=True)
        )
        return replace(self, step=done, small=small, means=means, squares=squares), found


def priced_step(
    descent: Adam,
    places: Arrays,
    of_distortion: Arrays,
    of_bits: Arrays,
    price: float,
    bits: Callable[[Arrays], float],
    wanted: float,
) -> tuple[Adam, Arrays, float, float]:
    """The step whose bits come nearest to those wanted, from below if there is one.

    Args:
        descent: What makes the step.
        places: Where to begin.
        of_distortion, of_bits: Gradients there.
        price: Usual price of a bit, in units of the distortion.
        bits: Counts the bits of a place.
        wanted: How many there may be.

    Returns:
        The descent and the place after the step, its bits, and the price that led there.
    """
    # Logarithms of prices that lead to too many bits and to few enough, and the shares of the bits wanted where these are known.
    low, high = np.log(price / WIDEST), np.log(price * WIDEST)
    above, below = math.nan, math.nan
    best, at = None, np.log(price)
    for _ in range(TRIES):
        gradients = tuple(d + np.float32(np.exp(at)) * b for d, b in zip(of_distortion, of_bits, strict=True))
        after, found = descent.moved(places, gradients)
        count = bits(found)
        made = after, found, count, float(np.exp(at))
        if best is None or _rank(count, wanted) > _rank(best[2], wanted):
            best = made
        if NEAR * wanted < count <= wanted:
            break
        if count <= wanted:
            high, below = at, count / wanted
        else:
            low, above = at, count / wanted
        part = (above - (1 + NEAR) / 2) / (above - below)  # by a straight line, or in the middle
        at = low + (high - low) * (0.5 if math.isnan(part) else min(max(part, 0.15), 0.85))
    assert best is not None
    return best


def _rank(bits: float, wanted: float) -> tuple[bool, float]:
    """How good so many bits are: what fits before what does not, and of either what is nearer to those wanted."""
    fits = bits <= wanted
    return fits, bits if fits else -bits
