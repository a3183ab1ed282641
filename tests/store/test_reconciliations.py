"""The nightly checks: done once, and kept with what they found."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gateway.domain.money import ZERO, usd
from gateway.store.base import Database
from gateway.store.reconciliations import DETAILS, Finding, Kind, Reconciliation, Reconciliations
from gateway.store.sinks import Sink
from tests.store.records import DAY_S, NOON, call, identity, request

DAY = "2026-11-22"
NOTHING = Finding(0, 0, ZERO, ())


@pytest.fixture
async def results(database: Database) -> AsyncIterator[Reconciliations]:
    """The checks in the database."""
    results = Reconciliations(database)
    yield results
    await results.close()


async def test_a_check_is_begun_once(results: Reconciliations) -> None:
    """The second process to begin the same day's check is told so; other days and kinds are their own."""
    assert await results.begin(DAY, Kind.BALANCES, now=NOON)
    assert not await results.begin(DAY, Kind.BALANCES, now=NOON + 1)
    assert await results.begin(DAY, Kind.CALLS, now=NOON)
    assert await results.begin("2026-11-23", Kind.BALANCES, now=NOON)


async def test_what_a_check_found_is_kept(results: Reconciliations) -> None:
    """A check is unfinished until its finding is stored, and is listed with it, newest day first."""
    finding = Finding(7, 1, usd("0.000000003"), ({"account": "key:k1", "difference_usd": "-0.000000003"},))
    await results.begin(DAY, Kind.BALANCES, now=NOON)
    await results.begin("2026-11-23", Kind.BALANCES, now=NOON + DAY_S)
    assert not await results.is_finished(DAY, Kind.BALANCES)
    await results.finish(DAY, Kind.BALANCES, finding, now=NOON + 1)
    assert await results.is_finished(DAY, Kind.BALANCES)
    assert await results.recent(limit=5) == (
        Reconciliation("2026-11-23", Kind.BALANCES, NOON + DAY_S, None, NOTHING),
        Reconciliation(DAY, Kind.BALANCES, NOON, NOON + 1, finding),
    )
    assert len(await results.recent(limit=1)) == 1


async def test_requests_that_cost_what_their_calls_cost_agree(results: Reconciliations, sink: Sink) -> None:
    """Unknown costs count as nothing on both sides; requests of other days are not compared."""
    await sink.write(
        [
            request(1),
            request(2, calls=(call(), call(attempt=2, cost=None)), is_cost_complete=False),
            request(3, calls=(), cost=ZERO),
            request(4, started_at=NOON + DAY_S, cost=usd(9)),
        ]
    )
    assert await results.compare_calls(DAY) == Finding(3, 0, ZERO, ())


async def test_requests_that_cost_something_else_are_found(results: Reconciliations, sink: Sink) -> None:
    """Too much and too little do not cancel out; the largest difference comes first."""
    dear, cheap = request(1, cost=usd("0.000124")), request(2, started_at=NOON + 7200, cost=usd("0.000120"))
    await sink.write([dear, cheap, request(3)])
    found = await results.compare_calls(DAY)
    assert (found.compared, found.differing, found.difference) == (3, 2, usd("0.000004"))
    assert found.details == (
        {"request_id": cheap.id, "key_id": "default", "request_usd": "0.00012", "calls_usd": "0.000123"},
        {"request_id": identity(1), "key_id": "default", "request_usd": "0.000124", "calls_usd": "0.000123"},
    )


async def test_only_the_largest_differences_are_kept(results: Reconciliations, sink: Sink) -> None:
    """However many differ, at whatever hour, all are counted and the largest few are told."""
    await sink.write(
        [request(number, started_at=NOON + number % 3 * 3600, cost=usd(number)) for number in range(1, DETAILS + 6)]
    )
    found = await results.compare_calls(DAY)
    assert (found.differing, len(found.details)) == (DETAILS + 5, DETAILS)
    assert found.details[0]["request_usd"] == str(DETAILS + 5)
