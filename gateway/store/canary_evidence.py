"""What is seen of canaries: the requests that drew one, what was found of them, and the evidence so far.

Evidence changes in turns, by an UPDATE that only succeeds for whoever saw the turn before. So of two
processes that look at once, one adds what it read and the other reads again; nothing is counted twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ColumnElement, RowMapping, Select, delete, insert, or_, select, tuple_, update

from gateway.domain.identity import id_time
from gateway.domain.money import Usd, from_nanos
from gateway.domain.record import Result
from gateway.domain.rollout import CanaryStanding
from gateway.store.calibration_tables import canaries, canary_conversations, canary_evidence, outcomes
from gateway.store.conflicts import KeepingInsert
from gateway.store.connections import Connections
from gateway.store.pages import pages
from gateway.store.tables import requests

_READ_AT_ONCE: Final = 5_000
_POINTS: Final = 1 << 53


class Aspect(StrEnum):
    """What a conversation is counted for: how right its answer was, or how it was served."""

    QUALITY = "quality"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class CanaryProgress:
    """The evidence on a canary after so many turns; None before anything was counted.

    ``outcomes_to`` and ``requests_to`` are up to where outcomes (by when they were given) and requests (by
    their start) have been read. ``verdict`` is what was made of it last, at ``judged_at``.
    """

    canary_id: int
    turn: int
    document: Mapping[str, Any] | None
    verdict: str | None
    judged_at: float | None
    outcomes_to: float
    requests_to: float


@dataclass(frozen=True, slots=True)
class DrawnRequest:
    """A request whose arm was the profile's to choose while a version was tried, and which version it drew.

    ``share`` is the chance that the tried version had, and ``point`` tells its conversation from others.
    """

    id: str
    started_at: float
    point: int
    share: float
    is_new: bool
    rule: str
    category: str
    difficulty: str | None
    result: Result
    cost: Usd | None
    """None where it is not fully known."""
    total_s: float


@dataclass(frozen=True, slots=True)
class Said:
    """What one source found of a request, as in :class:`gateway.domain.outcome.Outcome`."""

    score: float
    weight: float
    probability: float | None


@dataclass(frozen=True, slots=True)
class JudgedRequest:
    """A request with all that was found of it; ``at`` is when it was, by the order they are read in."""

    request: DrawnRequest
    said: tuple[Said, ...]
    at: float


class CanaryEvidence:
    """The evidence in a database."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def progress(self, canary: CanaryStanding) -> CanaryProgress:
        """How far the evidence on a canary is."""
        found = await self.find((canary.id,))
        if canary.id in found:
            return found[canary.id]
        fresh = CanaryProgress(canary.id, 0, None, None, None, canary.began_at, canary.began_at)
        async with self._connections.writing() as connection:
            await connection.execute(KeepingInsert(canary_evidence).values(_row(fresh)))
        return (await self.find((canary.id,)))[canary.id]

    async def find(self, canary_ids: Collection[int]) -> Mapping[int, CanaryProgress]:
        """The evidence on those of these canaries of which there is any, by their ids."""
        statement = select(canary_evidence).where(canary_evidence.c.canary_id.in_(canary_ids))
        async with self._connections.reading() as connection:
            rows = (await connection.execute(statement)).mappings().all()
        return {row["canary_id"]: CanaryProgress(**row) for row in rows}

    async def keep(
        self, before: CanaryProgress, after: CanaryProgress, aspect: Aspect, points: Collection[int]
    ) -> CanaryProgress | None:
        """Keep the evidence with the conversations new in it; None, and nothing is kept, where others were faster."""
        kept = replace(after, turn=before.turn + 1)
        was = (canary_evidence.c.canary_id == before.canary_id, canary_evidence.c.turn == before.turn)
        async with self._connections.writing() as connection:
            if (await connection.execute(update(canary_evidence).where(*was).values(_row(kept)))).rowcount != 1:
                return None
            if points:
                counted = [{"canary_id": before.canary_id, "aspect": aspect.value, "point": each} for each in points]
                await connection.execute(insert(canary_conversations), counted)
        return kept

    async def counted(self, canary_id: int, aspect: Aspect, points: Collection[int]) -> frozenset[int]:
        """Those of these conversations that are in the evidence already."""
        columns = canary_conversations.c
        statement = select(columns.point).where(
            columns.canary_id == canary_id, columns.aspect == aspect.value, columns.point.in_(points)
        )
        async with self._connections.reading() as connection:
            return frozenset(await connection.scalars(statement))

    async def judged(
        self, canary: CanaryStanding, *, since: float, until: float, size: int = _READ_AT_ONCE
    ) -> AsyncIterator[Sequence[JudgedRequest]]:
        """The requests of a canary's policy of which something was found in a period, by when it was.

        Each is read with all that was found of it before ``until``, which is exclusive. So many findings are
        read at a time, by short queries of their own; one that has several may come again in a later part.
        """
        order = (outcomes.c.at, outcomes.c.request_id, outcomes.c.source, outcomes.c.key_id)
        statement = (
            _drawn(canary, *order)
            .join(outcomes, requests.c.id == outcomes.c.request_id)
            .where(outcomes.c.at < until, _may_speak())
        )
        async for rows in pages(self._connections, statement, order, size=size, first=outcomes.c.at >= since):
            found = {row.id: row._mapping for row in rows}
            async with self._connections.reading() as connection:
                said = await self._said(connection, found, until)
            yield [JudgedRequest(_request(row), tuple(said[key]), row["at"]) for key, row in found.items()]

    async def served(self, canary: CanaryStanding, *, since: float, until: float, limit: int) -> Sequence[DrawnRequest]:
        """The first requests of a canary's policy that began in a period; ``until`` is exclusive."""
        columns = requests.c
        statement = (
            _drawn(canary)
            .where(columns.started_at >= since, columns.started_at < until)
            .order_by(columns.started_at, columns.id)
            .limit(limit)
        )
        async with self._connections.reading() as connection:
            return [_request(row) for row in (await connection.execute(statement)).mappings()]

    async def forget(self, *, limit: int) -> int:
        """Delete so many of the conversations that were counted for canaries that have ended; how many it were."""
        key = tuple_(*canary_conversations.primary_key.columns)
        columns = canary_conversations.c
        ended = select(canaries.c.id).where(canaries.c.ended_at.is_not(None))
        chosen = select(*canary_conversations.primary_key.columns).where(columns.canary_id.in_(ended)).limit(limit)
        async with self._connections.reading() as connection:
            # Asked before it is written: on SQLite a write, even of nothing, makes others wait.
            if (await connection.execute(chosen.limit(1))).first() is None:
                return 0
        async with self._connections.writing() as connection:
            return (await connection.execute(delete(canary_conversations).where(key.in_(chosen)))).rowcount

    async def _said(
        self, connection: Any, found: Mapping[str, RowMapping], until: float
    ) -> Mapping[str, Sequence[Said]]:
        begun = [at for each in found if (at := id_time(each)) is not None]
        columns = outcomes.c
        statement = (
            select(columns.request_id, columns.score, columns.weight, columns.probability)
            .join(requests, requests.c.id == columns.request_id)
            .where(columns.started_at.between(min(begun), max(begun)), columns.request_id.in_(found))
            .where(columns.at < until, _may_speak())
            .order_by(columns.request_id, columns.source, columns.key_id)
        )
        said: dict[str, list[Said]] = defaultdict(list)
        for row in (await connection.execute(statement)).all():
            said[row.request_id].append(Said(row.score, row.weight, row.probability))
        return said


