"""Which arm each category gets, when one budget or one quality holds for all: the multiple-choice knapsack."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from calibrator.stats.results import Floats, Integers, nonempty, numbers


@dataclass(frozen=True, slots=True)
class Allocation:
    """An arm per cell, and what they are worth and cost together, weighted by traffic."""

    arms: tuple[int, ...]
    value: float
    cost: float


@dataclass(frozen=True, slots=True)
class Step:
    """One move along the hull: ``cell`` goes from arm ``before`` to ``arm``, and a unit of value costs ``price``."""

    cell: int
    arm: int
    price: float
    before: int


@dataclass(frozen=True, slots=True)
class Hull:
    """The best allocations for every price of value, from the cheapest on; ``steps[i]`` leads to the i + 1st."""

    first: Allocation
    steps: tuple[Step, ...]
    values: tuple[float, ...]
    costs: tuple[float, ...]

    def at(self, place: int) -> Allocation:
        """The allocation after ``place`` steps."""
        arms = list(self.first.arms)
        for step in self.steps[:place]:
            arms[step.cell] = step.arm
        return Allocation(tuple(arms), self.values[place], self.costs[place])

    def within_cost(self, most: float) -> Allocation | None:
        """The most valuable of these allocations that costs at most this; None where even the cheapest costs more."""
        place = int(np.searchsorted(self.costs, most + _ROUNDING, side="right")) - 1
        return self.at(place) if place >= 0 else None

    def worth(self, least: float) -> Allocation | None:
        """The cheapest of these allocations that is worth at least this; None where none is."""
        place = int(np.searchsorted(self.values, least - _ROUNDING, side="left"))
        return self.at(place) if place < len(self.values) else None


_ROUNDING: Final = 1e-12


def sweep(values: ArrayLike, costs: ArrayLike, weights: ArrayLike) -> Hull:
    """All allocations that are best for some price of value, by a sweep of that price.

    ``values[c, a]`` and ``costs[c, a]`` are those of arm a in cell c, ``weights[c]`` the cell's traffic; a
    value of minus infinity forbids an arm. The Lagrangian relaxation of the multiple-choice knapsack
    (Sinha and Zoltners 1979, Oper. Res. 27:503): every allocation on the hull is exactly optimal for its
    own cost, and the optimum of any other cost is at most one step better than the hull's. Side
    constraints need ``choose_exactly``. Nothing is said of noise: with estimated values the hull favours
    those that were overestimated, so the chosen allocation is to be certified on other items.
    """
    worth, price, shares = _tables(values, costs, weights)
    chains = [_chain(worth[cell], price[cell]) for cell in range(len(worth))]
    start = np.array([chain[0] for chain in chains])
    cells = np.arange(len(worth))
    steps = [
        Step(cell, after, _slope(worth[cell], price[cell], before, after), before)
        for cell, chain in enumerate(chains)
        for before, after in itertools.pairwise(chain)
    ]
    steps.sort(key=lambda step: step.price)
    gains = [float(shares[step.cell] * (worth[step.cell, step.arm] - worth[step.cell, step.before])) for step in steps]
    extra = [gain * step.price for gain, step in zip(gains, steps, strict=True)]
    first = Allocation(tuple(start.tolist()), float(shares @ worth[cells, start]), float(shares @ price[cells, start]))
    values_after = tuple(np.cumsum([first.value, *gains]).tolist())
    return Hull(first, tuple(steps), values_after, tuple(np.cumsum([first.cost, *extra]).tolist()))


def _chain(worth: Floats, price: Floats) -> list[int]:
    """The arms on the upper hull of one cell, from the cheapest; of arms equally cheap, the most valuable."""
    hull: list[int] = []
    for arm in np.lexsort((-worth, price)).tolist():
        if not np.isfinite(worth[arm]) or (hull and worth[arm] <= worth[hull[-1]]):
            continue
        while len(hull) > 1 and _slope(worth, price, hull[-2], hull[-1]) >= _slope(worth, price, hull[-1], arm):
            hull.pop()
        hull.append(arm)
    if not hull:
        raise ValueError("a cell has no arm that is allowed; allow at least one")
    return hull


def _slope(worth: Floats, price: Floats, one: int, other: int) -> float:
    return float((price[other] - price[one]) / (worth[other] - worth[one]))


@dataclass(frozen=True, slots=True)
class Floor:
    """A least value for one group, such as a team: the mean over the cells, weighted by the group's own traffic."""

    weights: tuple[float, ...]
    least: float


