"""What the journal's tests write and where to: openings, a store in memory, quick terms."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.adapters.journal.folders import Folder
from gateway.adapters.journal.journal import JournalTerms, LocalJournal, OnFullDisk
from gateway.adapters.journal.reading import Reading, read
from gateway.domain.money import usd
from gateway.domain.record import Opening, RaisedCeiling, RequestRecord
from tests.store.records import request

QUICK = JournalTerms(
    on_full_disk=OnFullDisk.REFUSE,
    sync_every_s=0.001,
    sweep_every_s=0.01,
    batch_delay_s=0.001,
    first_retry_s=0.001,
    longest_retry_s=0.002,
)
"""Terms that make a test quick; the waits themselves are never asserted."""


def opening(number: int = 1) -> Opening:
    """The opening of the request with this number."""
    return opening_of(request(number))


def raised(number: int, ceiling: str) -> RaisedCeiling:
    """More set aside for the request with this number."""
    return RaisedCeiling(request(number).id, usd(ceiling))


def opening_of(record: RequestRecord) -> Opening:
    """What was known of a request before its first call."""
    return Opening(
        id=record.id,
        started_at=record.started_at,
        key_id=record.key_id,
        dialect=record.dialect,
        endpoint=record.endpoint,
        model_asked=record.model_asked,
        stream=record.stream,
        plan=record.plan,
        accounts=("key:1", "team:2"),
    )


class MemoryStore:
    """Keeps records in memory by id, once the faults it was given are used up."""

    def __init__(self, *faults: Exception) -> None:
        self.faults = list(faults)
        self.kept: dict[str, RequestRecord] = {}
        self.batches: list[tuple[RequestRecord, ...]] = []
        self.attempts = 0
        self.is_closed = False
        self.is_there = asyncio.Event()
        self.is_there.set()

    async def keep(self, records: Sequence[RequestRecord]) -> int:
        """The first record of an id stays, as in a database."""
        self.attempts += 1
        await self.is_there.wait()
        if self.faults:
            raise self.faults.pop(0)
        self.batches.append(tuple(records))
        for record in records:
            self.kept.setdefault(record.id, record)
        return 0

    async def close(self) -> None:
        self.is_closed = True


@asynccontextmanager
async def journaling(root: Path, store: MemoryStore, terms: JournalTerms = QUICK) -> AsyncIterator[LocalJournal]:
    """A journal at work, closed afterwards."""
    journal = LocalJournal(root, store, terms)
    journal.start()
    yield journal
    await journal.close(within_s=20)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that is bound to happen."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for is the state of a disk or a process
            await asyncio.sleep(0.002)


async def read_all(folder: Folder) -> list[Reading]:
    """Everything that lies in a folder."""
    numbers = folder.segments()
    start, end = (numbers[0], 0), folder.end()
    readings = []
    while start < end:
        readings.append(await read(folder, start, end))
        start = readings[-1].next
    return readings
