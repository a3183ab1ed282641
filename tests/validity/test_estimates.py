"""Simulated coverage of estimates from logs and from predictions."""

from __future__ import annotations

import numpy as np
import pytest

from calibrator.stats.off_policy import doubly_robust, self_normalised
from calibrator.stats.prediction_powered import predict_mean
from tests.validity.counting import most_misses

_RATES = np.array([[0.9, 0.92], [0.6, 0.7], [0.3, 0.55]])
"""The success of a cheap and a dear arm in three categories."""
_MIX = np.array([0.5, 0.3, 0.2])


def _logged(random: np.random.Generator, size: int, explore: float) -> tuple[np.ndarray, ...]:
    """Categories, rewards and weights of a log that mostly answers cheaply, for a policy that answers dearly."""
    category = random.choice(3, size, p=_MIX)
    is_dear = random.random(size) < explore
    reward = (random.random(size) < _RATES[category, is_dear.astype(int)]).astype(float)
    return category, is_dear, reward, np.where(is_dear, 1 / explore, 0.0)


@pytest.mark.parametrize("explore", [0.05, 0.1])
def test_both_estimates_cover_the_truth_and_the_model_helps(explore: float) -> None:
    """With 2,000 logged requests both intervals cover; with a fair model the error is smaller than without."""
    random = np.random.default_rng(1)
    truth = float(_MIX @ _RATES[:, 1])
    missed = {"alone": 0, "model": 0}
    error = {"alone": 0.0, "model": 0.0}
    runs = 400
    for _ in range(runs):
        category, is_dear, reward, weight = _logged(random, 2_000, explore)
        model = _RATES + 0.03
        made = {
            "alone": self_normalised(reward, weight, 0.9),
            "model": doubly_robust(reward, weight, model[category, is_dear.astype(int)], model[category, 1], 0.9),
        }
        for name, each in made.items():
            missed[name] += not each.lower <= truth <= each.upper
            error[name] += (each.estimate - truth) ** 2
    assert max(missed.values()) <= most_misses(runs, 0.12)
    assert error["model"] < error["alone"]
    assert (error["model"] / runs) ** 0.5 < 0.05


def test_clipping_weights_would_bias_what_these_do_not() -> None:
    """Plain inverse weighting clipped at 10 loses half of a twentieth's outcomes; both estimates here are centred."""
    random = np.random.default_rng(2)
    truth = float(_MIX @ _RATES[:, 1])
    _, _, reward, weight = _logged(random, 400_000, 0.05)
    assert np.mean(np.minimum(weight, 10) * reward) < 0.55 * truth
    assert self_normalised(reward, weight, 0.9).estimate == pytest.approx(truth, abs=0.01)


def test_predictions_narrow_the_interval_and_keep_its_coverage() -> None:
    """With 150 labels the interval covers as promised, and is narrower than that of the labels alone."""
    random = np.random.default_rng(3)
    missed, narrower, runs = 0, 0, 600
    for _ in range(runs):
        truth = (random.random(3_150) < 0.75).astype(float)
        predicted = np.where(random.random(truth.size) < 0.85, truth, 1 - truth)
        ours = predict_mean(truth[:150], predicted[:150], predicted[150:], 0.9)
        missed += not ours.interval.lower <= 0.75 <= ours.interval.upper
        narrower += ours.labels_worth > 150
    assert missed <= most_misses(runs, 0.115)
    assert narrower == runs
