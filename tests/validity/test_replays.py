"""Simulated coverage of what a replay says: of policies' accuracies, costs and changes, from logs that explore."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from calibrator.replay.estimate import Measure, replay_log
from calibrator.replay.log import Labels, Log
from calibrator.replay.rewards import rewards_of
from tests.validity.counting import most_misses

_MIX = np.array([0.5, 0.3, 0.2])
_RATES = np.array([[0.90, 0.93, 0.94], [0.60, 0.72, 0.75], [0.30, 0.50, 0.62]])
"""Success in three categories by three arms, cheapest first."""
_COSTS = np.array([1.0, 3.0, 9.0])
_OLD = np.array([[0.95, 0.05, 0.0], [0.025, 0.95, 0.025], [0.0, 0.05, 0.95]])
_NEW = np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 1.0, 0.0]])
"""Chances by category."""
_SIZE = 4_000
_RUNS = 300


@dataclass(frozen=True, slots=True)
class _Judging:
    """How answers come by their labels: by category and arm, and whether the labels say with what probability."""

    rates: np.ndarray
    is_told: bool


def _log(random: np.random.Generator, judging: _Judging) -> Log:
    category = random.choice(3, _SIZE, p=_MIX)
    arm = (random.random((_SIZE, 1)) > _OLD[category].cumsum(axis=1)[:, :-1]).sum(axis=1)
    score = (random.random(_SIZE) < _RATES[category, arm]).astype(float)
    rate = judging.rates[category, arm]
    row = np.nonzero(random.random(_SIZE) < rate)[0]
    return Log(
        cells=(("math", None), ("code", None), ("logic", None)),
        arms=("low", "medium", "high"),
        sources=("user",),
        cell=category,
        arm=arm,
        old=_OLD,
        old_row=category,
        new=_NEW,
        new_row=category,
        cost=_COSTS[arm] * random.exponential(size=_SIZE),
        latency_s=np.ones(_SIZE),
        labels=Labels(
            row,
            np.zeros(row.size, np.int64),
            score[row],
            np.ones(row.size),
            rate[row] if judging.is_told else np.full(row.size, np.nan),
        ),
        left_out={},
    )


_ALL = np.ones((3, 3))
_UNEVEN = np.array([[0.9, 0.5, 0.4], [0.4, 0.6, 0.8], [0.8, 0.5, 0.3]])


@pytest.mark.parametrize(
    "judging", [_Judging(_ALL, is_told=True), _Judging(_UNEVEN, is_told=True), _Judging(_UNEVEN, is_told=False)]
)
def test_replayed_intervals_cover_the_truth(judging: _Judging) -> None:
    """Both estimates and the change cover as promised; unevenly judged answers mislead neither, told or not."""
    random = np.random.default_rng(5)
    accuracy, before = float(_MIX @ (_NEW * _RATES).sum(axis=1)), float(_MIX @ (_OLD * _RATES).sum(axis=1))
    cost = float(_MIX @ (_NEW @ _COSTS))
    missed = dict.fromkeys(("weighted", "modelled", "change", "cost"), 0)
    for _ in range(_RUNS):
        log = _log(random, judging)
        found = replay_log(log, rewards_of(log, None), 0.9)[0]
        assert found.mean_weight == pytest.approx(1, abs=0.35)
        assert not found.out_of_reach
        measure = found.accuracy
        for name, each, truth in (
            ("weighted", measure.weighted, accuracy),
            ("modelled", measure.modelled, accuracy),
            ("change", measure.change, accuracy - before),
            ("cost", found.cost_usd.modelled, cost),
        ):
            assert each is not None
            missed[name] += not each.lower <= truth <= each.upper
    assert max(missed.values()) <= most_misses(_RUNS, 0.12), missed


def test_intervals_of_what_was_saved_cover_the_truth() -> None:
    """The share of the new policy's cost that the logged one saved, or cost more, is within as often as promised."""
    random = np.random.default_rng(7)
    truth = 1 - float(_MIX @ (_OLD @ _COSTS)) / float(_MIX @ (_NEW @ _COSTS))
    missed = 0
    for _ in range(_RUNS):
        log = _log(random, _Judging(_ALL, is_told=True))
        saved = replay_log(log, rewards_of(log, None), 0.9)[0].cost_usd.saved
        assert saved is not None
        missed += not saved.lower <= truth <= saved.upper
    assert missed <= most_misses(_RUNS, 0.12), missed


def _mean(measure: Measure) -> float:
    assert measure.weighted is not None
    return measure.weighted.estimate


def test_taking_the_unjudged_for_right_or_wrong_would_mislead() -> None:
    """Over many logs the estimate is centred, where reading silence as success or failure is far off."""
    random = np.random.default_rng(6)
    judging = _Judging(_UNEVEN, is_told=True)
    truth = float(_MIX @ (_NEW * _RATES).sum(axis=1))
    found, silent = [], []
    for _ in range(100):
        log = _log(random, judging)
        rewards = rewards_of(log, None)
        found.append(_mean(replay_log(log, rewards, 0.9)[0].accuracy) - truth)
        silent.append(float(np.where(rewards.is_labelled, rewards.reward, 1.0).mean()) - truth)
    assert abs(np.mean(found)) < 3 * np.std(found) / 10 + 0.005
    assert abs(np.mean(silent)) > 0.05
