"""The last estimate of what each policy saved, and the traffic that there is to estimate from."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from sqlalchemy import insert

from gateway.store.base import Database
from gateway.store.calibration_tables import traffic_savings
from gateway.store.connections import Connections
from gateway.store.rollups import Rollups
from gateway.store.savings import KEPT_S, StoredSavings
from gateway.store.sinks import Sink
from gateway.store.traffic_counts import HOUR_S
from tests.domain.test_savings import FOUND
from tests.store.records import FULL, NOON, request

assert FULL.plan is not None
PLAN = replace(FULL.plan, policy="work")


@pytest.fixture
async def connections(database: Database) -> AsyncIterator[Connections]:
    """Connections to the database."""
    connections = Connections(database, most=2)
    yield connections
    await connections.close()


async def test_the_last_estimate_of_each_policy_is_kept(connections: Connections) -> None:
    """It takes the place of the one before, others stay, and what is too old goes with the next."""
    stored = StoredSavings(connections)
    first, other = replace(FOUND, until=NOON), replace(FOUND, policy="house", until=NOON)
    newer = replace(FOUND, until=NOON + HOUR_S, savings=None, note="nothing")
    for each in (first, other, newer):
        await stored.keep(each)
    assert await stored.all() == (other, newer)
    assert await stored.made_until() == {"house": NOON, "work": NOON + HOUR_S}
    last = replace(FOUND, until=NOON + KEPT_S + 1)
    await stored.keep(last)
    assert await stored.all() == (last,)


async def test_the_form_of_another_release_is_left_out(connections: Connections) -> None:
    """It stands until this release's estimate takes its place."""
    stored = StoredSavings(connections)
    async with connections.writing() as connection:
        row = {"policy": "work", "until": NOON, "document": {"form": 0}}
        await connection.execute(insert(traffic_savings).values(row))
    assert await stored.all() == ()
    await stored.keep(FOUND)
    assert await stored.all() == (FOUND,)


async def test_traffic_is_counted_by_policy_and_hour(connections: Connections, sink: Sink) -> None:
    """From the sums, however the requests ended; those that no policy decided are not among them."""
    other = replace(PLAN, policy="house", arm=replace(PLAN.arm, name="other"))
    made = [
        request(1, started_at=NOON, plan=PLAN),
        request(2, started_at=NOON + 60, plan=replace(PLAN, arm=other.arm)),
        request(3, started_at=NOON + HOUR_S, plan=PLAN),
        request(4, started_at=NOON, plan=other),
        request(5, started_at=NOON, plan=replace(PLAN, policy=None)),
        request(6, started_at=NOON, plan=None),
    ]
    await sink.write(made)
    await Rollups(connections).sum_up(NOON + 3 * HOUR_S, kept_since=0.0)
    stored = StoredSavings(connections)
    assert await stored.traffic(NOON, NOON + 2 * HOUR_S) == {
        "house": {NOON: 1},
        "work": {NOON: 2, NOON + HOUR_S: 1},
    }
    assert await stored.traffic(NOON + HOUR_S, NOON + 2 * HOUR_S) == {"work": {NOON + HOUR_S: 1}}
