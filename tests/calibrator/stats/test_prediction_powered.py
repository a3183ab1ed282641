"""Tests of calibrator/stats/prediction_powered.py."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from calibrator.stats.prediction_powered import predict_mean

_RANDOM = np.random.default_rng(19)


def test_useless_predictions_are_not_believed() -> None:
    """Predictions that are noise, or constant, leave the plain mean of the labels."""
    truth = (_RANDOM.random(4_000) < 0.7).astype(float)
    ours = predict_mean(truth, _RANDOM.random(4_000), _RANDOM.random(50_000), 0.9)
    assert ours.trust == pytest.approx(0, abs=0.1)
    assert ours.interval.estimate == pytest.approx(truth.mean(), abs=0.002)
    constant = predict_mean(truth, np.ones(4_000), np.ones(50_000), 0.9)
    assert constant.trust == 0
    reach = norm.ppf(0.95) * truth.std(ddof=1) / 4_000**0.5
    assert constant.interval.upper - constant.interval.estimate == pytest.approx(reach)
    assert constant.labels_worth == pytest.approx(4_000)


def test_good_predictions_are_worth_labels() -> None:
    """Predictions that are right nine times in ten make two hundred labels worth several hundred."""
    truth = (_RANDOM.random(20_200) < 0.7).astype(float)
    predicted = np.where(_RANDOM.random(truth.size) < 0.9, truth, 1 - truth)
    ours = predict_mean(truth[:200], predicted[:200], predicted[200:], 0.9)
    assert 0.6 < ours.trust < 1
    assert ours.labels_worth > 350
    assert ours.interval.estimate == pytest.approx(0.7, abs=0.06)


def test_trust_and_width_by_hand() -> None:
    """The trust is covariance over variance, less where few are only predicted, and the variance has both its parts."""
    truth, predicted, others = _RANDOM.random((3, 60))
    predicted = truth / 2 + predicted / 2
    many = np.concatenate((others / 2 + 0.2, others))
    ours = predict_mean(truth[:30], predicted[:30], many, 0.9)
    everything = np.concatenate((predicted[:30], many))
    trust = np.cov(truth[:30], predicted[:30])[0, 1] / ((1 + 30 / many.size) * everything.var(ddof=1))
    assert ours.trust == pytest.approx(trust)
    rest = truth[:30] - trust * predicted[:30]
    error = (trust**2 * many.var(ddof=1) / many.size + rest.var(ddof=1) / 30) ** 0.5
    assert ours.interval.estimate == pytest.approx(trust * many.mean() + rest.mean())
    assert ours.interval.upper - ours.interval.estimate == pytest.approx(norm.ppf(0.95) * error)


def test_predictions_against_the_truth_are_not_turned_round() -> None:
    """Where predictions point the wrong way the trust stays 0."""
    truth = np.tile([0.0, 1.0], 50)
    assert predict_mean(truth, 1 - truth, 1 - truth, 0.9).trust == 0


def test_too_few_labels_are_refused() -> None:
    """One label raises ValueError."""
    with pytest.raises(ValueError, match="two labelled"):
        predict_mean([1], [1], [1, 0], 0.9)
