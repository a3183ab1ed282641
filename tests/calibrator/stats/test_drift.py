"""Tests of calibrator/stats/drift.py."""

from __future__ import annotations

import numpy as np
import pytest
from river.drift import ADWIN, PageHinkley
from scipy.stats import chi2_contingency

from calibrator.stats.drift import adaptive_window, page_hinkley, population_stability

_RANDOM = np.random.default_rng(23)
_MOVED = np.concatenate((_RANDOM.random(3_000) < 0.2, _RANDOM.random(3_000) < 0.3)).astype(float)


def test_page_hinkley_raises_where_river_does() -> None:
    """The alarm comes at the very value at which river's does, without forgetting."""
    theirs = PageHinkley(min_instances=30, delta=0.005, threshold=20, alpha=1, mode="up")
    expected = next(place for place, value in enumerate(_MOVED, 1) if theirs.update(value) or theirs.drift_detected)
    ours = page_hinkley(_MOVED, tolerance=0.005, threshold=20)
    assert ours.raised_after == expected
    assert expected > 3_000
    assert ours.statistic > ours.threshold


def test_page_hinkley_stays_quiet_without_a_rise() -> None:
    """Neither a steady mean nor a falling one raises an alarm, nor does an empty row."""
    for values in (_MOVED[:3_000], 1 - _MOVED, np.array([])):
        assert page_hinkley(values, tolerance=0.01, threshold=30).raised_after is None


def test_adaptive_window_drops_the_past_about_when_river_does() -> None:
    """It notices the change within a few hundred values of river's ADWIN, and estimates the new mean."""
    theirs = ADWIN(delta=0.002)
    expected = next(place for place, value in enumerate(_MOVED, 1) if theirs.update(value) or theirs.drift_detected)
    ours = adaptive_window(_MOVED, 0.002)
    assert ours.changes[0] == pytest.approx(expected, abs=300)
    assert ours.estimate == pytest.approx(0.3, abs=0.03)
    assert 2_000 < ours.window < 3_500


def test_adaptive_window_keeps_what_does_not_change() -> None:
    """Over one mean nothing is dropped; without values there is no estimate."""
    ours = adaptive_window(_MOVED[:3_000], 0.002)
    assert (ours.changes, ours.window) == ((), 3_000)
    assert ours.estimate == pytest.approx(_MOVED[:3_000].mean())
    assert np.isnan(adaptive_window([], 0.002).estimate)


def test_population_stability_by_hand_and_by_scipy() -> None:
    """The index is the sum over bins as defined, and the p-value that of scipy's test of the table."""
    before, now = np.array([400, 300, 300]), np.array([100, 250, 150])
    ours = population_stability(before, now)
    was, now_is = (before + 0.5) / 1_001.5, (now + 0.5) / 501.5
    assert ours.index == pytest.approx(((now_is - was) * np.log(now_is / was)).sum())
    assert ours.evidence.p_value == pytest.approx(chi2_contingency(np.stack((before, now))).pvalue)
    assert ours.evidence.sample_size == 1_500


def test_population_stability_bears_empty_bins() -> None:
    """A bin that empties gives a finite index, a bin empty in both says nothing, and one mix has an index of 0."""
    assert np.isfinite(population_stability([50, 50], [100, 0]).index)
    assert population_stability([50, 50, 0], [50, 50, 0]).index == pytest.approx(0)
    assert population_stability([50, 0], [20, 0]).evidence.p_value == 1


def test_what_cannot_be_watched_is_refused() -> None:
    """Values beyond the range, risks beyond theirs and counts that do not fit raise ValueError."""
    with pytest.raises(ValueError, match="lie from 0 to 1"):
        adaptive_window([2.0], 0.1)
    with pytest.raises(ValueError, match="risk"):
        adaptive_window([1.0], 0)
    with pytest.raises(ValueError, match="same two bins"):
        population_stability([1], [1])
    with pytest.raises(ValueError, match="at least one count"):
        population_stability([0, 0], [1, 1])
