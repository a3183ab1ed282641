"""Deciding what is on record again, for its chances."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from calibrator.replay.chances import Constant, Decider, Drawn, Why, chances_of
from tests.calibrator.replay.traffic import answered, policy_text, ready_policy

OLD = ready_policy(policy_text())


def _plan(facts: dict[str, Any], **changes: Any) -> str:
    """A decision for ``medium``, on record."""
    plan = {"arm": {"name": "medium"}, "propensities": {"medium": 0.95, "low": 0.05}, "facts": facts, **changes}
    return orjson.dumps(plan).decode()


def test_the_policy_that_decided_has_the_chances_on_record() -> None:
    """For every ask, whatever was drawn for it."""
    decider = Decider(OLD, None)
    for each in answered(OLD, 300):
        plan = each.record.plan
        assert plan is not None
        on_record = _plan(dict(plan.facts), arm={"name": plan.arm.name}, propensities=dict(plan.propensities))
        chances = chances_of(plan.propensities)
        assert decider.draw(on_record) == Drawn(plan.arm.name, chances, chances)


def test_another_policy_has_chances_of_its_own() -> None:
    """Asks that it answers by other arms, and with another share of exploration; draws of then change nothing."""
    decider = Decider(ready_policy(policy_text(arms="low medium high", explore=0.1)), None)
    facts = {"category": "math", "success": {"weak": 0.99}}
    found = decider.draw(_plan(facts))
    assert found == Drawn("medium", (("low", 0.05), ("medium", 0.95)), (("low", 0.9), ("medium", 0.1)))
    canary = {"version": 2, "share": 0.5, "bucket": 0.1}
    assert decider.draw(_plan({**facts, "u": 0.01, "canary": canary})) == found


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        (_plan({"category": "math"}, is_observed=True), Why.OBSERVED),
        (_plan({"category": "math", "sticky_arm": "medium"}), Why.FOLLOWED),
        (_plan({"category": "math"}, propensities={}), Why.UNREADABLE),
        (_plan({"category": "math"}, propensities={"low": 1.0}), Why.UNREADABLE),
        (_plan({"category": "math", "mood": "good"}), Why.UNREADABLE),
        (_plan({"category": "math", "max_cost_usd": 0.0}), Why.REFUSED),
    ],
)
def test_what_says_nothing_of_the_policy_says_why(plan: str, why: Why) -> None:
    """Observed, later turns, other forms, and asks that it refuses."""
    assert Decider(OLD, None).draw(plan) is why


@pytest.mark.parametrize("changed", [{"model": "haiku"}, {"effort": "high"}, {"strategy": "vote"}])
def test_a_namesake_is_another_arm(changed: dict[str, Any]) -> None:
    """What an arm of another model or effort came to says nothing of the one that has its name now."""
    decider = Decider(OLD, None)
    was = {"name": "medium", "model": "sonnet", "effort": "medium", "strategy": "greedy", "like": "weak"}
    same, other = (decider.draw(_plan({"category": "math"}, arm=arm)) for arm in (was, {**was, **changed}))
    assert isinstance(same, Drawn) and isinstance(other, Drawn)  # noqa: PT018
    assert (same.arm, dict(same.old)) == ("medium", {"low": 0.05, "medium": 0.95})
    assert (other.arm, dict(other.old)) == ("medium (as it was)", {"low": 0.05, "medium (as it was)": 0.95})
    assert other.new == same.new


def test_many_keep_their_order() -> None:
    """As many as decisions, each at its place."""
    plans = [_plan({"category": name}) for name in ("math", "chat", "math", "creative")]
    decider = Decider(OLD, None)
    assert decider.draw_all(plans) == [decider.draw(each) for each in plans]


def test_one_arm_for_all_is_always_drawn() -> None:
    """Whatever was drawn, by the chances on record; what says nothing says why, and namesakes are told apart."""
    was = {"name": "medium", "model": "haiku"}
    plans = [_plan({"category": "math"}), _plan({"sticky_arm": "medium"}), _plan({"category": "math"}, arm=was)]
    same, later, other = Constant(OLD, "high").draw_all(plans)
    assert same == Drawn("medium", (("low", 0.05), ("medium", 0.95)), (("high", 1.0),))
    assert later is Why.FOLLOWED
    assert isinstance(other, Drawn)
    assert other.arm == "medium (as it was)"
