"""The limits that a process keeps alone while the store is away, starting from what the store said last."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Final, Protocol

from gateway.adapters.limits_memory import MemoryPurse
from gateway.domain.ledger import Hold
from gateway.domain.limits import Period, window
from gateway.domain.money import ZERO, Usd, from_nanos, to_nanos
from gateway.errors import PonderError, Unavailable
from gateway.ports import Claim

_UNHEARD_SHARERS: Final = 16
"""How many processes one assumes that has never heard how many there are: it takes a small share."""
_LOG_S: Final = 3.0
"""How long a request waits for the log's sums."""
_log = logging.getLogger(__name__)


class SpendingLog(Protocol):
    """What budgets have been charged, by the log of requests. Raises Unavailable where that cannot be read."""

    async def spent(self, now: float) -> Mapping[str, Mapping[Period, Usd]]:
        """Account id → period → what was spent in the period that holds ``now``; an account without any may lack."""
        ...

    async def charged(self, request_ids: Sequence[str]) -> Mapping[str, Usd]:
        """What each of these requests was charged, of those that are in the log."""
        ...


class Alone:
    """A purse in memory, and the balances it starts an outage with.

    Of what was left of a budget each process takes an equal share: where the store is away for all of
    them, they spend no more than that together. What others spent since the store was last heard is not
    known; that is a second for an account that this process serves, and longer where it knows thousands.
    A budget that the store never told of, as to a process that started without it, begins with the
    log's sum. Rates and places start afresh.
    """

    def __init__(self, log: SpendingLog) -> None:
        self.purse = MemoryPurse()
        self.served = 0
        """How many holds were made here."""
        self.sharers = _UNHEARD_SHARERS
        """How many processes there are, this one included."""
        self._log = log
        # One entry per budget that was ever asked for, the one heard of longest ago first: the start of its
        # period, and nano-dollars.
        self._seen: dict[tuple[str, Period], tuple[float, int]] = {}
        # Budgets that are counted here in the period with this start, until the store says again what is used.
        self._begun: dict[tuple[str, Period], float] = {}
        self._reading: asyncio.Task[Mapping[str, Mapping[Period, Usd]] | None] | None = None

    def note(self, account: str, period: Period, start: float, used: int) -> None:
        """Remember what the store said is spent and held."""
        self._seen.pop((account, period), None)
        self._seen[account, period] = start, used
        self._begun.pop((account, period), None)

    def heard_longest_ago(self, most: int, now: float) -> list[tuple[str, Period, float]]:
        """The balances to ask for next: account, period and its start. Those of periods that are over are forgotten."""
        oldest = [(*name, start) for name, (start, _) in islice(self._seen.items(), most)]
        over = [each for each in oldest if each[2] != window(each[1], now).start]
        for account, period, _ in over:
            del self._seen[account, period]
        return [each for each in oldest if each not in over]

    async def hold(self, claim: Claim) -> Hold:
        """Hold within the limits of this process: the last known balances, less what is for others to spend.

        Raises Unavailable where nobody can say what has been spent, and as :class:`MemoryPurse` does.
        """
        unheard = self._unheard(claim)
        if unheard:
            await self._hear_of(unheard, claim.now)
        for account in claim.accounts:
            for budget in account.limits.budgets:
                start = window(budget.period, claim.now).start
                if self._begun.get((account.id, budget.period)) == start:
                    continue
                self._begun[account.id, budget.period] = start
                seen_in, used = self._seen[account.id, budget.period]
                left = max(0, to_nanos(budget.amount) - used) if seen_in == start else to_nanos(budget.amount)
                gone = to_nanos(budget.amount) - left // self.sharers
                await self.purse.correct(account.id, {budget.period: from_nanos(gone)}, now=claim.now)
        hold = await self.purse.hold(claim)
        self.served += 1
        return hold

    def _unheard(self, claim: Claim) -> list[tuple[str, Period]]:
        names = [(account.id, budget.period) for account in claim.accounts for budget in account.limits.budgets]
        return [name for name in names if name not in self._seen]

    async def _hear_of(self, budgets: Iterable[tuple[str, Period]], now: float) -> None:
        """Begin these with the log's sums; one reading serves all that wait for it."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read(now), name="purse-reading")
        reading = self._reading
        await asyncio.wait({reading}, timeout=_LOG_S)
        sums = reading.result() if reading.done() else None
        if sums is None:
            raise Unavailable(
                "limits cannot be checked: Redis is away, and the log cannot be asked what has been spent; requests "
                "are accepted again when either is back",
                retry_after_s=_LOG_S,
            )
        for account, period in budgets:
            spent = sums.get(account, {}).get(period, ZERO)
            self.note(account, period, window(period, now).start, to_nanos(spent))

    async def _read(self, now: float) -> Mapping[str, Mapping[Period, Usd]] | None:
        try:
            return await self._log.spent(now)
        except PonderError as fault:
            _log.warning("budgets that Redis never told of cannot be read from the log: %s", fault.message)
            return None

    async def close(self) -> None:
        """Stop reading the log."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})
