"""Requests whose texts were kept, read with what was found of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from gateway.domain.outcome import Outcome
from gateway.domain.plan import Plan
from gateway.domain.record import RequestRecord, Result, StoredText
from gateway.store.base import Database
from gateway.store.connections import Connections
from gateway.store.logged import LoggedPeriod
from gateway.store.outcomes import Outcomes
from gateway.store.sinks import Sink
from gateway.store.traces import StoredTrace, Traces
from tests.store.records import FULL, NOON, identity, request

DAY = LoggedPeriod(NOON, NOON + 86_400)
assert FULL.plan is not None
PLAN: Plan = replace(FULL.plan, policy="work")


def _kept(number: int, **changes: Any) -> RequestRecord:
    text = StoredText(b"asked", b"said", {"0": "draw"})
    return request(number, **{"started_at": NOON + number, "text": text, "plan": PLAN, **changes})


@dataclass(frozen=True, slots=True)
class Site:
    """A database to be written and read."""

    traces: Traces
    outcomes: Outcomes
    sink: Sink

    async def all(self, period: LoggedPeriod = DAY, *, size: int = 3) -> list[StoredTrace]:
        """The traces of a period."""
        return [trace async for part in self.traces.parts(period, size=size) for trace in part]


@pytest.fixture
async def site(database: Database, sink: Sink) -> AsyncIterator[Site]:
    """An empty database."""
    connections = Connections(database, most=1)
    yield Site(Traces(connections), Outcomes(connections), sink)
    await connections.close()


async def test_a_trace_comes_back_with_texts_search_and_labels(site: Site) -> None:
    """As they were kept, with the parameters of the arm and what counts of what was found."""
    await site.sink.write([_kept(1, search=FULL.search)])
    mine = Outcome(identity(1, NOON + 1), "user", 0.5, NOON + 9, "default", is_vouched=False)
    await site.outcomes.add([mine, replace(mine, key_id="stranger", source="stranger")])
    [trace] = await site.all()
    assert (trace.text.request, trace.text.answer, dict(trace.text.draws)) == (b"asked", b"said", {"0": "draw"})
    assert trace.search == FULL.search
    assert trace.parameters == PLAN.arm.parameters
    assert [(each.source, each.score) for each in trace.labels] == [("user", 0.5)]


async def test_only_answered_requests_with_texts_are_traces(site: Site) -> None:
    """Of the period, and of one policy where one is named."""
    await site.sink.write([_kept(number) for number in range(1, 8)])
    await site.sink.write([_kept(20, text=None), _kept(21, result=Result.FAILED), _kept(22, started_at=NOON - 1)])
    await site.sink.write([_kept(30, plan=replace(PLAN, policy="other")), _kept(31, plan=None)])
    for size in (1, 3, 100):
        assert len(await site.all(size=size)) == 9
    assert await site.traces.count(DAY) == 9
    other = replace(DAY, policy="other")
    assert [each.id for each in await site.all(other)] == [identity(30, NOON + 30)]
    assert await site.traces.count(other) == 1
