"""Measurements: each pair of item and arm once, by any number of processes at once, under one spending cap.

Before a pair is measured its hold sets aside the most that it may cost, by an UPDATE that only succeeds
under the cap. Keeping the measurement puts its true cost in the hold's place. A hold whose process ended
without a word is charged whole once its time is over, as nobody knows what was spent, and the pair is free
again. Every change of a run's money locks the run's row first, so that none waits in a circle.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import Row, delete, exists, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.experiment import CellProgress, Measurement, MeasurementHold, Refusal
from gateway.domain.money import Usd, from_nanos, to_nanos
from gateway.store.base import Unstorable
from gateway.store.calibration_tables import experiments, measurement_holds, measurements
from gateway.store.conflicts import KeepingInsert
from gateway.store.connections import Connections
from gateway.store.pages import pages

_WRITTEN_AT_ONCE = 1_000
_READ_AT_ONCE = 10_000


class Measurements:
    """The measurements in a database, and what is spent on them."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def hold(self, wanted: MeasurementHold) -> Refusal | None:
        """Set the money for a pair aside and take the pair; None when that is done.

        Raises ValueError for a negative amount.
        """
        nanos = to_nanos(wanted.amount)
        if nanos < 0:
            raise ValueError("a hold is of no negative amount")
        try:
            async with self._connections.writing() as connection:
                if (await connection.execute(_reservation(wanted, nanos))).rowcount == 1:
                    await connection.execute(insert(measurement_holds).values(hold_row(wanted)))
                    return None
        except Unstorable:  # the pair's key is there: another process took it in the same moment
            return Refusal.TAKEN
        return await self._reason(wanted)

    async def keep(self, hold: MeasurementHold, measurement: Measurement) -> bool:
        """Keep what was measured under a hold, and charge its cost; False when the pair was measured already.

        Safe to repeat. A hold that was over has been charged whole, and is not charged again. A cost
        beyond the hold counts in full, and leaves the less for others.
        """
        if (hold.item, hold.arm) != (measurement.item, measurement.arm):
            raise ValueError("a measurement is kept under the hold of its own pair")
        async with self._connections.writing() as connection:
            await _settle(connection, hold, measurement.cost)
            row = _row(hold.experiment_id, measurement)
            # The run is locked by now: an answer that is kept is one that its end will find.
            if measurement.answer is not None and not await connection.scalar(_is_open(hold.experiment_id)):
                row["answer"] = None
            kept = await connection.execute(KeepingInsert(measurements).values(row))
            return kept.rowcount == 1

    async def release(self, hold: MeasurementHold, *, cost: Usd) -> None:
        """Give a pair back that could not be measured, and charge what was spent all the same. Safe to repeat."""
        async with self._connections.writing() as connection:
            await _settle(connection, hold, cost)

    async def release_expired(self, experiment_id: str, *, now: float) -> int:
        """Charge the holds whose time is over, whole, and free their pairs; how many they were."""
        over = (measurement_holds.c.experiment_id == experiment_id, measurement_holds.c.until <= now)
        async with self._connections.reading() as connection:
            if not await connection.scalar(select(exists().where(*over))):
                return 0
        async with self._connections.writing() as connection:
            await _lock(connection, experiment_id)
            gone = await connection.scalars(delete(measurement_holds).where(*over).returning(measurement_holds.c.nanos))
            amounts = gone.all()
            await _move(connection, experiment_id, held=sum(amounts), spent=sum(amounts))
            return len(amounts)

    async def add(self, experiment_id: str, measured: Iterable[Measurement]) -> None:
        """Add measurements that cost this run nothing, as those of an imported table; safe to repeat."""
        rows = iter(measured)
        while batch := [_row(experiment_id, each) for each in islice(rows, _WRITTEN_AT_ONCE)]:
            async with self._connections.writing() as connection:
                await connection.execute(KeepingInsert(measurements), batch)

    async def progress(self, experiment_id: str) -> tuple[CellProgress, ...]:
        """How much was measured of each arm in each category and difficulty."""
        columns = measurements.c
        cell = (columns.category, columns.difficulty, columns.arm)
        sums = (func.count(), func.sum(columns.score), func.sum(columns.cost_nanos))
        statement = select(*cell, *sums).where(columns.experiment_id == experiment_id).group_by(*cell).order_by(*cell)
        async with self._connections.reading() as connection:
            rows = (await connection.execute(statement)).all()
        return tuple(
            CellProgress(category, difficulty, arm, items, float(score), from_nanos(int(nanos)))
            for category, difficulty, arm, items, score, nanos in rows
        )

    async def batches(self, experiment_id: str, *, size: int = _READ_AT_ONCE) -> AsyncIterator[Sequence[Measurement]]:
        """All measurements of a run, by item and arm, so many at a time: each read by a short query of its own."""
        columns = measurements.c
        statement = select(measurements).where(columns.experiment_id == experiment_id)
        async for rows in pages(self._connections, statement, (columns.item, columns.arm), size=size):
            yield [_measurement(row) for row in rows]

    async def _reason(self, wanted: MeasurementHold) -> Refusal:
        async with self._connections.reading() as connection:
            if not await connection.scalar(_is_open(wanted.experiment_id)):
                return Refusal.ENDED
            is_taken = exists().where(*_pair(measurements, wanted)), exists().where(*_pair(measurement_holds, wanted))
            return Refusal.TAKEN if any((await connection.execute(select(*is_taken))).one()) else Refusal.CAP


