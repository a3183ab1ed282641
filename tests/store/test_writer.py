"""Tests of gateway/store/writer.py: its own rules on a sink in memory, its promises on real databases."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from gateway.domain.record import RequestRecord, StoredText
from gateway.errors import Unavailable
from gateway.store.base import Database, Unstorable, locate
from gateway.store.requests import Filter, Requests
from gateway.store.sinks import Sink, open_sink
from gateway.store.writer import Writer, WriterLimits
from tests.store.records import FULL, request
from tests.store.relay import Relay

SOON = WriterLimits(batch_delay_s=0.001, first_retry_s=0.001, longest_retry_s=0.002)
"""Limits that make a test quick; the waits themselves are never asserted."""


class MemorySink:
    """Keeps batches in memory, once the faults it was given are used up."""

    def __init__(self, *faults: Exception) -> None:
        self.faults = list(faults)
        self.batches: list[tuple[RequestRecord, ...]] = []
        self.attempts = 0
        self.is_closed = False
        self.refuses: Callable[[RequestRecord], bool] = lambda _: False

    async def write(self, records: Sequence[RequestRecord]) -> None:
        self.attempts += 1
        if self.faults:
            raise self.faults.pop(0)
        if any(self.refuses(record) for record in records):
            raise Unstorable("refused")
        self.batches.append(tuple(records))

    async def close(self) -> None:
        self.is_closed = True


@asynccontextmanager
async def writing(sink: Sink, limits: WriterLimits = SOON) -> AsyncIterator[Writer]:
    """A writer at work, closed afterwards."""
    writer = Writer(sink, limits)
    writer.start()
    yield writer
    await writer.close(within_s=10)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that is bound to happen."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for is the state of a real database
            await asyncio.sleep(0.005)


def away() -> Unavailable:
    """What a sink raises while its database is away."""
    return Unavailable("the database is away")


async def test_records_that_come_together_are_written_together() -> None:
    """Records appended within the batch's delay make one batch, in their order."""
    sink = MemorySink()
    records = tuple(request(number) for number in range(5))
    async with writing(sink, WriterLimits(batch_delay_s=0.05)) as writer:
        for record in records:
            writer.append(record)
        assert writer.state.queued == 5
        await until(lambda: writer.state.queued == 0)
    assert sink.batches == [records]
    assert writer.state.written == 5
    assert sink.is_closed


async def test_a_full_batch_does_not_wait() -> None:
    """A batch of the stated size is written at once, however long the delay; none is larger."""
    sink = MemorySink()
    async with writing(sink, WriterLimits(batch_size=2, batch_delay_s=3600)) as writer:
        for number in range(5):
            writer.append(request(number))
        await until(lambda: writer.state.queued == 1)
        assert [len(batch) for batch in sink.batches] == [2, 2]
    assert [len(batch) for batch in sink.batches] == [2, 2, 1]


async def test_flush_waits_for_all() -> None:
    """After a flush nothing is queued, and the delay was not waited for."""
    sink = MemorySink()
    async with writing(sink, WriterLimits(batch_delay_s=3600)) as writer:
        await writer.flush()
        writer.append(request(1))
        await writer.flush()
        assert writer.state.written == 1


async def test_flush_waits_for_no_more_than_was_queued() -> None:
    """A flush ends although records keep coming, so that the queue is never found empty."""
    sink = MemorySink()
    limits = WriterLimits(batch_size=2, batch_delay_s=3600)
    async with writing(sink, limits) as writer:

        def follow_up(_: RequestRecord) -> bool:
            writer.append(request(2))
            return False

        sink.refuses = follow_up
        writer.append(request(1))
        async with asyncio.timeout(20):
            await writer.flush()
        assert writer.state.queued > 0
        assert sink.batches[0] == (request(1),)
        sink.refuses = lambda _: False


