"""Reading requests back, and summing what they spent.

Writing is :mod:`gateway.store.records`'s, deleting :mod:`gateway.store.retention`'s. Nothing here stands on
the path of a request.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, and_, case, func, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.domain.money import Usd, from_nanos
from gateway.domain.plan import Plan
from gateway.domain.record import RequestRecord, Result
from gateway.store.base import Database, open_async, translating
from gateway.store.columns import UtcDay
from gateway.store.located import near
from gateway.store.rows import to_plan, to_record
from gateway.store.tables import NOT_ANSWERED, draws, keys, request_texts, requests

_READING_CONNECTIONS = 4


@dataclass(frozen=True, slots=True)
class AnswerOrigin:
    """Where an answer came from, and whose it is: what a follow-up to a stored response needs."""

    request_id: str
    key_id: str
    upstream: str
    model: str


@dataclass(frozen=True, slots=True)
class RequestSummary:
    """One line of a list of requests."""

    id: str
    started_at: float
    key_id: str
    endpoint: str
    model_asked: str
    arm: str | None
    category: str | None
    result: Result
    status: int
    cost: Usd
    is_cost_complete: bool
    total_s: float


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision on record, and what it came to; the cost is None where it is not fully known."""

    plan: Plan
    cost: Usd | None


@dataclass(frozen=True, slots=True)
class Filter:
    """Which requests; None does not restrict. Times are Unix seconds, ``until`` exclusive.

    ``after`` is a request's id: those that follow it in a list, newest first, are let through.
    """

    key_id: str | None = None
    team_id: str | None = None
    model_asked: str | None = None
    arm: str | None = None
    category: str | None = None
    result: Result | None = None
    since: float | None = None
    until: float | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Totals:
    """What some requests came to. ``cost`` leaves out what the ``incomplete`` ones did not tell."""

    requests: int
    incomplete: int
    cost: Usd


class Grouping(StrEnum):
    """What spending can be split by."""

    KEY = "key"
    TEAM = "team"
    MODEL = "model"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Spend:
    """What upstream calls of one group cost; a group's fields that were not asked for are None.

    ``unpriced`` counts the calls whose cost is unknown and therefore not in ``cost``.
    """

    key_id: str | None
    team_id: str | None
    upstream: str | None
    model: str | None
    day: str | None
    calls: int
    unpriced: int
    cost: Usd
    prompt_tokens: int
    output_tokens: int


class Requests:
    """The requests in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._engine: AsyncEngine = open_async(database, connections=_READING_CONNECTIONS)

    async def close(self) -> None:
        """Close the connections."""
        await self._engine.dispose()

    async def find(self, request_id: str) -> RequestRecord | None:
        """The request with this id, its calls in order; None when there is none."""
        try:
            identity = str(uuid.UUID(request_id))
        except ValueError:
            return None
        async with self._connection() as connection:
            wanted = select(requests).where(requests.c.id == identity)
            request = (await connection.execute(wanted.where(*near([identity])))).mappings().first()
            if request is None:
                return None
            calls = await connection.execute(
                select(draws).where(_belongs(draws, request["started_at"], identity)).order_by(draws.c.number)
            )
            text = await connection.execute(
                select(request_texts).where(_belongs(request_texts, request["started_at"], identity))
            )
            return to_record(request, calls.mappings(), text.mappings().first())

    async def find_answer(self, answer_id: str) -> AnswerOrigin | None:
        """Where the answer with the provider's id came from; the newest, should a provider repeat itself."""
        statement = (
            select(requests.c.id, requests.c.key_id, draws.c.upstream, draws.c.model)
            .join(draws, and_(draws.c.started_at == requests.c.started_at, draws.c.request_id == requests.c.id))
            .where(requests.c.answer_id == answer_id)
            # The answering call is the last one; those before it failed and were retried.
            .order_by(requests.c.started_at.desc(), draws.c.number.desc())
            .limit(1)
        )
        async with self._connection() as connection:
            row = (await connection.execute(statement)).first()
        return None if row is None else AnswerOrigin(*row)

    async def recent(self, chosen: Filter, *, limit: int) -> tuple[RequestSummary, ...]:
        """The newest requests that the filter lets through, newest first."""
        async with self._connection() as connection:
            rows = (await connection.execute(listing(chosen, limit=limit))).mappings().all()
        return tuple(
            RequestSummary(
                id=row["id"],
                started_at=row["started_at"],
                key_id=row["key_id"],
                endpoint=row["endpoint"],
                model_asked=row["model_asked"],
                arm=row["arm"],
                category=row["category"],
                result=Result(row["result"]),
                status=row["status"],
                cost=from_nanos(row["cost_nanos"]),
                is_cost_complete=row["is_cost_complete"],
                total_s=row["total_s"],
            )
            for row in rows
        )

    async def decided(self, chosen: Filter, *, limit: int) -> tuple[Decided, ...]:
        """The newest requests that a policy decided or observed, newest first."""
        columns = requests.c
        statement = (
            select(columns.plan, columns.cost_nanos, columns.is_cost_complete)
            .where(*_conditions(chosen), columns.policy.is_not(None))
            .order_by(columns.started_at.desc(), columns.id.desc())
            .limit(limit)
        )
        async with self._connection() as connection:
            rows = (await connection.execute(statement)).all()
        return tuple(
            Decided(to_plan(plan), from_nanos(nanos) if is_complete else None) for plan, nanos, is_complete in rows
        )

    async def totals(self, chosen: Filter) -> Totals:
        """How many requests the filter lets through and what they cost, to the nano-dollar."""
        statement = select(
            func.count(),
            func.coalesce(func.sum(case((requests.c.is_cost_complete, 0), else_=1)), 0),
            func.coalesce(func.sum(requests.c.cost_nanos), 0),
        ).where(*_conditions(chosen))
        async with self._connection() as connection:
            count, incomplete, nanos = (await connection.execute(statement)).one()
        return Totals(requests=count, incomplete=int(incomplete), cost=from_nanos(int(nanos)))

    async def spend(
        self, *, since: float, until: float, by: Sequence[Grouping], limit: int | None = None
    ) -> tuple[Spend, ...]:
        """What the upstream calls of requests begun in the period cost, the dearest group first.

        Grouping by model separates equal names at different upstreams. Calls of keys without a team
        make a group of their own, without a team's id.
        """
        async with self._connection() as connection:
            rows = (await connection.execute(_spend_statement(since, until, by).limit(limit))).mappings().all()
        return tuple(
            Spend(
                key_id=row.get("key_id"),
                team_id=row.get("team_id"),
                upstream=row.get("upstream"),
                model=row.get("model"),
                day=row.get("day"),
                calls=row["calls"],
                unpriced=row["calls"] - row["priced"],
                cost=from_nanos(int(row["nanos"])),
                prompt_tokens=int(row["prompt_tokens"]),
                output_tokens=int(row["output_tokens"]),
            )
            for row in rows
        )

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        with translating(self._database):
            async with self._engine.connect() as connection:
                yield connection


