"""What a key may still spend."""

from __future__ import annotations

from gateway.domain.key import Key
from gateway.domain.money import Usd
from gateway.ports import Purse


async def budget_left(key: Key, purse: Purse, *, now: float) -> Usd | None:
    """What the tightest budget of a key and its team leaves, holds taken off; None without a budget.

    Raises Unavailable when the purse is away and the setting says to fail closed.
    """
    left: Usd | None = None
    for account in key.accounts:
        for budget in account.limits.budgets:
            spent, held = await purse.spent(account.id, budget.period, now=now)
            rest = Usd(budget.amount - spent - held)
            left = rest if left is None else min(left, rest)
    return left
