"""Deleting requests when their time is over; what they were charged is carried forward.

Budgets outlive the requests that they counted: a ``total`` for good, a month where requests are kept for
less. So every deletion adds to ``spent_before``, in its own transaction, what its rows were charged, and
:mod:`gateway.store.balances` sums both. A row is added by the one deletion that takes it away, so deletions
may be repeated, cut off, or run at the same time.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from sqlalchemy import ColumnElement, Dialect, Table, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.limits import Period, period_start, window
from gateway.store.balances import CHARGED_NANOS, HAIR_S, utc_day
from gateway.store.base import Database, open_async, translating
from gateway.store.calibration_tables import outcomes
from gateway.store.tables import draws, request_texts, requests, spent_before

_DELETED_AT_ONCE = 500
"""Requests per transaction: some tens of milliseconds, so that the writer is never kept waiting."""

_DAY_S = 86_400.0


class Retention:
    """Deletes from a database what has been kept for long enough."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._engine = open_async(database, connections=1)

    async def close(self) -> None:
        """Close the connection."""
        await self._engine.dispose()

    async def delete_requests(self, before: float, *, now: float) -> int:
        """Delete the requests begun before a moment with all that belongs to them; returns how many."""
        deleted = 0
        while (count := await self._delete_some_requests(before, now)) is not None:
            deleted += count
        # By themselves: an outcome may be of a request whose record never came.
        while await self._delete_some_outcomes(before):
            pass
        return deleted

    async def delete_texts(self, before: float) -> int:
        """Delete the stored prompts and answers of requests begun before a moment, and comments on these.

        Returns how many prompts there were.
        """
        deleted = 0
        while (count := await self._delete_some_texts(before)) is not None:
            deleted += count
        while await self._delete_some_comments(before):
            pass
        return deleted

    async def _delete_some_requests(self, before: float, now: float) -> int | None:
        """How many were deleted, 0 where somebody else was quicker; None when there are no more."""
        with translating(self._database):
            async with self._engine.begin() as connection:
                last = await _last_of_some(connection, requests, before)
                if last is None:
                    return None
                for each in (draws, request_texts):
                    await connection.execute(delete(each).where(each.c.started_at <= last))
                gone = await connection.execute(
                    delete(requests)
                    .where(requests.c.started_at <= last)
                    .returning(requests.c.key_id, requests.c.started_at, requests.c.total_s, CHARGED_NANOS)
                )
                rows = gone.all()
                await _carry(connection, rows, through=_last_closed_day(now))
                return len(rows)

    async def _delete_some_texts(self, before: float) -> int | None:
        with translating(self._database):
            async with self._engine.begin() as connection:
                last = await _last_of_some(connection, request_texts, before)
                if last is None:
                    return None
                chosen = request_texts.c.started_at <= last
                return (await connection.execute(delete(request_texts).where(chosen))).rowcount

    async def _delete_some_outcomes(self, before: float) -> bool:
        with translating(self._database):
            async with self._engine.begin() as connection:
                last = await _last_of_some(connection, outcomes, before)
                if last is not None:
                    await connection.execute(delete(outcomes).where(outcomes.c.started_at <= last))
                return last is not None

    async def _delete_some_comments(self, before: float) -> bool:
        has_comment = outcomes.c.comment.is_not(None)
        with translating(self._database):
            async with self._engine.begin() as connection:
                last = await _last_of_some(connection, outcomes, before, has_comment)
                if last is not None:
                    chosen = (outcomes.c.started_at <= last, has_comment)
                    await connection.execute(update(outcomes).where(*chosen).values(comment=None))
                return last is not None


async def _last_of_some(
    connection: AsyncConnection, table: Table, before: float, *conditions: ColumnElement[bool]
) -> float | None:
    """When the last of the oldest rows began, of as many as are deleted at once; None where there are none."""
    oldest = (
        select(table.c.started_at)
        .where(table.c.started_at < before, *conditions)
        .order_by(table.c.started_at)
        .limit(_DELETED_AT_ONCE)
    )
    last: float | None = await connection.scalar(select(func.max(oldest.subquery().c.started_at)))
    return last


def _last_closed_day(now: float) -> str:
    """The last day that only ``total`` budgets still count.

    By yesterday's periods, so that a gateway whose clock is behind ours finds the days that it asks for.
    """
    return utc_day(min(period_start(period, now - _DAY_S) for period in (Period.WEEK, Period.MONTH)) - 1)


async def _carry(connection: AsyncConnection, gone: Iterable[tuple[str, float, float, int]], *, through: str) -> None:
    """Add what was deleted to its days, and what stands under days before ``through`` to that one."""
    sums: dict[tuple[str, str], tuple[int, int]] = {}

    def add(day: str, key_id: str, nanos: int, overnight_nanos: int) -> None:
        # The day before a period's first is the only one whose nights are asked for.
        overnight_nanos = 0 if day < through else overnight_nanos
        place = (max(day, through), key_id)
        before = sums.get(place, (0, 0))
        sums[place] = (before[0] + nanos, before[1] + overnight_nanos)

    for key_id, started_at, total_s, nanos in gone:
        is_overnight = started_at + total_s >= window(Period.DAY, started_at).end - HAIR_S
        add(utc_day(started_at), key_id, nanos, nanos if is_overnight else 0)
    earlier = delete(spent_before).where(spent_before.c.day < through).returning(*spent_before.c)
    for row in await connection.execute(earlier):
        add(*row)
    # In one order everywhere, so that two deletions at once never wait in a circle.
    rows = [(*place, *amounts) for place, amounts in sorted(sums.items())]
    if rows:
        await connection.exec_driver_sql(_addition(connection.dialect), rows)


@cache
def _addition(dialect: Dialect) -> str:
    """The INSERT in the driver's words, which adds to a row that is there."""
    return (
        f"{insert(spent_before).compile(dialect=dialect)} ON CONFLICT (day, key_id) DO UPDATE SET "
        "nanos = spent_before.nanos + excluded.nanos, "
        "overnight_nanos = spent_before.overnight_nanos + excluded.overnight_nanos"
    )
