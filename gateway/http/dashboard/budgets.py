"""Budgets beside what was spent of them, as the purse counts it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from gateway.domain.limits import Period
from gateway.domain.money import Usd
from gateway.http.dashboard.board import Board

_MOST: Final = 300
"""Only so many budgets are looked at, the largest: with limits in Redis, each is a question to it."""


@dataclass(frozen=True, slots=True)
class UsedBudget:
    """A budget and how full it is; ``used`` counts what is held for requests under way as spent."""

    account: str
    kind: str
    name: str
    period: Period
    amount: Usd
    spent: Usd
    held: Usd
    used: float


async def used_budgets(board: Board, *accounts: str) -> list[UsedBudget]:
    """The fullest budgets first; of these accounts alone, if any are named."""
    now = board.desk.clock.now()
    found = await board.traffic.allowances(_MOST)
    chosen = [each for each in found if not accounts or each.account in accounts]
    balances = await asyncio.gather(*(board.house.purse.spent(each.account, each.period, now=now) for each in chosen))
    made = [
        UsedBudget(
            account=each.account,
            kind=each.kind,
            name=each.name,
            period=each.period,
            amount=each.amount,
            spent=spent,
            held=held,
            used=float((spent + held) / each.amount) if each.amount else 1.0,
        )
        for each, (spent, held) in zip(chosen, balances, strict=True)
    ]
    return sorted(made, key=lambda each: (-each.used, each.account, each.period))
