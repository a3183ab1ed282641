"""What the ledger says of calls, as a provider would bill them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gateway.domain.money import ZERO, usd
from gateway.domain.reconciliation import LedgerLine, Tokens
from gateway.domain.record import Result
from gateway.domain.usage import Usage
from gateway.store.base import Database
from gateway.store.billing import Billing, UnknownCost
from gateway.store.sinks import Sink
from tests.store.records import DAY_S, NOON, call, identity, request

MIDNIGHT = NOON - DAY_S / 2


@pytest.fixture
async def billing(database: Database) -> AsyncIterator[Billing]:
    """The sums over the calls in the database."""
    billing = Billing(database)
    yield billing
    await billing.close()


async def test_calls_are_summed_by_day_upstream_model_and_key(billing: Billing, sink: Sink) -> None:
    """Lines say how many calls there were, what they cost and used, and how many have no known cost."""
    usage = Usage(input_tokens=1, cached_tokens=2, cache_write_5m_tokens=3, cache_write_1h_tokens=4, output_tokens=5)
    await sink.write(
        [
            request(1, calls=(call(cost=usd("0.1"), usage=usage), call(attempt=2, cost=None, usage=None))),
            request(2, calls=(call(cost=usd("0.2"), usage=usage),)),
            request(3, key_id="k2", calls=(call(cost=usd("0.4")),)),
            request(4, calls=(call(upstream="elsewhere"),)),
            request(5, calls=(call(model="gpt-max", cost=usd("0.8")),)),
        ]
    )
    found = await billing.calls(MIDNIGHT, MIDNIGHT + DAY_S, ("openai",))
    tokens = Tokens(input=2, cached=4, cache_write=14, output=10)
    plain = Tokens(input=12, output=120)
    assert found == (
        LedgerLine("2026-11-22", "openai", "gpt-max", "default", 1, 0, usd("0.8"), plain),
        LedgerLine("2026-11-22", "openai", "gpt-mini", "default", 3, 1, usd("0.3"), tokens),
        LedgerLine("2026-11-22", "openai", "gpt-mini", "k2", 1, 0, usd("0.4"), plain),
    )


async def test_a_call_belongs_to_the_day_on_which_it_began(billing: Billing, sink: Sink) -> None:
    """A retry after midnight is billed on the next day, although its request began on the day before."""
    before, after = MIDNIGHT - 1, MIDNIGHT + 1
    calls = (call(started_at=before, cost=usd(1)), call(attempt=2, started_at=after, cost=usd(2)))
    await sink.write([request(1, started_at=before, calls=calls)])
    days = [
        await billing.calls(MIDNIGHT + day * DAY_S, MIDNIGHT + (day + 1) * DAY_S, ("openai",)) for day in (-1, 0, 1)
    ]
    assert [[(line.day, line.cost) for line in lines] for lines in days] == [
        [("2026-11-21", usd(1))],
        [("2026-11-22", usd(2))],
        [],
    ]


async def test_requests_of_unknown_cost_are_counted_and_the_newest_named(billing: Billing, sink: Sink) -> None:
    """An interrupted request has no call, and is told nevertheless, with what it was charged."""
    unknown = {"is_cost_complete": False, "result": Result.INTERRUPTED, "calls": (), "cost": ZERO}
    await sink.write(
        [request(number, started_at=NOON + number, **unknown, charged=usd(number)) for number in (1, 2, 3)]
        + [request(4), request(5, started_at=NOON + DAY_S, **unknown)]
    )
    found = await billing.unknown_costs(MIDNIGHT, MIDNIGHT + DAY_S, limit=1)
    assert (found.count, found.charged) == (3, usd(6))
    newest = identity(3, NOON + 3)
    assert found.newest == (UnknownCost(newest, "2026-11-22", "default", "gpt-mini", Result.INTERRUPTED, usd(3)),)


async def test_nothing_is_an_empty_answer(billing: Billing) -> None:
    """A time without requests has no lines and no unknown costs."""
    assert await billing.calls(0, 1, ("openai",)) == ()
    found = await billing.unknown_costs(0, 1, limit=1)
    assert (found.count, found.charged, found.newest) == (0, ZERO, ())
