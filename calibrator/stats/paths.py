"""The order in which rules are tried: from the reference everywhere to the cheapest arm everywhere.

A rule is an arm per cell. Each step of a path makes one group of cells cheaper, first where most is saved for
the risk that is expected. The order decides how far a certificate reaches, never whether it holds, so long as
it comes from elsewhere than the outcomes that are tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from calibrator.stats.results import Floats, numbers

Rule = tuple[int, ...]


def expected_risk(difficulty: Sequence[int], costs: ArrayLike, reference: int) -> Floats:
    """What each arm is expected to lose in each cell, up to a factor, before anything was measured.

    Twice as much from one difficulty to the next, and in proportion to the logarithm of how much cheaper
    than the reference the arm is. An assumption and no estimate: it ranks steps until measurements of an
    earlier run, shrunk as in ``curves``, take its place. ``costs`` are cells by arms.
    """
    price = np.asarray(costs, dtype=np.float64)
    least = price[:, [reference]] * _LEAST_SHARE
    gaps = np.log(np.maximum(price[:, [reference]], _ALMOST_FREE) / np.maximum(price, np.maximum(least, _ALMOST_FREE)))
    risk: Floats = 2.0 ** np.asarray(difficulty, dtype=np.float64)[:, None] * np.maximum(gaps, 0)
    risk[:, reference] = 0
    return risk


_LEAST_SHARE: Final = 1e-3
"""The share of the reference's cost below which an arm counts as no cheaper."""
_ALMOST_FREE: Final = 1e-12


def cheaper_by_steps(
    risk: ArrayLike, costs: ArrayLike, weights: ArrayLike, reference: int, groups: Sequence[int]
) -> tuple[Rule, ...]:
    """The rules of a path, each one step cheaper than the one before; the first is one step from the reference.

    ``risk[c, a]`` is the expected loss of arm a in cell c against the reference, ``weights`` the cells'
    shares of the traffic; cells with the same number in ``groups`` move together. At each step the move
    with the largest saving for its further risk is taken, one that lowers the risk before all others, and
    of equals the one that saves most. Arms that cost no less than where a group stands are left out.
    """
    shares = numbers(weights, "weights")
    lost, price = np.asarray(risk, dtype=np.float64), np.asarray(costs, dtype=np.float64)
    kinds, place = np.unique(np.asarray(groups), return_inverse=True)
    if lost.shape != price.shape or lost.shape[:1] != shares.shape or place.shape != shares.shape:
        raise ValueError("risk and costs are tables of cells by arms, with a weight and a group for each cell")
    gathered = np.zeros((kinds.size, shares.size))
    gathered[place, np.arange(shares.size)] = shares
    group_risk, group_cost = gathered @ lost, gathered @ price
    current = np.full(kinds.size, reference)
    everyone = np.arange(kinds.size)
    rules: list[Rule] = []
    while True:
        saving = group_cost[everyone, current][:, None] - group_cost
        further = group_risk - group_risk[everyone, current][:, None]
        worth = np.where(further > 0, saving / np.where(further > 0, further, 1), np.inf)
        worth[saving <= _ROUNDING] = -np.inf
        if worth.max() == -np.inf:
            return tuple(rules)
        best = np.flatnonzero(worth.ravel() >= worth.max() * (1 - _ROUNDING))
        chosen = int(best[np.argmax(saving.ravel()[best])])
        current[chosen // worth.shape[1]] = chosen % worth.shape[1]
        rules.append(tuple(current[place].tolist()))


_ROUNDING: Final = 1e-9
"""What counts as no saving, and as no difference between two moves."""
