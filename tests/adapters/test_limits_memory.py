"""The purse in memory: the contract, and what only one process can promise."""

from __future__ import annotations

import tracemalloc

import pytest

from gateway.adapters.limits_memory import LAPSED_KEPT_S, MemoryPurse
from gateway.domain.limits import Period
from gateway.domain.money import ZERO, usd
from tests.adapters.purse_contract import LEASE_S, NOON, PurseContract, account, balance, claim, daily


@pytest.fixture
async def purse() -> MemoryPurse:
    """A purse with nothing spent."""
    purse = MemoryPurse()
    await purse.restore({}, now=NOON)
    return purse


class TestMemoryPurse(PurseContract):
    """Adopts the contract."""


async def test_balances_are_restored_at_start() -> None:
    """A new process knows nothing until it is told what was spent."""
    purse = MemoryPurse()
    assert await purse.needs_restore()
    assert await purse.restore({"key:k1": {Period.DAY: usd("0.9")}}, now=NOON)
    assert not await purse.needs_restore()
    assert await balance(purse) == (usd("0.9"), ZERO)


async def test_a_hold_that_lapsed_long_ago_is_forgotten_and_stays_spent(purse: MemoryPurse) -> None:
    """After a week no settlement is expected any more: the ceiling stands."""
    hold = await purse.hold(claim("r1", account("key:k1", daily("1")), ceiling="0.6"))
    late = NOON + LEASE_S + LAPSED_KEPT_S
    await purse.spent("key:k1", Period.DAY, now=NOON + LEASE_S)
    assert purse.has("r1")
    await purse.spent("key:k1", Period.DAY, now=late)
    assert not purse.has("r1")
    assert not await purse.settle(hold, usd("0.1"), tokens=0, now=late)
    assert await balance(purse) == (usd("0.6"), ZERO)


async def test_memory_does_not_grow_with_what_has_ended(purse: MemoryPurse) -> None:
    """Requests that have ended leave nothing behind but their accounts' balances."""
    key = account("key:k1", daily("1000"), requests_per_minute=10**9, tokens_per_minute=10**9, concurrency=9)

    async def serve(count: int) -> int:
        for number in range(count):
            hold = await purse.hold(claim(f"r{number}", key, ceiling="0.01", tokens=10))
            await purse.settle(hold, ZERO, tokens=10, now=NOON)
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = await serve(3000)
        after = await serve(30_000)
    finally:
        tracemalloc.stop()
    # Between two sweeps up to a thousand alarms of ended requests wait, of some 150 bytes each.
    assert after - before < 400_000
