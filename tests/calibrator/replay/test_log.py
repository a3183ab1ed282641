"""Gathering a log: what counts, what is left out, and why."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibrator.replay.chances import Drawn, Why
from calibrator.replay.log import Gathering, Log
from gateway.store.logged import Label, LoggedDecision, LoggedPart

DECISION = LoggedDecision(
    id="1",
    key_id="key",
    model_asked="auto",
    arm="low",
    category="math",
    difficulty="easy",
    plan="{}",
    cost_usd=0.25,
    total_s=2.0,
)
DRAWN = Drawn("low", (("high", 0.05), ("low", 0.95)), (("high", 1.0),))


def _log(*decisions: LoggedDecision, drawn: Drawn | Why = DRAWN) -> Log:
    gathering = Gathering()
    gathering.add(LoggedPart(decisions, ()), [drawn] * len(decisions))
    return gathering.log()


def test_a_decision_is_kept_with_both_policies_chances() -> None:
    """Its arm, cell, cost and latency, and the exact chances of every arm."""
    log = _log(DECISION)
    assert log.cells == (("math", "easy"),)
    assert [log.arms[number] for number in log.arm] == ["low"]
    assert dict(zip(log.arms, log.old[log.old_row[0]], strict=True)) == {"low": 0.95, "high": 0.05}
    assert dict(zip(log.arms, log.new[log.new_row[0]], strict=True)) == {"low": 0.0, "high": 1.0}
    assert (log.cost.tolist(), log.latency_s.tolist()) == ([0.25], [2.0])
    assert not any(log.left_out.values())


@pytest.mark.parametrize("model", ["arm:low", "arm:work/low", "automatic"])
def test_requests_that_name_their_arm_are_left_out(model: str) -> None:
    """No policy chose for them."""
    log = _log(replace(DECISION, model_asked=model), DECISION, replace(DECISION, model_asked="auto:work"))
    assert log.arm.size == 2
    assert log.left_out[Why.NAMED] == 1


@pytest.mark.parametrize("why", Why)
def test_what_says_nothing_is_counted_by_its_reason(why: Why) -> None:
    """Each under its own name."""
    log = _log(DECISION, drawn=why)
    assert log.arm.size == 0
    assert log.left_out == {**dict.fromkeys(Why, 0), why: 1}


def test_labels_find_their_decisions() -> None:
    """Also across parts, and those of what is left out go with it."""
    gathering = Gathering()
    gathering.add(LoggedPart([replace(DECISION, id="2")], [Label("2", "user", 1.0, 1.0, None)]), [Why.OBSERVED])
    labels = [Label("1", "user", 0.5, 0.25, 0.1)]
    gathering.add(LoggedPart([replace(DECISION, id="3"), DECISION], labels), [DRAWN, DRAWN])
    found = gathering.log().labels
    assert (found.row.tolist(), found.score.tolist()) == ([1], [0.5])
    assert (found.weight.tolist(), found.probability.tolist()) == ([0.25], [0.1])


def test_what_was_gathered_apart_is_joined_in_order() -> None:
    """As if one had gathered it all: numbers of arms, cells, sources and chances are its own."""
    other = Drawn("high", (("high", 1.0),), (("low", 1.0),))
    parts: list[tuple[LoggedPart, list[Drawn | Why]]] = [
        (LoggedPart([DECISION], [Label("1", "user", 0.5, 1.0, 0.1)]), [DRAWN]),
        (LoggedPart([replace(DECISION, id="2", category=None)], [Label("2", "judge", 1.0, 1.0, None)]), [other]),
        (LoggedPart([replace(DECISION, id="3"), replace(DECISION, id="4")], ()), [Why.REFUSED, DRAWN]),
    ]
    whole, joined = Gathering(), Gathering()
    for part in parts:
        whole.add(*part)
        apart = Gathering()
        apart.add(*part)
        joined.join(apart)
    joined.join(Gathering())
    assert joined.read == whole.read == 4
    found, wanted = joined.log(), whole.log()
    assert (found.arms, found.cells, found.sources, found.left_out) == (
        wanted.arms,
        wanted.cells,
        wanted.sources,
        wanted.left_out,
    )
    for name in ("cell", "arm", "old", "old_row", "new", "new_row", "cost", "latency_s"):
        assert np.array_equal(getattr(found, name), getattr(wanted, name))
    assert found.labels.row.tolist() == [0, 1]
    assert found.labels.source.tolist() == [0, 1]


def test_an_empty_log_is_a_log() -> None:
    """Nothing at all has no arms and no cells."""
    log = Gathering().log()
    assert (log.arms, log.cells, log.arm.size) == ((), (), 0)


def test_some_decisions_are_a_log_of_their_own() -> None:
    """With their chances and their own labels, at their new places."""
    gathering = Gathering()
    decisions = [replace(DECISION, id=name, cost_usd=float(name)) for name in "123"]
    labels = [Label(name, "user", float(name) / 4, 1.0, None) for name in "321"]
    gathering.add(LoggedPart(decisions, labels), [DRAWN, replace(DRAWN, arm="high"), DRAWN])
    found = gathering.log().among(np.array([False, True, True]))
    assert (found.cost.tolist(), [found.arms[place] for place in found.arm]) == ([2.0, 3.0], ["high", "low"])
    assert dict(zip(found.labels.row.tolist(), found.labels.score.tolist(), strict=True)) == {0: 0.5, 1: 0.75}
    assert found.old[found.old_row].shape == found.new[found.new_row].shape == (2, 2)
    nothing = found.among(np.array([False, False]))
    assert nothing.cell.size == nothing.labels.row.size == 0


def test_other_chances_can_stand_beside_the_log() -> None:
    """A row for each of those on record, and every decision has that of its own."""
    log = _log(DECISION, DECISION)
    found = log.under(1 - log.old)
    assert (found.new[found.new_row] + log.old[log.old_row]).tolist() == [[1.0, 1.0]] * 2
    assert dict(zip(log.arms, log.old[log.old_row[0]], strict=True)) == {"low": 0.95, "high": 0.05}
