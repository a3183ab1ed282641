"""Sums of the traffic by the hour: kept minute by minute, so that they are exact whatever came late.

A minute is counted from the requests that began in it, whole, and replaces what was counted of it before, in its
hour as well. It is counted when a batch of records left a mark on it; so a tick costs what came since the last one,
and not what the hour holds. An hour is opened for that by counting all its minutes once, and sealed, its minutes
forgotten, half an hour after the last mark. Sums outlive the requests they were made of; so hours of which requests
may have been deleted are left as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import ColumnElement, and_, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.conflicts import ReplacingInsert
from gateway.store.connections import Connections
from gateway.store.tables import requests
from gateway.store.traffic_counts import HOUR_S, MINUTE_S, CountRow, Facet, added, count, hour_of, minute_of
from gateway.store.traffic_tables import (
    traffic_hours,
    traffic_marks,
    traffic_minute_marks,
    traffic_minutes,
    traffic_open_hours,
    traffic_state,
)

_SETTLED_S: Final = 1800.0
"""So long after its end an hour is looked at once more, and so long after its last mark it is sealed."""
KEPT_S: Final = 400 * 86_400.0
"""Sums older than this are deleted: a year can be compared with the one before."""
_MARKS_AT_ONCE: Final = 20_000
"""More than a minute's, where no worker ran for long."""
_AT_ONCE: Final = 20_000
"""An hour of no more requests is counted at once where it needs no minutes: in some tenths of a second."""
_NAMED_AT_ONCE: Final = 500
"""As many as a statement may name."""
_OURS: Final = traffic_hours.c.facet.in_(list(Facet))


@dataclass(frozen=True, slots=True)
class _Tick:
    """One turn at summing up: each minute is counted once in it, and each hour opened once, or it might never end."""

    now: float
    first_hour: float
    """Of the hours before it requests may have been deleted."""
    minutes: set[float] = field(default_factory=set)
    opened: set[float] = field(default_factory=set)
    changed: set[float] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Open:
    """An hour that is counted by the minute, as ``traffic_open_hours`` has it."""

    hour: float
    counted_to: float
    marked_at: float

    @property
    def is_whole(self) -> bool:
        """Whether the hour's sums are those of its minutes."""
        return self.counted_to >= self.hour + HOUR_S


@dataclass(frozen=True, slots=True)
class _Standing:
    """Where the sums stand: whose turn it is, and what is marked."""

    turn: int
    closed_to: float | None
    open: dict[float, _Open]
    marked_hour: float | None
    """By the release before, and not being counted already."""
    marked_minute: float | None


@dataclass(frozen=True, slots=True)
class _Counted:
    """What a minute came to, and the marks that this heeds."""

    minute: float
    rows: Sequence[CountRow]
    marks: Sequence[str]


