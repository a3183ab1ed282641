"""Tests of gateway/adapters/journal/backlog.py: whatever comes when, each record is handed out once."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.adapters.journal.backlog import Backlog
from gateway.adapters.journal.entries import encode_record
from gateway.adapters.journal.folders import Position, create
from gateway.adapters.journal.framing import frame
from gateway.adapters.journal.segments import SegmentWriter
from gateway.adapters.journal.syncing import Syncer
from gateway.domain.record import RequestRecord
from tests.store.records import request

STEPS = st.lists(st.tuples(st.integers(0, 9), st.booleans(), st.integers(0, 9)), max_size=12)
"""Per step: records that arrive, whether some are moved then, and records that arrive while they are."""


class Arrivals:
    """Requests as they settle, with a backlog that keeps so many of them in memory."""

    def __init__(self, root: Path, *, segment_bytes: int, most_records: int) -> None:
        self._folder = create(root)
        self._syncer = Syncer(self._folder.path, every_s=0)
        self._segments = SegmentWriter(self._folder, self._syncer, limit_bytes=segment_bytes, carried=bytes)
        self.settled: list[tuple[RequestRecord, Position]] = []
        """Each with the position behind it."""
        self.backlog = Backlog(
            self._folder, self._segments, most_records=most_records, most_bytes=1 << 20, batch_size=3, batch_delay_s=0
        )

    def come(self, count: int) -> None:
        """Settle so many requests."""
        for _ in range(count):
            record = request(len(self.settled))
            entry = frame(encode_record(record))
            self._segments.append(entry)
            self.backlog.add(record, len(entry))
            self.settled.append((record, self._segments.head))

    def close(self) -> None:
        """Close the files."""
        self._segments.close()
        self._syncer.close()
        self._folder.close()


@contextmanager
def arriving(segment_bytes: int, *, most_records: int = 4) -> Iterator[Arrivals]:
    """Arrivals into a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        arrivals = Arrivals(Path(folder), segment_bytes=segment_bytes, most_records=most_records)
        yield arrivals
        arrivals.close()


async def moved_in(arrivals: Arrivals, steps: list[tuple[int, bool, int]]) -> list[RequestRecord]:
    """What was handed out, in its order, until nothing waits."""
    backlog = arrivals.backlog
    moved: list[RequestRecord] = []

    async def move(arriving_meanwhile: int) -> None:
        batch = await backlog.take()
        assert batch is not None
        arrivals.come(arriving_meanwhile)
        backlog.moved(batch)
        moved.extend(batch.records)
        # The checkpoint covers what was moved, and nothing of what was not.
        assert backlog.moved_to >= arrivals.settled[len(moved) - 1][1]
        assert not backlog.waiting or backlog.moved_to < arrivals.settled[len(moved)][1]

    for before, is_moving, meanwhile in steps:
        arrivals.come(before)
        if is_moving and backlog.waiting:
            await move(meanwhile)
    while backlog.waiting:
        await move(0)
    backlog.close()
    assert await backlog.take() is None
    return moved


@given(STEPS, st.sampled_from([1, 3_000, 1 << 20]))
@example(steps=[(9, True, 0), (0, True, 0), (0, True, 3), (9, True, 9), (2, True, 0), (1, True, 5)], segment_bytes=1)
def test_every_record_is_handed_out_once_and_in_order(steps: list[tuple[int, bool, int]], segment_bytes: int) -> None:
    """However many records come before, while and after others are moved, none is lost, doubled or overtaken."""
    with arriving(segment_bytes) as arrivals:
        moved = asyncio.run(moved_in(arrivals, steps))
        assert moved == [record for record, _ in arrivals.settled]
        assert arrivals.backlog.damaged == 0


def test_memory_is_used_again_while_records_keep_coming() -> None:
    """After an outage new records are moved from memory again, although some come with every batch."""

    async def last_of_many_batches(arrivals: Arrivals) -> RequestRecord:
        arrivals.come(30)
        moved: list[RequestRecord] = []
        for _ in range(30):
            batch = await arrivals.backlog.take()
            assert batch is not None
            arrivals.come(1)
            arrivals.backlog.moved(batch)
            moved += batch.records
        return moved[-1]

    with arriving(1 << 20) as arrivals:
        moved = asyncio.run(last_of_many_batches(arrivals))
        assert any(moved is record for record, _ in arrivals.settled)


def test_it_is_catching_up_while_less_and_less_waits() -> None:
    """Not with less than a batch, and not when as much comes as is moved: then there is no time to rest."""

    async def looks(arrivals: Arrivals) -> list[bool]:
        found = []
        arrivals.come(9)
        for coming in (0, 1, 3, 9, 0, 0, 0):
            batch = await arrivals.backlog.take()
            assert batch is not None
            arrivals.come(coming)
            arrivals.backlog.moved(batch)
            found.append(arrivals.backlog.is_catching_up())
        return found

    with arriving(1 << 20, most_records=100) as arrivals:
        # 6, 4, 4, 10, 7, 4 and 1 wait; at first nothing was known to wait.
        assert asyncio.run(looks(arrivals)) == [False, True, False, False, True, True, False]
