"""How durations are spread: quantiles within a tenth, from counts that add up."""

from __future__ import annotations

import math
from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.spread import BOUNDS, BUCKETS, Spread, joined


def spread_of(durations: list[float]) -> Spread:
    """The spread of these, as the database counts them."""
    return joined({str(bisect_left(BOUNDS, each)): 1} for each in durations)


@given(st.lists(st.floats(0.001, 1000.0), min_size=1, max_size=50), st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0]))
def test_quantiles_are_true_to_a_tenth(durations: list[float], share: float) -> None:
    """A quantile is within 10% of the duration that it stands for."""
    told = spread_of(durations).quantile(share)
    true = sorted(durations)[max(1, math.ceil(share * len(durations))) - 1]
    assert told == pytest.approx(true, rel=0.1)


def test_nothing_has_no_quantile() -> None:
    """Without durations there is none to tell."""
    assert joined([]).quantile(0.5) is None
    assert joined([{}]).total == 0


def test_spreads_add_up() -> None:
    """Counts of the same bucket are added, whichever hour they are of."""
    assert joined([{"3": 2, "5": 1}, {"3": 1}]) == Spread({3: 3, 5: 1})


def test_the_ends_are_counted() -> None:
    """What is shorter or longer than any bucket lies in the first or in the last."""
    assert len(BOUNDS) == BUCKETS - 1
    assert spread_of([0.0, 1e6]) == Spread({0: 1, BUCKETS - 1: 1})