def _is_open(experiment_id: str) -> Any:
    return select(exists().where(experiments.c.id == experiment_id, experiments.c.finished_at.is_(None)))


def _reservation(wanted: MeasurementHold, nanos: int) -> Any:
    columns = experiments.c
    return (
        update(experiments)
        .where(
            columns.id == wanted.experiment_id,
            columns.finished_at.is_(None),
            columns.spent_nanos + columns.held_nanos + nanos <= columns.cap_nanos,
            ~exists().where(*_pair(measurements, wanted)),
            ~exists().where(*_pair(measurement_holds, wanted)),
        )
        .values(held_nanos=columns.held_nanos + nanos)
    )


async def reserve(connection: AsyncConnection, experiment_id: str, wanted: Sequence[MeasurementHold]) -> bool:
    """Set the money of several pairs aside, for all of them or none; False where the cap leaves less, or the run ended.

    Whether a pair is taken is the holds' own key to say, when they are written in the same transaction.
    """
    nanos = sum(to_nanos(each.amount) for each in wanted)
    columns = experiments.c
    chosen = (
        columns.id == experiment_id,
        columns.finished_at.is_(None),
        columns.spent_nanos + columns.held_nanos + nanos <= columns.cap_nanos,
    )
    done = await connection.execute(update(experiments).where(*chosen).values(held_nanos=columns.held_nanos + nanos))
    return done.rowcount == 1


async def _settle(connection: AsyncConnection, hold: MeasurementHold, cost: Usd) -> None:
    """Put what was spent in the place of a hold, if it still stands."""
    await _lock(connection, hold.experiment_id)
    mine = (*_pair(measurement_holds, hold), measurement_holds.c.id == hold.id)
    held = await connection.scalar(delete(measurement_holds).where(*mine).returning(measurement_holds.c.nanos))
    if held is not None:
        await _move(connection, hold.experiment_id, held=held, spent=to_nanos(cost))


async def _lock(connection: AsyncConnection, experiment_id: str) -> None:
    mine = experiments.c.id == experiment_id
    await connection.execute(update(experiments).where(mine).values(held_nanos=experiments.c.held_nanos))


async def _move(connection: AsyncConnection, experiment_id: str, *, held: int, spent: int) -> None:
    columns = experiments.c
    values = {"held_nanos": columns.held_nanos - held, "spent_nanos": columns.spent_nanos + spent}
    await connection.execute(update(experiments).where(columns.id == experiment_id).values(values))


def _pair(table: Any, wanted: MeasurementHold) -> tuple[Any, ...]:
    return table.c.experiment_id == wanted.experiment_id, table.c.item == wanted.item, table.c.arm == wanted.arm


def hold_row(hold: MeasurementHold) -> dict[str, Any]:
    """The row of a hold."""
    return {
        "experiment_id": hold.experiment_id,
        "item": hold.item,
        "arm": hold.arm,
        "id": hold.id,
        "nanos": to_nanos(hold.amount),
        "until": hold.until,
    }


def _row(experiment_id: str, measurement: Measurement) -> dict[str, Any]:
    return {
        "experiment_id": experiment_id,
        "item": measurement.item,
        "arm": measurement.arm,
        "category": measurement.category,
        "difficulty": measurement.difficulty,
        "score": measurement.score,
        "cost_nanos": to_nanos(measurement.cost),
        "tokens": measurement.tokens,
        "latency_s": measurement.latency_s,
        "observed_at": measurement.observed_at,
        "request_id": measurement.request_id,
        "answer": measurement.answer,
    }


def _measurement(row: Row[*tuple[Any, ...]]) -> Measurement:
    _, item, arm, category, difficulty, score, nanos, tokens, latency_s, observed_at, request_id, answer = row
    cost = from_nanos(nanos)
    return Measurement(item, arm, category, difficulty, score, cost, tokens, latency_s, observed_at, request_id, answer)
