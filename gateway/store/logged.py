"""Reading what policies decided, a part at a time and the oldest first, with what was later found of it.

Made for reading millions: documents stay text for whoever needs them, and each part is read by short
queries of its own, so that nothing waits for a long one. A period can be cut, for several processes to read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, Text, case, cast, null, select, type_coerce
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.construction import quick_value
from gateway.domain.identity import id_time
from gateway.store.calibration_tables import outcomes
from gateway.store.columns import QuickUuid
from gateway.store.connections import Connections
from gateway.store.tables import requests

READ_AT_ONCE: Final = 5_000
_NANOS: Final = 1e9
_BY_TIME: Final = "7"
"""The version of a UUID that begins with its time."""


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

    async def cut(self, period: LoggedPeriod, *, size: int) -> Sequence[LoggedPeriod]:
        """The period as shorter ones, in which about so many requests began, whoever decided them."""
        cuts = [period.since]
        async with self._connections.reading() as connection:
            while (following := await _cut(connection, cuts[-1], period.until, size)) is not None:
                cuts.append(following)
        ends = (*cuts[1:], period.until)
        return [replace(period, since=since, until=until) for since, until in zip(cuts, ends, strict=True)]

    async def parts(self, period: LoggedPeriod, *, size: int = READ_AT_ONCE) -> AsyncIterator[LoggedPart]:
        """The decisions of a period, about so many at a time, with what was found of them until now."""
        since: float | None = period.since
        while since is not None:
            async with self._connections.reading() as connection:
                following = await _cut(connection, since, period.until, size)
                until = period.until if following is None else following
                rows = await connection.execute(_decisions(replace(period, since=since, until=until)))
                decisions = [_decision(row) for row in rows.all()]
                labels = await read_labels(connection, {each.id: each.key_id for each in decisions})
            if decisions:
                yield LoggedPart(decisions, labels)
            since = following


async def _cut(connection: AsyncConnection, since: float, until: float, size: int) -> float | None:
    """When the next request began after so many, those that began with the first not counted; None after fewer."""
    began = requests.c.started_at
    following = select(began).where(began > since, began < until).order_by(began).offset(size).limit(1)
    found: float | None = await connection.scalar(following)
    return found


async def read_labels(connection: AsyncConnection, owners: Mapping[str, str]) -> Sequence[Label]:
    """The labels of requests, given with their keys; those of a key that may not speak of others count for its own."""
    timed = [each for each in owners if each[14:15] == _BY_TIME]
    if not timed:
        return ()
    columns = outcomes.c
    request_id = type_coerce(columns.request_id, QuickUuid())
    found = (request_id, columns.source, columns.score, columns.weight, columns.probability)
    # Text of such ids sorts by time.
    among = columns.started_at.between(id_time(min(timed)), id_time(max(timed)))
    rows = await connection.execute(select(*found, columns.key_id, columns.is_vouched).where(among))
    return [
        Label(*said)
        for *said, key_id, is_vouched in rows.all()
        if (owner := owners.get(said[0])) is not None and (is_vouched or key_id == owner)
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
    return (
        select(
            type_coerce(columns.id, QuickUuid()),
            columns.key_id,
            columns.model_asked,
            columns.arm,
            columns.category,
            columns.difficulty,
            # As text: reading a million of them as documents would take longer than all the rest.
            cast(columns.plan, Text),
            case((columns.is_cost_complete, columns.cost_nanos), else_=null()),
            columns.total_s,
        )
        .where(*_of(period))
        .order_by(columns.started_at, columns.id)
    )


def _decision(row: Any) -> LoggedDecision:
    request_id, key_id, model_asked, arm, category, difficulty, plan, cost_nanos, total_s = row
    cost_usd = None if cost_nanos is None else cost_nanos / _NANOS
    return LoggedDecision(request_id, key_id, model_asked, arm, category, difficulty, plan, cost_usd, total_s)
