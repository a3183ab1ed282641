"""How many misses a promise allows in so many simulated runs."""

from __future__ import annotations

from typing import Final

from scipy.stats import binom

_DOUBT: Final = 0.001


def most_misses(runs: int, risk: float) -> int:
    """The number of misses that a promise kept at exactly this risk exceeds once in a thousand simulations."""
    return int(binom.isf(_DOUBT, runs, risk))


def fewest_misses(runs: int, risk: float) -> int:
    """The number of misses that a risk of exactly this much falls short of once in a thousand simulations."""
    return int(binom.ppf(_DOUBT, runs, risk))
