"""The backlog: settled records of this process that are not in the database yet.

While the database keeps up they are moved from memory, and the journal is never read. When more wait
than memory may hold, the later ones stay on the disk only: a *gap* that is read back in its time. Once
the gap is about to be closed, new records are kept in memory again behind it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import islice

from gateway.adapters.journal.entries import Unreadable
from gateway.adapters.journal.folders import Folder, Position, Progress
from gateway.adapters.journal.mover import Batch
from gateway.adapters.journal.reading import read
from gateway.adapters.journal.segments import SegmentWriter
from gateway.domain.record import RequestRecord

_NEARLY_CLOSED_BYTES = 512 * 1024
"""A gap this small is closed by its next reading or two."""


class _Waiting:
    """Records in memory in their order, each with the position behind it; bounded by number and size."""

    __slots__ = ("_bytes", "_items", "_most_bytes", "_most_records")

    def __init__(self, most_records: int, most_bytes: int) -> None:
        self._items: deque[tuple[RequestRecord, Position, int]] = deque()
        self._bytes = 0
        self._most_records = most_records
        self._most_bytes = most_bytes

    def __len__(self) -> int:
        return len(self._items)

    def add(self, record: RequestRecord, end: Position, size: int) -> bool:
        """Keep the record; False when there is no room."""
        if len(self._items) >= self._most_records or self._bytes + size > self._most_bytes:
            return False
        self._items.append((record, end, size))
        self._bytes += size
        return True

    def first(self, count: int) -> Batch:
        """The oldest ``count`` records."""
        items = tuple(islice(self._items, count))
        return Batch(tuple(record for record, _, _ in items), items[-1][1])

    def remove(self, count: int) -> None:
        """Forget the oldest ``count`` records."""
        for _ in range(count):
            self._bytes -= self._items.popleft()[2]

    def clear(self) -> None:
        """Forget all."""
        self._items.clear()
        self._bytes = 0


class Backlog:
    """Hands the waiting records to a mover, oldest first. Satisfies :class:`~gateway.adapters.journal.mover.Source`."""

    def __init__(
        self,
        folder: Folder,
        segments: SegmentWriter,
        *,
        most_records: int,
        most_bytes: int,
        batch_size: int,
        batch_delay_s: float,
    ) -> None:
        self.damaged = 0
        self._folder = folder
        self._segments = segments
        self._batch_size = batch_size
        self._batch_delay_s = batch_delay_s
        self._before_gap = _Waiting(most_records, most_bytes)
        self._behind_gap = _Waiting(most_records, most_bytes)
        self._gap: Position | None = None
        """Where what is on the disk only begins; None when there is no such thing."""
        self._gap_end: Position | None = None
        """Where it ends; None while it grows."""
        self._unwritten = _Waiting(most_records, most_bytes)
        self._added = self._done = self._waited = 0
        self._moved_to = segments.head
        self._arrived = asyncio.Event()
        self._is_due = asyncio.Event()
        self._closing = False
        self._flushes: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def moved_to(self) -> Position:
        """Before it, everything is in the database."""
        return self._moved_to

    @property
    def waiting(self) -> int:
        """How many records are not in the database yet."""
        return self._added - self._done

    @property
    def unwritten(self) -> int:
        """How many of them are in memory only."""
        return len(self._unwritten)

    def add(self, record: RequestRecord, size: int) -> None:
        """Note a record whose frame of ``size`` bytes has just been written."""
        segments = self._segments
        end = segments.number, segments.offset
        if self._gap is None:
            if not self._before_gap.add(record, end, size):
                self._gap = (end[0], end[1] - size)
        elif self._gap_end is not None and not self._behind_gap.add(record, end, size):
            self._behind_gap.clear()
            self._gap_end = None
        self._count()

    def add_unwritten(self, record: RequestRecord, size: int) -> bool:
        """Note a record that could not be written to the disk; False when there is no room for it either."""
        if not self._unwritten.add(record, self._segments.head, size):
            return False
        self._count()
        return True

    def _count(self) -> None:
        self._added += 1
        if not self._arrived.is_set():
            self._arrived.set()
        if self._added - self._done >= self._batch_size and not self._is_due.is_set():
            self._is_due.set()

    async def take(self) -> Batch | None:
        """The next records, once there is a batch of them or the batch's time is over; None when closing and empty."""
        while True:
            await self._gather()
            if self._unwritten:
                return Batch(self._unwritten.first(self._batch_size).records, None)
            if self._before_gap:
                return self._before_gap.first(self._batch_size)
            if self._gap is None:
                if self._closing:
                    return None
                continue
            if batch := await self._read_gap(self._gap):
                return batch

    async def _gather(self) -> None:
        if self._closing:
            return
        await self._arrived.wait()
        try:
            async with asyncio.timeout(self._batch_delay_s):
                await self._is_due.wait()
        except TimeoutError:
            return

    async def _read_gap(self, start: Position) -> Batch | None:
        """Records from the gap; None when those bytes held none, and the gap is then smaller."""
        head = self._segments.head
        if self._gap_end is None and start[0] == head[0] and head[1] - start[1] <= _NEARLY_CLOSED_BYTES:
            self._gap_end = head
        records: list[RequestRecord] = []
        until = self._gap_end or head
        while start < until and len(records) < self._batch_size:
            reading = await read(self._folder, start, until)
            records += [entry for entry, _ in reading.entries if isinstance(entry, RequestRecord)]
            self.damaged += reading.damaged + sum(isinstance(entry, Unreadable) for entry, _ in reading.entries)
            start = reading.next
        if records:
            return Batch(tuple(records), start)
        self._shrink_gap(start)
        self._settle_down()
        return None

    def moved(self, batch: Batch) -> None:
        """Forget a batch that is in the database, and note how far everything is."""
        self._done += len(batch.records)
        if batch.end is None:
            self._unwritten.remove(len(batch.records))
        elif self._before_gap:
            self._before_gap.remove(len(batch.records))
            self._moved_to = batch.end
        else:
            self._shrink_gap(batch.end)
        self._settle_down()
        self.note()

    def is_catching_up(self) -> bool:
        """Whether a batch or more waits still, and less than when this was asked last."""
        before, self._waited = self._waited, self.waiting
        return self._batch_size <= self._waited < before

    def note(self) -> None:
        """Write the checkpoint; with nothing waiting it stands at the end."""
        if not self.waiting:
            self._moved_to = self._segments.head
        self._folder.note(Progress(self._moved_to))

    def _shrink_gap(self, start: Position) -> None:
        self._gap = start
        self._moved_to = start
        if start >= (self._gap_end or self._segments.head):
            self._gap = self._gap_end = None
            self._before_gap, self._behind_gap = self._behind_gap, self._before_gap
            # What the disk lost was counted as waiting; there is nothing left to wait for.
            self._done = self._added - len(self._before_gap) - len(self._unwritten)

    def _settle_down(self) -> None:
        """Wake who waited for these records, and wait for more where none or few are left."""
        while self._flushes and self._flushes[0][0] <= self._done:
            self._end_flush()
        if self.waiting < self._batch_size and not self._flushes and not self._closing:
            self._is_due.clear()
        if not self.waiting and not self._closing:
            self._arrived.clear()

    def _end_flush(self) -> None:
        _, flushed = self._flushes.popleft()
        if not flushed.done():  # its caller may have stopped waiting
            flushed.set_result(None)

    async def flush(self) -> None:
        """Wait until what waits now is in the database, or no more is moved; the batch's delay is skipped."""
        if not self.waiting:
            return
        flushed = asyncio.get_running_loop().create_future()
        self._flushes.append((self._added, flushed))
        self._is_due.set()
        await flushed

    def close(self) -> None:
        """No more records will come; what waits can be taken without delay."""
        self._closing = True
        self._arrived.set()
        self._is_due.set()

    def end_flushes(self) -> None:
        """Let go who waits: nothing more will be moved."""
        while self._flushes:
            self._end_flush()
