"""The tally that a policy's cap on exploring is held against."""

from __future__ import annotations

from gateway.domain.money import usd
from gateway.flow.exploring import ExploreTally
from tests.policy.test_exploring import exploring
from tests.policy.world import NOON

_DAY_S = 86_400
POLICY = exploring("{share: 0.1, spend_at_most_usd: 0.5}")


def test_a_policy_explores_until_its_money_is_spent() -> None:
    """The last time may go beyond the cap; others have caps of their own."""
    tally = ExploreTally()
    for amount in ("0.3", "0.19"):
        assert tally.has_left(POLICY, now=NOON)
        tally.add(POLICY, usd(amount), now=NOON)
    assert tally.has_left(POLICY, now=NOON)
    tally.add(POLICY, usd("0.2"), now=NOON)
    assert not tally.has_left(POLICY, now=NOON)


def test_a_day_begins_anew() -> None:
    """At midnight, UTC."""
    tally = ExploreTally()
    tally.add(POLICY, usd(1), now=NOON)
    assert not tally.has_left(POLICY, now=NOON + _DAY_S / 2 - 1)
    assert tally.has_left(POLICY, now=NOON + _DAY_S / 2)
