"""The journal of today: a bounded queue in memory, and a task that moves it to the database in batches.

Appending never waits and never fails a request. While the database is away the queue fills; beyond
its bound new records are dropped and counted. A crash takes what the queue holds: while the database
answers, the requests of the last :data:`BATCH_DELAY_S`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

from gateway.domain.record import RequestRecord
from gateway.errors import PonderError
from gateway.store.base import Unstorable
from gateway.store.rows import scrub
from gateway.store.sinks import Sink

BATCH_SIZE = 500
BATCH_DELAY_S = 0.25

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WriterLimits:
    """What the writer may hold and how it waits.

    A queued record of one call takes 2 to 4 KB, so the default bound is some 40 to 80 MB: forty seconds
    without a database at 500 requests a second. Stored text is bounded by bytes as well.
    """

    records: int = 20_000
    text_bytes: int = 64 * 1024 * 1024
    batch_size: int = BATCH_SIZE
    batch_delay_s: float = BATCH_DELAY_S
    first_retry_s: float = 0.1
    longest_retry_s: float = 5.0


@dataclass(frozen=True, slots=True)
class WriterState:
    """How the writer stands: for readiness, metrics and shutdown.

    ``dropped`` records found the queue full, or were left in it when the time to close was over.
    ``refused`` ones hold what the database cannot; ``texts_dropped`` were kept without their text.
    """

    queued: int
    written: int
    dropped: int
    refused: int
    texts_dropped: int
    last_error: str | None
    is_degraded: bool
    """The last attempt to write failed; records are kept and tried again."""


class Writer:
    """Satisfies :class:`gateway.ports.Journal` by writing to a sink in the background."""

    def __init__(self, sink: Sink, limits: WriterLimits | None = None) -> None:
        self._sink = sink
        self._limits = limits or WriterLimits()
        self._queue: deque[RequestRecord] = deque()
        self._text_bytes = 0
        self._arrived = asyncio.Event()
        self._is_due = asyncio.Event()
        self._flushes: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._written = self._dropped = self._refused = self._texts_dropped = 0
        self._dropped_in_outage = 0
        self._last_error: str | None = None
        self._is_degraded = False

    def append(self, record: RequestRecord) -> None:
        """Queue the record; drops and counts it when the queue is full or closed."""
        if len(self._queue) >= self._limits.records or self._closing.is_set():
            self._drop()
            return
        if record.text is not None:
            record = self._bound_text(record)
        self._queue.append(record)
        if not self._arrived.is_set():
            self._arrived.set()
        if len(self._queue) >= self._limits.batch_size:
            self._is_due.set()

    @property
    def state(self) -> WriterState:
        """How the writer stands now."""
        return WriterState(
            queued=len(self._queue),
            written=self._written,
            dropped=self._dropped,
            refused=self._refused,
            texts_dropped=self._texts_dropped,
            last_error=self._last_error,
            is_degraded=self._is_degraded,
        )

    def start(self) -> None:
        """Begin to write; call once, in the event loop."""
        self._task = asyncio.create_task(self._run(), name="store-writer")

    async def flush(self) -> None:
        """Wait until what is queued now is written, however much comes after it; the batch's delay is skipped.

        While the database is away this lasts until it is back or the writer closes.
        """
        if not self._queue:
            return
        flushed = asyncio.get_running_loop().create_future()
        self._flushes.append((self._written + self._refused + len(self._queue), flushed))
        self._is_due.set()
        await flushed

    async def close(self, *, within_s: float) -> None:
        """Write what is queued, within the given time, and stop; what is left is counted as dropped."""
        self._closing.set()
        self._arrived.set()
        self._is_due.set()
        if self._task is not None:
            _, late = await asyncio.wait({self._task}, timeout=within_s)
            if late:
                self._task.cancel()
                await asyncio.wait({self._task})
        if self._queue:
            self._dropped += len(self._queue)
            _log.error(
                "%d requests were not recorded: the database could not be written in the %g s before closing (%s)",
                len(self._queue),
                within_s,
                self._last_error or "it was too slow",
            )
            self._queue.clear()
        self._end_flushes(until=None)
        await self._sink.close()

    def _drop(self) -> None:
        self._dropped += 1
        self._dropped_in_outage += 1
        if self._dropped_in_outage == 1:
            _log.error(
                "requests are no longer recorded: %s records wait for the database (%s)",
                len(self._queue),
                self._last_error or "it is slower than they come",
            )

    def _bound_text(self, record: RequestRecord) -> RequestRecord:
        size = _text_size(record)
        if self._text_bytes + size > self._limits.text_bytes:
            self._texts_dropped += 1
            return replace(record, text=None)
        self._text_bytes += size
        return record

    async def _run(self) -> None:
        retry_s = self._limits.first_retry_s
        while True:
            await self._gather()
            if not self._queue:
                return
            batch = tuple(islice(self._queue, self._limits.batch_size))
            try:
                refused = await self._write(batch)
            except PonderError as fault:
                self._note_failure(fault.message, retry_s)
            except Exception as fault:  # noqa: BLE001 - the outermost loop: a fault of ours must not end recording
                _log.debug("unexpected fault while recording", exc_info=True)
                self._note_failure(f"unexpected {type(fault).__name__}", retry_s)
            else:
                self._note_success(batch, refused)
                retry_s = self._limits.first_retry_s
                continue
            await self._pause(retry_s)
            retry_s = min(2 * retry_s, self._limits.longest_retry_s)

    async def _gather(self) -> None:
        """Wait for a record, then for a batch of them or the batch's time; returns at once when closing."""
        await self._arrived.wait()
        try:
            async with asyncio.timeout(self._limits.batch_delay_s):
                await self._is_due.wait()
        except TimeoutError:
            return

    async def _write(self, batch: Sequence[RequestRecord]) -> int:
        """Write the batch, as it is if possible, and return how many of its records were refused.

        A value that no database takes comes from a client or an upstream, rarely; so only a batch
        that failed pays for cleaning, and only one that still fails is written record by record.
        """
        try:
            await self._sink.write(batch)
        except Unstorable:
            return await self._write_clean(tuple(scrub(record) for record in batch))
        return 0

    async def _write_clean(self, batch: Sequence[RequestRecord]) -> int:
        try:
            await self._sink.write(batch)
        except Unstorable as fault:
            if len(batch) > 1:
                return sum([await self._write_clean((record,)) for record in batch])
            _log.error("request %r cannot be recorded: %s", batch[0].id, fault)
            return 1
        return 0

    def _note_failure(self, reason: str, retry_s: float) -> None:
        self._last_error = reason
        if not self._is_degraded:
            self._is_degraded = True
            _log.warning("requests wait to be recorded: %s; next attempt in %g s", reason, retry_s)

    def _note_success(self, batch: Sequence[RequestRecord], refused: int) -> None:
        for record in batch:
            self._text_bytes -= _text_size(record)
            self._queue.popleft()
        self._written += len(batch) - refused
        self._refused += refused
        if self._is_degraded:
            self._is_degraded = False
            _log.info("requests are recorded again; %d wait", len(self._queue))
        self._end_flushes(until=self._written + self._refused)
        if self._closing.is_set():
            return
        if len(self._queue) < self._limits.batch_size:
            self._report_drops()
            if not self._flushes:
                self._is_due.clear()
        if not self._queue:
            self._arrived.clear()

    def _end_flushes(self, *, until: int | None) -> None:
        """End the waits for this many records, or all of them."""
        while self._flushes and (until is None or self._flushes[0][0] <= until):
            _, flushed = self._flushes.popleft()
            if not flushed.done():  # its caller may have stopped waiting
                flushed.set_result(None)

    def _report_drops(self) -> None:
        if self._dropped_in_outage:
            _log.error("%d requests were not recorded: the queue was full", self._dropped_in_outage)
            self._dropped_in_outage = 0

    async def _pause(self, seconds: float) -> None:
        """Wait before the next attempt; closing cuts the wait short, since the time left is then bounded."""
        if self._closing.is_set():
            await asyncio.sleep(self._limits.first_retry_s)
            return
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return


def _text_size(record: RequestRecord) -> int:
    return 0 if record.text is None else len(record.text.request) + len(record.text.answer)