def listing(chosen: Filter, *, limit: int) -> Select[*tuple[Any, ...]]:
    """The statement of a list of requests, newest first."""
    columns = requests.c
    return (
        select(
            columns.id,
            columns.started_at,
            columns.key_id,
            columns.endpoint,
            columns.model_asked,
            columns.arm,
            columns.category,
            columns.result,
            columns.status,
            columns.cost_nanos,
            columns.is_cost_complete,
            columns.total_s,
        )
        .where(*_conditions(chosen))
        .order_by(columns.started_at.desc(), columns.id.desc())
        .limit(limit)
    )


def _belongs(table: Table, started_at: float, request_id: str) -> ColumnElement[bool]:
    return and_(table.c.started_at == started_at, table.c.request_id == request_id)


def _conditions(chosen: Filter) -> list[ColumnElement[bool]]:
    columns = requests.c
    equal = {
        columns.key_id: chosen.key_id,
        columns.model_asked: chosen.model_asked,
        columns.arm: chosen.arm,
        columns.category: chosen.category,
        columns.result: chosen.result,
    }
    conditions: list[ColumnElement[bool]] = [
        column == str(value) for column, value in equal.items() if value is not None
    ]
    if chosen.result not in (None, Result.ANSWERED):
        # The same once more, in the words of the index that has only these.
        conditions.append(NOT_ANSWERED)
    if chosen.team_id is not None:
        conditions.append(columns.key_id.in_(select(keys.c.id).where(keys.c.team_id == chosen.team_id)))
    if chosen.after is not None:
        last = select(columns.started_at).where(columns.id == chosen.after, *near([chosen.after])).scalar_subquery()
        place = tuple_(last, literal(chosen.after, columns.id.type))
        # The first says the same again, for partitions to be passed over: PostgreSQL does not by a row's comparison.
        conditions += [columns.started_at <= last, tuple_(columns.started_at, columns.id) < place]
    if chosen.since is not None:
        conditions.append(columns.started_at >= chosen.since)
    if chosen.until is not None:
        conditions.append(columns.started_at < chosen.until)
    return conditions


def _spend_statement(since: float, until: float, by: Sequence[Grouping]) -> Select[*tuple[Any, ...]]:
    columns = draws.c
    groups: dict[Grouping, tuple[ColumnElement[str], ...]] = {
        Grouping.KEY: (columns.key_id,),
        Grouping.TEAM: (keys.c.team_id,),
        Grouping.MODEL: (columns.upstream, columns.model),
        Grouping.DAY: (UtcDay(columns.started_at).label("day"),),
    }
    chosen: list[ColumnElement[Any]] = [column for grouping in dict.fromkeys(by) for column in groups[grouping]]
    nanos = func.coalesce(func.sum(columns.cost_nanos), 0).label("nanos")
    prompt_tokens = (
        columns.input_tokens + columns.cached_tokens + columns.cache_write_5m_tokens + columns.cache_write_1h_tokens
    )
    return (
        select(
            *chosen,
            func.count().label("calls"),
            func.count(columns.cost_nanos).label("priced"),
            nanos,
            func.coalesce(func.sum(prompt_tokens), 0).label("prompt_tokens"),
            func.coalesce(func.sum(columns.output_tokens), 0).label("output_tokens"),
        )
        .select_from(draws.outerjoin(keys, keys.c.id == columns.key_id) if Grouping.TEAM in by else draws)
        .where(columns.started_at >= since, columns.started_at < until)
        .group_by(*chosen)
        .order_by(nanos.desc(), *chosen)
    )
