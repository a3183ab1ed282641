"""The words of a refusal, and which of several is told."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from gateway.domain import refusals
from gateway.domain.limits import Budget, Period
from gateway.domain.money import Usd, usd
from gateway.errors import PonderError

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()


def _exhausted(period: Period) -> PonderError:
    budget = Budget(Usd(Decimal(100)), period)
    return refusals.budget_exhausted("team:t1", budget, asked=10**9, spent=100 * 10**9, held=0, now=NOON)


def test_a_total_budget_does_not_renew() -> None:
    """Whoever has used up a total budget is not told to come back."""
    refusal = _exhausted(Period.TOTAL)
    assert refusal.message.startswith("team:t1 has $0 left of its total budget of $100 ($100 spent); ")
    assert "does not renew" in refusal.message
    assert refusal.retry_after_s is None


@pytest.mark.parametrize(("period", "wait_days"), [(Period.DAY, 0.5), (Period.WEEK, 0.5), (Period.MONTH, 8.5)])
def test_a_budget_says_when_it_renews(period: Period, wait_days: float) -> None:
    """The wait lasts to the end of the period."""
    assert _exhausted(period).retry_after_s == wait_days * 86400


def test_an_overspent_budget_has_nothing_left() -> None:
    """What was charged beyond a budget does not show as a negative rest."""
    refusal = refusals.budget_exhausted(
        "key:k1", Budget(usd(1), Period.DAY), asked=1, spent=2 * 10**9, held=1, now=NOON
    )
    assert refusal.message.startswith("key:k1 has $0 left of its budget of $1 per day ($2 spent, $0.000000001 held")


def test_the_foremost_refusal_is_the_one_that_lasts() -> None:
    """Of several, what waiting cannot mend comes first, then money, then the longest wait."""
    short = refusals.request_rate_exceeded("key:k1", 60, wait_ms=1000)
    long = refusals.token_rate_exceeded("key:k1", 60, asked=9, left=1, wait_ms=90_000_000)
    day, total = _exhausted(Period.DAY), _exhausted(Period.TOTAL)
    assert refusals.foremost([short, long]) is long
    assert refusals.foremost([short, day, long]) is day
    assert refusals.foremost([short, total, day]) is total
    assert refusals.foremost([short, refusals.tokens_never_fit("key:k1", 60, asked=61)]) is not short