def _may_speak() -> ColumnElement[bool]:
    return or_(outcomes.c.is_vouched, outcomes.c.key_id == requests.c.key_id)


def _drawn(canary: CanaryStanding, *more: ColumnElement[Any]) -> Select[*tuple[Any, ...]]:
    """The requests that drew between the canary and what the others have; those that were only observed did not."""
    columns, plan = requests.c, requests.c.plan
    version = plan[("facts", "canary", "version")].as_integer()
    return select(
        *more,
        columns.id,
        columns.started_at,
        plan[("facts", "canary", "share")].as_float().label("share"),
        plan[("facts", "canary", "bucket")].as_float().label("bucket"),
        plan["rule"].as_string().label("rule"),
        columns.category,
        columns.difficulty,
        columns.result,
        columns.cost_nanos,
        columns.is_cost_complete,
        columns.total_s,
    ).where(
        columns.policy == canary.policy,
        columns.started_at >= canary.began_at,
        version == canary.number,
        plan["is_observed"].as_boolean().is_not(True),
    )


def _request(row: RowMapping) -> DrawnRequest:
    return DrawnRequest(
        id=row["id"],
        started_at=row["started_at"],
        point=int(row["bucket"] * _POINTS),
        share=row["share"],
        is_new=row["bucket"] < row["share"],
        rule=row["rule"],
        category=row["category"],
        difficulty=row["difficulty"],
        result=Result(row["result"]),
        cost=from_nanos(row["cost_nanos"]) if row["is_cost_complete"] else None,
        total_s=row["total_s"],
    )


def _row(progress: CanaryProgress) -> dict[str, Any]:
    return {column.name: getattr(progress, column.name) for column in canary_evidence.columns}
