"""Two policies over the same asks: what changes, and what it would cost as far as the records tell."""

from __future__ import annotations

from typing import Any

from gateway.domain.money import usd
from gateway.policy.diff import Change, RecordedAsk, compare
from tests.policy.world import TEXT, policy_of, ready


def _ask(category: str, arm: str | None = None, cost: str | None = None, **facts: Any) -> RecordedAsk:
    return RecordedAsk({"category": category, **facts}, arm, None if cost is None else usd(cost))


LOG = [
    *[_ask("math", "think-hard", "0.02")] * 3,
    _ask("math", "think-hard", "0.06", u=0.01),
    _ask("math", "fast", "0.001"),
    *[_ask("chat", "fast", "0.002")] * 2,
    _ask("extraction", "think", "0.01"),
]


def test_changes_are_counted_by_category_and_arms() -> None:
    """The largest first, and only what changes."""
    thrifty = ready(policy_of(TEXT.replace("until_certified: think-hard", "until_certified: fast")))
    difference = compare(ready(), thrifty, LOG)
    assert (difference.asks, difference.changed) == (8, 5)
    assert difference.changes == (Change("math", "think-hard", "fast", 5),)


def test_costs_are_those_that_the_arms_had_in_the_same_records() -> None:
    """Five mathematical asks at a mean of $0.03 before and $0.001 after; the rest costs what it did."""
    thrifty = ready(policy_of(TEXT.replace("until_certified: think-hard", "until_certified: fast")))
    difference = compare(ready(), thrifty, LOG)
    rest = usd("0.014")
    assert difference.before.cost == usd("0.15") + rest
    assert difference.after.cost == usd("0.005") + rest
    assert (difference.before.unknown, difference.after.unknown) == (0, 0)


def test_what_no_record_tells_is_counted_as_unknown() -> None:
    """An arm that never answered has no cost, and a refusal is no saving."""
    voting = ready(policy_of(TEXT.replace("until_certified: think-hard", "until_certified: vote")))
    assert compare(ready(), voting, LOG).after.unknown == 5
    strict = ready(policy_of(TEXT.replace("max_cost_usd: 0.25", "max_cost_usd: 0.0001")))
    difference = compare(ready(), strict, LOG)
    assert difference.after.refused == 8
    assert difference.changes[0].after == "refused"


def test_an_arm_without_records_in_a_category_costs_what_it_does_elsewhere() -> None:
    """The mean of all its records stands in."""
    thoughtful = ready(policy_of(TEXT.replace("category: [chat, creative]", "category: [creative]")))
    after = compare(ready(), thoughtful, LOG).after
    assert after.cost == usd("0.15") + usd("0.01") * 3


def test_what_cannot_be_read_is_counted_and_left_out() -> None:
    """One ask that another release recorded does not keep the others from being compared."""
    difference = compare(ready(), ready(), [*LOG, _ask("math", mood="good"), _ask("no category")])
    assert (difference.asks, difference.unreadable) == (8, 2)


def test_a_policy_differs_in_nothing_from_itself() -> None:
    """Exploration is left out of both sides, so that chance makes no difference."""
    exploring = ready(policy_of(TEXT + "calibrate: {every: 1d, spend_at_most_usd: 1, explore: 0.2}\n"))
    assert compare(exploring, exploring, LOG).changes == ()
    assert compare(ready(), exploring, LOG).changes == ()
    assert compare(ready(), exploring, []).asks == 0
