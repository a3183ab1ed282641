"""What each key and team has spent in its current periods: what budgets are restored from at start.

A sum is over the log of requests and over what :mod:`gateway.store.retention` carried forward from it, in
one statement: what is deleted meanwhile is counted once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.limits import Period, period_start
from gateway.domain.money import Usd, from_nanos
from gateway.domain.tenancy import key_account, team_account
from gateway.store.base import Database, open_async, translating
from gateway.store.columns import UnixSeconds
from gateway.store.located import near
from gateway.store.tables import budgets, keys, requests, spent_before

HAIR_S = 0.001
"""How far a time that the database computes may be off."""

_LONGEST_REQUEST_S = 3600.0

CHARGED_NANOS = func.coalesce(requests.c.charged_nanos, requests.c.cost_nanos)
"""What a request took from its budgets."""


@dataclass(frozen=True, slots=True)
class BudgetedAccount:
    """A key or a team that has a budget for a period."""

    account: str
    period: Period


class Balances:
    """Sums over the log of requests, by account."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def budgeted(self) -> tuple[BudgetedAccount, ...]:
        """Every account and period that has a budget."""
        statement = select(budgets.c.account, budgets.c.period).order_by(budgets.c.account, budgets.c.period)
        async with self._connection() as connection:
            rows = (await connection.execute(statement)).all()
        return tuple(BudgetedAccount(account, Period(period)) for account, period in rows)

    async def straddling(self, now: float) -> Mapping[str, Mapping[Period, Usd]]:
        """What requests cost that began before the current periods and ended in them, as in :meth:`spent`.

        A budget counts a request in the period of its hold, the log in the period of its start: for
        these the two may be different ones.
        """
        ended_at = UnixSeconds(requests.c.started_at) + requests.c.total_s
        starts: dict[Period, float] = {
            period: period_start(period, now) for period in Period if period is not Period.TOTAL
        }
        logged = {
            period: and_(
                requests.c.started_at >= start - _LONGEST_REQUEST_S,
                requests.c.started_at < start,
                ended_at >= start - HAIR_S,
            )
            for period, start in starts.items()
        }
        carried = {period: spent_before.c.day == utc_day(start - 1) for period, start in starts.items()}
        return await self._sums(
            tuple(starts),
            _by_key(requests.c.key_id, CHARGED_NANOS, logged, or_(*logged.values())),
            _by_key(spent_before.c.key_id, spent_before.c.overnight_nanos, carried, or_(*carried.values())),
        )

    async def spent(self, now: float, *, ended_before: float | None = None) -> Mapping[str, Mapping[Period, Usd]]:
        """Account id → period → spent in the period that holds ``now``, if need be by what ended before a moment alone.

        Raises Unavailable or ConfigurationError when the database cannot be read. Requests of keys
        that no longer exist count for nobody.
        """
        starts = {period: period_start(period, now) for period in Period}
        logged: dict[Period, ColumnElement[bool]] = {
            period: requests.c.started_at >= start for period, start in starts.items()
        }
        if ended_before is not None:
            is_over = UnixSeconds(requests.c.started_at) + requests.c.total_s < ended_before
            logged = {period: and_(within, is_over) for period, within in logged.items()}
        carried = {period: spent_before.c.day >= utc_day(start) for period, start in starts.items()}
        return await self._sums(
            tuple(starts),
            # A total holds all the others, so the log is gone through once.
            _by_key(requests.c.key_id, CHARGED_NANOS, logged, logged[Period.TOTAL]),
            _by_key(spent_before.c.key_id, spent_before.c.nanos, carried, carried[Period.TOTAL]),
        )

    async def charged(self, request_ids: Sequence[str]) -> Mapping[str, Usd]:
        """What each of these requests took from its budgets, of those that are in the log.

        Raises Unavailable or ConfigurationError when the database cannot be read.
        """
        statement = select(requests.c.id, CHARGED_NANOS).where(requests.c.id.in_(request_ids), *near(request_ids))
        async with self._connection() as connection:
            rows = (await connection.execute(statement)).all()
        return {str(request_id): from_nanos(int(nanos)) for request_id, nanos in rows}

    async def _sums(
        self, periods: Sequence[Period], logged: Select[*tuple[Any, ...]], carried: Select[*tuple[Any, ...]]
    ) -> Mapping[str, Mapping[Period, Usd]]:
        both = union_all(logged, carried).subquery()
        statement = (
            select(keys.c.id, keys.c.team_id, *(func.sum(both.c[period.value]) for period in periods))
            .join(keys, keys.c.id == both.c.key_id)
            .group_by(keys.c.id, keys.c.team_id)
        )
        found: dict[str, dict[Period, int]] = {}
        async with self._connection() as connection:
            rows = (await connection.execute(statement)).all()
        for key_id, team_id, *amounts in rows:
            for account in [key_account(key_id)] + ([team_account(team_id)] if team_id else []):
                sums = found.setdefault(account, dict.fromkeys(periods, 0))
                for period, nanos in zip(periods, amounts, strict=True):
                    sums[period] += int(nanos)
        return {
            account: {period: from_nanos(nanos) for period, nanos in sums.items()} for account, sums in found.items()
        }

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        engine = open_async(self._database, connections=1)
        try:
            with translating(self._database):
                async with engine.connect() as connection:
                    yield connection
        finally:
            await engine.dispose()


def utc_day(moment: float) -> str:
    """The UTC day of a moment in Unix seconds, as ``2026-11-22``."""
    return datetime.fromtimestamp(moment, UTC).date().isoformat()


def _by_key(
    key_id: ColumnElement[str],
    amount: ColumnElement[int],
    chosen: Mapping[Period, ColumnElement[bool]],
    within: ColumnElement[bool],
) -> Select[*tuple[Any, ...]]:
    """Sums by key, a column for each period, in one go through the rows that any of them is ``within``."""
    sums = [func.sum(case((each, amount), else_=0)).label(period.value) for period, each in chosen.items()]
    return select(key_id, *sums).where(within).group_by(key_id)
