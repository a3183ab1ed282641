"""Outcomes: kept by source and giver, before or after their request, and read with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from gateway.domain.money import usd
from gateway.domain.outcome import MOST_SOURCES, Outcome
from gateway.domain.plan import Plan
from gateway.domain.record import RequestRecord, Result
from gateway.errors import Conflict
from gateway.store.base import Database
from gateway.store.connections import Connections
from gateway.store.outcomes import Judged, Outcomes
from gateway.store.requests import Requests
from gateway.store.retention import Retention
from gateway.store.sinks import Sink
from tests.store.records import DAY_S, FULL, NOON, identity, request

assert FULL.plan is not None
PLAN: Plan = replace(FULL.plan, policy="default", profile_version=3, category="math", difficulty="hard")
PLANNED: Plan = replace(PLAN, propensities={PLAN.arm.name: 0.97, "fast": 0.03})


def outcome(number: int = 1, **changes: Any) -> Outcome:
    """What a user found right."""
    said = Outcome(identity(number), "user", 1.0, NOON + 60, "default", is_vouched=False)
    return replace(said, **changes)


def _decided(number: int = 1, **changes: Any) -> RequestRecord:
    return request(number, plan=changes.pop("plan", PLANNED), **changes)


@dataclass(frozen=True, slots=True)
class Book:
    """The outcomes of an empty database."""

    outcomes: Outcomes

    async def of(self, number: int = 1, *, key_id: str = "default") -> list[Outcome]:
        """Those of a request."""
        return list(await self.outcomes.of_request(identity(number), NOON, key_id=key_id))

    async def judged(self, *, since: float = NOON, until: float = NOON + DAY_S, size: int = 5) -> list[Judged]:
        """Those of requests that the policy decided."""
        parts: list[Sequence[Judged]] = [
            part async for part in self.outcomes.judged("default", since=since, until=until, size=size)
        ]
        assert all(0 < len(part) <= size for part in parts)
        return [each for part in parts for each in part]


@pytest.fixture
async def book(database: Database) -> AsyncIterator[Book]:
    """Where outcomes are kept."""
    connections = Connections(database, most=4)
    yield Book(Outcomes(connections))
    await connections.close()


async def test_an_outcome_is_kept_whole(book: Book) -> None:
    """Every field comes back, also before its request is on record."""
    full = outcome(score=0.25, weight=0.5, probability=0.01, comment="too long", is_vouched=True)
    await book.outcomes.keep(full)
    assert await book.of() == [full]
    assert await book.of(2) == []


async def test_a_source_that_changes_its_mind_replaces(book: Book) -> None:
    """What it says last holds, down to the comment that it leaves out."""
    await book.outcomes.keep(outcome(comment="good", probability=0.5))
    await book.outcomes.keep(outcome(score=0.0, at=NOON + 90))
    assert await book.of() == [outcome(score=0.0, at=NOON + 90)]


async def test_sources_that_contradict_each_other_are_all_kept(book: Book) -> None:
    """In the order of time, whoever they are of."""
    said = [
        outcome(),
        outcome(source="tests", score=0.0, at=NOON + 61),
        outcome(source="user", score=0.5, at=NOON + 62, key_id="reviewer", is_vouched=True),
    ]
    for each in reversed(said):
        await book.outcomes.keep(each)
    assert await book.of() == said


async def test_what_another_key_says_does_not_count(book: Book) -> None:
    """Unless it may speak of anybody's requests; and it takes no place of the key's own."""
    await book.outcomes.keep(outcome())
    await book.outcomes.keep(outcome(key_id="stranger", score=0.0))
    assert await book.of() == [outcome()]
    await book.outcomes.keep(outcome(key_id="reviewer", score=0.0, is_vouched=True))
    assert [each.key_id for each in await book.of()] == ["default", "reviewer"]


async def test_a_request_has_so_many_sources_and_no_more(book: Book) -> None:
    """One more is refused and not kept, one of those that are there may still change, and others are not concerned."""
    for number in range(MOST_SOURCES):
        await book.outcomes.keep(outcome(source=f"s{number}"))
    with pytest.raises(Conflict, match=f"{MOST_SOURCES} sources"):
        await book.outcomes.keep(outcome(source="more"))
    await book.outcomes.keep(outcome(source="s0", score=0.0))
    assert len(await book.of()) == MOST_SOURCES
    await book.outcomes.keep(outcome(source="more", key_id="reviewer", is_vouched=True))
    await book.outcomes.keep(outcome(2, source="more"))


async def test_feedback_at_once_leaves_one_row(book: Book) -> None:
    """Of the same source any one of them stays; none fails."""
    await asyncio.gather(*(book.outcomes.keep(outcome(score=number / 8)) for number in range(8)))
    assert len(await book.of()) == 1


async def test_what_the_calibrator_judged_is_added_once(book: Book) -> None:
    """A task that runs again changes nothing, and adds what was missing."""
    first, second = (outcome(number, source="verifier:math", key_id="calibrator", is_vouched=True) for number in (1, 2))
    await book.outcomes.add([])
    await book.outcomes.add([first])
    await book.outcomes.add([replace(first, score=0.0), second])
    assert (await book.of(1), await book.of(2)) == ([first], [second])


async def test_outcomes_are_read_with_their_requests(book: Book, sink: Sink) -> None:
    """With the arm, its category and propensity, the profile's version and what it cost."""
    await book.outcomes.keep(outcome())
    assert await book.judged() == []
    await sink.write([_decided(cost=usd("0.5"), total_s=1.5)])
    assert await book.judged() == [
        Judged(
            outcome=outcome(),
            started_at=NOON,
            arm=PLAN.arm.name,
            category="math",
            difficulty="hard",
            profile_version=3,
            propensity=0.97,
            result=Result.ANSWERED,
            cost=usd("0.5"),
            total_s=1.5,
        )
    ]


