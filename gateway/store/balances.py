"""What each key and team has spent in its current periods: what budgets are restored from at start.

A sum is over the log of requests and over what :mod:`gateway.store.retention` carried forward from it, in
one statement: what is deleted meanwhile is counted once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from sqlalchemy import ColumnElement, Select, func, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.limits import Period, period_start
from gateway.domain.money import Usd, from_nanos
from gateway.domain.tenancy import key_account, team_account
from gateway.store.base import Database, open_async, translating
from gateway.store.columns import UnixSeconds
from gateway.store.tables import budgets, keys, requests, spent_before, teams

HAIR_S = 0.001
"""How far a time that the database computes may be off."""

_LONGEST_REQUEST_S = 3600.0

CHARGED_NANOS = func.coalesce(requests.c.charged_nanos, requests.c.cost_nanos)
"""What a request took from its budgets."""

_ByKey: TypeAlias = Select[tuple[str, int]]
"""Sums of nano-dollars by key."""


@dataclass(frozen=True, slots=True)
class BudgetedAccount:
    """A key or a team that has a budget for a period, and since when there is that key or team."""

    account: str
    period: Period
    created_at: float


class Balances:
    """Sums over the log of requests, by account."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def budgeted(self) -> tuple[BudgetedAccount, ...]:
        """Every account and period that has a budget."""
        accounts = union_all(
            select(literal("key:").concat(keys.c.id).label("id"), keys.c.created_at),
            select(literal("team:").concat(teams.c.id).label("id"), teams.c.created_at),
        ).subquery()
        statement = (
            select(budgets.c.account, budgets.c.period, accounts.c.created_at)
            .join(accounts, accounts.c.id == budgets.c.account)
            .order_by(budgets.c.account, budgets.c.period)
        )
        async with self._connection() as connection:
            rows = (await connection.execute(statement)).all()
        return tuple(BudgetedAccount(account, Period(period), created_at) for account, period, created_at in rows)

    async def straddling(self, now: float) -> Mapping[str, Mapping[Period, Usd]]:
        """What requests cost that began before the current periods and ended in them, as in :meth:`spent`.

        A budget counts a request in the period of its hold, the log in the period of its start: for
        these the two may be different ones.
        """
        ended_at = UnixSeconds(requests.c.started_at) + requests.c.total_s
        return await self._sums(
            now,
            lambda start: (
                _logged(
                    requests.c.started_at >= start - _LONGEST_REQUEST_S,
                    requests.c.started_at < start,
                    ended_at >= start - HAIR_S,
                ),
                _carried(spent_before.c.overnight_nanos, spent_before.c.day == utc_day(start - 1)),
            ),
            tuple(period for period in Period if period is not Period.TOTAL),
        )

    async def spent(self, now: float) -> Mapping[str, Mapping[Period, Usd]]:
        """Account id → period → spent in the period that holds ``now``.

        Raises Unavailable or ConfigurationError when the database cannot be read. Requests of keys
        that no longer exist count for nobody.
        """
        return await self._sums(
            now,
            lambda start: (
                _logged(requests.c.started_at >= start),
                _carried(spent_before.c.nanos, spent_before.c.day >= utc_day(start)),
            ),
            tuple(Period),
        )

    async def _sums(
        self, now: float, parts: Callable[[float], tuple[_ByKey, _ByKey]], periods: Sequence[Period]
    ) -> Mapping[str, Mapping[Period, Usd]]:
        found: dict[str, dict[Period, int]] = {}
        async with self._connection() as connection:
            for period in periods:
                both = union_all(*parts(period_start(period, now))).subquery()
                statement = (
                    select(keys.c.id, keys.c.team_id, func.sum(both.c.nanos))
                    .join(keys, keys.c.id == both.c.key_id)
                    .group_by(keys.c.id, keys.c.team_id)
                )
                for key_id, team_id, nanos in await connection.execute(statement):
                    accounts = [key_account(key_id)] + ([team_account(team_id)] if team_id else [])
                    for account in accounts:
                        sums = found.setdefault(account, dict.fromkeys(periods, 0))
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


def _logged(*chosen: ColumnElement[bool]) -> _ByKey:
    """What the log has of the chosen requests."""
    columns = requests.c
    return select(columns.key_id, func.sum(CHARGED_NANOS).label("nanos")).where(*chosen).group_by(columns.key_id)


def _carried(nanos: ColumnElement[int], chosen: ColumnElement[bool]) -> _ByKey:
    """What was carried forward from requests that the log has no more."""
    key_id = spent_before.c.key_id
    return select(key_id, func.sum(nanos).label("nanos")).where(chosen).group_by(key_id)
