"""Tests of calibrator/stats/curves.py."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta
from sklearn.isotonic import IsotonicRegression

from calibrator.stats.curves import shrink, shrink_chain, smooth_rising

_RANDOM = np.random.default_rng(21)


def test_concentration_of_the_prior_is_found_again() -> None:
    """From many cells drawn around one rate, the concentration they were drawn with is recovered."""
    for concentration in (4.0, 30.0):
        rates = _RANDOM.beta(0.7 * concentration, 0.3 * concentration, 4_000)
        trials = _RANDOM.integers(5, 60, rates.size)
        ours = shrink(_RANDOM.binomial(trials, rates), trials, np.zeros(rates.size, dtype=int), 0.9)
        assert ours.concentration == pytest.approx(concentration, rel=0.15)


def test_a_cell_lies_between_its_own_rate_and_its_parents() -> None:
    """A cell's estimate lies between the two, the more so the fewer its trials, and its interval around it."""
    ours = shrink([9, 90, 1, 5, 0], [10, 100, 10, 10, 0], [0, 0, 0, 1, 1], 0.9)
    assert ours.parents == pytest.approx((100.5 / 121, 100.5 / 121, 100.5 / 121, 0.5, 0.5))
    assert ours.parents[0] < ours.estimates[0] < ours.estimates[1] < 0.9
    assert 0.1 < ours.estimates[2] < ours.parents[2]
    assert ours.estimates[4] == pytest.approx(0.5)
    assert all(low < mean < high for low, mean, high in zip(ours.lower, ours.estimates, ours.upper, strict=True))
    assert ours.sample_size == 130


def test_many_cells_alike_in_their_concentration_have_its_beta_posterior() -> None:
    """Where thousands of cells leave no doubt of prior and concentration, estimate and interval are Beta's."""
    rates = _RANDOM.beta(14, 6, 5_000)
    wins = _RANDOM.binomial(30, rates)
    ours = shrink(wins, np.full(5_000, 30), np.zeros(5_000, dtype=int), 0.9)
    posterior = beta(wins[0] + 14, 30 - wins[0] + 6)
    assert ours.estimates[0] == pytest.approx(posterior.mean(), abs=0.01)
    assert (ours.lower[0], ours.upper[0]) == pytest.approx(posterior.interval(0.9), abs=0.015)


def test_equal_cells_are_pooled_and_unlike_ones_kept() -> None:
    """Cells that differ by less than noise lend each other much, cells far apart keep their own rates."""
    alike = shrink([50, 50, 50], [100, 100, 100], [0, 0, 0], 0.9)
    assert alike.concentration > 50
    apart = shrink([0, 100, 0, 100], [100] * 4, [0] * 4, 0.9)
    assert apart.concentration < 1
    assert apart.estimates[1] == pytest.approx(1, abs=0.01)


def test_the_chain_passes_on_what_families_and_arms_know() -> None:
    """A cell without a trial takes its family's rate, and a family without one its arm's."""
    ours = shrink_chain(
        successes=[90, 80, 0, 0, 20, 0],
        trials=[100, 100, 0, 0, 100, 0],
        family=[0, 0, 0, 1, 0, 2],
        arm=[0, 0, 0, 0, 1, 2],
        confidence=0.9,
    )
    family_of_first = ours.parents[0]
    assert ours.estimates[2] == pytest.approx(family_of_first)
    assert 0.8 < ours.estimates[3] < 0.9
    assert ours.estimates[4] < 0.5
    assert ours.estimates[5] == pytest.approx(0.5)


def test_falls_within_noise_are_evened_out_as_scikit_learn_does() -> None:
    """Where every fall is within one standard error, the result is isotonic regression."""
    means = np.array([0.5, 0.62, 0.6, 0.61, 0.7, 0.69])
    weights = np.array([30.0, 20, 25, 30, 10, 40])
    theirs = IsotonicRegression().fit_transform(np.arange(6), means, sample_weight=weights)
    ours = smooth_rising(means, weights, np.full(6, 0.2))
    assert ours.estimates == pytest.approx(tuple(theirs))
    assert ours.is_pooled == (False, True, True, False, True, True)


def test_thinking_that_hurts_is_kept() -> None:
    """A fall beyond one standard error stays, beside one that noise explains."""
    ours = smooth_rising([0.5, 0.8, 0.6, 0.59], [100] * 4, [0.03] * 4)
    assert ours.estimates == pytest.approx((0.5, 0.8, 0.595, 0.595))
    assert ours.is_pooled == (False, False, True, True)
    assert smooth_rising([], [], []).estimates == ()


def test_counts_that_do_not_fit_are_refused() -> None:
    """Rows of unlike length, more successes than trials, and weights of nothing raise ValueError."""
    with pytest.raises(ValueError, match="every cell"):
        shrink([1, 2], [3], [0], 0.9)
    with pytest.raises(ValueError, match="successes lie"):
        shrink([4], [3], [0], 0.9)
    with pytest.raises(ValueError, match="positive weight"):
        smooth_rising([0.5], [0.0], [0.1])
