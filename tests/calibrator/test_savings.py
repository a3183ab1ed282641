"""What a log says of the savings of the policy that made it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibrator.replay.chances import Why
from calibrator.replay.log import Gathering, Log
from calibrator.savings import savings_of
from gateway.domain.savings import Savings
from tests.calibrator.replay.test_estimate import made


def _found(log: Log) -> Savings:
    found = savings_of(log, "high")
    assert found is not None
    return found


def _uneven(log: Log) -> Log:
    """The log with costs around those that it has."""
    return replace(log, cost=log.cost * np.random.default_rng(8).exponential(size=log.cell.size))


def test_the_share_of_the_reference_s_cost_is_found() -> None:
    """Of 5 dollars 1.2 were spent, at 0.19 less accuracy; intervals hold both."""
    found = _found(_uneven(made(20_000)))
    whole = found.scopes[0]
    saved, gained = whole.reference.saved, whole.reference.gained
    assert saved is not None
    assert gained is not None
    assert saved.lower < 1 - 1.2 / 5 < saved.upper
    assert gained.lower < -0.19 < gained.upper < 0
    assert whole.decisions == whole.reached == found.decisions == 20_000
    assert whole.reference.effective_sample_size == pytest.approx(1_000, rel=0.1)
    assert found.shares == {"low": pytest.approx(0.95), "high": pytest.approx(0.05)}
    assert [scope.category for scope in found.scopes] == [None, "math", "code"]


def test_arms_that_no_category_has_more_of_save_nothing_against_the_control() -> None:
    """A policy that draws in the same way whatever is asked is its own control."""
    control = _found(made(5_000)).control
    assert control.saved is not None
    assert control.gained is not None
    assert (control.saved.value, control.gained.value) == (pytest.approx(0, abs=1e-6), pytest.approx(0, abs=1e-6))
    assert control.effective_sample_size == pytest.approx(5_000)


def test_choosing_by_category_shows_against_the_control() -> None:
    """Where the dear arm goes to what is dear with the cheap one, the same arms at random cost more."""
    log = made(40_000)
    random = np.random.default_rng(4)
    old = np.array([[0.9, 0.1], [0.1, 0.9]])
    arm = (random.random(log.cell.size) < old[log.cell][:, 1]).astype(np.int64)
    cost = np.array([[1.0, 5.0], [9.0, 5.0]])[log.cell, arm]
    log = _uneven(replace(log, arm=arm, cost=cost, old=old, old_row=log.cell))
    control = _found(log).control
    own, shuffled = 0.5 * (0.9 * 1 + 0.1 * 5) + 0.5 * (0.1 * 9 + 0.9 * 5), 0.25 * (1 + 5 + 9 + 5)
    assert control.saved is not None
    assert control.saved.lower < 1 - own / shuffled < control.saved.upper
    assert control.saved.lower > 0.2


def test_the_control_goes_no_further_than_the_log() -> None:
    """Where neighbours alone were explored, and the same arms as often leave no other way, it is the policy itself."""
    log = made(60_000)
    random = np.random.default_rng(9)
    old = np.array([[0.95, 0.05, 0.0], [0.0, 0.05, 0.95]])
    arm = (random.random((log.cell.size, 1)) > old[log.cell].cumsum(axis=1)[:, :-1]).sum(axis=1)
    costs = np.array([[1.0, 5.0, 9.0], [20.0, 5.0, 9.0]])
    log = replace(log, arms=("low", "middle", "high"), old=old, old_row=log.cell, arm=arm, cost=costs[log.cell, arm])
    log = replace(log, new=np.array([[0.0, 0.0, 1.0]]))
    found = _found(log)
    assert found.shares == {"low": pytest.approx(0.475), "high": pytest.approx(0.475), "middle": pytest.approx(0.05)}
    assert found.control.cost_doubts == ()
    assert found.control.saved is not None
    assert found.control.saved.value == pytest.approx(0, abs=1e-6)
    assert [scope.reached for scope in found.scopes] == [30_000, 0, 30_000]


def test_what_the_log_never_reached_is_no_part_of_the_figures() -> None:
    """Asks that could not go to the reference arm are told apart, and the control deals out the others alone."""
    log = made(20_000)
    old = np.array([[0.95, 0.05], [1.0, 0.0]])
    log = replace(log, old=old, old_row=log.cell, arm=np.where(log.cell == 1, 0, log.arm))
    log = replace(log, cost=np.where(log.cell == 1, 100.0, _uneven(log).cost))
    found = _found(log)
    whole, math, code = found.scopes
    assert (whole.decisions, whole.reached) == (20_000, 10_000)
    assert (math.reached, code.reached) == (10_000, 0)
    assert whole.reference.saved == math.reference.saved is not None
    assert math.reference.saved is not None
    assert math.reference.saved.lower < 1 - 1.2 / 5 < math.reference.saved.upper
    assert code.reference.saved is None
    assert code.reference.cost_doubts
    assert found.dealt == 10_000
    assert found.control.saved is not None
    assert found.control.saved.value == pytest.approx(0, abs=1e-6)


def test_few_that_went_there_cannot_tell() -> None:
    """An effective sample size below a hundred leaves words in place of figures."""
    reference = _found(made(500)).scopes[0].reference
    assert (reference.saved, reference.gained) == (None, None)
    assert any("effective sample size" in doubt for doubt in reference.cost_doubts)


def test_without_a_judge_accuracy_alone_is_not_told() -> None:
    """Costs are known of every request."""
    reference = _found(made(8_000, labelled=0)).scopes[0].reference
    assert reference.saved is not None
    assert (reference.gained, reference.labels) == (None, 0)
    assert reference.accuracy_doubts == ("what came of its decisions is not known",)


def test_a_reference_for_nothing_leaves_nothing_to_save() -> None:
    """Words in place of a division by nothing."""
    log = made(8_000)
    reference = _found(replace(log, cost=np.zeros(8_000))).scopes[0].reference
    assert reference.saved is None
    assert reference.cost_doubts == ("the other way costs nothing, so that nothing can be saved",)


def test_each_source_has_its_own_accuracy() -> None:
    """By category and arm, with bounds within 0 and 1, and only from thirty judged answers on."""
    log = made(20_000)
    labels = log.labels
    judged = replace(labels, source=(labels.row % 2), score=np.where(labels.row % 2, labels.score, 1.0))
    log = replace(log, sources=("kind", "strict"), labels=judged)
    math = _found(log).scopes[1]
    low, high = math.arms
    assert (low.arm, high.arm) == ("low", "high")
    assert low.cost_usd == pytest.approx(1.0)
    (kind,) = low.accuracies  # math is every second one, which "strict" never judges
    assert (kind.source, kind.share.value, kind.share.upper) == ("kind", 1.0, 1.0)
    assert kind.share.lower < 1
    code = _found(log).scopes[2]
    (strict,) = code.arms[0].accuracies
    assert strict.share.lower < 0.6 < strict.share.upper
    assert _found(made(200)).scopes[1].arms[1].accuracies == ()


def test_a_log_of_no_decisions_is_nothing() -> None:
    """Whatever was left out of it."""
    assert savings_of(Gathering().log(), "high") is None
    assert _found(replace(made(500), left_out={Why.NAMED: 3, Why.OBSERVED: 0})).left_out == {"named": 3}
