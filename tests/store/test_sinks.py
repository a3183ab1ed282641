"""Tests of gateway/store/sinks.py and gateway/store/insertion.py."""

from __future__ import annotations

import asyncio

import pytest

from gateway.domain.money import usd
from gateway.domain.usage import Usage
from gateway.errors import ConfigurationError
from gateway.store.base import Database, Unstorable, locate
from gateway.store.requests import Filter, Requests
from gateway.store.rows import scrub
from gateway.store.sinks import Sink, open_sink
from tests.store.records import DAY_S, FULL, NOON, call, request


async def _counts(store: Requests) -> tuple[int, int]:
    totals = await store.totals(Filter())
    spend = await store.spend(since=NOON, until=NOON + DAY_S, by=[])
    return totals.requests, sum(row.calls for row in spend)


async def test_a_batch_replayed_counts_once(sink: Sink, store: Requests) -> None:
    """Written again, alone or among new records, a record and its calls are there once."""
    await sink.write([FULL, request(1)])
    await sink.write([FULL, request(1)])
    await sink.write([request(2), FULL, FULL])
    assert await _counts(store) == (3, 4)
    assert await store.find(FULL.id) == FULL


async def test_what_was_written_first_stays(sink: Sink, store: Requests) -> None:
    """A second record under the same key does not change the first, nor add to its calls."""
    await sink.write([request(1)])
    await sink.write([request(1, cost=usd(5), calls=(call(cost=usd(5)),))])
    assert await store.find(request(1).id) == request(1)
    assert await _counts(store) == (1, 1)


async def test_two_writers_of_the_same_records_count_once(database: Database, store: Requests) -> None:
    """Two writers that hold the same records, in opposite orders, leave each there once."""
    records = [request(number, calls=(call(), call(attempt=2))) for number in range(600)]
    first, second = open_sink(database), open_sink(database)
    for start in range(0, 600, 100):
        some = records[start : start + 100]
        await asyncio.gather(first.write(some), second.write(some[::-1]))
    await first.close()
    await second.close()
    assert await _counts(store) == (600, 1200)


@pytest.mark.parametrize(
    "poison",
    [
        request(2, model_asked="\ud800"),
        request(2, calls=(call(status=2**70),)),
        request(2, id="not-a-uuid"),
    ],
    ids=["surrogate", "integer", "id"],
)
async def test_a_batch_is_written_whole_or_not_at_all(sink: Sink, store: Requests, poison: object) -> None:
    """One record that cannot be stored keeps its whole batch out, and the sink works on."""
    with pytest.raises(Unstorable):
        await sink.write([request(1), poison, request(3)])  # type: ignore[list-item]
    assert await _counts(store) == (0, 0)
    await sink.write([request(1)])
    assert await _counts(store) == (1, 1)


async def test_a_scrubbed_record_can_be_stored(sink: Sink, store: Requests) -> None:
    """Whatever text and numbers clients and upstreams choose, scrubbed they can be stored on either database."""
    dirty = request(
        1,
        model_asked="\ud800\0",
        answer_id="\0" + "é" * 5000,
        tags={"a\0": "b\udfff"},
        calls=(call(usage=Usage(input_tokens=2**70), error="\0", sent={"big": 2**70, "text": "\0\ud800"}),),
    )
    clean = scrub(dirty)
    await sink.write([clean])
    found = await store.find(dirty.id)
    assert found is not None
    assert found.model_asked == clean.model_asked
    assert found.calls[0].sent == {"big": str(2**70), "text": "\N{REPLACEMENT CHARACTER}?"}


async def test_nothing_to_write_is_written(sink: Sink, store: Requests) -> None:
    """An empty batch is no fault."""
    await sink.write([])
    assert await _counts(store) == (0, 0)


async def test_a_database_without_tables_names_the_remedy(empty_url: str) -> None:
    """Writing to a database that was not migrated says how to migrate it."""
    sink = open_sink(locate(empty_url))
    with pytest.raises(ConfigurationError, match="ponder db upgrade"):
        await sink.write([request(1)])
    await sink.close()
