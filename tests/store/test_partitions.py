"""Days as partitions, on PostgreSQL: made ahead, dropped as a whole, and nothing that was charged is lost with them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from random import Random

import pytest
from sqlalchemy import select, text

from gateway.domain.identity import id_time
from gateway.domain.limits import Period
from gateway.domain.money import from_nanos, usd
from gateway.domain.outcome import Outcome
from gateway.domain.record import StoredText
from gateway.domain.tenancy import KeyTerms
from gateway.errors import Unavailable
from gateway.store.balances import Balances
from gateway.store.base import Database, open_async
from gateway.store.changes import Changes
from gateway.store.connections import Connections
from gateway.store.keys import Keys
from gateway.store.located import near
from gateway.store.outcomes import Outcomes
from gateway.store.partitions import AHEAD_DAYS
from gateway.store.requests import Filter, Requests
from gateway.store.retention import Retention
from gateway.store.sinks import Sink
from gateway.store.tables import requests
from tests.store.records import DAY_S, NOON, request
from tests.store.tenants import ADMIN, secret

pytestmark = pytest.mark.parametrize("kind", ["postgresql"], indirect=True)

START = NOON - DAY_S / 2 + 20_000 * DAY_S
"""A midnight, 2081-08-25, far behind what a migration of today makes."""
TABLES = ("draws", "outcomes", "request_texts", "requests")


@pytest.fixture
async def retention(database: Database) -> AsyncIterator[Retention]:
    """What makes and drops days, and gives up at once."""
    retention = Retention(database, pauses_s=())
    yield retention
    await retention.close()


async def _ask(database: Database, statement: str) -> list[tuple[object, ...]]:
    engine = open_async(database, connections=1)
    async with engine.begin() as connection:
        rows = [tuple(row) for row in await connection.execute(text(statement))]
    await engine.dispose()
    return rows


async def _places(database: Database, table: str) -> list[str]:
    """In which partition each row stands, by its time."""
    rows = await _ask(database, f"SELECT tableoid::regclass::text FROM {table} ORDER BY started_at")
    return [str(name) for (name,) in rows]


async def _days(database: Database, table: str = "requests") -> list[str]:
    """The partitions for days of 2081."""
    found = f"SELECT relname FROM pg_class WHERE relname LIKE '{table}_day_2081%' AND relkind = 'r' ORDER BY 1"
    return [str(name) for (name,) in await _ask(database, found)]


async def test_days_are_made_ahead_once(database: Database, retention: Retention) -> None:
    """Today and a week of days to come have partitions in all four tables; a second time there is nothing to do."""
    for _ in range(2):
        await retention.make_room(START + 3600)
        for table in TABLES:
            days = [f"{table}_day_208108{25 + number}" for number in range(7)] + [f"{table}_day_20810901"]
            assert await _days(database, table) == days
            assert len(days) == AHEAD_DAYS + 1
    await retention.make_room(START + DAY_S)
    assert (await _days(database))[-1] == "requests_day_20810902"


async def test_records_stand_in_their_day(database: Database, sink: Sink, retention: Retention) -> None:
    """A record goes to its day to the microsecond; one of a day that nobody made, to the default partition."""
    await retention.make_room(START)
    moments = [START, START + DAY_S - 0.000001, START + DAY_S, START + 90 * DAY_S]
    await sink.write([request(number, started_at=at) for number, at in enumerate(moments)])
    for table in ("requests", "draws"):
        assert await _places(database, table) == [
            f"{table}_day_20810825", f"{table}_day_20810825", f"{table}_day_20810826", f"{table}_default",
        ]  # fmt: skip


async def test_a_batch_that_is_written_again_counts_once(
    database: Database, sink: Sink, store: Requests, retention: Retention
) -> None:
    """The key holds across partitions as it does in one table."""
    await retention.make_room(START)
    records = [request(number, started_at=START + number * DAY_S / 2) for number in range(40)]
    for _ in range(2):
        await sink.write(records)
    assert (await store.totals(Filter())).requests == 40
    assert [await store.find(each.id) for each in records] == records


async def test_a_day_is_dropped_when_its_last_moment_is_past(
    database: Database, sink: Sink, store: Requests, retention: Retention
) -> None:
    """Requests of a day stay until all of them are old enough, and then go at once with all that belongs to them."""
    await retention.make_room(START)
    stored = StoredText(b"q", b"a")
    old = [request(number, started_at=START + number, text=stored) for number in range(20)]
    kept = request(99, started_at=START + DAY_S, text=stored)
    await sink.write([*old, kept])
    outcomes = Outcomes(Connections(database, most=1))
    for each in (old[0], kept):
        begun_at = id_time(each.id)
        assert begun_at is not None
        await outcomes.keep(Outcome(each.id, "user", 1.0, at=START + 1, key_id="default", is_vouched=True))
    assert await retention.delete_requests(START + DAY_S - 1, now=START + DAY_S) == 0
    assert (await store.totals(Filter())).requests == 21
    assert await retention.delete_requests(START + DAY_S, now=START + 2 * DAY_S) == 20
    for table in TABLES:
        assert (await _days(database, table))[0] == f"{table}_day_20810826"
        assert await _ask(database, f"SELECT count(*) FROM {table}") == [(1,)]
    assert await store.find(kept.id) == kept
    assert await _ask(database, "SELECT * FROM spent_before") == [("2081-08-25", "default", 20 * 123_000, 0)]
    assert await retention.delete_requests(START + DAY_S, now=START + 2 * DAY_S) == 0


@pytest.mark.parametrize("seed", range(3))
async def test_no_dropped_day_changes_a_balance(
    database: Database, sink: Sink, changes: Changes, retention: Retention, seed: int
) -> None:
    """Whatever day is dropped and whenever, every key's sums stay as they were, to the nano-dollar."""
    random = Random(seed)
    for number in (1, 2):
        await Keys(changes).create(f"key_{number}", KeyTerms(f"k{number}"), secret(number), by=ADMIN)
    for week in range(6):
        await retention.make_room(START + week * 7 * DAY_S)
    now = START + 40 * DAY_S + random.uniform(0, 2) * DAY_S
    await sink.write(
        [
            request(
                number,
                key_id=random.choice(["key_1", "key_2"]),
                started_at=round(START + random.randrange(41) * DAY_S + random.choice([0.0, 3600.0, DAY_S - 1]), 3),
                total_s=random.uniform(0, 2),
                cost=from_nanos(random.randrange(10**12)),
                charged=from_nanos(random.randrange(10**12)) if random.random() < 0.2 else None,
            )
            for number in range(600)
        ]
    )
    balances = Balances(database)
    expected = await balances.spent(now)
    nights = _nonzero(await balances.straddling(now))
    for days in (39, 33, 12, 3, 0):
        await retention.delete_requests(now - days * DAY_S, now=now)
        assert await balances.spent(now) == expected
        assert _nonzero(await balances.straddling(now)) == nights


