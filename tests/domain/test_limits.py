"""Limits: their periods, and which of them are refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.limits import Budget, Limits, Period, Window, period_start, window
from gateway.domain.money import Usd, usd
from gateway.errors import ConfigurationError

MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - naive bounds are asked for


def _at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("period", "at", "start", "end"),
    [
        (Period.DAY, "2026-11-22T00:00:00", "2026-11-22", "2026-11-23"),
        (Period.DAY, "2026-11-22T23:59:59.999", "2026-11-22", "2026-11-23"),
        (Period.WEEK, "2026-11-22T23:59:59", "2026-11-16", "2026-11-23"),
        (Period.WEEK, "2026-11-23T00:00:00", "2026-11-23", "2026-11-30"),
        (Period.MONTH, "2026-12-31T23:59:59", "2026-12-01", "2027-01-01"),
        (Period.MONTH, "2028-02-29T12:00:00", "2028-02-01", "2028-03-01"),
    ],
)
def test_periods_begin_at_midnight_utc(period: Period, at: str, start: str, end: str) -> None:
    """Days begin at midnight UTC, weeks on Monday, months on the first."""
    assert window(period, _at(at)) == Window(_at(start), _at(end))


def test_a_total_has_neither_beginning_nor_end() -> None:
    """A total budget covers all time."""
    assert window(Period.TOTAL, 1.8e9) == Window(0.0, float("inf"))


@given(at=MOMENTS, period=st.sampled_from([Period.DAY, Period.WEEK, Period.MONTH]))
def test_every_moment_lies_in_one_period(at: datetime, period: Period) -> None:
    """A period holds its moments, its end begins the next one, and it is no longer than a month."""
    covered = window(period, at.timestamp())
    assert covered.holds(at.timestamp())
    assert covered.start == period_start(period, at.timestamp())
    assert window(period, covered.end).start == covered.end
    assert window(period, covered.start) == covered
    assert covered.end - covered.start <= timedelta(days=31).total_seconds()


@pytest.mark.parametrize("name", ["requests_per_minute", "tokens_per_minute", "concurrency"])
def test_a_limit_allows_at_least_one(name: str) -> None:
    """A limit of nothing is refused by its name; a key is closed by revoking it."""
    with pytest.raises(ConfigurationError, match=f"{name} of 0 is refused; it must be at least 1, or left out"):
        Limits(**{name: 0})


def test_budgets_are_checked() -> None:
    """A negative amount, a soft share out of range and two budgets for one period are refused."""
    with pytest.raises(ConfigurationError, match="must be 0 or more"):
        Budget(Usd(-usd("0.000000001")), Period.DAY)
    for share in ("0", "1.01"):
        with pytest.raises(ConfigurationError, match="above 0 and at most 1"):
            Budget(usd(1), Period.DAY, Decimal(share))
    with pytest.raises(ConfigurationError, match="one budget per period; these were given: day, month, day"):
        Limits(budgets=tuple(Budget(usd(1), period) for period in (Period.DAY, Period.MONTH, Period.DAY)))


def test_only_limits_without_any_limit_are_open() -> None:
    """One limit of whatever kind is enough to restrict."""
    assert Limits().is_open
    restricted = [
        Limits(requests_per_minute=1),
        Limits(tokens_per_minute=1),
        Limits(concurrency=1),
        Limits(budgets=(Budget(usd(0), Period.TOTAL),)),
    ]
    assert not any(limits.is_open for limits in restricted)
