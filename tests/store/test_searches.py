"""Searches read back with what their draws wrote, on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gateway.domain.record import StoredText
from gateway.store.base import Database
from gateway.store.connections import Connections
from gateway.store.searches import StoredSearch, StoredSearches
from gateway.store.sinks import Sink
from tests.store.records import FULL, NOON, identity, request

TEXT = StoredText(b"asked", b"said", {"0": "a step", "1": "the end"})


@pytest.fixture
async def searches(database: Database) -> AsyncIterator[StoredSearches]:
    """Those of an empty database."""
    connections = Connections(database, most=1)
    yield StoredSearches(connections)
    await connections.close()


async def test_a_search_comes_back_with_its_texts(searches: StoredSearches, sink: Sink) -> None:
    """Of those asked for; without texts, or without a search, there is nothing to read."""
    assert FULL.plan is not None
    parts = {"text": TEXT, "search": FULL.search, "plan": FULL.plan}
    records = [request(1, started_at=NOON + 1, **parts), request(2, started_at=NOON + 2, **{**parts, "text": None})]
    records += [request(3, started_at=NOON + 3, **{**parts, "search": None}), request(4, started_at=NOON + 4, **parts)]
    await sink.write(records)
    ids = [identity(number, NOON + number) for number in (1, 2, 3)]
    [found] = [part async for part in searches.parts(ids)]
    assert FULL.search is not None
    assert found == [StoredSearch(ids[0], FULL.search, dict(FULL.plan.arm.parameters), TEXT.draws)]


async def test_many_searches_are_read_in_parts(searches: StoredSearches, sink: Sink) -> None:
    """Each once, over several days, and nothing for no ids."""
    days = [NOON + number * 3_600 for number in range(150)]
    made = [request(number, started_at=at, text=TEXT, search=FULL.search, plan=None) for number, at in enumerate(days)]
    await sink.write(made)
    ids = [each.id for each in made]
    parts = [part async for part in searches.parts(ids)]
    assert [len(part) for part in parts] == [100, 50]
    assert {each.request_id for part in parts for each in part} == set(ids)
    assert all(each.parameters == {} for part in parts for each in part)
    assert [part async for part in searches.parts([])] == []


async def test_requests_on_their_way_are_counted(searches: StoredSearches, sink: Sink) -> None:
    """Those that the journal has not brought to the database yet are missing."""
    made = [replace(request(number, started_at=NOON + number)) for number in range(3)]
    await sink.write(made[:2])
    assert await searches.missing([each.id for each in made]) == 1
    assert await searches.missing([]) == 0
