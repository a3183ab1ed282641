"""Deleting requests when their time is over; what they were charged is carried forward.

Budgets outlive the requests that they counted: a ``total`` for good, a month where requests are kept for
less. So every deletion adds to ``spent_before``, in its own transaction, what its rows were charged, and
:mod:`gateway.store.balances` sums both. A row is added by the one deletion that takes it away, so deletions
may be repeated, cut off, or run at the same time.

On PostgreSQL a day is dropped as a whole, when its last moment is past; row by row goes only what lies in no day's
partition (:mod:`gateway.store.partitions`).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from typing import Final, TypeAlias

from sqlalchemy import ColumnElement, Dialect, Table, case, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.limits import Period, period_start, window
from gateway.errors import Unavailable
from gateway.store.balances import HAIR_S, utc_day
from gateway.store.base import Database, open_async, translating
from gateway.store.calibration_tables import outcomes
from gateway.store.columns import UnixSeconds, UtcDay
from gateway.store.partitions import LOCK_WAIT, PARTITIONED, make_ahead, partitions_of, take_turn
from gateway.store.tables import draws, request_texts, requests, spent_before

_DELETED_AT_ONCE = 500
"""Requests per transaction: some tens of milliseconds, so that the writer is never kept waiting."""

_DAY_S = 86_400.0
_PATIENCE_S: Final = 60.0
"""For summing up what a day was charged, before it is dropped."""
_PAUSES_S: Final = (1.0, 3.0)
"""Between attempts to drop a day whose tables somebody reads for longer than we wait."""


_Place: TypeAlias = Mapping[Table, Table]
"""Where the rows of each table stand that are deleted together."""
_Charged: TypeAlias = tuple[str, str, int, int]
"""Day, key, nano-dollars, and those of requests that ended after the day: a row of ``spent_before``."""


class Retention:
    """Deletes from a database what has been kept for long enough."""

    def __init__(self, database: Database, *, pauses_s: Sequence[float] = _PAUSES_S) -> None:
        self._database = database
        self._pauses_s = pauses_s
        patience_s = None if database.is_sqlite else _PATIENCE_S
        self._engine = open_async(database, connections=1, patience_s=patience_s)

    async def close(self) -> None:
        """Close the connection."""
        await self._engine.dispose()

    async def make_room(self, now: float) -> None:
        """Make the partitions of the days to come, where there are partitions."""
        if not self._database.is_sqlite:
            with translating(self._database):
                await make_ahead(self._engine, now)

    async def delete_requests(self, before: float, *, now: float) -> int:
        """Delete the requests begun before a moment with all that belongs to them; returns how many.

        Where there are partitions, those of a day that ends later stay with it.
        """
        deleted = await self._drop_days(PARTITIONED, before, now)
        for place in await self._places():
            while (count := await self._delete_some_requests(place, before, now)) is not None:
                deleted += count
            # By themselves: an outcome may be of a request whose record never came.
            while await self._delete_some_outcomes(place, before):
                pass
        return deleted

    async def delete_texts(self, before: float) -> int:
        """Delete the stored prompts and answers of requests begun before a moment, and comments on these.

        Returns how many prompts there were. Where there are partitions, those of a day that ends later stay with it.
        """
        deleted = await self._drop_days((request_texts,), before, before)
        for place in await self._places():
            while (count := await self._delete_some_texts(place, before)) is not None:
                deleted += count
        while await self._delete_some_comments(before):
            pass
        return deleted

    async def _places(self) -> Sequence[_Place]:
        """Where rows are deleted one by one: the tables themselves, or their partitions that are no day's."""
        if self._database.is_sqlite:
            return [{table: table for table in PARTITIONED}]
        places: defaultdict[float | None, dict[Table, Table]] = defaultdict(dict)
        async with self._transaction() as connection:
            for table in PARTITIONED:
                for part in await partitions_of(connection, table):
                    if not part.is_day:
                        places[part.ends][table] = part.as_table()
        return list(places.values())

    async def _drop_days(self, tables: Sequence[Table], before: float, now: float) -> int:
        """Drop the partitions that end before a moment; returns how many rows those of the first table had."""
        if self._database.is_sqlite:
            return 0
        async with self._transaction() as connection:
            found = [part for table in tables for part in await partitions_of(connection, table)]
        ends = sorted({part.ends for part in found if part.ends is not None and part.ends <= before})
        return sum([await self._drop(tables, each, now) for each in ends])

    async def _drop(self, tables: Sequence[Table], ends: float, now: float) -> int:
        for pause_s in self._pauses_s:
            try:
                return await self._drop_once(tables, ends, now)
            except Unavailable:
                await asyncio.sleep(pause_s)
        return await self._drop_once(tables, ends, now)

    async def _drop_once(self, tables: Sequence[Table], ends: float, now: float) -> int:
        async with self._transaction() as connection:
            await connection.exec_driver_sql(LOCK_WAIT)
            await connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{_PATIENCE_S:.0f}s'")
            if not await take_turn(connection):
                return 0
            parts = [part for table in tables for part in await partitions_of(connection, table) if part.ends == ends]
            if not parts:
                return 0
            if parts[0].table is requests:
                # A record that comes now waits, and finds its day gone: what is summed up is what is dropped.
                await connection.exec_driver_sql(f"LOCK TABLE {parts[0].name} IN SHARE ROW EXCLUSIVE MODE")
                count, charged = await _charged(connection, parts[0].as_table())
                await _carry(connection, charged, through=_last_closed_day(now))
            else:
                count = await connection.scalar(select(func.count()).select_from(parts[0].as_table())) or 0
            await connection.exec_driver_sql(f"DROP TABLE {', '.join(part.name for part in parts)}")
            return count

    async def _delete_some_requests(self, place: _Place, before: float, now: float) -> int | None:
        """How many were deleted, 0 where somebody else was quicker; None when there are no more."""
        if requests not in place:
            return None
        columns = place[requests].c
        async with self._transaction() as connection:
            last = await _last_of_some(connection, place[requests], before)
            if last is None:
                return None
            for each in (draws, request_texts):
                if each in place:
                    await connection.execute(delete(place[each]).where(place[each].c.started_at <= last))
            charged = func.coalesce(columns.charged_nanos, columns.cost_nanos)
            gone = await connection.execute(
                delete(place[requests])
                .where(columns.started_at <= last)
                .returning(columns.key_id, columns.started_at, columns.total_s, charged)
            )
            rows = gone.all()
            await _carry(connection, [_daily(*row) for row in rows], through=_last_closed_day(now))
            return len(rows)

    async def _delete_some_texts(self, place: _Place, before: float) -> int | None:
        if request_texts not in place:
            return None
        table = place[request_texts]
        async with self._transaction() as connection:
            last = await _last_of_some(connection, table, before)
            if last is None:
                return None
            return (await connection.execute(delete(table).where(table.c.started_at <= last))).rowcount

    async def _delete_some_outcomes(self, place: _Place, before: float) -> bool:
        if outcomes not in place:
            return False
        table = place[outcomes]
        async with self._transaction() as connection:
            last = await _last_of_some(connection, table, before)
            if last is not None:
                await connection.execute(delete(table).where(table.c.started_at <= last))
            return last is not None

    async def _delete_some_comments(self, before: float) -> bool:
        has_comment = outcomes.c.comment.is_not(None)
        async with self._transaction() as connection:
            last = await _last_of_some(connection, outcomes, before, has_comment)
            if last is not None:
                chosen = (outcomes.c.started_at <= last, has_comment)
                await connection.execute(update(outcomes).where(*chosen).values(comment=None))
            return last is not None

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        with translating(self._database):
            async with self._engine.begin() as connection:
                yield connection


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