async def test_closing_ends_a_flush_that_cannot_succeed() -> None:
    """Who waits for a flush while the database is away is let go when the writer closes."""
    writer = Writer(MemorySink(*(away() for _ in range(1000))), WriterLimits(first_retry_s=0.01))
    writer.start()
    writer.append(request(1))
    impatient, patient = asyncio.create_task(writer.flush()), asyncio.create_task(writer.flush())
    await until(lambda: writer.state.is_degraded)
    impatient.cancel()
    await writer.close(within_s=0.05)
    await patient
    assert writer.state.dropped == 1


async def test_an_outage_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """While the database is away records wait, in order; the state says so, the log once."""
    sink = MemorySink(*(away() for _ in range(5)))
    with caplog.at_level(logging.INFO, "gateway.store.writer"):
        async with writing(sink) as writer:
            writer.append(request(1))
            await until(lambda: writer.state.is_degraded)
            assert writer.state.last_error == "the database is away"
            writer.append(request(2))
            await until(lambda: writer.state.written == 2)
            assert not writer.state.is_degraded
    assert [record for batch in sink.batches for record in batch] == [request(1), request(2)]
    assert [line.levelname for line in caplog.records] == ["WARNING", "INFO"]


async def test_what_does_not_fit_is_dropped_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Beyond the bound new records are dropped, those that wait are kept, and the log says how many were lost."""
    sink = MemorySink(away())
    writer = Writer(sink, WriterLimits(records=3, batch_delay_s=0.001, first_retry_s=0.001))
    for number in range(5):
        writer.append(request(number))
    assert (writer.state.queued, writer.state.dropped) == (3, 2)
    writer.start()
    await writer.flush()
    writer.append(request(9))
    await writer.close(within_s=10)
    assert [record for batch in sink.batches for record in batch] == [*map(request, range(3)), request(9)]
    assert (writer.state.written, writer.state.dropped) == (4, 2)
    errors = [line.message for line in caplog.records if line.levelname == "ERROR"]
    assert errors == [
        "requests are no longer recorded: 3 records wait for the database (it is slower than they come)",
        "2 requests were not recorded: the queue was full",
    ]


async def test_stored_text_is_bounded_by_bytes() -> None:
    """Text beyond the bound of bytes is left out and counted; its request is kept, and room is given back."""
    sink = MemorySink()
    text = StoredText(b"12345", b"67890")
    async with writing(sink, WriterLimits(text_bytes=15, batch_delay_s=0.001)) as writer:
        for number in (1, 2):
            writer.append(request(number, text=text))
        await writer.flush()
        writer.append(request(3, text=text))
        await writer.flush()
        assert writer.state.texts_dropped == 1
    assert [record.text for batch in sink.batches for record in batch] == [text, None, text]


async def test_closing_writes_what_waits() -> None:
    """Closing does not wait for the delay, nor for a long retry, and refuses what comes later."""
    sink = MemorySink(away())
    limits = WriterLimits(batch_delay_s=0.001, first_retry_s=3600, longest_retry_s=3600)
    writer = Writer(sink, limits)
    writer.start()
    writer.append(request(1))
    await until(lambda: writer.state.is_degraded)
    await writer.close(within_s=10)
    writer.append(request(2))
    assert (writer.state.written, writer.state.dropped) == (1, 1)


async def test_closing_gives_up_in_time(caplog: pytest.LogCaptureFixture) -> None:
    """When the database stays away until the deadline, what is left is counted as dropped, and said."""
    sink = MemorySink(*(away() for _ in range(1000)))
    writer = Writer(sink, WriterLimits(first_retry_s=0.01))
    writer.start()
    for number in range(3):
        writer.append(request(number))
    await writer.close(within_s=0.05)
    assert (writer.state.queued, writer.state.dropped) == (0, 3)
    assert "3 requests were not recorded" in caplog.text
    assert "the database is away" in caplog.text
    assert sink.is_closed


async def test_only_what_cannot_be_stored_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    """A batch with a poisoned record is cleaned, then split: its neighbours are written, it alone is refused."""
    sink = MemorySink()
    sink.refuses = lambda record: record.id == request(2).id
    async with writing(sink) as writer:
        for number in (1, 2, 3):
            writer.append(request(number))
        await writer.flush()
        assert (writer.state.written, writer.state.refused, writer.state.dropped) == (2, 1, 0)
        assert not writer.state.is_degraded
    assert [record for batch in sink.batches for record in batch] == [request(1), request(3)]
    assert f"request '{request(2).id}' cannot be recorded" in caplog.text


async def test_a_fault_of_ours_does_not_end_recording() -> None:
    """A fault that nobody foresaw is treated as an outage: named, and tried again."""
    sink = MemorySink(KeyError("surprise"))
    async with writing(sink) as writer:
        writer.append(request(1))
        await writer.flush()
        assert (writer.state.written, writer.state.last_error) == (1, "unexpected KeyError")


async def test_endless_appends_stay_within_the_bound() -> None:
    """Without any writer at work, appending neither fails nor grows the queue beyond its bound."""
    writer = Writer(MemorySink(), WriterLimits(records=100))
    record = request(1)
    for _ in range(100_000):
        writer.append(record)
    assert (writer.state.queued, writer.state.dropped) == (100, 99_900)


async def test_records_reach_the_database(database: Database, store: Requests) -> None:
    """What is appended is found in the database once it is flushed."""
    async with writing(open_sink(database)) as writer:
        for number in range(1300):
            writer.append(request(number))
        writer.append(FULL)
        await writer.flush()
        assert (await store.totals(Filter())).requests == 1301
        assert await store.find(FULL.id) == FULL


async def test_hostile_text_is_recorded_cleaned(database: Database, store: Requests) -> None:
    """A client's unstorable model name costs neither its own record nor its neighbours'."""
    async with writing(open_sink(database)) as writer:
        writer.append(request(1))
        writer.append(request(2, model_asked="\ud800"))
        writer.append(request(3, model_asked="\0"))
        await writer.flush()
        assert (writer.state.written, writer.state.refused) == (3, 0)
    assert {summary.model_asked for summary in await store.recent(Filter(), limit=9)} == {
        "gpt-mini",
        "?",
        "\N{REPLACEMENT CHARACTER}",
    }


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
async def test_a_locked_sqlite_loses_nothing(database: Database, store: Requests) -> None:
    """While another process holds SQLite's lock records wait; once it lets go they are all written."""
    holder = sqlite3.connect(str(database.url.database))
    async with writing(open_sink(database)) as writer:
        writer.append(request(1))
        await writer.flush()
        holder.execute("BEGIN IMMEDIATE")
        for number in range(2, 700):
            writer.append(request(number))
        await until(lambda: writer.state.is_degraded)
        assert "is locked by another process" in str(writer.state.last_error)
        holder.rollback()
        await writer.flush()
        assert (writer.state.written, writer.state.dropped) == (699, 0)
    holder.close()
    assert (await store.totals(Filter())).requests == 699


@pytest.mark.parametrize("kind", ["postgresql"], indirect=True)
async def test_a_postgres_that_goes_away_loses_nothing(database: Database, store: Requests, relay: Relay) -> None:
    """A server that vanishes with the connection open, and comes back, has every record once."""
    through_relay = locate(database.url.update_query_dict({"host": str(relay.folder)}).render_as_string())
    async with writing(open_sink(through_relay)) as writer:
        writer.append(request(1))
        await writer.flush()
        await relay.cut()
        for number in range(2, 700):
            writer.append(request(number))
        await until(lambda: writer.state.is_degraded)
        await relay.mend()
        await writer.flush()
        assert (writer.state.written, writer.state.dropped) == (699, 0)
    assert (await store.totals(Filter())).requests == 699
