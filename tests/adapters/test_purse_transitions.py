"""Any sequence of steps, on either purse, against the ledger's table and plain sums."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from gateway.adapters.limits_memory import MemoryPurse
from gateway.adapters.limits_redis import RedisPurse
from gateway.domain.ledger import Hold, HoldEvent, HoldState, after
from gateway.domain.limits import Account, Budget, Limits, Period, window
from gateway.domain.money import Usd, from_nanos
from gateway.errors import BudgetExhausted, PonderError, RateLimited, Unavailable
from gateway.ports import Claim, Purse
from tests.adapters.purse_contract import LEASE_S, NOON
from tests.adapters.redis_server import RedisServer
from tests.adapters.set_log import SetLog
from tests.clock import SetClock
from tests.randomness import examples

_Value = TypeVar("_Value")
_AMOUNTS = st.integers(0, 500_000_000).map(from_nanos)
_PLACES = 4
_KEY = Account("key:k1", Limits(concurrency=_PLACES, budgets=(Budget(from_nanos(10**9), Period.DAY),)))
_TEAM = Account("team:t1", Limits(budgets=(Budget(from_nanos(3 * 10**9), Period.TOTAL),)))
_BUDGETS = [(account.id, budget) for account in (_KEY, _TEAM) for budget in account.limits.budgets]


@dataclass(frozen=True, slots=True)
class Kept:
    """A purse, and how to be done with it."""

    purse: Purse
    close: Callable[[], Awaitable[None]]


class Transitions(RuleBasedStateMachine):
    """The model: every hold ever made, changed by ``after``; a balance is the sum of their charges."""

    def __init__(self, keep: Callable[[], Awaitable[Kept]]) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._kept = self._run(keep())
        self._purse = self._kept.purse
        self._holds: list[Hold] = []
        # Whole milliseconds, as Redis counts: sums of fractions would differ from it by less than one.
        self._now_ms = round(NOON * 1000)

    @property
    def _now(self) -> float:
        return self._now_ms / 1000

    @initialize()
    def restore(self) -> None:
        """Nothing is spent."""
        self._run(self._purse.restore({}, now=self._now))

    @rule(ceiling=_AMOUNTS)
    def hold(self, ceiling: Usd) -> None:
        """A hold is made exactly if it fits into each budget and a place is free."""
        claim = Claim(f"r{len(self._holds)}", (_KEY, _TEAM), ceiling, 0, self._now, LEASE_S)
        refusal = self._refusal(ceiling, self._now)
        if refusal is None and sum(hold.state is HoldState.HELD for hold in self._holds) >= _PLACES:
            refusal = RateLimited
        hold = self._expect(self._purse.hold(claim), refusal)
        if hold is not None:
            self._holds.append(hold)

    @rule(number=st.integers(0, 50), by=_AMOUNTS)
    def extend(self, number: int, by: Usd) -> None:
        """A hold is extended exactly if it lives and the money fits into each budget."""
        if number >= len(self._holds):
            return
        hold = self._holds[number]
        extended = after(hold, HoldEvent.EXTEND, amount=by)
        refusal = Unavailable if extended is None else self._refusal(by, hold.held_at)
        returned = self._expect(self._purse.extend(hold, by, now=self._now), refusal)
        if returned is not None and extended is not None:
            assert returned.ceiling == extended.ceiling
            self._holds[number] = extended

    @rule(number=st.integers(0, 50))
    def renew(self, number: int) -> None:
        """A renewed lease ends later; whatever does not live stays as it is."""
        for hold in self._holds[number : number + 1]:
            self._run(self._purse.renew([hold], now=self._now, lease_s=LEASE_S))
            self._holds[number] = after(hold, HoldEvent.RENEW, lease_until=self._now + LEASE_S) or hold

    @rule(number=st.integers(0, 50), amount=_AMOUNTS)
    def settle(self, number: int, amount: Usd) -> None:
        """A hold is settled exactly if it has not ended."""
        for hold in self._holds[number : number + 1]:
            settled = after(hold, HoldEvent.SETTLE, amount=amount)
            done = self._run(self._purse.settle(hold, amount, tokens=0, now=self._now))
            assert done is (settled is not None)
            self._holds[number] = settled or hold

    @rule(number=st.integers(0, 50))
    def release(self, number: int) -> None:
        """A hold is released exactly if it has not ended."""
        for hold in self._holds[number : number + 1]:
            released = after(hold, HoldEvent.RELEASE)
            assert self._run(self._purse.release(hold, now=self._now)) is (released is not None)
            self._holds[number] = released or hold

    @rule(seconds=st.sampled_from([0.001, 1.0, LEASE_S / 2, LEASE_S, 3 * 3600.0]))
    def wait(self, seconds: float) -> None:
        """Time passes, and leases run out."""
        self._now_ms += round(seconds * 1000)
        self._holds = [
            (after(hold, HoldEvent.LAPSE) or hold) if hold.lease_until <= self._now else hold for hold in self._holds
        ]

    @invariant()
    def balances_are_the_sums_of_charges(self) -> None:
        """What is spent and held in each current period is exactly what its holds say."""
        for account, budget in _BUDGETS:
            spent, held = self._run(self._purse.spent(account, budget.period, now=self._now))
            holds = self._of(budget.period, self._now)
            live = [hold for hold in holds if hold.state is HoldState.HELD]
            assert held == sum((hold.charge for hold in live), Decimal(0))
            assert spent == sum((hold.charge for hold in holds if hold not in live), Decimal(0))

    @invariant()
    def no_budget_is_overspent(self) -> None:
        """Charges exceed a budget at most by what upstreams charged beyond the ceilings held for it."""
        for _, budget in _BUDGETS:
            for moment in {hold.held_at for hold in self._holds}:
                holds = self._of(budget.period, moment)
                beyond = sum(max(Decimal(0), hold.charge - hold.ceiling) for hold in holds)
                assert sum(hold.charge for hold in holds) - beyond <= budget.amount

    def teardown(self) -> None:
        self._run(self._kept.close())
        self._runner.close()

    def _refusal(self, amount: Usd, at: float) -> type[PonderError] | None:
        for _, budget in _BUDGETS:
            if sum(hold.charge for hold in self._of(budget.period, at)) + amount > budget.amount:
                return BudgetExhausted
        return None

    def _of(self, period: Period, at: float) -> list[Hold]:
        """The holds that were made in the same period."""
        covered = window(period, at)
        return [hold for hold in self._holds if covered.holds(hold.held_at)]

    def _expect(self, step: Awaitable[Hold], refusal: type[PonderError] | None) -> Hold | None:
        if refusal is None:
            return self._run(step)
        with pytest.raises(refusal):
            self._run(step)
        return None

    def _run(self, step: Awaitable[_Value]) -> _Value:
        async def whole() -> _Value:
            return await step

        return self._runner.run(whole())


@pytest.mark.hypothesis
def test_the_purse_in_memory_follows_the_table() -> None:
    """In memory, every step does what the ledger's table says, and balances are exact sums."""

    async def nothing() -> None:
        return None

    async def keep() -> Kept:
        return Kept(MemoryPurse(), nothing)

    run_state_machine_as_test(lambda: Transitions(keep), settings=settings(stateful_step_count=40))


@pytest.mark.hypothesis
def test_the_purse_in_redis_follows_the_table(shared_redis: RedisServer) -> None:
    """In Redis, every step does what the ledger's table says, and balances are exact sums."""
    prefixes = (f"{{machine{number}}}:" for number in itertools.count())

    async def keep() -> Kept:
        purse = RedisPurse(
            shared_redis.url,
            when_away="closed",
            clock=SetClock(NOON),
            log=SetLog(),
            process="one",
            is_server_timed=False,
            prefix=next(prefixes),
            timeout_s=10.0,
        )

        async def close() -> None:
            assert purse.state.outages == 0
            await purse.close(within_s=0)

        return Kept(purse, close)

    run_state_machine_as_test(lambda: Transitions(keep), settings=settings(examples(30), stateful_step_count=40))
