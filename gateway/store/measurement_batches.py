"""Batches that calibrations wait for: which pairs are in one, where it runs, and how it ended.

A batch's row and the holds of its pairs are written together, before anything is submitted; the holds bear its name. So
whoever goes on with a run finds what was begun, and under which name to look for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import insert, select, update

from gateway.domain.experiment import MeasurementBatch, MeasurementHold, Refusal
from gateway.domain.money import Usd, from_nanos
from gateway.store.base import Unstorable
from gateway.store.calibration_tables import measurement_batches, measurement_holds
from gateway.store.connections import Connections
from gateway.store.located import near
from gateway.store.measurements import hold_row, reserve
from gateway.store.tables import requests

_AT_ONCE: Final = 500


class MeasurementBatches:
    """The batches in a database."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def begin(self, batch: MeasurementBatch, holds: Sequence[MeasurementHold]) -> Refusal | None:
        """Take these pairs with their money, all or none; None when that is done. The holds bear the batch's id.

        A batch that the cap has no room for is noted as one that has ended, with all of its pairs unanswered.
        """
        if {hold.id for hold in holds} != {batch.id}:
            raise ValueError("the holds of a batch bear its id")
        try:
            async with self._connections.writing() as connection:
                if not await reserve(connection, batch.experiment_id, holds):
                    refused = replace(batch, ended_at=batch.created_at, unanswered=len(holds))
                    await connection.execute(insert(measurement_batches).values(_row(refused)))
                    return Refusal.CAP
                await connection.execute(insert(measurement_batches).values(_row(batch)))
                rows = [hold_row(hold) for hold in holds]
                for start in range(0, len(rows), _AT_ONCE):
                    await connection.execute(insert(measurement_holds), rows[start : start + _AT_ONCE])
        except Unstorable:  # a pair's key is there: another process measures it
            return Refusal.TAKEN
        return None

    async def submitted(self, batch: MeasurementBatch, batch_id: str) -> None:
        """Note under which id the gateway runs it."""
        await self._change(batch, {"batch_id": batch_id})

    async def end(self, batch: MeasurementBatch, *, unanswered: int, now: float) -> None:
        """Note that nothing more comes of it."""
        await self._change(batch, {"unanswered": unanswered, "ended_at": now})

    async def of_run(self, experiment_id: str) -> Sequence[MeasurementBatch]:
        """All of a run, in the order in which they were begun."""
        columns = measurement_batches.c
        statement = select(measurement_batches).where(columns.experiment_id == experiment_id)
        async with self._connections.reading() as connection:
            rows = (await connection.execute(statement.order_by(columns.created_at, columns.id))).mappings()
            return [MeasurementBatch(**row) for row in rows]

    async def holds(self, batch: MeasurementBatch) -> Sequence[MeasurementHold]:
        """The pairs that are still to come of it."""
        columns = measurement_holds.c
        mine = (columns.experiment_id == batch.experiment_id, columns.id == batch.id)
        async with self._connections.reading() as connection:
            rows = await connection.execute(select(measurement_holds).where(*mine).order_by(columns.item, columns.arm))
            return [
                MeasurementHold(row.id, row.experiment_id, row.item, row.arm, from_nanos(row.nanos), row.until)
                for row in rows
            ]

    async def costs(self, request_ids: Sequence[str]) -> Mapping[str, Usd | None]:
        """What these requests cost, as the ledger has it; None where nobody knows. Those not there yet are left out."""
        columns = requests.c
        found: dict[str, Usd | None] = {}
        for start in range(0, len(request_ids), _AT_ONCE):
            wanted = request_ids[start : start + _AT_ONCE]
            statement = select(columns.id, columns.cost_nanos, columns.is_cost_complete).where(
                columns.id.in_(wanted), *near(wanted)
            )
            async with self._connections.reading() as connection:
                for name, nanos, is_complete in await connection.execute(statement):
                    found[name] = from_nanos(nanos) if is_complete else None
        return found

    async def _change(self, batch: MeasurementBatch, values: dict[str, Any]) -> None:
        mine = measurement_batches.c.id == batch.id
        async with self._connections.writing() as connection:
            await connection.execute(update(measurement_batches).where(mine).values(values))


def _row(batch: MeasurementBatch) -> dict[str, Any]:
    return {
        "id": batch.id,
        "experiment_id": batch.experiment_id,
        "batch_id": batch.batch_id,
        "created_at": batch.created_at,
        "ended_at": batch.ended_at,
        "unanswered": batch.unanswered,
    }
