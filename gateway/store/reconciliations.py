"""The nightly checks of the books: what they compare, and what they found.

A check's row is written as it begins, under its day and kind. So of several processes one does it,
and what it found is seen by all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Any

from sqlalchemy import RowMapping, and_, case, func, insert, select, update

from gateway.domain.money import ZERO, Usd, from_nanos, show, to_nanos
from gateway.store.base import Database, Unstorable, open_async, translating
from gateway.store.tables import draws, reconciliations, requests

DETAILS = 20
"""The largest differences, which are kept with a result; all are counted."""


class Kind(StrEnum):
    """What is compared."""

    BALANCES = "balances"
    """What each budget has counted, against the sum over the log of requests."""
    CALLS = "calls"
    """The cost of each request, against the sum of its calls."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: how many things it compared, how many differ, and the largest differences."""

    compared: int
    differing: int
    difference: Usd
    """The sum of all differences, each without its sign."""
    details: tuple[Mapping[str, str], ...]


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """A check as stored; ``finished_at`` is None while it runs, and stays so if its process ended in it."""

    day: str
    kind: Kind
    started_at: float
    finished_at: float | None
    finding: Finding


class Reconciliations:
    """The nightly checks in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._engine = open_async(database, connections=1)

    async def close(self) -> None:
        """Close the connection."""
        await self._engine.dispose()

    async def begin(self, day: str, kind: Kind, *, now: float) -> bool:
        """Take on a check; False when it has been begun before."""
        row = {
            "day": day,
            "kind": kind.value,
            "started_at": now,
            **_values(Finding(compared=0, differing=0, difference=ZERO, details=())),
        }
        try:
            with translating(self._database):
                async with self._engine.begin() as connection:
                    await connection.execute(insert(reconciliations).values(row))
        except Unstorable:  # its key is there
            return False
        return True

    async def finish(self, day: str, kind: Kind, finding: Finding, *, now: float) -> None:
        """Store what a check found."""
        chosen = and_(reconciliations.c.day == day, reconciliations.c.kind == kind.value)
        with translating(self._database):
            async with self._engine.begin() as connection:
                await connection.execute(
                    update(reconciliations).where(chosen).values(finished_at=now, **_values(finding))
                )

    async def is_finished(self, day: str, kind: Kind) -> bool:
        """Whether the check has been done."""
        statement = select(reconciliations.c.finished_at).where(
            reconciliations.c.day == day, reconciliations.c.kind == kind.value
        )
        with translating(self._database):
            async with self._engine.connect() as connection:
                return await connection.scalar(statement) is not None

    async def recent(self, *, limit: int) -> tuple[Reconciliation, ...]:
        """The newest checks, newest first."""
        statement = select(reconciliations).order_by(reconciliations.c.day.desc(), reconciliations.c.kind).limit(limit)
        with translating(self._database):
            async with self._engine.connect() as connection:
                rows = (await connection.execute(statement)).mappings().all()
        return tuple(_reconciliation(row) for row in rows)

    async def compare_calls(self, day: str) -> Finding:
        """Compare the cost of every request begun on a UTC day with the sum of its calls, hour by hour."""
        begin = datetime.fromisoformat(day).replace(tzinfo=UTC)
        hours = [(begin + timedelta(hours=hour)).timestamp() for hour in range(25)]
        compared = differing = nanos = 0
        details: list[tuple[int, Mapping[str, str]]] = []
        for since, until in pairwise(hours):
            count, wrong, amount, largest = await self._compare_calls(since, until)
            compared, differing, nanos = compared + count, differing + wrong, nanos + amount
            details = sorted([*details, *largest], key=lambda detail: -detail[0])[:DETAILS]
        return Finding(compared, differing, from_nanos(nanos), tuple(detail for _, detail in details))

    async def _compare_calls(
        self, since: float, until: float
    ) -> tuple[int, int, int, list[tuple[int, Mapping[str, str]]]]:
        group = (requests.c.started_at, requests.c.id, requests.c.key_id, requests.c.cost_nanos)
        each = (
            select(*group, func.coalesce(func.sum(draws.c.cost_nanos), 0).label("calls_nanos"))
            .select_from(
                requests.outerjoin(
                    draws, and_(draws.c.started_at == requests.c.started_at, draws.c.request_id == requests.c.id)
                )
            )
            .where(requests.c.started_at >= since, requests.c.started_at < until)
            .group_by(*group)
            .subquery()
        )
        difference = func.abs(each.c.cost_nanos - each.c.calls_nanos)
        sums = select(
            func.count(),
            func.coalesce(func.sum(case((difference != 0, 1), else_=0)), 0),
            func.coalesce(func.sum(difference), 0),
        ).select_from(each)
        largest = select(each, difference.label("difference")).where(difference != 0)
        with translating(self._database):
            async with self._engine.connect() as connection:
                count, wrong, nanos = (await connection.execute(sums)).one()
                rows = []
                if wrong:
                    found = await connection.execute(largest.order_by(difference.desc(), each.c.id).limit(DETAILS))
                    rows = [(int(row["difference"]), _detail(row)) for row in found.mappings()]
        return count, int(wrong), int(nanos), rows


def _detail(row: RowMapping) -> Mapping[str, str]:
    return {
        "request_id": row["id"],
        "key_id": row["key_id"],
        "request_usd": show(from_nanos(row["cost_nanos"])),
        "calls_usd": show(from_nanos(int(row["calls_nanos"]))),
    }


def _values(finding: Finding) -> dict[str, Any]:
    return {
        "compared": finding.compared,
        "differing": finding.differing,
        "difference_nanos": to_nanos(finding.difference),
        "details": [dict(detail) for detail in finding.details],
    }


def _reconciliation(row: RowMapping) -> Reconciliation:
    return Reconciliation(
        day=row["day"],
        kind=Kind(row["kind"]),
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        finding=Finding(row["compared"], row["differing"], from_nanos(row["difference_nanos"]), tuple(row["details"])),
    )