class Rollups:
    """Keeps the sums of one database up to date."""

    def __init__(self, connections: Connections, *, at_once: int = _AT_ONCE) -> None:
        self._connections = connections
        self._at_once = at_once

    async def close(self) -> None:
        """Close the connections."""
        await self._connections.close()

    async def sum_up(self, now: float, *, kept_since: float) -> int:
        """Count what is due, the latest first; returns how many hours were changed.

        Hours that do not lie wholly after ``kept_since`` are left as they are. May be cut off at any moment, and run
        by several at once. Raises Unavailable or ConfigurationError.
        """
        tick = _Tick(now, first_hour=-(-kept_since // HOUR_S) * HOUR_S)
        while await self._step(tick):
            pass
        async with self._connections.writing() as connection:
            # Its turn is counted: who still counts an hour that is forgotten here has to look anew.
            summed = update(traffic_state).values(summed_at=now, turn=traffic_state.c.turn + 1)
            await connection.execute(summed)
            for column in (traffic_marks.c.hour, traffic_minute_marks.c.minute, traffic_open_hours.c.hour):
                await connection.execute(delete(column.table).where(column < tick.first_hour))
            await connection.execute(delete(traffic_minutes).where(traffic_minutes.c.minute < tick.first_hour))
            await connection.execute(delete(traffic_hours).where(_OURS, traffic_hours.c.hour < now - KEPT_S))
        return len(tick.changed)

    async def _step(self, tick: _Tick) -> bool:
        """Do the next thing that is due; False where nothing is."""
        standing = await self._look(tick)
        if standing.marked_hour is not None:
            return await self._open(tick, standing, standing.marked_hour, marked_at=tick.now)
        if standing.marked_minute is not None:
            hour = hour_of(standing.marked_minute)
            if hour not in standing.open:
                return await self._open(tick, standing, hour, marked_at=tick.now)
            if standing.open[hour].is_whole:
                return await self._renew(tick, standing, standing.open[hour], standing.marked_minute)
        unfinished = [each for each in standing.open.values() if not each.is_whole]
        if unfinished:
            return await self._go_on(tick, standing, max(unfinished, key=lambda each: each.hour))
        return await self._seal(tick, standing) or await self._go_past(tick, standing)

    async def _look(self, tick: _Tick) -> _Standing:
        minute, hour = traffic_minute_marks.c.minute, traffic_marks.c.hour
        state = select(traffic_state.c.turn, traffic_state.c.closed_to)
        async with self._connections.reading() as connection:
            turn, closed_to = (await connection.execute(state)).one()
            rows = await connection.execute(
                select(traffic_open_hours).where(traffic_open_hours.c.hour >= tick.first_hour)
            )
            found = {row.hour: _Open(row.hour, row.counted_to, row.marked_at) for row in rows}
            busy = tick.opened | {each.hour for each in found.values() if not each.is_whole}
            marked_hour = await connection.scalar(
                select(func.max(hour)).where(hour >= tick.first_hour, hour.not_in(sorted(busy)))
            )
            marked_minute = await connection.scalar(
                select(func.max(minute)).where(minute >= tick.first_hour, minute.not_in(sorted(tick.minutes)))
            )
        return _Standing(turn, closed_to, found, marked_hour, marked_minute)

    async def _open(self, tick: _Tick, standing: _Standing, hour: float, *, marked_at: float) -> bool:
        """Begin to count all minutes of an hour; what came before this moment will be among them."""
        async with self._connections.writing() as connection:
            if await _take(connection, standing):
                await connection.execute(delete(traffic_marks).where(traffic_marks.c.hour == hour))
                row = {"hour": hour, "counted_to": hour, "marked_at": marked_at}
                await connection.execute(ReplacingInsert(traffic_open_hours).values(row))
                tick.opened.add(hour)
        return True

    async def _go_on(self, tick: _Tick, standing: _Standing, each: _Open) -> bool:
        """Count the next minute of an hour that has requests; after the last one the hour is what its minutes are."""
        begun = requests.c.started_at
        following = select(func.min(begun)).where(begun >= each.counted_to, begun < each.hour + HOUR_S)
        async with self._connections.reading() as connection:
            first: float | None = await connection.scalar(following)
        counted = None if first is None else await self._count(minute_of(first))
        async with self._connections.writing() as connection:
            if not await _take(connection, standing):
                return True
            counted_to = each.hour + HOUR_S
            if counted is not None:
                await _replace_minute(connection, counted)
                counted_to = counted.minute + MINUTE_S
            if counted_to >= each.hour + HOUR_S:
                minutes = (await connection.execute(select(traffic_minutes).where(_within(each.hour)))).mappings()
                await _replace_hour(connection, each.hour, added((1, minutes)))
                tick.changed.add(each.hour)
            chosen = traffic_open_hours.c.hour == each.hour
            await connection.execute(update(traffic_open_hours).where(chosen).values(counted_to=counted_to))
        return True

    async def _renew(self, tick: _Tick, standing: _Standing, each: _Open, minute: float) -> bool:
        """Count a marked minute anew, and change its hour by the difference."""
        counted = await self._count(minute)
        async with self._connections.writing() as connection:
            if not await _take(connection, standing):
                return True
            before = await _replace_minute(connection, counted)
            chosen = _OURS, traffic_hours.c.hour == each.hour
            sums = (await connection.execute(select(traffic_hours).where(*chosen))).mappings().all()
            await _replace_hour(connection, each.hour, added((1, sums), (-1, before), (1, counted.rows)))
            marked = update(traffic_open_hours).where(traffic_open_hours.c.hour == each.hour)
            await connection.execute(marked.values(marked_at=tick.now))
            tick.minutes.add(minute)
            tick.changed.add(each.hour)
        return True

    async def _count(self, minute: float) -> _Counted:
        """Count a minute, and say which marks were there before."""
        marks = traffic_minute_marks.c
        async with self._connections.reading() as connection:
            found = select(marks.batch).where(marks.minute == minute).limit(_MARKS_AT_ONCE)
            heeded = (await connection.scalars(found)).all()
            return _Counted(minute, await count(connection, minute, minute + MINUTE_S), heeded)

    async def _seal(self, tick: _Tick, standing: _Standing) -> bool:
        """Forget the minutes of an hour that nothing has come for in a while; False where there is no such hour."""
        for each in standing.open.values():
            is_past = standing.closed_to is not None and each.hour < standing.closed_to
            if is_past and each.marked_at + _SETTLED_S <= tick.now:
                async with self._connections.writing() as connection:
                    if await _take(connection, standing):
                        await connection.execute(delete(traffic_minutes).where(_within(each.hour)))
                        chosen = traffic_open_hours.c.hour == each.hour
                        await connection.execute(delete(traffic_open_hours).where(chosen))
                return True
        return False

    async def _go_past(self, tick: _Tick, standing: _Standing) -> bool:
        """Go on to the next hour once it has settled; it is counted first if requests of it have left no marks."""
        hour, begun = standing.closed_to, requests.c.started_at
        number, rows = 0, None
        async with self._connections.reading() as connection:
            if hour is None:
                first = await connection.scalar(select(func.min(begun)))
                hour = max(hour_of(tick.now if first is None else first), tick.first_hour)
            if hour + HOUR_S + _SETTLED_S > tick.now:
                return False
            if hour >= tick.first_hour and hour not in standing.open:
                some = select(begun).where(begun >= hour, begun < hour + HOUR_S).limit(self._at_once + 1).subquery()
                number = await connection.scalar(select(func.count()).select_from(some)) or 0
            if 0 < number <= self._at_once:
                rows = await count(connection, hour, hour + HOUR_S)
        if number > self._at_once:
            return await self._open(tick, standing, hour, marked_at=hour)
        async with self._connections.writing() as connection:
            if await _take(connection, standing):
                await connection.execute(update(traffic_state).values(closed_to=hour + HOUR_S))
                if rows is not None:
                    await _replace_hour(connection, hour, rows)
                    tick.changed.add(hour)
        return True


async def _take(connection: AsyncConnection, standing: _Standing) -> bool:
    """Whether the turn is ours; not where somebody else changed the sums meanwhile."""
    taken = update(traffic_state).where(traffic_state.c.turn == standing.turn).values(turn=standing.turn + 1)
    return bool((await connection.execute(taken)).rowcount)


def _within(hour: float) -> ColumnElement[bool]:
    return and_(traffic_minutes.c.minute >= hour, traffic_minutes.c.minute < hour + HOUR_S)


async def _replace_minute(connection: AsyncConnection, counted: _Counted) -> Sequence[CountRow]:
    """Put what was counted in the place of the minute's rows, which are returned, and take away the marks."""
    marks = traffic_minute_marks.c
    for first in range(0, len(counted.marks), _NAMED_AT_ONCE):
        named = marks.batch.in_(counted.marks[first : first + _NAMED_AT_ONCE])
        await connection.execute(delete(traffic_minute_marks).where(marks.minute == counted.minute, named))
    chosen = traffic_minutes.c.minute == counted.minute
    before = (await connection.execute(select(traffic_minutes).where(chosen))).mappings().all()
    if before:
        await connection.execute(delete(traffic_minutes).where(chosen))
    if counted.rows:
        await connection.execute(insert(traffic_minutes), [{**row, "minute": counted.minute} for row in counted.rows])
    return before


async def _replace_hour(connection: AsyncConnection, hour: float, rows: Sequence[CountRow]) -> None:
    await connection.execute(delete(traffic_hours).where(_OURS, traffic_hours.c.hour == hour))
    if rows:
        await connection.execute(insert(traffic_hours), [{**row, "hour": hour} for row in rows])
