"""Budgets that requests came close to or were turned away by: marked on the request's path, looked at beside it."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.domain.limits import Account, Budget, Period
from gateway.errors import BudgetExhausted


class Crossings:
    """Marks in memory. Marking again changes nothing, so there are never more than budgets."""

    def __init__(self) -> None:
        self._near: dict[str, Account] = {}
        self._refused: dict[tuple[str, Period], Budget] = {}

    def __len__(self) -> int:
        """How many marks were not taken yet."""
        return len(self._near) + len(self._refused)

    def near(self, accounts: tuple[Account, ...]) -> None:
        """Some budget of these passed its soft limit, what is held counted as spent."""
        for account in accounts:
            if account.limits.budgets:
                self._near[account.id] = account

    def refused(self, refusal: BudgetExhausted, accounts: tuple[Account, ...]) -> None:
        """A budget of these turned a request away."""
        for account in accounts:
            for budget in account.limits.budgets:
                if (account.id, budget.period) == (refusal.account, refusal.period):
                    self._refused[account.id, budget.period] = budget

    def take(self) -> tuple[Mapping[str, Account], Mapping[tuple[str, Period], Budget]]:
        """What was marked since the last time: accounts by id, and budgets by account and period."""
        near, refused = self._near, self._refused
        if near or refused:
            self._near, self._refused = {}, {}
        return near, refused
