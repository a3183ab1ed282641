"""Outcomes: kept by request, source and giver, and read with the requests that they are of.

An outcome may come before the record of its request, which then still is in some gateway's journal. So it is
kept by the request's id alone, and whether its giver may speak of the request is asked as it is read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, and_, func, or_, select

from gateway.domain.money import Usd, from_nanos
from gateway.domain.outcome import MOST_SOURCES, Outcome
from gateway.domain.record import Result
from gateway.errors import Conflict
from gateway.store.calibration_tables import outcomes
from gateway.store.conflicts import KeepingInsert, ReplacingInsert
from gateway.store.connections import Connections
from gateway.store.pages import pages
from gateway.store.tables import requests

_READ_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Judged:
    """A request that a policy decided, with one outcome of it; contradicting ones come one after the other."""

    outcome: Outcome
    started_at: float
    """When the request began."""
    arm: str
    """As it was decided; a fallback may have answered in its place."""
    category: str | None
    difficulty: str | None
    profile_version: int | None
    propensity: float | None
    """With which its arm could have been drawn; None where that is not on record."""
    result: Result
    cost: Usd | None
    """None where it is not fully known."""
    total_s: float


class Outcomes:
    """The outcomes in a database."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def keep(self, outcome: Outcome) -> None:
        """Keep an outcome, in the place of an earlier one of the same source and giver.

        Raises Conflict where the giver has named more sources than a request may have.
        """
        async with self._connections.writing() as connection:
            await connection.execute(ReplacingInsert(outcomes).values(_row(outcome)))
            mine = and_(*_of_request(outcome.request_id, outcome.begun_at), outcomes.c.key_id == outcome.key_id)
            count = await connection.scalar(select(func.count()).select_from(outcomes).where(mine))
            if count is not None and count > MOST_SOURCES:
                raise Conflict(f"this key has given this request {MOST_SOURCES} sources of outcomes, which is the most")

    async def add(self, judged: Sequence[Outcome]) -> None:
        """Keep what the calibrator judged; what it has judged before stays as it is. Safe to repeat."""
        if judged:
            async with self._connections.writing() as connection:
                await connection.execute(KeepingInsert(outcomes), [_row(outcome) for outcome in judged])

    async def of_request(self, request_id: str, begun_at: float, *, key_id: str) -> tuple[Outcome, ...]:
        """The outcomes of a request of this key, by time: those by whoever may speak of it.

        ``begun_at`` is what the id says: see :attr:`gateway.domain.outcome.Outcome.begun_at`.
        """
        mine = (*_of_request(request_id, begun_at), or_(outcomes.c.is_vouched, outcomes.c.key_id == key_id))
        statement = select(outcomes).where(*mine).order_by(outcomes.c.at, outcomes.c.source, outcomes.c.key_id)
        async with self._connections.reading() as connection:
            return tuple(_outcome(row) for row in (await connection.execute(statement)).mappings())

    async def reach(self, most: int, *, until: float) -> float:
        """Since when at most so many outcomes were given, of whatever policy; 0 where that is all of them."""
        newest = select(outcomes.c.at).where(outcomes.c.at < until).order_by(outcomes.c.at.desc())
        async with self._connections.reading() as connection:
            oldest: float | None = await connection.scalar(newest.offset(most - 1).limit(1))
        return 0.0 if oldest is None else oldest

    async def judged(
        self, policy: str, *, since: float, until: float, size: int = _READ_AT_ONCE
    ) -> AsyncIterator[Sequence[Judged]]:
        """The outcomes that were given in a period for requests that a policy decided, by time, so many at a time.

        Each part is read by a short query of its own. ``until`` is exclusive; choose it some seconds ago, and
        no outcome can come in before it any more.
        """
        order = (outcomes.c.at, outcomes.c.request_id, outcomes.c.source, outcomes.c.key_id)
        statement = _judged(policy).where(outcomes.c.at < until)
        async for rows in pages(self._connections, statement, order, size=size, first=outcomes.c.at >= since):
            yield [_to_judged(row._mapping) for row in rows]


def _of_request(request_id: str, begun_at: float) -> tuple[Any, ...]:
    return outcomes.c.started_at == begun_at, outcomes.c.request_id == request_id


def _judged(policy: str) -> Any:
    plan = requests.c.plan
    return (
        select(
            *(column for column in outcomes.c if column is not outcomes.c.started_at),
            requests.c.started_at,
            requests.c.arm,
            requests.c.category,
            requests.c.difficulty,
            plan["profile_version"].as_integer().label("profile_version"),
            plan["propensities"].as_json().label("propensities"),
            requests.c.result,
            requests.c.cost_nanos,
            requests.c.is_cost_complete,
            requests.c.total_s,
        )
        .join(requests, requests.c.id == outcomes.c.request_id)
        .where(
            requests.c.policy == policy,
            requests.c.arm.is_not(None),
            or_(outcomes.c.is_vouched, outcomes.c.key_id == requests.c.key_id),
        )
    )


def _row(outcome: Outcome) -> dict[str, Any]:
    return {
        "started_at": outcome.begun_at,
        "request_id": outcome.request_id,
        "source": outcome.source,
        "key_id": outcome.key_id,
        "is_vouched": outcome.is_vouched,
        "score": outcome.score,
        "weight": outcome.weight,
        "probability": outcome.probability,
        "comment": outcome.comment,
        "at": outcome.at,
    }


def _outcome(row: RowMapping) -> Outcome:
    return Outcome(
        request_id=row["request_id"],
        source=row["source"],
        score=row["score"],
        at=row["at"],
        key_id=row["key_id"],
        is_vouched=row["is_vouched"],
        weight=row["weight"],
        probability=row["probability"],
        comment=row["comment"],
    )


def _to_judged(row: RowMapping) -> Judged:
    propensities = row["propensities"] or {}
    return Judged(
        outcome=_outcome(row),
        started_at=row["started_at"],
        arm=row["arm"],
        category=row["category"],
        difficulty=row["difficulty"],
        profile_version=row["profile_version"],
        propensity=propensities.get(row["arm"]),
        result=Result(row["result"]),
        cost=from_nanos(row["cost_nanos"]) if row["is_cost_complete"] else None,
        total_s=row["total_s"],
    )
