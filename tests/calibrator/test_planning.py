"""Forecasts of how many labels a promise takes."""

from __future__ import annotations

import numpy as np
import pytest

from calibrator.planning import Seen, forecast, labels_short
from calibrator.stats.certificates import Labels, refute_rule
from tests.calibrator.test_choose import ground, labels

RULE = (0, 0, 0, 0)


@pytest.mark.parametrize(("loss", "disagreement", "target"), [(0.0, 0.1, 0.06), (0.02, 0.15, 0.08)])
def test_as_many_labels_as_forecast_are_certified_about_as_often_as_said(
    loss: float, disagreement: float, target: float
) -> None:
    """With the forecast number of labels, the exact test certifies in about four of five draws."""
    size = Seen(1.0, loss, disagreement - loss**2).labels_for(target, 0.9)
    assert size is not None
    random = np.random.default_rng(11)
    passed = 0
    for _ in range(100):
        luck = random.random(size)
        scores = np.ones((size, 2))
        scores[luck < (disagreement + loss) / 2, 0] = 0
        scores[luck > 1 - (disagreement - loss) / 2, 1] = 0
        drawn = Labels(np.zeros(size, dtype=np.int64), scores, np.ones(1), 1, True)
        passed += refute_rule(drawn, (0,), target, 0.9).p_value <= 0.1
    assert 0.68 <= passed / 100 <= 0.92


def test_a_loss_beyond_the_target_takes_more_labels_than_there_are() -> None:
    """None says that no number will do."""
    assert Seen(1.0, 0.05, 0.1).labels_for(0.05, 0.9) is None
    assert Seen(1.0, 0.05, 0.1).power(0.03, 0.9, 10_000) < 0.01


def test_a_small_share_of_the_traffic_needs_no_label() -> None:
    """What changes less of the traffic than may be lost cannot lose too much."""
    assert Seen(0.02, 1.0, 0.1).labels_for(0.02, 0.9) == 0
    assert Seen(0.02, 1.0, 0.1).power(0.02, 0.9, 1) == 1.0


def test_a_shortage_is_at_least_one_label() -> None:
    """A rule that only just failed is never said to have labels enough."""
    found = labels_short(labels(4_000), RULE, 0.05, 0.9, 2.0)
    assert (found.labels_more, found.cost) == (1, 2.0)


def test_more_labels_buy_more_until_what_is_in_reach() -> None:
    """Expected costs fall with labels towards those in reach; rules that lose too much are not in reach."""
    known = labels(2_000, lost={(1, 0): 0.5, (3, 0): 0.5})
    path = ground().path()
    costs = [ground().relative_cost(rule) for rule in path]
    found = forecast(known, path, costs, target=0.05, confidence=0.9, sizes=(50, 500, 50_000))
    spent = [cost for _, cost in found.expected]
    assert spent == sorted(spent, reverse=True)
    assert spent[-1] == pytest.approx(found.in_reach, abs=0.01)
    assert found.in_reach > 0.1
    assert found.labels_for_half is not None
    assert found.labels_for_most is not None
    assert found.labels_for_half <= found.labels_for_most


def test_nothing_in_reach_needs_no_labels_named() -> None:
    """Where the first step loses too much, the reference's cost is all that is in reach."""
    everything = {(cell, arm): 0.5 for cell in range(4) for arm in (0, 1)}
    known = labels(2_000, lost=everything)
    found = forecast(known, ground().path(), [0.5] * 8, target=0.05, confidence=0.9, sizes=(400,))
    assert (found.in_reach, found.expected, found.labels_for_half) == (1.0, ((400, 1.0),), None)
