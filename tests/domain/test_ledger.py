"""The ledger's table, and what follows from it."""

from __future__ import annotations

import itertools

import pytest

from gateway.domain.ledger import TRANSITIONS, Hold, HoldEvent, HoldState, after
from gateway.domain.money import ZERO, usd

HELD = Hold("r1", ("key:k1", "team:t1"), usd("0.5"), 100, held_at=1000.0, lease_until=1060.0)
LAPSED = after(HELD, HoldEvent.LAPSE)
SETTLED = after(HELD, HoldEvent.SETTLE, amount=usd("0.2"))
RELEASED = after(HELD, HoldEvent.RELEASE)


@pytest.mark.parametrize("hold", [SETTLED, RELEASED])
@pytest.mark.parametrize("event", list(HoldEvent))
def test_nothing_happens_to_an_ended_hold(hold: Hold, event: HoldEvent) -> None:
    """After its end a hold takes no event, so a settlement that arrives twice changes nothing."""
    assert after(hold, event, amount=usd("9")) is None


@pytest.mark.parametrize("event", [HoldEvent.EXTEND, HoldEvent.RENEW, HoldEvent.LAPSE])
def test_a_lapsed_hold_can_only_end(event: HoldEvent) -> None:
    """A hold whose process is gone is not brought back, only settled or released."""
    assert LAPSED is not None
    assert after(LAPSED, event) is None


def test_the_charge_follows_the_state() -> None:
    """A hold charges its ceiling while it lives or has lapsed, its true amount once settled, nothing once released."""
    charges = {hold.state: hold.charge for hold in (HELD, LAPSED, SETTLED, RELEASED) if hold is not None}
    assert charges == {
        HoldState.HELD: usd("0.5"),
        HoldState.LAPSED: usd("0.5"),
        HoldState.SETTLED: usd("0.2"),
        HoldState.RELEASED: ZERO,
    }


def test_the_truth_replaces_a_lapsed_ceiling() -> None:
    """A late settlement of a lapsed hold charges what was truly spent."""
    assert LAPSED is not None
    settled = after(LAPSED, HoldEvent.SETTLE, amount=usd("0.3"))
    assert settled is not None
    assert settled.charge == usd("0.3")


def test_extending_raises_the_ceiling_and_renewing_moves_the_lease() -> None:
    """Each event changes what it is for and leaves the rest."""
    extended = after(HELD, HoldEvent.EXTEND, amount=usd("0.25"))
    renewed = after(HELD, HoldEvent.RENEW, lease_until=1090.0)
    assert extended is not None
    assert renewed is not None
    assert (extended.ceiling, extended.lease_until) == (usd("0.75"), 1060.0)
    assert (renewed.ceiling, renewed.lease_until) == (usd("0.5"), 1090.0)
    assert extended.state is renewed.state is HoldState.HELD


def test_every_transition_is_in_the_table() -> None:
    """A hold changes exactly where the table has an entry, into the state that it names."""
    for state, event in itertools.product(HoldState, HoldEvent):
        (hold,) = [each for each in (HELD, LAPSED, SETTLED, RELEASED) if each is not None and each.state is state]
        changed = after(hold, event)
        assert (changed.state if changed is not None else None) == TRANSITIONS.get((state, event))
