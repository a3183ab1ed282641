"""What the product does with a full database by itself: write, sum up, and forget."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import text

from gateway.store.base import Database, open_async
from gateway.store.connections import Connections
from gateway.store.partitions import PARTITIONED
from gateway.store.retention import Retention
from gateway.store.rollups import Rollups
from gateway.store.sinks import open_sink
from gateway.store.traffic_counts import HOUR_S, count, hour_of
from tests.bench_store.loading import DAY_S, DAYS, record

_BATCH: Final = 500
_SAMPLE: Final = 20_000
_TICKS: Final = 10
_TICK_REQUESTS: Final = 2_000
"""What comes between two ticks at 100 requests a second."""
_SEED: Final = 13


@dataclass(frozen=True, slots=True)
class Size:
    """What a table takes up with its indexes, and how many rows it has."""

    rows: int
    table_bytes: int
    index_bytes: int


@dataclass(frozen=True, slots=True)
class SummedUp:
    """How long the sums took: all that was loaded, once; a tick with new requests; an hour counted whole."""

    first_s: float
    hours: int
    tick_requests: int
    hour_requests: int
    tick_p50_s: float
    tick_max_s: float
    whole_hour_s: float


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How long it took to drop a day, and to delete one row by row."""

    dropped: int
    drop_s: float
    deleted: int
    delete_s: float


async def measure_sink(database: Database, now: float) -> float:
    """Requests a second that the gateway's own way into the database takes, in batches of 500, one after another."""
    draw = random.Random(_SEED)
    records = [record(number, now - DAY_S - draw.random() * 3600, draw) for number in range(_SAMPLE)]
    sink = open_sink(database)
    await sink.write(records[:_BATCH])
    begun = time.perf_counter()
    for first in range(_BATCH, _SAMPLE, _BATCH):
        await sink.write(records[first : first + _BATCH])
    taken = time.perf_counter() - begun
    await sink.close()
    return (_SAMPLE - _BATCH) / taken


async def measure_rollups(database: Database, now: float, say: Callable[[str], None]) -> SummedUp:
    """Make the sums of everything, and then those of what comes between ticks, in an hour that is nearly over."""
    connections, sink, draw = Connections(database, most=1), open_sink(database), random.Random(_SEED)
    rollups = Rollups(connections)
    begun = time.perf_counter()
    hours = await rollups.sum_up(now, kept_since=now - (DAYS + 1) * DAY_S)
    first_s = time.perf_counter() - begun
    say(f"sums: {hours} hours in {first_s:.1f} s")
    at, taken = hour_of(now) + 3_300.0, []
    # The hour's earlier traffic, at the pace of the ticks.
    for first in range(int(hour_of(now)), int(at), 20):
        await sink.write([record(each, first + draw.random() * 20, draw) for each in range(_TICK_REQUESTS)])
    await rollups.sum_up(at, kept_since=now - (DAYS + 1) * DAY_S)
    for _ in range(_TICKS):
        await sink.write([record(each, at + draw.random() * 20, draw) for each in range(_TICK_REQUESTS)])
        at += 20
        begun = time.perf_counter()
        await rollups.sum_up(at, kept_since=now - (DAYS + 1) * DAY_S)
        taken.append(time.perf_counter() - begun)
    begun = time.perf_counter()
    async with connections.reading() as connection:
        counted = await count(connection, hour_of(now), hour_of(now) + HOUR_S)
    whole_hour_s = time.perf_counter() - begun
    await connections.close()
    await sink.close()
    in_hour = sum(row["count"] for row in counted if row["facet"] == "all")
    return SummedUp(first_s, hours, _TICK_REQUESTS, in_hour, sorted(taken)[_TICKS // 2], max(taken), whole_hour_s)


async def measure_retention(database: Database, now: float) -> Forgotten:
    """Drop the oldest whole day, and delete the next one row by row, as if it had no partition of its own."""
    oldest = (now - DAYS * DAY_S) // DAY_S * DAY_S + DAY_S
    retention = Retention(database)
    await retention.delete_requests(oldest, now=now)  # the day that was half over when the first request was made
    begun = time.perf_counter()
    dropped = await retention.delete_requests(oldest + DAY_S, now=now)
    drop_s = time.perf_counter() - begun
    await _rename_day(database, oldest + DAY_S)
    begun = time.perf_counter()
    # A little less than the whole of it, or it would be dropped.
    deleted = await retention.delete_requests(oldest + 2 * DAY_S - 1, now=now)
    delete_s = time.perf_counter() - begun
    await retention.close()
    return Forgotten(dropped, drop_s, deleted, delete_s)


async def _rename_day(database: Database, day: float) -> None:
    engine = open_async(database, connections=1)
    begins, ends = (datetime.fromtimestamp(moment, UTC) for moment in (day, day + DAY_S))
    async with engine.begin() as connection:
        for table in PARTITIONED:
            old, new = f"{table.name}_day_{begins:%Y%m%d}", f"{table.name}_until_{ends:%Y%m%d}"
            await connection.execute(text(f"ALTER TABLE IF EXISTS {old} RENAME TO {new}"))
    await engine.dispose()


async def measure_sizes(database: Database) -> Mapping[str, Size]:
    """What the tables of requests take up, with the rows that the server believes are in them."""
    found = {}
    engine = open_async(database, connections=1, patience_s=600.0)
    async with engine.connect() as connection:
        await connection.execute(text("SET statement_timeout = 0"))
        for table in (*PARTITIONED[:2],):
            sizes = (
                "SELECT sum(pg_table_size(inhrelid))::bigint, sum(pg_indexes_size(inhrelid))::bigint FROM pg_inherits "
                "WHERE inhparent = CAST(:table AS regclass)"
            )
            whole, indexes = (await connection.execute(text(sizes), {"table": table.name})).one()
            rows = await connection.scalar(text(f"SELECT count(*) FROM {table.name}"))
            found[table.name] = Size(int(rows or 0), int(whole), int(indexes))
    await engine.dispose()
    return found
