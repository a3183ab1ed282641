"""Tests of gateway/difficulty/metrics.py."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from gateway.difficulty.metrics import area_under_roc, calibration_error, gap_recovered, macro_f1

_RANDOM = np.random.default_rng(7)


def test_macro_f1_is_that_of_scikit_learn() -> None:
    """On random labels the macro-F1 is the one that scikit-learn computes."""
    truth, guess = (list(_RANDOM.choice(["a", "b", "c"], 200)) for _ in range(2))
    assert macro_f1(["a", "b", "c"], truth, guess) == pytest.approx(f1_score(truth, guess, average="macro"))


def test_area_under_roc_is_that_of_scikit_learn() -> None:
    """On random scores with ties the area is the one that scikit-learn computes."""
    score, positive = _RANDOM.integers(0, 9, 300).astype(float), _RANDOM.random(300) < 0.4
    assert area_under_roc(score, positive) == pytest.approx(roc_auc_score(positive, score))
    assert area_under_roc(score, np.zeros(300, dtype=bool)) == 0.5


def test_calibration_error_is_the_gap_between_promise_and_outcome() -> None:
    """Promising 0.9 where half comes true is off by 0.4; true promises are off by nothing."""
    assert calibration_error(np.full(10, 0.9), np.array([1.0, 0.0] * 5)) == pytest.approx(0.4)
    assert calibration_error(np.array([0.0, 1.0]), np.array([0.0, 1.0])) == 0


def test_gap_recovered_ranks_from_worst_to_best() -> None:
    """The oracle recovers more than chance, chance half, and the reverse order less."""
    weak, strong = (_RANDOM.random(4_000) < share for share in (0.5, 0.8))
    weak, strong = weak.astype(float), strong.astype(float)
    best = gap_recovered(weak, strong, strong - weak)
    chance = gap_recovered(weak, strong, _RANDOM.random(4_000))
    worst = gap_recovered(weak, strong, weak - strong)
    assert worst < chance < best
    assert chance == pytest.approx(0.5, abs=0.06)


def test_equal_scores_are_chance() -> None:
    """Where no score differs, the gap is recovered in proportion to the calls, whatever the order of the items."""
    weak, strong = np.array([1.0, 1.0, 0.0, 0.0]), np.array([1.0, 1.0, 1.0, 1.0])
    assert gap_recovered(weak, strong, np.zeros(4)) == pytest.approx(0.5)
