"""Tests of calibrator/prm/rollouts.py."""

from __future__ import annotations

from math import comb

import pytest

from calibrator.prm.rollouts import Rollouts, still_wanted


@pytest.mark.parametrize(
    ("drawn", "right", "wanted"),
    [(0, 0, 4), (2, 2, 2), (4, 4, 0), (4, 0, 0), (4, 3, 4), (6, 3, 2), (8, 3, 0), (8, 8, 0)],
)
def test_the_other_half_is_drawn_only_where_the_first_does_not_agree(drawn: int, right: int, wanted: int) -> None:
    """Of eight, four are drawn first; what an interruption left is filled up to where the rule stands."""
    assert still_wanted(Rollouts(drawn, right), 8) == wanted


def test_all_are_drawn_where_the_rule_is_off() -> None:
    """Not adaptive, a prefix has all of its completions."""
    assert still_wanted(Rollouts(), 8, is_adaptive=False) == 8
    assert still_wanted(Rollouts(4, 4), 8, is_adaptive=False) == 4


@pytest.mark.parametrize("per_prefix", [2, 3])
def test_two_at_least_can_agree(per_prefix: int) -> None:
    """One completion agrees with nothing: at least two are drawn."""
    assert still_wanted(Rollouts(), per_prefix) == 2


@pytest.mark.parametrize(("per_prefix", "stated"), [(8, 0.041), (4, 0.049)])
def test_the_bias_is_what_the_docstring_says(per_prefix: int, stated: float) -> None:
    """Computed exactly for every chance of success, the mean estimate is off by no more than is stated."""
    worst = max(abs(_mean(per_prefix, chance / 200) - chance / 200) for chance in range(201))
    assert stated - 0.002 < worst <= stated


def _mean(per_prefix: int, chance: float) -> float:
    """The mean of the estimate, over all outcomes of the completions."""
    first = still_wanted(Rollouts(), per_prefix)
    mean = 0.0
    for right in range(first + 1):
        weight = comb(first, right) * chance**right * (1 - chance) ** (first - right)
        more = still_wanted(Rollouts(first, right), per_prefix)
        mean += weight * (right + more * chance) / (first + more)
    return mean
