"""The ledger's rules: what can happen to a hold, as one table.

A hold sets money aside before a model is called. It ends exactly once: *settled* with the true
amount, or *released* when nothing was spent. While its call lives its lease is renewed; when its
process is gone the lease runs out and the hold is *lapsed*: it counts as spent in full, until the
truth is found in a journal and settles it. An ended hold takes no further event, so a settlement
that arrives twice (a retry, an adopted journal) changes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

from gateway.domain.construction import quick_value
from gateway.domain.money import ZERO, Usd


class HoldState(StrEnum):
    """Where a hold stands."""

    HELD = "held"
    LAPSED = "lapsed"
    SETTLED = "settled"
    RELEASED = "released"


class HoldEvent(StrEnum):
    """What can happen to a hold."""

    EXTEND = "extend"
    RENEW = "renew"
    LAPSE = "lapse"
    SETTLE = "settle"
    RELEASE = "release"


TRANSITIONS: dict[tuple[HoldState, HoldEvent], HoldState] = {
    (HoldState.HELD, HoldEvent.EXTEND): HoldState.HELD,
    (HoldState.HELD, HoldEvent.RENEW): HoldState.HELD,
    (HoldState.HELD, HoldEvent.LAPSE): HoldState.LAPSED,
    (HoldState.HELD, HoldEvent.SETTLE): HoldState.SETTLED,
    (HoldState.HELD, HoldEvent.RELEASE): HoldState.RELEASED,
    (HoldState.LAPSED, HoldEvent.SETTLE): HoldState.SETTLED,
    (HoldState.LAPSED, HoldEvent.RELEASE): HoldState.RELEASED,
}


@quick_value
class Hold:
    """Money set aside before a model is called; settled or released exactly once."""

    request_id: str
    accounts: tuple[str, ...]
    """The key's and the team's account ids."""
    ceiling: Usd
    tokens: int
    """Tokens counted against the rate in advance: the prompt's estimate and the output's ceiling."""
    held_at: float
    """Unix seconds; the periods of its budgets are those of this moment, whenever it settles."""
    lease_until: float
    state: HoldState = HoldState.HELD
    spent: Usd = ZERO
    warnings: tuple[str, ...] = ()
    """Soft limits passed, in words for the caller."""

    @property
    def charge(self) -> Usd:
        """What it takes from its budgets as it stands."""
        return self.spent if self.state in {HoldState.SETTLED, HoldState.RELEASED} else self.ceiling


def after(hold: Hold, event: HoldEvent, *, amount: Usd = ZERO, lease_until: float | None = None) -> Hold | None:
    """The hold after an event, or None when the table has no such transition: nothing happens then.

    ``amount`` is the extension or the true spending.
    """
    state = TRANSITIONS.get((hold.state, event))
    if state is None:
        return None
    return replace(
        hold,
        state=state,
        ceiling=Usd(hold.ceiling + amount) if event is HoldEvent.EXTEND else hold.ceiling,
        spent=amount if event is HoldEvent.SETTLE else hold.spent,
        lease_until=lease_until if lease_until is not None else hold.lease_until,
    )