@dataclass(frozen=True, slots=True)
class Limits:
    """What an exact allocation must keep to; ``current`` is the allocation whose changes are counted."""

    cost_at_most: float | None = None
    value_at_least: float | None = None
    floors: Sequence[Floor] = ()
    is_allowed: NDArray[np.bool_] | None = None
    current: tuple[int, ...] | None = None
    changes_at_most: int | None = None


def choose_exactly(values: ArrayLike, costs: ArrayLike, weights: ArrayLike, limits: Limits) -> Allocation | None:
    """The best allocation within the limits, or None where there is none.

    With a ``cost_at_most`` the most valuable, else the cheapest. An integer programme, solved by HiGHS
    (Huangfu and Hall 2018) to proven optimality; a hundred cells with ten arms take milliseconds. An arm
    too slow for a cell is one that ``is_allowed`` forbids. What is said of ``sweep`` about noise holds.
    """
    worth, price, shares = _tables(values, costs, weights)
    cells, arms = worth.shape
    is_allowed = np.isfinite(worth) if limits.is_allowed is None else np.isfinite(worth) & limits.is_allowed
    worth = np.where(np.isfinite(worth), worth, 0.0)
    value, cost = (shares[:, None] * worth).ravel(), (shares[:, None] * price).ravel()
    picks = csr_array((np.ones(cells * arms), (np.repeat(np.arange(cells), arms), np.arange(cells * arms))))
    constraints = [LinearConstraint(picks, 1, 1)]
    if limits.cost_at_most is not None:
        constraints.append(LinearConstraint(cost[None], -np.inf, limits.cost_at_most))
    if limits.value_at_least is not None:
        constraints.append(LinearConstraint(value[None], limits.value_at_least, np.inf))
    for floor in limits.floors:
        own = numbers(floor.weights, "a group's weights")
        constraints.append(LinearConstraint((own[:, None] / own.sum() * worth).reshape(1, -1), floor.least, np.inf))
    if limits.changes_at_most is not None:
        if limits.current is None:
            raise ValueError("changes are counted from a current allocation; give one")
        kept = np.zeros((cells, arms))
        kept[np.arange(cells), list(limits.current)] = 1
        constraints.append(LinearConstraint(kept.reshape(1, -1), cells - limits.changes_at_most, np.inf))
    objective = cost if limits.cost_at_most is None else -value
    solved = milp(
        objective, constraints=constraints, integrality=np.ones(cells * arms), bounds=Bounds(0, is_allowed.ravel())
    )
    if solved.x is None:
        return None
    chosen: Integers = solved.x.reshape(cells, arms).argmax(axis=1)
    at = (np.arange(cells), chosen)
    return Allocation(tuple(chosen.tolist()), float(shares @ worth[at]), float(shares @ price[at]))


def _tables(values: ArrayLike, costs: ArrayLike, weights: ArrayLike) -> tuple[Floats, Floats, Floats]:
    worth, price = np.asarray(values, dtype=np.float64), np.asarray(costs, dtype=np.float64)
    shares = nonempty(numbers(weights, "weights"), "weights")
    if worth.shape != price.shape or worth.shape[:1] != shares.shape or worth.ndim != _TABLE:
        raise ValueError("values and costs are tables of cells by arms, with one weight a cell")
    if np.isnan(worth).any() or (worth == np.inf).any() or not np.isfinite(price).all() or (shares < 0).any():
        raise ValueError("costs and weights are finite, weights not negative, and values below infinity")
    return worth, price, shares


_TABLE: Final = 2
