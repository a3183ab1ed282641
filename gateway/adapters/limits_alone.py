"""The limits that a process keeps alone while the store is away, starting from what the store said last."""

from __future__ import annotations

from itertools import islice

from gateway.adapters.limits_memory import MemoryPurse
from gateway.domain.ledger import Hold
from gateway.domain.limits import Period, window
from gateway.domain.money import from_nanos, to_nanos
from gateway.ports import Claim


class Alone:
    """A purse in memory, and the balances it starts an outage with.

    Of what was left of a budget each process takes an equal share: where the store is away for all of
    them, they spend no more than that together. What others spent since the store was last heard is not
    known; that is a second for an account that this process serves, and longer where it knows thousands.
    Rates and places start afresh.
    """

    def __init__(self) -> None:
        self.purse = MemoryPurse()
        self.served = 0
        """How many holds were made here."""
        self.sharers = 1
        """How many processes there are, this one included."""
        # One entry per budget that was ever asked for, the one heard of longest ago first: the start of its
        # period, and nano-dollars.
        self._seen: dict[tuple[str, Period], tuple[float, int]] = {}
        # Budgets that are counted here in the period with this start, until the store says again what is used.
        self._begun: dict[tuple[str, Period], float] = {}

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
        """Hold within the limits of this process: the last known balances, less what is for others to spend."""
        for account in claim.accounts:
            for budget in account.limits.budgets:
                start = window(budget.period, claim.now).start
                if self._begun.get((account.id, budget.period)) == start:
                    continue
                self._begun[account.id, budget.period] = start
                seen_in, used = self._seen.get((account.id, budget.period), (start, 0))
                left = max(0, to_nanos(budget.amount) - used) if seen_in == start else to_nanos(budget.amount)
                gone = to_nanos(budget.amount) - left // self.sharers
                await self.purse.correct(account.id, {budget.period: from_nanos(gone)}, now=claim.now)
        hold = await self.purse.hold(claim)
        self.served += 1
        return hold
