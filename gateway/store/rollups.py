"""Sums of the traffic by the hour: made anew for each hour that changed, so that they are exact whatever came late.

An hour is counted from the requests that began in it, whole, and replaces what was counted before. It is counted
when a batch of records left a mark on it, and once more half an hour after its end, for a release that leaves no marks
and for requests that were there before there were sums. Sums outlive the requests they were made of; so hours of which
requests may have been deleted are left as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Double,
    Integer,
    Select,
    Table,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.spread import BOUNDS
from gateway.store.columns import UtcTime
from gateway.store.connections import Connections
from gateway.store.tables import draws, requests
from gateway.store.traffic_tables import traffic_hours, traffic_marks, traffic_state

HOUR_S: Final = 3600.0
_SETTLED_S: Final = 1800.0
"""So long after an hour's end it is counted once more."""
KEPT_S: Final = 400 * 86_400.0
"""Sums older than this are deleted: a year can be compared with the one before."""
_MARKS_AT_ONCE: Final = 20_000
"""More than an hour's, where no worker ran for that long."""
_NAMED_AT_ONCE: Final = 500
"""As many as a statement may name."""
_SUMS: Final = ("count", "unpriced", "cost_nanos", "prompt_tokens", "output_tokens")
_SPREADS: Final = ("total_s", "first_byte_s")


class Facet(StrEnum):
    """What traffic is summed by. ``model`` counts upstream calls, the others requests."""

    ALL = "all"
    KEY = "key"
    ARM = "arm"
    CATEGORY = "category"
    MODEL = "model"


_FACETS: Final[dict[Facet, tuple[Table, ColumnElement[str], ColumnElement[str]]]] = {
    Facet.ALL: (requests, literal_column("''"), literal_column("''")),
    Facet.KEY: (requests, literal_column("''"), requests.c.key_id),
    Facet.ARM: (requests, func.coalesce(requests.c.policy, ""), func.coalesce(requests.c.arm, "")),
    Facet.CATEGORY: (requests, literal_column("''"), func.coalesce(requests.c.category, "")),
    Facet.MODEL: (draws, draws.c.upstream, draws.c.model),
}
"""The table that is counted, and what of it stands under ``place`` and ``name``."""


@dataclass(frozen=True, slots=True)
class _Due:
    """An hour to count: whose turn it was when it was chosen, and the marks that the count will have heeded."""

    hour: float
    turn: int
    marks: tuple[str, ...]
    closed_to: float | None
    """What ``closed_to`` becomes; None where it stays."""


