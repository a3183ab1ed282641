"""What a log says of another policy, and where it says that it cannot tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from calibrator.replay.chances import Why
from calibrator.replay.estimate import Replayed, replay_log
from calibrator.replay.log import Labels, Log
from calibrator.replay.rewards import rewards_of

ARMS = ("low", "high")
_RATES = {"low": 0.6, "high": 0.8}
_COSTS = {"low": 1.0, "high": 5.0}


def made(
    size: int,
    *,
    explore: float = 0.05,
    new: Sequence[float] = (0.0, 1.0),
    labelled: float = 1.0,
    says: float | None = 1.0,
    seed: int = 1,
) -> Log:
    """A log that mostly answers by ``low``; ``labelled`` is the share with a label, and ``says`` what it claims."""
    random = np.random.default_rng(seed)
    arm = (random.random(size) < explore).astype(np.int64)
    score = (random.random(size) < np.array([_RATES[name] for name in ARMS])[arm]).astype(np.float64)
    row = np.nonzero(random.random(size) < labelled)[0]
    return Log(
        cells=(("math", "easy"), ("code", None)),
        arms=ARMS,
        sources=("user",),
        cell=np.arange(size) % 2,
        arm=arm,
        old=np.array([[1 - explore, explore]]),
        old_row=np.zeros(size, np.int64),
        new=np.array([new]),
        new_row=np.zeros(size, np.int64),
        cost=np.array([_COSTS[name] for name in ARMS])[arm],
        latency_s=np.array([2.0, 3.0])[arm],
        labels=Labels(
            row=row,
            source=np.zeros(row.size, np.int64),
            score=score[row],
            weight=np.ones(row.size),
            probability=np.full(row.size, np.nan if says is None else says),
        ),
        left_out={},
    )


def _replayed(log: Log) -> Replayed:
    return replay_log(log, rewards_of(log, None), 0.9)[0]


def test_the_other_arm_s_figures_are_found() -> None:
    """Accuracy, cost and latency of the arm that answered a twentieth, by both estimates, within their intervals."""
    found = _replayed(made(20_000))
    assert found.moved == pytest.approx(0.95)
    assert found.effective_sample_size == pytest.approx(1_000, rel=0.1)
    for measure, truth in ((found.accuracy, 0.8), (found.cost_usd, 5.0), (found.latency_s, 3.0)):
        assert measure.doubts == ()
        for estimate in (measure.weighted, measure.modelled):
            assert estimate is not None
            assert estimate.lower - 1e-6 <= truth <= estimate.upper + 1e-6
    assert found.accuracy.change is not None
    assert found.accuracy.change.lower < 0.2 < found.accuracy.change.upper
    assert found.cost_usd.logged is not None
    assert found.cost_usd.logged.estimate == pytest.approx(1.2, abs=0.03)


def test_the_same_policy_changes_nothing() -> None:
    """Every weight is 1, and the change is exactly none."""
    found = _replayed(made(500, new=(0.95, 0.05)))
    assert (found.moved, found.mean_weight) == (0, 1)
    assert found.effective_sample_size == pytest.approx(500)
    assert found.accuracy.change is not None
    assert found.accuracy.change.lower == found.accuracy.change.upper == 0
    assert found.accuracy.doubts == ()


def test_categories_follow_the_whole() -> None:
    """Each by itself, the most frequent first."""
    log = made(3_001)
    assert [each.category for each in replay_log(log, rewards_of(log, None), 0.9)] == [None, "math", "code"]
    assert [each.decisions for each in replay_log(log, rewards_of(log, None), 0.9)] == [3_001, 1_501, 1_500]


def test_an_arm_that_was_never_drawn_is_out_of_reach() -> None:
    """The doubt names it with its share, and the mean weight that it leaves."""
    found = _replayed(made(2_000, explore=0.0, new=(0.7, 0.3)))
    assert found.out_of_reach == {"high": pytest.approx(0.3)}
    assert found.mean_weight == pytest.approx(0.7)
    assert "never drawn for such asks: high (30.0%)" in found.accuracy.doubts[0]
    assert "the mean weight is 0.70" in found.cost_usd.doubts[0]


def test_a_policy_of_other_arms_alone_leaves_nothing() -> None:
    """No weight at all is an estimate of nothing, said in words."""
    found = _replayed(made(2_000, explore=0.0))
    assert found.accuracy.weighted is None
    assert "none of its arms was ever drawn where the value is known" in found.accuracy.doubts


def test_too_few_effective_requests_cannot_tell() -> None:
    """A twentieth of 500 is too little for every quantity."""
    found = _replayed(made(500))
    assert any("effective sample size is" in doubt for doubt in found.latency_s.doubts)


def test_few_labels_doubt_accuracy_alone() -> None:
    """Costs and latencies are known of every request."""
    found = _replayed(made(8_000, labelled=0.02, says=0.02))
    assert found.cost_usd.doubts == ()
    assert any("whose value is known" in doubt for doubt in found.accuracy.doubts)


def test_without_labels_nothing_is_said_of_accuracy() -> None:
    """No label is not a success, and not a failure either."""
    found = _replayed(made(4_000, labelled=0.0))
    assert found.accuracy.modelled is None
    assert found.accuracy.doubts == ("what came of its decisions is not known",)
    assert found.cost_usd.doubts == ()


def test_chances_that_are_not_those_of_the_draws_are_noticed() -> None:
    """Where the record says a twentieth and a fifth was drawn, the mean weight tells."""
    log = made(4_000, explore=0.2)
    found = _replayed(replace(log, old=np.array([[0.95, 0.05]])))
    assert any("not drawn with those chances" in doubt for doubt in found.cost_usd.doubts)


def test_estimates_that_contradict_each_other_are_doubted() -> None:
    """As where the chances on record are others for dear requests than for cheap ones, which nothing explains."""
    log = made(4_000, explore=1.0)
    is_dear = np.arange(log.arm.size) % 4 < 2
    apart = replace(
        log,
        old=np.array([[0.1, 0.9], [0.9, 0.1]]),
        old_row=np.where(is_dear, 0, 1),
        cost=np.where(is_dear, 100.0, 1.0),
    )
    found = _replayed(apart)
    assert any("contradict each other" in doubt for doubt in found.cost_usd.doubts)


def test_an_empty_log_says_so() -> None:
    """Nothing is estimated."""
    log = made(0)
    [found] = replay_log(
        replace(log, cells=(), arms=(), old=np.zeros((0, 0)), new=np.zeros((0, 0))), rewards_of(log, None), 0.9
    )
    assert found.decisions == 0
    assert "no decision is left that says anything of it" in found.latency_s.doubts


def test_a_log_that_only_observed_says_so() -> None:
    """What its arms would have come to is in no log."""
    log = replace(made(0), left_out={Why.OBSERVED: 1_200})
    [found] = replay_log(replace(log, cells=()), rewards_of(log, None), 0.9)
    assert any("1,200 were only observed" in doubt for doubt in found.accuracy.doubts)
