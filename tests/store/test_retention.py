"""Tests of gateway/store/retention.py: what is deleted, and that budgets count it as before."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from random import Random

import pytest
from sqlalchemy import text

from gateway.domain.limits import Period, period_start
from gateway.domain.money import ZERO, Usd, from_nanos, usd
from gateway.domain.record import RequestRecord, StoredText
from gateway.domain.tenancy import KeyTerms, TeamTerms
from gateway.store.balances import Balances
from gateway.store.base import Database, open_async
from gateway.store.changes import Changes
from gateway.store.keys import Keys
from gateway.store.requests import Filter, Grouping, Requests
from gateway.store.retention import Retention
from gateway.store.sinks import Sink
from gateway.store.teams import Teams
from tests.store.records import DAY_S, FULL, NOON, request
from tests.store.tenants import ADMIN, secret

MIDNIGHT = NOON - DAY_S / 2
"""The beginning of the 22nd, a Sunday: its week began on the 16th."""


@pytest.fixture
async def retention(database: Database) -> AsyncIterator[Retention]:
    """What deletes."""
    retention = Retention(database)
    yield retention
    await retention.close()


@pytest.fixture
async def tenants(changes: Changes) -> None:
    """A team with a key, and a key of its own."""
    await Teams(changes).create("team_1", TeamTerms("red"), by=ADMIN)
    await Keys(changes).create("key_1", KeyTerms("k1", team_id="team_1"), secret(1), by=ADMIN)
    await Keys(changes).create("key_2", KeyTerms("k2"), secret(2), by=ADMIN)


async def _rows(database: Database) -> list[tuple[str, str, Usd, Usd]]:
    engine = open_async(database, connections=1)
    async with engine.connect() as connection:
        found = (await connection.execute(text("SELECT * FROM spent_before ORDER BY day, key_id"))).all()
    await engine.dispose()
    return [(day, key_id, from_nanos(nanos), from_nanos(overnight)) for day, key_id, nanos, overnight in found]


async def test_whole_requests_are_deleted(sink: Sink, store: Requests, retention: Retention) -> None:
    """Requests begun before the moment go with their calls and text, in several small transactions; others stay."""
    stored = StoredText(b"q", b"a")
    old = [request(number, started_at=NOON + number / 1000, text=stored) for number in range(1201)]
    kept = request(5000, started_at=NOON + 10, text=stored)
    await sink.write([*old, kept])
    assert await retention.delete_requests(NOON + 10, now=NOON + 10) == 1201
    assert await store.recent(Filter(), limit=10) == await store.recent(Filter(since=NOON + 10), limit=10)
    assert await store.find(kept.id) == kept
    (row,) = await store.spend(since=NOON, until=NOON + DAY_S, by=[Grouping.KEY])
    assert row.calls == 1
    assert await retention.delete_texts(NOON + 20) == 1


async def test_texts_are_deleted_alone(sink: Sink, store: Requests, retention: Retention) -> None:
    """Stored text goes by its own age; the request stays without it."""
    await sink.write([FULL])
    assert await retention.delete_texts(NOON) == 0
    assert await retention.delete_texts(NOON + 1) == 1
    found = await store.find(FULL.id)
    assert found is not None
    assert found.text is None
    assert found.calls == FULL.calls


@pytest.mark.usefixtures("tenants")
@pytest.mark.parametrize("seed", range(3))
async def test_no_deletion_changes_a_balance(database: Database, sink: Sink, retention: Retention, seed: int) -> None:
    """Whatever is deleted and whenever, every key's and team's sums stay as they were, to the nano-dollar."""
    random = Random(seed)
    now = NOON + random.uniform(-20, 20) * DAY_S
    records = [_random_request(number, now, random) for number in range(900)]
    await sink.write(records)
    expected = _spent(records, now)
    balances = Balances(database)
    assert await balances.spent(now) == expected
    nights = _nonzero(await balances.straddling(now))
    for days in (80, 33, 33, 12, 3, 0.5):
        await retention.delete_requests(now - days * DAY_S, now=now)
        assert await balances.spent(now) == expected
        assert _nonzero(await balances.straddling(now)) == nights


def _nonzero(sums: Mapping[str, Mapping[Period, Usd]]) -> set[tuple[str, Period, Usd]]:
    return {(account, period, sum_) for account in sums for period, sum_ in sums[account].items() if sum_}


def _random_request(number: int, now: float, random: Random) -> RequestRecord:
    """One of the last hundred days, often around midnight; some of unknown cost."""
    started_at = now - random.uniform(0, 100) * DAY_S
    if random.random() < 0.3:
        started_at = period_start(Period.DAY, started_at) - random.uniform(-2, 2)
    return request(
        number,
        key_id=random.choice(["key_1", "key_2"]),
        started_at=round(min(started_at, now), 3),
        total_s=random.uniform(0, 4),
        cost=from_nanos(random.randrange(10**12)),
        charged=from_nanos(random.randrange(10**12)) if random.random() < 0.2 else None,
    )


def _spent(records: list[RequestRecord], now: float) -> dict[str, dict[Period, Usd]]:
    sums: dict[str, dict[Period, Usd]] = defaultdict(lambda: dict.fromkeys(Period, ZERO))
    for each in records:
        for account in [f"key:{each.key_id}", *(["team:team_1"] if each.key_id == "key_1" else [])]:
            for period in Period:
                if each.started_at >= period_start(period, now):
                    sums[account][period] = Usd(sums[account][period] + each.charge)
    return dict(sums)


async def test_earlier_months_are_one_row_a_key(database: Database, sink: Sink, retention: Retention) -> None:
    """Days stay apart while a month or a week counts them, and are one sum when only totals do."""
    moments = [MIDNIGHT - days * DAY_S for days in (1, 2, 30, 31, 90)]
    await sink.write([request(number, started_at=at, cost=usd(1)) for number, at in enumerate(moments)])
    assert await retention.delete_requests(NOON, now=NOON) == 5
    assert await _rows(database) == [
        ("2026-10-31", "default", usd(3), ZERO),
        ("2026-11-20", "default", usd(1), ZERO),
        ("2026-11-21", "default", usd(1), ZERO),
    ]
    later = NOON + 10 * DAY_S
    await sink.write([request(9, started_at=MIDNIGHT, cost=usd(1))])
    assert await retention.delete_requests(later, now=later) == 1
    assert await _rows(database) == [("2026-11-29", "default", usd(6), ZERO)]


async def test_a_month_is_closed_a_day_late(database: Database, sink: Sink, retention: Retention) -> None:
    """On the first of a month the days of the one before still stand apart: other clocks may be behind."""
    first = MIDNIGHT + 9 * DAY_S
    await sink.write([request(1, started_at=MIDNIGHT, cost=usd(1)), request(2, started_at=NOON - 5 * DAY_S)])
    await retention.delete_requests(first, now=first)
    assert [row[0] for row in await _rows(database)] == ["2026-11-17", "2026-11-22"]


async def test_what_comes_late_is_added(database: Database, sink: Sink, retention: Retention) -> None:
    """A record that reaches the log after its day was deleted is carried by the next deletion."""
    for number in (1, 2):
        await sink.write([request(number, started_at=MIDNIGHT - 1, total_s=2.0, cost=usd(number))])
        assert await retention.delete_requests(NOON, now=NOON) == 1
        assert await retention.delete_requests(NOON, now=NOON) == 0
    assert await _rows(database) == [("2026-11-21", "default", usd(3), usd(3))]


async def test_deletions_at_once_carry_each_request_once(database: Database, sink: Sink) -> None:
    """Two workers that delete at the same time take away each request once, and count it once."""
    await sink.write([request(number, started_at=NOON + number / 1000, cost=usd(1)) for number in range(1300)])
    workers = [Retention(database) for _ in range(2)]
    deleted = await asyncio.gather(*(each.delete_requests(NOON + 10, now=NOON) for each in workers))
    for each in workers:
        await each.close()
    assert sum(deleted) == 1300
    assert await _rows(database) == [("2026-11-22", "default", usd(1300), ZERO)]
