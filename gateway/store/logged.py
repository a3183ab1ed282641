"""Reading what policies decided, a part at a time and the oldest first, with what was later found of it.

Made for reading millions: documents stay text for whoever needs them, and each part is read by two short
queries of its own, so that nothing waits for a long one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, Text, cast, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.construction import quick_value
from gateway.domain.identity import id_time
from gateway.store.calibration_tables import outcomes
from gateway.store.connections import Connections
from gateway.store.tables import requests

READ_AT_ONCE: Final = 5_000
_NANOS: Final = 1e9


@quick_value
class LoggedDecision:
    """A request that a policy decided or observed; its plan is JSON text.

    ``cost_usd`` is None where it is not fully known, and rounded to a float: it is for estimates.
    """

    id: str
    key_id: str
    model_asked: str
    arm: str
    """As it was decided; a fallback may have answered in its place."""
    category: str | None
    difficulty: str | None
    plan: str
    cost_usd: float | None
    total_s: float


@quick_value
class Label:
    """What one source found of a request: see :class:`gateway.domain.outcome.Outcome`."""

    request_id: str
    source: str
    score: float
    weight: float
    probability: float | None


@dataclass(frozen=True, slots=True)
class LoggedPart:
    """Some decisions in the order they began, and all labels of them that count."""

    decisions: Sequence[LoggedDecision]
    labels: Sequence[Label]


@dataclass(frozen=True, slots=True)
class LoggedPeriod:
    """Which decisions: those of requests begun in a period, ``until`` exclusive, of one policy if one is named."""

    since: float
    until: float
    policy: str | None = None


class LoggedDecisions:
    """The decisions in a database."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def count(self, period: LoggedPeriod) -> int:
        """How many there are."""
        async with self._connections.reading() as connection:
            return int(await connection.scalar(select(func.count()).select_from(requests).where(*_of(period))) or 0)

    async def parts(self, period: LoggedPeriod, *, size: int = READ_AT_ONCE) -> AsyncIterator[LoggedPart]:
        """The decisions of a period, so many at a time, with what was found of them until now."""
        order = (requests.c.started_at, requests.c.id)
        statement = _decisions(period).order_by(*order).limit(size)
        following = statement
        while True:
            async with self._connections.reading() as connection:
                rows = (await connection.execute(following)).all()
                decisions = [_decision(row) for row in rows]
                labels = await read_labels(connection, {each.id: each.key_id for each in decisions})
            if decisions:
                yield LoggedPart(decisions, labels)
            if len(rows) < size:
                return
            following = statement.where(tuple_(*order) > (rows[-1].started_at, rows[-1].id))


async def read_labels(connection: AsyncConnection, owners: Mapping[str, str]) -> Sequence[Label]:
    """The labels of requests, given with their keys; those of a key that may not speak of others count for its own."""
    begun = [at for each in owners if (at := id_time(each)) is not None]
    if not begun:
        return ()
    columns = outcomes.c
    found = (columns.request_id, columns.source, columns.score, columns.weight, columns.probability)
    among = columns.started_at.between(min(begun), max(begun))
    rows = await connection.execute(select(*found, columns.key_id, columns.is_vouched).where(among))
    return [
        Label(*row[: len(found)])
        for row in rows.all()
        if (owner := owners.get(row.request_id)) is not None and (row.is_vouched or row.key_id == owner)
    ]


def _of(period: LoggedPeriod) -> list[ColumnElement[bool]]:
    columns = requests.c
    return [
        columns.started_at >= period.since,
        columns.started_at < period.until,
        columns.arm.is_not(None),
        columns.policy.is_not(None) if period.policy is None else columns.policy == period.policy,
    ]


def _decisions(period: LoggedPeriod) -> Select[*tuple[Any, ...]]:
    columns = requests.c
    return select(
        columns.started_at,
        columns.id,
        columns.key_id,
        columns.model_asked,
        columns.arm,
        columns.category,
        columns.difficulty,
        # As text: reading a million of them as documents would take longer than all the rest.
        cast(columns.plan, Text).label("plan"),
        columns.cost_nanos,
        columns.is_cost_complete,
        columns.total_s,
    ).where(*_of(period))


def _decision(row: Any) -> LoggedDecision:
    return LoggedDecision(
        row.id,
        row.key_id,
        row.model_asked,
        row.arm,
        row.category,
        row.difficulty,
        row.plan,
        row.cost_nanos / _NANOS if row.is_cost_complete else None,
        row.total_s,
    )
