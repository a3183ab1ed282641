"""Tests of calibrator/stats/intervals.py."""

from __future__ import annotations

import pytest
from scipy.stats import beta as beta_distribution
from scipy.stats import binomtest

from calibrator.stats.intervals import beta, chance_above, exact, wilson

_COUNTS = [(0, 1), (1, 1), (0, 20), (20, 20), (3, 17), (170, 400), (999_000, 1_000_000)]


@pytest.mark.parametrize(("successes", "trials"), _COUNTS)
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_wilson_and_exact_are_those_of_scipy(successes: int, trials: int, confidence: float) -> None:
    """Both intervals are the ones that scipy computes."""
    judged = binomtest(successes, trials)
    theirs = judged.proportion_ci(confidence, "wilson")
    ours = wilson(successes, trials, confidence)
    assert (ours.lower, ours.upper) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    theirs = judged.proportion_ci(confidence, "exact")
    ours = exact(successes, trials, confidence)
    assert (ours.lower, ours.upper) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert (ours.estimate, ours.sample_size, ours.confidence) == (successes / trials, trials, confidence)


def test_beta_interval_is_that_of_the_posterior() -> None:
    """With a prior of Beta(2, 3), 5 of 9 lead to the quantiles and the mean of Beta(7, 7)."""
    posterior = beta_distribution(7, 7)
    ours = beta(5, 9, 0.9, prior=(2, 3))
    assert (ours.lower, ours.upper) == pytest.approx(posterior.interval(0.9))
    assert ours.estimate == 0.5
    assert chance_above(0.6, 5, 9, prior=(2, 3)) == pytest.approx(posterior.sf(0.6))


def test_beta_interval_reaches_the_end_where_nothing_was_seen_beyond() -> None:
    """Without a success the interval begins at 0, and without a failure it ends at 1."""
    assert beta(0, 5, 0.9).lower == 0
    assert beta(5, 5, 0.9).upper == 1
    assert 0 < beta(0, 0, 0.9).lower < beta(0, 0, 0.9).upper < 1


def test_without_trials_nothing_is_ruled_out() -> None:
    """No trials leave the whole range."""
    for interval in (wilson(0, 0, 0.9), exact(0, 0, 0.9)):
        assert (interval.lower, interval.upper, interval.sample_size) == (0, 1, 0)


@pytest.mark.parametrize("make", [wilson, exact, beta])
@pytest.mark.parametrize(("successes", "trials", "confidence"), [(3, 2, 0.9), (-1, 2, 0.9), (1, 2, 1.0), (1, 2, 0.0)])
def test_impossible_counts_and_levels_are_refused(make: object, successes: int, trials: int, confidence: float) -> None:
    """More successes than trials, fewer than none, and levels of 0 or 1 raise ValueError."""
    assert callable(make)
    with pytest.raises(ValueError, match=r"cannot be|confidence"):
        make(successes, trials, confidence)


def test_a_prior_has_positive_parameters() -> None:
    """An improper prior raises ValueError."""
    with pytest.raises(ValueError, match="positive"):
        beta(1, 2, 0.9, prior=(0, 1))
