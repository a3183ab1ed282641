"""Notices: what a webhook is told when a budget passes its soft limit, or turns a request away."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from gateway.domain.limits import Budget, Period, period_start
from gateway.domain.money import Usd, show
from gateway.telemetry import iso_time


class BudgetEvent(StrEnum):
    """What can be told of a budget."""

    SOFT_LIMIT = "budget.soft_limit"
    """What is spent reached the soft share. What is merely held does not count: it may never be spent."""
    EXHAUSTED = "budget.exhausted"
    """A request was refused with 402, as the most that it may cost did not fit into what was left."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """One event of one budget, and how the budget stood when it was looked at."""

    event: BudgetEvent
    account: str
    budget: Budget
    spent: Usd
    held: Usd
    at: float

    @property
    def window_start(self) -> float:
        """When the period began in which this happened; 0 for one that never ends."""
        return period_start(self.budget.period, self.at)


def notice_document(crossing: Crossing, name: str) -> dict[str, Any]:
    """What the webhook gets, in the form of Standard Webhooks; amounts are decimal text, so that none is rounded."""
    budget = crossing.budget
    is_endless = budget.period is Period.TOTAL
    return {
        "type": crossing.event.value,
        "timestamp": iso_time(crossing.at),
        "data": {
            "account": crossing.account,
            "name": name,
            "period": budget.period.value,
            "period_start": None if is_endless else iso_time(crossing.window_start),
            "limit_usd": show(budget.amount),
            "soft_share": None if budget.soft_share is None else str(budget.soft_share),
            "spent_usd": show(crossing.spent),
            "held_usd": show(crossing.held),
            "percent": _percent(crossing.spent, budget.amount),
            "time": iso_time(crossing.at),
        },
    }


def _percent(spent: Usd, amount: Usd) -> float | None:
    """What is spent in percent of the budget, to two places; None of a budget of nothing."""
    return float(round(Decimal(100) * spent / amount, 2)) if amount else None
