"""Counting the traffic of a span of time, by facet, and adding counts up and taking them away again.

A count is made from one pass over what began in the span for each facet. Counts are whole numbers, and so are the
histograms of durations: sums of them are exact in any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import cache
from typing import Any, Final, TypeAlias

from sqlalchemy import ColumnElement, Double, Integer, Select, Table, bindparam, case, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.spread import BOUNDS
from gateway.store.columns import UtcTime
from gateway.store.tables import draws, requests

HOUR_S: Final = 3600.0
MINUTE_S: Final = 60.0
CountRow: TypeAlias = Mapping[Any, Any]
"""What one group came to, as the tables of sums have it; a row of theirs is one."""
_GROUP: Final = ("facet", "place", "name", "result")
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


def hour_of(moment: float) -> float:
    """The beginning of the hour that holds a moment."""
    return moment // HOUR_S * HOUR_S


def minute_of(moment: float) -> float:
    """The beginning of the minute that holds a moment."""
    return moment // MINUTE_S * MINUTE_S


async def count(connection: AsyncConnection, since: float, until: float) -> list[dict[str, Any]]:
    """What began in a span, a row for each group of each facet."""
    span = {"since": since, "until": until}
    return [row for facet in Facet for row in await _count(connection, facet, span)]


def added(*counts: tuple[int, Iterable[CountRow]]) -> list[dict[str, Any]]:
    """The sum of counts, each taken so many times; -1 takes it away. Groups of which nothing is left are left out."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for times, rows in counts:
        for row in rows:
            group = tuple(row[each] for each in _GROUP)
            total = found.get(group)
            if total is None:
                total = found[group] = _nothing(*group)
            for each in _SUMS:
                total[each] += times * row[each]
            for each in _SPREADS:
                buckets = total[each]
                for bucket, number in row[each].items():
                    buckets[bucket] = buckets.get(bucket, 0) + times * number
    for total in found.values():
        for each in _SPREADS:
            total[each] = {bucket: number for bucket, number in total[each].items() if number}
    return [total for total in found.values() if total["count"]]


def _nothing(facet: str, place: str, name: str, result: str) -> dict[str, Any]:
    sums: dict[str, Any] = {**dict.fromkeys(_SUMS, 0), **{each: {} for each in _SPREADS}}
    return {"facet": facet, "place": place, "name": name, "result": result, **sums}


async def _count(connection: AsyncConnection, facet: Facet, span: Mapping[str, float]) -> list[dict[str, Any]]:
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in (await connection.execute(_statement(facet), span)).mappings():
        group = row["place"], row["name"], row["result"]
        summed = found.get(group)
        if summed is None:
            summed = found[group] = _nothing(facet.value, *group)
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
