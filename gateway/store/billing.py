"""What the ledger says of upstream calls, as a provider would bill them: by day, upstream, model and key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, select

from gateway.domain.money import Usd, from_nanos
from gateway.domain.reconciliation import LedgerLine, Tokens
from gateway.domain.record import Result
from gateway.store.balances import CHARGED_NANOS
from gateway.store.base import Database, open_async, translating
from gateway.store.columns import UtcDay
from gateway.store.tables import draws, requests

_LONGEST_REQUEST_S = 86_400.0
"""Calls are found by their request's start, and belong to the day of their own: the two lie apart by this at most."""


@dataclass(frozen=True, slots=True)
class UnknownCost:
    """A request some of whose spending nobody knows, and what its budgets were charged for it."""

    id: str
    day: str
    key_id: str
    model_asked: str
    result: Result
    charged: Usd


@dataclass(frozen=True, slots=True)
class UnknownCosts:
    """How many requests have an unknown cost, what was charged for them all, and the newest of them."""

    count: int
    charged: Usd
    newest: tuple[UnknownCost, ...]


class Billing:
    """Sums over the calls in a database. Times are Unix seconds, ``until`` exclusive."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._engine = open_async(database, connections=1)

    async def close(self) -> None:
        """Close the connection."""
        await self._engine.dispose()

    async def calls(self, since: float, until: float, upstreams: Sequence[str]) -> tuple[LedgerLine, ...]:
        """What calls to these upstreams came to, by the UTC day on which each began."""
        columns = draws.c
        group: tuple[ColumnElement[Any], ...] = (
            UtcDay(columns.called_at).label("day"),
            columns.upstream,
            columns.model,
            columns.key_id,
        )
        statement = (
            select(
                *group,
                func.count(),
                func.count(columns.cost_nanos),
                *(
                    func.coalesce(func.sum(summed), 0)
                    for summed in (
                        columns.cost_nanos,
                        columns.input_tokens,
                        columns.cached_tokens,
                        columns.cache_write_5m_tokens + columns.cache_write_1h_tokens,
                        columns.output_tokens,
                    )
                ),
            )
            .where(columns.started_at >= since - _LONGEST_REQUEST_S, columns.started_at < until)
            .where(columns.called_at >= since, columns.called_at < until, columns.upstream.in_(upstreams))
            .group_by(*group)
            .order_by(*group)
        )
        with translating(self._database):
            async with self._engine.connect() as connection:
                rows = (await connection.execute(statement)).all()
        return tuple(
            LedgerLine(
                day, upstream, model, key, calls, calls - priced, from_nanos(int(nanos)), Tokens(*map(int, tokens))
            )
            for (day, upstream, model, key), (calls, priced, nanos, *tokens) in ((row[:4], row[4:]) for row in rows)
        )

    async def unknown_costs(self, since: float, until: float, *, limit: int) -> UnknownCosts:
        """The requests begun in the time whose cost is not wholly known, interrupted ones among them."""
        columns = requests.c
        chosen = (columns.started_at >= since, columns.started_at < until, columns.is_cost_complete.is_(False))
        sums = select(func.count(), func.coalesce(func.sum(CHARGED_NANOS), 0)).where(*chosen)
        newest = (
            select(
                columns.id,
                UtcDay(columns.started_at),
                columns.key_id,
                columns.model_asked,
                columns.result,
                CHARGED_NANOS,
            )
            .where(*chosen)
            .order_by(columns.started_at.desc(), columns.id.desc())
            .limit(limit)
        )
        with translating(self._database):
            async with self._engine.connect() as connection:
                count, charged = (await connection.execute(sums)).one()
                rows = (await connection.execute(newest)).all()
        found = (
            UnknownCost(identity, day, key_id, model, Result(result), from_nanos(int(nanos)))
            for identity, day, key_id, model, result, nanos in rows
        )
        return UnknownCosts(count, from_nanos(int(charged)), tuple(found))
