"""Decisions read in parts, with the labels that count."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import orjson
import pytest

from gateway.domain.outcome import Outcome
from gateway.domain.plan import Plan
from gateway.domain.record import RequestRecord
from gateway.store.base import Database
from gateway.store.connections import Connections
from gateway.store.logged import LoggedDecision, LoggedDecisions, LoggedPart, LoggedPeriod
from gateway.store.outcomes import Outcomes
from gateway.store.sinks import Sink
from tests.store.records import FULL, NOON, identity, request

assert FULL.plan is not None
PLAN: Plan = replace(
    FULL.plan, policy="work", category="math", difficulty="hard", propensities={"step-up": 0.95}, is_observed=False
)
DAY = LoggedPeriod(NOON, NOON + 86_400)


def _decided(number: int, **changes: Any) -> RequestRecord:
    at = NOON + number
    return request(number, **{"started_at": at, "plan": PLAN, "model_asked": "auto", **changes})


def _outcome(number: int, **changes: Any) -> Outcome:
    said = Outcome(identity(number, NOON + number), "user", 1.0, NOON + 60, "default", is_vouched=False)
    return replace(said, **changes)


@dataclass(frozen=True, slots=True)
class Site:
    """A database to be written and read."""

    decisions: LoggedDecisions
    outcomes: Outcomes
    sink: Sink

    async def parts(self, period: LoggedPeriod = DAY, *, size: int = 3) -> list[LoggedPart]:
        """All of a period."""
        return [part async for part in self.decisions.parts(period, size=size)]


@pytest.fixture
async def site(database: Database, sink: Sink) -> AsyncIterator[Site]:
    """An empty database."""
    connections = Connections(database, most=1)
    yield Site(LoggedDecisions(connections), Outcomes(connections), sink)
    await connections.close()


async def test_a_decision_comes_back_with_its_parts_as_text(site: Site) -> None:
    """Its plan as it was recorded, the cost in dollars."""
    await site.sink.write([_decided(1)])
    [part] = await site.parts()
    [found] = part.decisions
    plan = orjson.loads(found.plan)
    assert (plan["facts"], plan["propensities"]) == (PLAN.facts, {"step-up": 0.95})
    assert replace(found, plan="") == LoggedDecision(
        id=identity(1, NOON + 1),
        key_id="default",
        model_asked="auto",
        arm="step-up",
        category="math",
        difficulty="hard",
        plan="",
        cost_usd=0.000123,
        total_s=0.5,
    )


async def test_parts_cover_a_period_once_and_in_order(site: Site) -> None:
    """Whatever their size; requests without a policy and of another time are not among them."""
    await site.sink.write([_decided(number) for number in range(1, 9)])
    await site.sink.write([request(20, started_at=NOON + 20), _decided(30, started_at=NOON - 1)])
    for size in (1, 3, 8, 100):
        found = [each.id for part in await site.parts(size=size) for each in part.decisions]
        assert found == [identity(number, NOON + number) for number in range(1, 9)]


async def test_parts_end_with_their_period(site: Site) -> None:
    """Requests that began at once come together, and none at the end of the period."""
    begun = (0.0, 1.0, 1.0, 1.0, 2.000001, 3.0)
    await site.sink.write([_decided(number, started_at=NOON + at) for number, at in enumerate(begun, 1)])
    period = replace(DAY, until=NOON + 3)
    for size in (1, 2, 3, 4, 5):
        parts = await site.parts(period, size=size)
        assert [each.id for part in parts for each in part.decisions] == [
            identity(number, NOON + at) for number, at in enumerate(begun[:-1], 1)
        ]


async def test_a_period_is_cut_into_stretches(site: Site) -> None:
    """They follow one another from its begin to its end, and hold what it holds, in the same order."""
    await site.sink.write([_decided(number) for number in range(1, 10)])
    chosen = replace(DAY, policy="work")
    assert await site.decisions.cut(chosen, size=9) == [chosen]
    found = await site.decisions.cut(chosen, size=4)
    assert [(each.since - NOON, each.until - NOON) for each in found] == [(0, 5), (5, 86_400)]
    assert {each.policy for each in found} == {"work"}
    ids = [each.id for stretch in found for part in await site.parts(stretch) for each in part.decisions]
    assert ids == [identity(number, NOON + number) for number in range(1, 10)]
    assert await site.decisions.cut(replace(DAY, since=NOON + 86_000), size=1) == [replace(DAY, since=NOON + 86_000)]


async def test_one_policy_alone_can_be_read(site: Site) -> None:
    """What others decided is left out."""
    other = replace(PLAN, policy="other")
    await site.sink.write([_decided(1), _decided(2, plan=other)])
    chosen = replace(DAY, policy="other")
    [part] = await site.parts(chosen)
    assert [each.id for each in part.decisions] == [identity(2, NOON + 2)]


async def test_labels_come_with_their_decisions(site: Site) -> None:
    """Those of the request's own key and of whoever may speak of all, and no one else's."""
    await site.sink.write([_decided(number) for number in range(1, 5)])
    await site.outcomes.add(
        [
            _outcome(1, probability=0.5, weight=0.25),
            _outcome(1, key_id="stranger", source="stranger"),
            _outcome(4, key_id="reviewer", source="reviewer", score=0.0, is_vouched=True),
        ]
    )
    first, second = await site.parts(size=3)
    assert [(each.source, each.score, each.weight, each.probability) for each in first.labels] == [
        ("user", 1.0, 0.25, 0.5)
    ]
    assert [(each.source, each.score, each.probability) for each in second.labels] == [("reviewer", 0.0, None)]


async def test_an_unknown_cost_is_none(site: Site) -> None:
    """It is not taken for nothing."""
    await site.sink.write([_decided(1, is_cost_complete=False)])
    [part] = await site.parts()
    assert [each.cost_usd for each in part.decisions] == [None]