class Rollups:
    """Keeps the sums of one database up to date."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def close(self) -> None:
        """Close the connections."""
        await self._connections.close()

    async def sum_up(self, now: float, *, kept_since: float) -> int:
        """Count every hour that is due, the latest first; returns how many were counted.

        Hours that do not lie wholly after ``kept_since`` are left as they are. May be cut off at any moment, and run
        by several at once. Raises Unavailable or ConfigurationError.
        """
        counted = 0
        while (due := await self._next(now, kept_since)) is not None:
            rows = await self._count(due.hour) if due.hour >= kept_since else None
            if await self._replace(due, rows):
                counted += rows is not None
        async with self._connections.writing() as connection:
            await connection.execute(update(traffic_state).values(summed_at=now))
            old = traffic_hours.c.facet.in_(list(Facet)), traffic_hours.c.hour < now - KEPT_S
            await connection.execute(delete(traffic_hours).where(*old))
        return counted

    async def _next(self, now: float, kept_since: float) -> _Due | None:
        async with self._connections.reading() as connection:
            turn, closed_to = (await connection.execute(select(traffic_state.c.turn, traffic_state.c.closed_to))).one()
            hour = await connection.scalar(select(func.max(traffic_marks.c.hour)))
            if hour is not None:
                found = select(traffic_marks.c.batch).where(traffic_marks.c.hour == hour).limit(_MARKS_AT_ONCE)
                return _Due(hour, turn, tuple((await connection.scalars(found)).all()), None)
            if closed_to is None:
                first = await connection.scalar(select(func.min(requests.c.started_at)))
                closed_to = hour_of(max(now if first is None else first, kept_since))
        end = closed_to + HOUR_S
        return _Due(closed_to, turn, (), end) if end + _SETTLED_S <= now else None

    async def _count(self, hour: float) -> list[dict[str, Any]]:
        async with self._connections.reading() as connection:
            return [row for facet in Facet for row in await _count(connection, facet, hour)]

    async def _replace(self, due: _Due, rows: list[dict[str, Any]] | None) -> bool:
        """Whether the rows are in place; not where somebody else changed the sums meanwhile."""
        async with self._connections.writing() as connection:
            taken = update(traffic_state).where(traffic_state.c.turn == due.turn).values(turn=due.turn + 1)
            if due.closed_to is not None:
                taken = taken.values(closed_to=due.closed_to)
            if not (await connection.execute(taken)).rowcount:
                return False
            marks = traffic_marks.c
            for first in range(0, len(due.marks), _NAMED_AT_ONCE):
                heeded = marks.batch.in_(due.marks[first : first + _NAMED_AT_ONCE])
                await connection.execute(delete(traffic_marks).where(marks.hour == due.hour, heeded))
            if rows is not None:
                counted_before = traffic_hours.c.facet.in_(list(Facet)), traffic_hours.c.hour == due.hour
                await connection.execute(delete(traffic_hours).where(*counted_before))
            if rows:
                await connection.execute(insert(traffic_hours), rows)
        return True


def hour_of(moment: float) -> float:
    """The beginning of the hour that holds a moment."""
    return moment // HOUR_S * HOUR_S


async def _count(connection: AsyncConnection, facet: Facet, hour: float) -> list[dict[str, Any]]:
    """The rows of one facet for an hour, from one pass over what began in it."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    span = {"since": hour, "until": hour + HOUR_S}
    for row in (await connection.execute(_statement(facet), span)).mappings():
        place, name, result = row["place"], row["name"], row["result"]
        summed = found.get((place, name, result))
        if summed is None:
            summed = found[place, name, result] = {
                "facet": facet.value, "hour": hour, "place": place, "name": name, "result": result,
                **dict.fromkeys(_SUMS, 0), **{each: {} for each in _SPREADS},
            }  # fmt: skip
        for each in _SUMS:
            summed[each] += int(row[each])
        for each in _SPREADS:
            if row[each] is not None:
                bucket = str(row[each])
                summed[each][bucket] = summed[each].get(bucket, 0) + int(row["count"])
    return list(found.values())


@cache
def _statement(facet: Facet) -> Select[*tuple[Any, ...]]:
    """What is summed, by group and by bucket; made once, as its buckets make it long."""
    source = _events(facet).subquery()
    groups = [source.c[each] for each in ("place", "name", "result", *_SPREADS)]
    sums = [func.sum(source.c[each]).label(each) for each in _SUMS]
    return select(*groups, *sums).group_by(*groups)


def _events(facet: Facet) -> Select[*tuple[Any, ...]]:
    """What is counted, one row each, in the same columns for requests and calls."""
    table, place, name = _FACETS[facet]
    columns = table.c
    if table is draws:
        is_unpriced = columns.cost_nanos.is_(None)
        prompt = (
            columns.input_tokens + columns.cached_tokens + columns.cache_write_5m_tokens + columns.cache_write_1h_tokens
        )
        tokens: list[ColumnElement[Any]] = [func.coalesce(prompt, 0), func.coalesce(columns.output_tokens, 0)]
    else:
        is_unpriced = columns.is_cost_complete.is_(False)
        tokens = [literal_column("0"), literal_column("0")]
    return select(
        place.label("place"),
        name.label("name"),
        columns.result,
        _bucket(columns.total_s).label("total_s"),
        case((columns.first_byte_s.is_not(None), _bucket(columns.first_byte_s))).label("first_byte_s"),
        literal_column("1").label("count"),
        case((is_unpriced, 1), else_=0).label("unpriced"),
        func.coalesce(columns.cost_nanos, 0).label("cost_nanos"),
        tokens[0].label("prompt_tokens"),
        tokens[1].label("output_tokens"),
    ).where(
        columns.started_at >= bindparam("since", type_=UtcTime), columns.started_at < bindparam("until", type_=UtcTime)
    )


def _bucket(seconds: ColumnElement[float], first: int = 0, last: int = len(BOUNDS)) -> ColumnElement[int]:
    """The number of the bucket that holds a duration, found by halving: seven comparisons."""
    if first == last:
        return literal_column(str(first), Integer)
    middle = (first + last) // 2
    bound: ColumnElement[float] = literal_column(repr(BOUNDS[middle]), Double)
    return case((seconds <= bound, _bucket(seconds, first, middle)), else_=_bucket(seconds, middle + 1, last))
