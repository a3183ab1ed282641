"""The limits that a process keeps alone while the store is away, starting from what the store said last."""

from __future__ import annotations

from gateway.adapters.limits_memory import MemoryPurse
from gateway.domain.ledger import Hold
from gateway.domain.limits import Period, window
from gateway.domain.money import from_nanos
from gateway.ports import Claim


class Alone:
    """A purse in memory, and the balances it starts an outage with.

    Several processes that are alone each spend what was left, so together they can exceed a budget
    by what was left times their number; rates and places start afresh.
    """

    def __init__(self) -> None:
        self.purse = MemoryPurse()
        self.served = 0
        """How many holds were made here."""
        # One entry per budget that was ever asked for; the start of its period, and nano-dollars.
        self._seen: dict[tuple[str, Period], tuple[float, int]] = {}
        self._begun: set[str] = set()

    def note(self, account: str, period: Period, start: float, used: int) -> None:
        """Remember what the store said is spent and held."""
        self._seen[account, period] = start, used

    def begin(self) -> None:
        """An outage begins: each account starts from its last known balances."""
        self._begun.clear()

    async def hold(self, claim: Claim) -> Hold:
        """Hold within the limits of this process."""
        for account in claim.accounts:
            if account.id in self._begun:
                continue
            self._begun.add(account.id)
            for budget in account.limits.budgets:
                start, used = self._seen.get((account.id, budget.period), (None, 0))
                if start == window(budget.period, claim.now).start:
                    await self.purse.correct(account.id, {budget.period: from_nanos(used)}, now=claim.now)
        hold = await self.purse.hold(claim)
        self.served += 1
        return hold