async def test_what_is_not_on_record_is_not_made_up(book: Book, sink: Sink) -> None:
    """A decision without profile or propensities, and a cost that is not fully known."""
    await sink.write([_decided(plan=replace(PLAN, profile_version=None, propensities={}), is_cost_complete=False)])
    await book.outcomes.keep(outcome())
    (judged,) = await book.judged()
    assert (judged.profile_version, judged.propensity, judged.cost) == (None, None, None)


async def test_outcomes_of_other_requests_are_left_out(book: Book, sink: Sink) -> None:
    """Those of another policy or of none, of another key, and of requests without a record."""
    await sink.write(
        [_decided(1), _decided(2, plan=replace(PLANNED, policy="thrift")), request(3, plan=None), _decided(4)]
    )
    for number in (1, 2, 3, 5):
        await book.outcomes.keep(outcome(number))
    await book.outcomes.keep(outcome(4, key_id="stranger"))
    assert [each.outcome for each in await book.judged()] == [outcome(1)]


async def test_outcomes_are_read_in_parts(book: Book, sink: Sink) -> None:
    """Each once whatever the parts' size, by time, also where many were given in the same moment."""
    await sink.write([_decided(number) for number in range(1, 8)])
    given = [outcome(number, at=NOON + number // 3, source=source) for number in range(1, 8) for source in ("a", "b")]
    for each in given:
        await book.outcomes.keep(each)
    for size in (1, 2, 3, 14, 15):
        assert [each.outcome for each in await book.judged(size=size)] == given
    part = await book.judged(since=NOON + 1, until=NOON + 2)
    assert [each.outcome for each in part] == [each for each in given if each.at == NOON + 1]


async def test_a_look_can_be_as_long_as_it_may_read(book: Book) -> None:
    """Since when there are at most so many outcomes, of whatever request; all of them, where there are fewer."""
    for number in range(5):
        await book.outcomes.keep(outcome(number, at=NOON + number))
    assert await book.outcomes.reach(2, until=NOON + 4) == NOON + 2
    assert await book.outcomes.reach(6, until=NOON + DAY_S) == 0.0


async def test_outcomes_go_with_their_requests(book: Book, sink: Sink, database: Database, store: Requests) -> None:
    """Also those whose request never came; those of later requests stay."""
    await sink.write([_decided(1)])
    late = [replace(outcome(), request_id=identity(number, NOON + 100)) for number in range(1_100)]
    await book.outcomes.add([*late, outcome(1), outcome(2)])
    retention = Retention(database)
    assert await retention.delete_requests(NOON + 100, now=NOON + DAY_S) == 1
    assert (await book.of(1), await book.of(2)) == ([], [])
    assert await book.outcomes.of_request(late[0].request_id, NOON + 100, key_id="default") == (late[0],)
    assert await retention.delete_requests(NOON + 101, now=NOON + DAY_S) == 0
    for each in (late[0], late[-1]):
        assert await book.outcomes.of_request(each.request_id, NOON + 100, key_id="default") == ()
    assert await store.find(identity(1)) is None
    await retention.close()


async def test_comments_go_with_the_texts(book: Book, database: Database) -> None:
    """They may hold what the prompt did; how good the answer was stays."""
    old = [outcome(number, comment="x") for number in range(1_100)]
    new = replace(outcome(comment="y"), request_id=identity(1, NOON + 100))
    await book.outcomes.add([*old, new])
    retention = Retention(database)
    assert await retention.delete_texts(NOON + 100) == 0
    for number in (0, 1_099):
        assert await book.of(number) == [outcome(number)]
    assert await book.outcomes.of_request(new.request_id, NOON + 100, key_id="default") == (new,)
    await retention.close()
