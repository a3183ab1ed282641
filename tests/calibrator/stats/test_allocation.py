"""Tests of calibrator/stats/allocation.py."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from calibrator.stats.allocation import Allocation, Floor, Limits, choose_exactly, sweep

_RANDOM = np.random.default_rng(13)
_VALUES = np.sort(_RANDOM.random((5, 4)), axis=1)
_VALUES[3] = _VALUES[3, ::-1]
_COSTS = np.sort(_RANDOM.random((5, 4)), axis=1)
_WEIGHTS = _RANDOM.dirichlet(np.ones(5))
_EVERY = [Allocation(arms, float(_WEIGHTS @ _VALUES[range(5), arms]), float(_WEIGHTS @ _COSTS[range(5), arms]))
          for arms in itertools.product(range(4), repeat=5)]  # fmt: skip


def test_every_allocation_on_the_hull_is_the_best_of_its_cost() -> None:
    """No allocation of all that there are costs as little and is worth more."""
    hull = sweep(_VALUES, _COSTS, _WEIGHTS)
    assert len(hull.steps) > 4
    for place in range(len(hull.steps) + 1):
        ours = hull.at(place)
        best = max(each.value for each in _EVERY if each.cost <= ours.cost + 1e-12)
        assert ours.value == pytest.approx(best)
        assert ours.cost == pytest.approx(float(_WEIGHTS @ _COSTS[range(5), ours.arms]))
    assert hull.at(len(hull.steps)).value == pytest.approx(max(each.value for each in _EVERY))


def test_value_gets_dearer_along_the_hull() -> None:
    """The price of value rises from step to step, and a step leads from where its cell was."""
    hull = sweep(_VALUES, _COSTS, _WEIGHTS)
    prices = [step.price for step in hull.steps]
    assert prices == sorted(prices)
    assert all(hull.at(place).arms[step.cell] == step.before for place, step in enumerate(hull.steps))


def test_the_hull_answers_for_a_budget_and_for_a_quality() -> None:
    """It gives the most valuable within a cost and the cheapest of a value, and None where there is none."""
    hull = sweep(_VALUES, _COSTS, _WEIGHTS)
    middle = hull.at(3)
    assert hull.within_cost(middle.cost) == middle
    assert hull.worth(middle.value) == middle
    assert hull.within_cost(hull.first.cost - 0.001) is None
    assert hull.worth(1.1) is None


@pytest.mark.parametrize("most", [0.3, 0.4, 0.6])
def test_exact_choice_is_the_best_of_all_within_a_cost(most: float) -> None:
    """The integer programme finds what trying every allocation finds."""
    ours = choose_exactly(_VALUES, _COSTS, _WEIGHTS, Limits(cost_at_most=most))
    allowed = [each for each in _EVERY if each.cost <= most]
    assert ours is not None
    assert ours.value == pytest.approx(max(each.value for each in allowed))


def test_exact_choice_keeps_side_constraints() -> None:
    """With a floor for a team, an arm forbidden and two changes at most, it is the cheapest of those that comply."""
    team = (1.0, 2.0, 0.0, 0.0, 0.0)
    is_allowed = np.ones((5, 4), dtype=bool)
    is_allowed[2, 3] = False
    current = (1, 1, 1, 1, 1)
    limits = Limits(
        value_at_least=0.4, floors=[Floor(team, 0.5)], is_allowed=is_allowed, current=current, changes_at_most=2
    )
    ours = choose_exactly(_VALUES, _COSTS, _WEIGHTS, limits)

    def complies(each: Allocation) -> bool:
        floor = (_VALUES[0, each.arms[0]] + 2 * _VALUES[1, each.arms[1]]) / 3
        changes = sum(arm != kept for arm, kept in zip(each.arms, current, strict=True))
        return each.value >= 0.4 and floor >= 0.5 and each.arms[2] != 3 and changes <= 2

    assert ours is not None
    assert complies(ours)
    assert ours.cost == pytest.approx(min(each.cost for each in _EVERY if complies(each)))


def test_what_cannot_be_kept_has_no_answer() -> None:
    """Limits that no allocation keeps give None."""
    assert choose_exactly(_VALUES, _COSTS, _WEIGHTS, Limits(cost_at_most=0.0)) is None


def test_forbidden_arms_are_never_taken() -> None:
    """A value of minus infinity keeps an arm out of the hull and out of the exact choice."""
    values = _VALUES.copy()
    values[:, 3] = -np.inf
    hull = sweep(values, _COSTS, _WEIGHTS)
    assert 3 not in hull.at(len(hull.steps)).arms
    ours = choose_exactly(values, _COSTS, _WEIGHTS, Limits(cost_at_most=9.0))
    assert ours is not None
    assert 3 not in ours.arms
    values[0] = -np.inf
    with pytest.raises(ValueError, match="no arm that is allowed"):
        sweep(values, _COSTS, _WEIGHTS)


def test_tables_that_do_not_fit_are_refused() -> None:
    """Tables of unlike shape, values that are no numbers and changes from nowhere raise ValueError."""
    with pytest.raises(ValueError, match="tables of cells by arms"):
        sweep(_VALUES, _COSTS[:, :2], _WEIGHTS)
    with pytest.raises(ValueError, match="finite"):
        sweep(_VALUES * np.nan, _COSTS, _WEIGHTS)
    with pytest.raises(ValueError, match="current allocation"):
        choose_exactly(_VALUES, _COSTS, _WEIGHTS, Limits(changes_at_most=1))