async def _charged(connection: AsyncConnection, table: Table) -> tuple[int, Sequence[_Charged]]:
    """How many requests a partition has, and what they were charged by day and key."""
    columns = table.c
    charged = func.coalesce(columns.charged_nanos, columns.cost_nanos)
    began_at = UnixSeconds(columns.started_at)
    day_end = func.floor(began_at / _DAY_S) * _DAY_S + _DAY_S
    overnight = case((began_at + columns.total_s >= day_end - HAIR_S, charged), else_=0)
    groups = UtcDay(columns.started_at), columns.key_id
    sums = func.count(), func.sum(charged), func.sum(overnight)
    rows = (await connection.execute(select(*groups, *sums).group_by(*groups))).all()
    return sum(row[2] for row in rows), [(row[0], row[1], int(row[3]), int(row[4])) for row in rows]


def _daily(key_id: str, started_at: float, total_s: float, nanos: int) -> _Charged:
    is_overnight = started_at + total_s >= window(Period.DAY, started_at).end - HAIR_S
    return utc_day(started_at), key_id, nanos, nanos if is_overnight else 0


async def _carry(connection: AsyncConnection, gone: Iterable[_Charged], *, through: str) -> None:
    """Add what was deleted to its days, and what stands under days before ``through`` to that one."""
    sums: dict[tuple[str, str], tuple[int, int]] = {}

    def add(day: str, key_id: str, nanos: int, overnight_nanos: int) -> None:
        # The day before a period's first is the only one whose nights are asked for.
        overnight_nanos = 0 if day < through else overnight_nanos
        place = (max(day, through), key_id)
        before = sums.get(place, (0, 0))
        sums[place] = (before[0] + nanos, before[1] + overnight_nanos)

    for each in gone:
        add(*each)
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