def _nonzero(sums: object) -> set[tuple[str, Period, object]]:
    assert isinstance(sums, dict)
    return {(account, period, each) for account in sums for period, each in sums[account].items() if each}


async def test_what_comes_for_a_day_that_is_gone_is_carried_too(
    database: Database, sink: Sink, retention: Retention
) -> None:
    """A record of a dropped day stands in the default partition, and the next deletion carries and deletes it."""
    await retention.make_room(START)
    for number in (1, 2):
        await sink.write([request(number, started_at=START + DAY_S - 1, total_s=2.0, cost=usd(number))])
        assert await retention.delete_requests(START + DAY_S, now=START + 2 * DAY_S) == 1
    carried = from_nanos(3 * 10**9)
    assert carried == usd(3)
    assert await _ask(database, "SELECT nanos, overnight_nanos FROM spent_before") == [(3 * 10**9, 3 * 10**9)]


async def test_a_day_that_has_strays_stays_in_the_default_partition(
    database: Database, sink: Sink, store: Requests, retention: Retention, caplog: pytest.LogCaptureFixture
) -> None:
    """A day nobody made in time is left where its rows are, and said; the others are made, and its rows go singly."""
    stray = request(1, started_at=START + 2 * DAY_S + 5)
    await sink.write([stray])
    await retention.make_room(START)
    assert "requests_day_20810827" not in await _days(database)
    assert len(await _days(database)) == AHEAD_DAYS
    assert "the partition of 2081-08-27 cannot be made" in caplog.text
    assert await retention.delete_requests(START + 2 * DAY_S + 6, now=START + 3 * DAY_S) == 1
    assert await store.find(stray.id) is None
    await retention.make_room(START)
    assert len(await _days(database)) == AHEAD_DAYS + 1


