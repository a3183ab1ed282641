"""INSERTs that meet a row with their key, on both databases."""

from __future__ import annotations

from sqlalchemy import select

from gateway.store.base import Database
from gateway.store.calibration_tables import experiments, measurements
from gateway.store.conflicts import KeepingInsert, ReplacingInsert
from gateway.store.connections import Connections
from tests.store.records import NOON, identity

RUN = {
    "id": "run_1",
    "policy": "default",
    "policy_digest": "p",
    "digest": "d",
    "seed": 1,
    "target": {"arms": ["fast"]},
    "cap_nanos": 1,
    "spent_nanos": 0,
    "held_nanos": 0,
    "state": "measuring",
    "note": "as it was",
    "created_at": NOON,
    "created_by": "k",
    "attempts": 0,
}
ROW = {
    "experiment_id": "run_1",
    "item": "i1",
    "arm": "fast",
    "category": "math",
    "difficulty": "hard",
    "score": 1.0,
    "cost_nanos": 5,
    "tokens": 7,
    "latency_s": 0.5,
    "observed_at": NOON + 0.25,
    "request_id": identity(1),
    "answer": None,
}


async def test_a_row_that_is_there_stays_or_is_replaced(database: Database) -> None:
    """One INSERT leaves it and writes the others, the other gives it all new values; both say how many they wrote."""
    connections = Connections(database, most=1)
    other, new = {**ROW, "item": "i2"}, {**ROW, "difficulty": None, "score": 0.0, "request_id": None}
    async with connections.writing() as connection:
        assert (await connection.execute(KeepingInsert(experiments).values(RUN))).rowcount == 1
        assert (await connection.execute(KeepingInsert(experiments).values({**RUN, "note": "new"}))).rowcount == 0
        await connection.execute(KeepingInsert(measurements), [ROW])
        await connection.execute(KeepingInsert(measurements), [new, other])
    statement = select(measurements).order_by(measurements.c.item)
    async with connections.reading() as connection:
        assert await connection.scalar(select(experiments.c.note)) == "as it was"
        assert [dict(row) for row in (await connection.execute(statement)).mappings()] == [ROW, other]
    async with connections.writing() as connection:
        assert (await connection.execute(ReplacingInsert(measurements).values(new))).rowcount == 1
    async with connections.reading() as connection:
        assert [dict(row) for row in (await connection.execute(statement)).mappings()] == [new, other]
    await connections.close()
