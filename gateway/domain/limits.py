"""What a key or a team may use: money by period, rates, and requests at once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from gateway.domain.money import Usd


class Period(StrEnum):
    """What a budget covers. Periods begin at midnight UTC; weeks on Monday, months on the first."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    TOTAL = "total"


def period_start(period: Period, at: float) -> float:
    """When the period that holds the moment ``at`` began, both in Unix seconds; 0 for ``total``."""
    if period is Period.TOTAL:
        return 0.0
    day = datetime.fromtimestamp(at, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period is Period.WEEK:
        day -= timedelta(days=day.weekday())
    elif period is Period.MONTH:
        day = day.replace(day=1)
    return day.timestamp()


@dataclass(frozen=True, slots=True)
class Budget:
    """At most ``amount`` per period; from ``soft_share`` of it on, answers carry a warning."""

    amount: Usd
    period: Period
    soft_share: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one account; None and the empty tuple do not restrict.

    Rates are per minute, kept as token buckets: a full minute's worth may come at once, and
    refills evenly. ``concurrency`` counts requests that hold money.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None
    budgets: tuple[Budget, ...] = ()


@dataclass(frozen=True, slots=True)
class Account:
    """A key or a team, as limits see it; ``id`` is ``key:…`` or ``team:…``."""

    id: str
    limits: Limits
