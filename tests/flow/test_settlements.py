"""Settling beside the request path: the order, the leases, and the end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal

import pytest

from gateway.adapters.limits_memory import MemoryPurse
from gateway.domain.ledger import Hold
from gateway.domain.limits import Account, Budget, Limits, Period
from gateway.domain.money import ZERO, Usd, usd
from gateway.errors import Unavailable
from gateway.flow.settlements import Settlements
from gateway.ports import Claim
from tests.adapters.journal.samples import until
from tests.flow.scripted import FixedClock

NOW = FixedClock().now()
ACCOUNT = Account("key:k1", Limits(budgets=(Budget(usd(Decimal(1)), Period.TOTAL),)))


class RecordingPurse(MemoryPurse):
    """A purse that keeps what it was told, and can be slow or away."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.settled: list[str] = []
        self.renewed: list[list[str]] = []
        self.fault: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def settle(self, hold: Hold, amount: Usd, *, tokens: int, now: float) -> bool:
        """Note the request, and settle it once the gate is open."""
        self.asked += 1
        await self.gate.wait()
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault
        self.settled.append(hold.request_id)
        return await super().settle(hold, amount, tokens=tokens, now=now)

    async def renew(self, holds: Sequence[Hold], *, now: float, lease_s: float) -> None:
        """Note the requests, and renew them."""
        self.renewed.append([hold.request_id for hold in holds])
        await super().renew(holds, now=now, lease_s=lease_s)


async def _held(purse: MemoryPurse, settlements: Settlements, request_id: str) -> Hold:
    hold = await purse.hold(
        Claim(request_id, (ACCOUNT,), ceiling=usd(Decimal("0.1")), tokens=10, now=NOW, lease_s=60.0)
    )
    settlements.watch(hold)
    return hold


async def test_endings_are_told_in_their_order() -> None:
    """The purse hears of the endings one after the other, as they came, and then counts the true amounts."""
    purse = RecordingPurse()
    settlements = Settlements(purse, FixedClock(), lease_s=60)
    holds = [await _held(purse, settlements, str(number)) for number in range(5)]
    settlements.start()
    assert settlements.open_holds == 5
    for hold in reversed(holds):
        settlements.end(hold, usd(Decimal("0.01")), 3)
    assert (settlements.open_holds, settlements.waiting) == (0, 5)
    await settlements.close(within_s=5)
    assert purse.settled == ["4", "3", "2", "1", "0"]
    assert await purse.spent("key:k1", Period.TOTAL, now=NOW) == (usd(Decimal("0.05")), ZERO)


async def test_an_ending_that_cannot_be_told_is_told_later() -> None:
    """While the purse is away the endings wait; none is dropped and none is told twice."""
    purse = RecordingPurse()
    settlements = Settlements(purse, FixedClock(), lease_s=60)
    first, second = [await _held(purse, settlements, name) for name in ("first", "second")]
    purse.fault = Unavailable("the store is away")
    settlements.start()
    settlements.end(first, usd(Decimal("0.01")), 3)
    settlements.end(second, usd(Decimal("0.02")), 3)
    await settlements.close(within_s=10)
    assert sorted(purse.settled) == ["first", "second"]
    assert settlements.waiting == 0


async def test_a_fault_of_ours_keeps_no_other_ending_back(caplog: pytest.LogCaptureFixture) -> None:
    """An ending that the purse fails on is left for the journal, with the fault in the log; the next ones are told."""
    purse = RecordingPurse()
    settlements = Settlements(purse, FixedClock(), lease_s=60)
    first, second = [await _held(purse, settlements, name) for name in ("first", "second")]
    purse.fault = KeyError("books")
    settlements.start()
    settlements.end(first, usd(Decimal("0.01")), 3)
    await until(lambda: not settlements.waiting)
    settlements.end(second, usd(Decimal("0.02")), 3)
    await settlements.close(within_s=10)
    assert purse.settled == ["second"]
    assert "left for the journal" in caplog.text


async def test_endings_do_not_wait_for_each_other() -> None:
    """While a purse takes its time over one ending it is told the others: a round trip each would fall behind."""
    purse = RecordingPurse()
    settlements = Settlements(purse, FixedClock(), lease_s=60)
    holds = [await _held(purse, settlements, str(number)) for number in range(9)]
    purse.gate.clear()
    settlements.start()
    settlements.end(holds[0], ZERO, 0)
    await until(lambda: purse.asked == 1)
    for hold in holds[1:]:
        settlements.end(hold, ZERO, 0)
    await until(lambda: purse.asked == 9)
    assert settlements.waiting == 9
    purse.gate.set()
    await settlements.close(within_s=5)
    assert (len(purse.settled), settlements.waiting) == (9, 0)


async def test_closing_takes_no_longer_than_allowed(caplog: pytest.LogCaptureFixture) -> None:
    """A purse that never answers does not keep a process from ending, and what is left is said."""
    purse = RecordingPurse()
    settlements = Settlements(purse, FixedClock(), lease_s=60)
    hold = await _held(purse, settlements, "first")
    purse.gate.clear()
    settlements.start()
    settlements.end(hold, usd(Decimal("0.01")), 3)
    await settlements.close(within_s=0.01)
    assert settlements.waiting == 1
    assert "1 settlements were left for the journal" in caplog.text


async def test_closing_what_was_never_started_does_nothing() -> None:
    """A gateway that fails at its start can close its settlements."""
    await Settlements(MemoryPurse(), FixedClock(), lease_s=60).close(within_s=1)


async def test_leases_of_living_calls_are_renewed() -> None:
    """Open holds are renewed again and again; those that ended are not."""
    purse = RecordingPurse()
    settlements = Settlements(purse, FixedClock(), lease_s=120, renew_every_s=0.001)
    living, ended = [await _held(purse, settlements, name) for name in ("living", "ended")]
    settlements.end(ended, usd(Decimal(0)), 0)
    settlements.start()
    await until(lambda: bool(purse.renewed))
    assert purse.renewed[0] == ["living"]
    await settlements.close(within_s=5)
    # The renewed lease outlives the one that was taken: after 100 seconds the money is held, and not lapsed.
    assert await purse.spent("key:k1", Period.TOTAL, now=NOW + 100) == (ZERO, living.ceiling)


async def test_nothing_is_renewed_while_nothing_is_open() -> None:
    """An idle gateway leaves its purse alone."""
    purse = RecordingPurse()
    settlements = Settlements(purse, FixedClock(), lease_s=60, renew_every_s=0.001)
    settlements.start()
    for _ in range(20):
        await asyncio.sleep(0.001)
    await settlements.close(within_s=5)
    assert purse.renewed == []