async def test_a_long_reader_is_not_waited_for(database: Database, sink: Sink, retention: Retention) -> None:
    """Dropping a day gives up after a second where somebody reads it, with all as it was; later it is done."""
    await retention.make_room(START)
    await sink.write([request(1, started_at=START)])
    engine = open_async(database, connections=1)
    async with engine.connect() as reader:
        await reader.execute(text("SELECT count(*) FROM requests"))
        with pytest.raises(Unavailable, match="55P03"):
            await retention.delete_requests(START + DAY_S, now=START + 2 * DAY_S)
        await sink.write([request(2, started_at=START + 1)])
    await engine.dispose()
    assert await _ask(database, "SELECT count(*) FROM spent_before") == [(0,)]
    assert await retention.delete_requests(START + DAY_S, now=START + 2 * DAY_S) == 2


async def test_two_that_drop_at_once_carry_each_request_once(database: Database, sink: Sink) -> None:
    """Of two workers one drops a day, the other leaves it alone; each request is counted once."""
    workers = [Retention(database) for _ in range(2)]
    await asyncio.gather(*(each.make_room(START) for each in workers))
    await workers[0].make_room(START)
    assert len(await _days(database)) == AHEAD_DAYS + 1
    await sink.write([request(number, started_at=START + number, cost=usd(1)) for number in range(300)])
    dropped = await asyncio.gather(*(each.delete_requests(START + DAY_S, now=START + DAY_S) for each in workers))
    for each in workers:
        await each.close()
    assert sum(dropped) == 300
    assert await _ask(database, "SELECT sum(nanos) FROM spent_before") == [(300 * 10**9,)]


async def test_texts_of_a_day_are_dropped_before_its_requests(
    database: Database, sink: Sink, store: Requests, retention: Retention
) -> None:
    """Prompts and answers go by their own age, a day at once; a text that comes later goes singly."""
    await retention.make_room(START)
    stored = StoredText(b"q", b"a")
    await sink.write([request(number, started_at=START + number, text=stored) for number in range(5)])
    assert await retention.delete_texts(START + DAY_S) == 5
    assert "request_texts_day_20810825" not in await _days(database, "request_texts")
    late = request(7, started_at=START + 7, text=stored)
    await sink.write([late])
    assert await _places(database, "request_texts") == ["request_texts_default"]
    assert await retention.delete_texts(START + DAY_S) == 1
    assert (await store.totals(Filter())).requests == 6
    assert await retention.delete_requests(START + DAY_S, now=START + DAY_S) == 6


async def test_a_request_is_looked_for_in_its_day(database: Database, sink: Sink, retention: Retention) -> None:
    """What an id tells of its time leaves one or two partitions to look into."""
    await retention.make_room(START)
    found = request(1, started_at=START + 7200)
    await sink.write([found])
    engine = open_async(database, connections=1)
    wanted = select(requests.c.status).where(requests.c.id == found.id, *near([found.id]))
    asked = wanted.compile(engine.sync_engine, compile_kwargs={"literal_binds": True})
    plan = await _ask(database, f"EXPLAIN {asked}")
    await engine.dispose()
    assert set(re.findall(r"requests_(?:day_\d+|default)", str(plan))) == {"requests_day_20810825"}
    assert near([found.id, "not a UUIDv7"]) == []
