"""What a key or a team may use: money by period, rates, and requests at once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from gateway.domain.money import ZERO, Usd
from gateway.errors import ConfigurationError

_FIRST_MONTH_LENGTH = timedelta(days=32)
"""From the first of a month this leads into the next one, whichever it is."""


class Period(StrEnum):
    """What a budget covers. Periods begin at midnight UTC; weeks on Monday, months on the first."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    TOTAL = "total"


class Window(NamedTuple):
    """One period in time, in Unix seconds: from ``start`` until just before ``end``; ``total`` has no end."""

    start: float
    end: float

    def holds(self, at: float) -> bool:
        """Whether the moment lies in it."""
        return self.start <= at < self.end


def window(period: Period, at: float) -> Window:
    """The period that holds the moment ``at``."""
    if period is Period.TOTAL:
        return Window(0.0, float("inf"))
    start = datetime.fromtimestamp(at, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    end = start + timedelta(days=1)
    if period is Period.WEEK:
        start -= timedelta(days=start.weekday())
        end = start + timedelta(days=7)
    elif period is Period.MONTH:
        start = start.replace(day=1)
        end = (start + _FIRST_MONTH_LENGTH).replace(day=1)
    return Window(start.timestamp(), end.timestamp())


def period_start(period: Period, at: float) -> float:
    """When the period that holds the moment ``at`` began, both in Unix seconds; 0 for ``total``."""
    return window(period, at).start


@dataclass(frozen=True, slots=True)
class Budget:
    """At most ``amount`` per period; from ``soft_share`` of it on, answers carry a warning."""

    amount: Usd
    period: Period
    soft_share: Decimal | None = None

    def __post_init__(self) -> None:
        if self.amount < ZERO:
            raise ConfigurationError(f"a budget of {self.amount} dollars is refused; it must be 0 or more")
        if self.soft_share is not None and not 0 < self.soft_share <= 1:
            raise ConfigurationError(f"a soft share of {self.soft_share} is refused; it must be above 0 and at most 1")


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

    def __post_init__(self) -> None:
        for name in ("requests_per_minute", "tokens_per_minute", "concurrency"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigurationError(f"{name} of {value} is refused; it must be at least 1, or left out")
        periods = [budget.period for budget in self.budgets]
        if len(periods) != len(set(periods)):
            raise ConfigurationError(f"an account takes one budget per period; these were given: {', '.join(periods)}")

    @property
    def is_open(self) -> bool:
        """Whether nothing is restricted."""
        return (
            not self.budgets
            and self.requests_per_minute is None
            and self.tokens_per_minute is None
            and self.concurrency is None
        )


@dataclass(frozen=True, slots=True)
class Account:
    """A key or a team, as limits see it; ``id`` is ``key:…`` or ``team:…``."""

    id: str
    limits: Limits
