"""Where batches of records are written: one sink per kind of database.

SQLite is written from a thread of its own by plain SQLAlchemy, since every commit can wait for the
disk; PostgreSQL from the event loop by asyncpg (docs/decisions/0003).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter
from typing import Protocol

from gateway.domain.record import RequestRecord
from gateway.store.base import Database, open_async, open_sqlite, translating
from gateway.store.insertion import write
from gateway.store.rows import POSTGRES, SQLITE, Batch, Form, add_marks, add_rows, empty_batch

_SLICE = 16
"""Records made into rows before other tasks get a turn: a third of a millisecond."""


class Sink(Protocol):
    """A place for records, each kept once however often it is written."""

    async def write(self, records: Sequence[RequestRecord]) -> None:
        """Write all or none.

        Raises :class:`gateway.errors.Unavailable` or :class:`gateway.errors.ConfigurationError` when
        the database cannot be written now, :class:`gateway.store.base.Unstorable` when it never will.
        """
        ...

    async def close(self) -> None: ...


def open_sink(database: Database) -> Sink:
    """The sink for this database; it connects at its first write."""
    return SqliteSink(database) if database.is_sqlite else PostgresSink(database)


class SqliteSink:
    """Writes to SQLite from a thread of its own, over one connection."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._engine = open_sqlite(database)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ponder-store")

    async def write(self, records: Sequence[RequestRecord]) -> None:
        batch = await _to_batch(records, SQLITE)
        await asyncio.get_running_loop().run_in_executor(self._thread, self._write, batch)

    def _write(self, batch: Batch) -> None:
        with translating(self._database), self._engine.begin() as connection:
            write(connection, batch)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._engine.dispose)
        self._thread.shutdown()


class PostgresSink:
    """Writes to PostgreSQL over one connection."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._engine = open_async(database, connections=1)

    async def write(self, records: Sequence[RequestRecord]) -> None:
        batch = await _to_batch(records, POSTGRES)
        with translating(self._database):
            async with self._engine.begin() as connection:
                await connection.run_sync(write, batch)

    async def close(self) -> None:
        await self._engine.dispose()


async def _to_batch(records: Sequence[RequestRecord], form: Form) -> Batch:
    """The rows in the order of the ids: two writers with the same records then never wait in a circle."""
    batch = empty_batch()
    ordered = sorted(records, key=attrgetter("id"))
    for start in range(0, len(ordered), _SLICE):
        add_rows(batch, ordered[start : start + _SLICE], form)
        await asyncio.sleep(0)
    add_marks(batch, ordered, form)
    return batch
