"""Tests of calibrator/stats/off_policy.py."""

from __future__ import annotations

import numpy as np
import pytest

from calibrator.stats.off_policy import (
    doubly_robust,
    doubly_robust_change,
    doubly_robust_saving,
    self_normalised,
)

_RANDOM = np.random.default_rng(17)


def test_a_policy_like_the_logged_one_gets_its_mean() -> None:
    """With equal weights both estimates are the mean of the log, and no request is lost."""
    rewards = _RANDOM.random(300)
    for ours in (
        self_normalised(rewards, np.ones(300), 0.9),
        doubly_robust(rewards, np.ones(300), np.zeros(300), np.zeros(300), 0.9),
    ):
        assert ours.estimate == pytest.approx(rewards.mean())
        assert ours.effective_sample_size == pytest.approx(300)
        assert (ours.mean_weight, ours.largest_weight, ours.sample_size) == (1, 1, 300)


def test_the_effective_sample_size_counts_what_speaks() -> None:
    """With weight on a hundredth of the requests, a hundredth of them is left."""
    weights = np.zeros(1_000)
    weights[:10] = 100
    ours = self_normalised(np.ones(1_000), weights, 0.9)
    assert ours.effective_sample_size == pytest.approx(10)
    assert (ours.estimate, ours.mean_weight, ours.largest_weight) == (1, 1, 100)


def test_self_normalised_by_hand() -> None:
    """Two requests of weights 1 and 3 give the weighted mean and its delta-method error."""
    ours = self_normalised([0.0, 1.0], [1.0, 3.0], 0.9)
    assert ours.estimate == 0.75
    error = (1 * 0.75**2 + 9 * 0.25**2) ** 0.5 / 4
    assert ours.upper - ours.estimate == pytest.approx(6.3137515 * error)  # Student's t with one degree of freedom


def test_a_true_model_takes_the_noise_out() -> None:
    """Where the model predicts each reward, the estimate is its mean, whatever the weights, clipped or not."""
    rewards, weights, expected = _RANDOM.random((3, 200))
    for limit in (np.inf, 0.1):
        ours = doubly_robust(rewards, 9 * weights, rewards, expected, 0.9, weight_at_most=limit)
        assert ours.estimate == pytest.approx(expected.mean())
    assert ours.largest_weight == pytest.approx(9 * weights.max())


def test_clipping_touches_corrections_only() -> None:
    """With weights cut to 2, the correction of the one request shrinks and the model's mean stays."""
    ours = doubly_robust([1.0, 0.0], [10.0, 0.0], [0.5, 0.5], [0.6, 0.6], 0.9, weight_at_most=2)
    assert ours.estimate == pytest.approx(0.6 + 2 * 0.5 / 2)


def test_a_change_is_the_difference_of_two_estimates() -> None:
    """Between the new policy and the logged one, each with the same model; for the same policy exactly none."""
    rewards, weights, own, new, old = _RANDOM.random((5, 200))
    change = doubly_robust_change(rewards, weights, np.ones(200), own, new - old, confidence=0.9)
    after = doubly_robust(rewards, weights, own, new, 0.9).estimate
    before = doubly_robust(rewards, np.ones(200), own, old, 0.9).estimate
    assert change.estimate == pytest.approx(after - before)
    none = doubly_robust_change(rewards, np.ones(200), np.ones(200), own, np.zeros(200), confidence=0.9)
    assert none.lower == none.upper == 0


def test_a_change_needs_all_of_its_rows() -> None:
    """Rows of unlike length raise ValueError."""
    with pytest.raises(ValueError, match="both predictions"):
        doubly_robust_change([1.0], [1.0], [1.0], [0.5, 0.5], [0.0], confidence=0.9)


def test_a_saving_is_one_less_the_ratio_of_two_estimates() -> None:
    """Between the logged policy and the new one, each with the same model; for the same policy exactly none."""
    costs, weights, own, new, old = _RANDOM.random((5, 200))
    ones = np.ones(200)
    saved = doubly_robust_saving(costs, weights, ones, own, expected=new, expected_before=old, confidence=0.9)
    after, before = doubly_robust(costs, weights, own, new, 0.9), doubly_robust(costs, ones, own, old, 0.9)
    assert saved.estimate == pytest.approx(1 - before.estimate / after.estimate)
    assert saved.lower < saved.estimate < saved.upper
    none = doubly_robust_saving(costs, ones, ones, own, expected=own, expected_before=own, confidence=0.9)
    assert none.lower == none.upper == 0


def test_what_costs_nothing_leaves_nothing_to_save() -> None:
    """A new policy of no cost, and rows of unlike length, raise ValueError."""
    nothing = np.zeros(3)
    with pytest.raises(ValueError, match="nothing to save"):
        doubly_robust_saving(
            nothing, np.ones(3), np.ones(3), nothing, expected=nothing, expected_before=nothing, confidence=0.9
        )
    with pytest.raises(ValueError, match="three predictions"):
        doubly_robust_saving([1.0], [1.0], [1.0], [1.0], expected=[1.0], expected_before=nothing, confidence=0.9)


def test_a_log_that_says_nothing_is_refused() -> None:
    """No common arm, negative weights, rows of unlike length and an empty log raise ValueError."""
    with pytest.raises(ValueError, match="none of the logged arms"):
        self_normalised([1.0], [0.0], 0.9)
    with pytest.raises(ValueError, match="never negative"):
        self_normalised([1.0], [-1.0], 0.9)
    with pytest.raises(ValueError, match="every reward"):
        self_normalised([1.0], [1.0, 2.0], 0.9)
    with pytest.raises(ValueError, match="at least one"):
        self_normalised([], [], 0.9)
    with pytest.raises(ValueError, match="both predictions"):
        doubly_robust([1.0], [1.0], [1.0], [], 0.9)
