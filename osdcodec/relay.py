"""Several steps of the relay residual by a network of one step (RDEIC, eq. 2 to 6): arithmetic on arrays and tensors alike."""

from collections.abc import Callable, Sequence
from typing import Any


def relay(step: Callable[[Any, int], Any], z_c: Any, noise: Any, ratios: Sequence[Any]) -> Any:
    """step(noise, place) -> z_hat from z_n = signal · z_c + deviation · noise at the level of that place; noise: eps of the start

    ratios: signal / deviation of each level visited, the start first. Between two levels DDIM (Song et al., 2021) keeps the noise
    that z_n seems to hold, eps_n = (z_n - signal z_hat) / deviation: as RDEIC's eq. 6 has it, eps + rho e is the same at all of
    them. Seen from z_c, about which the network of one step thinks, that noise is eps_n + ratio (z_hat - z_c).
    """
    z_hat = step(noise, 0)
    for place in range(1, len(ratios)):
        noise = noise + (ratios[place] - ratios[place - 1]) * (z_hat - z_c)
        z_hat = step(noise, place)
    return z_hat
