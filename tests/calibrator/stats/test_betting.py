"""Tests of calibrator/stats/betting.py."""

from __future__ import annotations

import math

import numpy as np
import pytest
from mapie.risk_control.methods import get_r_hat_plus
from ville import BettingCS

from calibrator.stats.betting import Side, bound_mean, bound_paired_loss, refute_high_mean, sequence

_RANDOM = np.random.default_rng(5)
_LOSSES = (_RANDOM.random(400) < 0.06).astype(float)


def test_upper_bound_is_near_that_of_mapie() -> None:
    """MAPIE lays nearly the same bets, but adds the largest capitals of both halves: its bound is a little lower."""
    grid = np.linspace(0, 0.3, 151)
    _, theirs = get_r_hat_plus(np.tile(_LOSSES[:, None], (1, grid.size)), grid, "rcps", "wsr", 0.1, 0.25)
    ours = bound_mean(_LOSSES, 0.9, side=Side.UPPER).upper
    assert theirs[0] - grid[1] <= ours <= theirs[0] + 0.015


def test_sequence_is_near_that_of_ville() -> None:
    """ville's hedged capital, with smaller cuts and on a grid, gives intervals within a fifth of the width."""
    values = _RANDOM.beta(2, 5, 600)
    theirs = BettingCS(alpha=0.1, c=0.75, grid=4_000).update(values)
    ours = sequence(values, 0.9, looks=(100, 300, 600))
    for place, size in enumerate(ours.sample_sizes):
        width = theirs.upper_[size - 1] - theirs.lower_[size - 1]
        assert ours.lower[place] == pytest.approx(theirs.lower_[size - 1], abs=0.2 * width)
        assert ours.upper[place] == pytest.approx(theirs.upper_[size - 1], abs=0.2 * width)


def test_capital_by_hand() -> None:
    """The p-value is one over the largest capital of bets that are set, one by one, from the values before them."""
    for values, null in ((np.linspace(0.3, 0.5, 40), 0.55), (np.array([0.0, 0.0, 1.0]), 0.6)):
        bets = np.sqrt(2 * math.log(10) / (values.size * _variances(values)))
        grown = np.cumsum(np.log1p(np.minimum(bets, 0.75 / (1 - null)) * (null - values))).max()
        assert refute_high_mean(values, null, 0.9).p_value == pytest.approx(math.exp(-grown))
    assert refute_high_mean([1.0, 1.0], 0.6, 0.9).p_value == 1


def test_bounds_narrow_with_items_and_with_agreement() -> None:
    """A larger sample and a smaller variance bring the bound closer."""
    rare, often = np.tile([0.0] * 19 + [1.0], 20), np.tile([0.0, 1.0], 200)
    gap = {name: bound_mean(values, 0.9, side=Side.UPPER) for name, values in (("rare", rare), ("often", often))}
    assert gap["rare"].upper - 0.05 < 0.6 * (gap["often"].upper - 0.5)
    assert bound_mean(np.tile(rare, 10), 0.9, side=Side.UPPER).upper < gap["rare"].upper


def test_both_sides_mirror_each_other() -> None:
    """Bounds of one less the values are one less the bounds, and a single side is closer than both."""
    ours, mirrored = bound_mean(_LOSSES, 0.9), bound_mean(1 - _LOSSES, 0.9)
    assert (ours.lower, ours.upper) == pytest.approx((1 - mirrored.upper, 1 - mirrored.lower), abs=1e-6)
    upper, lower = (bound_mean(_LOSSES, 0.9, side=side) for side in (Side.UPPER, Side.LOWER))
    assert (upper.lower, lower.upper) == (0, 1)
    assert ours.lower < lower.lower < ours.estimate < upper.upper < ours.upper


def test_a_range_only_stretches_the_bounds() -> None:
    """On values moved to another range the bounds move with them."""
    unit, wide = bound_mean(_LOSSES, 0.9), bound_mean(20 * _LOSSES - 5, 0.9, low=-5, high=15)
    assert (wide.lower, wide.upper) == pytest.approx((20 * unit.lower - 5, 20 * unit.upper - 5), abs=1e-5)


def test_paired_loss_counts_disagreements_only() -> None:
    """The bound is that of the differences, and is the reference's own loss of 0 where nothing is seen to differ."""
    reference, rule = (_RANDOM.random((2, 300)) < 0.8).astype(float)
    ours = bound_paired_loss(reference, rule, 0.9)
    assert ours.estimate == pytest.approx(reference.mean() - rule.mean())
    assert ours.upper == bound_mean(reference - rule, 0.9, low=-1, high=1, side=Side.UPPER).upper
    assert bound_paired_loss(reference, reference, 0.9).upper < 0.05


def test_sequence_is_nested_and_wider_than_one_bound() -> None:
    """Intervals shrink from look to look; at the last they are wider than a bound for that size alone."""
    ours = sequence(_LOSSES, 0.9)
    assert ours.sample_sizes == (1, 2, 4, 8, 16, 32, 64, 128, 256, 400)
    assert list(ours.upper) == sorted(ours.upper, reverse=True)
    assert list(ours.lower) == sorted(ours.lower)
    alone = bound_mean(_LOSSES, 0.9)
    assert ours.last.upper - ours.last.lower > alone.upper - alone.lower
    assert ours.last.estimate == pytest.approx(_LOSSES.mean())


def test_a_million_values_are_no_trouble() -> None:
    """A million outcomes give a bound close to their mean."""
    values = (np.random.default_rng(1).random(1_000_000) < 0.03).astype(float)
    assert bound_mean(values, 0.9, side=Side.UPPER).upper == pytest.approx(0.03, abs=0.001)


def test_what_cannot_be_bounded_is_refused() -> None:
    """Values beyond the range, none at all, an empty range and looks beyond the sample raise ValueError."""
    with pytest.raises(ValueError, match="lie from 0 to 1"):
        bound_mean([0.5, 1.5], 0.9)
    with pytest.raises(ValueError, match="at least one"):
        bound_mean([], 0.9)
    with pytest.raises(ValueError, match="holds nothing"):
        bound_mean([0.5], 0.9, low=1, high=1)
    with pytest.raises(ValueError, match="ascending sample sizes"):
        sequence([0.5, 0.2], 0.9, looks=(2, 1))
    with pytest.raises(ValueError, match="scores"):
        bound_paired_loss([2, 1], [0, 1], 0.9)


def _variances(values: np.ndarray) -> np.ndarray:
    """The variance estimated before each value, one value after another."""
    total, squares, known = 0.5, 0.25, [0.25]
    for count, value in enumerate(values[:-1].tolist(), 2):
        total += value
        squares += (value - total / count) ** 2
        known.append(squares / count)
    return np.array(known)
