"""What is seen of canaries: which requests count, what was found of them, and evidence that changes in turns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from gateway.domain.outcome import Outcome
from gateway.domain.plan import Plan
from gateway.domain.record import RequestRecord, Result
from gateway.domain.rollout import CanaryLook, CanaryStanding
from gateway.store.base import Database
from gateway.store.canary_evidence import Aspect, CanaryEvidence, DrawnRequest, JudgedRequest, Said
from gateway.store.changes import Changes
from gateway.store.connections import Connections
from gateway.store.outcomes import Outcomes
from gateway.store.profiles import Profiles
from gateway.store.rollouts import Rollouts
from gateway.store.sinks import Sink
from tests.store.profiles import document
from tests.store.records import DAY_S, FULL, NOON, identity, request
from tests.store.tenants import OPERATOR

assert FULL.plan is not None
PLAN: Plan = replace(FULL.plan, policy="default", category="math", difficulty="hard", is_observed=False)
POINTS = 1 << 53


def _drawn(number: int, bucket: float, *, version: int = 2, share: float = 0.25, **changes: Any) -> RequestRecord:
    """A request of a conversation at this place."""
    fact = {"version": version, "share": share, "bucket": bucket}
    plan = replace(PLAN, facts={**PLAN.facts, "canary": fact}, **changes.pop("plan", {}))
    return request(number, plan=plan, **{"started_at": NOON + number, **changes})


@dataclass(frozen=True, slots=True)
class Book:
    """A canary of which nothing is known, and what is found of its requests."""

    evidence: CanaryEvidence
    outcomes: Outcomes
    rollouts: Rollouts
    canary: CanaryStanding

    async def judge(self, number: int, score: float = 1.0, **changes: Any) -> None:
        """A user says how good an answer was."""
        said = Outcome(identity(number, NOON + number), "user", score, NOON + 60 + number, "default", is_vouched=False)
        await self.outcomes.keep(replace(said, **changes))

    async def judged(self, *, since: float = NOON, until: float = NOON + DAY_S, size: int = 5) -> list[JudgedRequest]:
        """The requests of which something was found."""
        parts: list[Sequence[JudgedRequest]] = [
            part async for part in self.evidence.judged(self.canary, since=since, until=until, size=size)
        ]
        return [each for part in parts for each in part]


@pytest.fixture
async def book(database: Database, changes: Changes) -> AsyncIterator[Book]:
    """Version 2 is tried on a quarter."""
    connections = Connections(database, most=4)
    for number in (1, 2):
        await Profiles(changes).publish(document(), number=number, expires_at=NOON + DAY_S, by=OPERATOR)
    rollouts = Rollouts(changes)
    canary = await rollouts.begin_canary("default", 2, share=0.25, by=replace(OPERATOR, at=NOON))
    yield Book(CanaryEvidence(connections), Outcomes(connections), rollouts, canary)
    await connections.close()


async def test_requests_are_read_with_the_version_they_drew(book: Book, sink: Sink) -> None:
    """Below the share it is the new one; the point tells one conversation from another."""
    await sink.write([_drawn(1, 0.125, cost=PLAN.ceilings.cost), _drawn(2, 0.5, is_cost_complete=False)])
    read = await book.evidence.served(book.canary, since=NOON, until=NOON + 9, limit=9)
    assert read == [
        DrawnRequest(
            id=identity(1, NOON + 1),
            started_at=NOON + 1,
            point=POINTS // 8,
            share=0.25,
            is_new=True,
            rule="checkable work",
            category="math",
            difficulty="hard",
            result=Result.ANSWERED,
            cost=PLAN.ceilings.cost,
            total_s=0.5,
        ),
        replace(read[1], id=identity(2, NOON + 2), point=POINTS // 2, is_new=False, cost=None),
    ]
    assert await book.evidence.served(book.canary, since=NOON + 2, until=NOON + 9, limit=9) == read[1:]
    assert await book.evidence.served(book.canary, since=NOON, until=NOON + 2, limit=9) == read[:1]
    assert await book.evidence.served(book.canary, since=NOON, until=NOON + 9, limit=1) == read[:1]


async def test_other_requests_are_left_out(book: Book, sink: Sink) -> None:
    """Of another policy or canary, from before it, without a draw, and those that were only observed."""
    await sink.write(
        [
            _drawn(1, 0.1, plan={"policy": "thrift"}),
            _drawn(2, 0.1, version=3),
            _drawn(3, 0.1, started_at=NOON - 1),
            request(4, plan=PLAN, started_at=NOON + 4),
            request(5, plan=None, started_at=NOON + 5),
            _drawn(6, 0.1, plan={"is_observed": True}),
            _drawn(7, 0.1),
        ]
    )
    read = await book.evidence.served(book.canary, since=NOON - 9, until=NOON + 9, limit=9)
    assert [each.started_at for each in read] == [NOON + 7]


async def test_what_was_found_is_read_by_when_it_was(book: Book, sink: Sink) -> None:
    """With all that was found of a request until then, by whoever may speak of it; in parts of any size."""
    await sink.write([_drawn(number, number / 10) for number in range(1, 6)])
    await book.judge(1, at=NOON + 500)
    await book.judge(2, 0.0, weight=0.5, probability=0.25)
    await book.judge(2, source="tests")
    await book.judge(3, key_id="stranger")
    await book.judge(4, key_id="reviewer", is_vouched=True)
    await book.judge(4, source="later", at=NOON + DAY_S)
    await book.judge(9)
    for size in (2, 5):
        found = await book.judged(size=size)
        assert [round(each.request.started_at - NOON) for each in found] == [2, 4, 1]
        assert found[0].said == (Said(1.0, 1.0, None), Said(0.0, 0.5, 0.25))
        assert found[1].said == (Said(1.0, 1.0, None),)
        assert [each.at for each in found] == [NOON + 62, NOON + 64, NOON + 500]
    assert [each.at for each in await book.judged(since=NOON + 64, until=NOON + 500)] == [NOON + 64]


async def test_evidence_begins_where_the_canary_did(book: Book) -> None:
    """And is the same for all who look."""
    first, second = await asyncio.gather(*(book.evidence.progress(book.canary) for _ in range(2)))
    assert first == second
    assert (first.turn, first.document, first.verdict) == (0, None, None)
    assert (first.outcomes_to, first.requests_to) == (NOON, NOON)
    assert await book.rollouts.looks((book.canary.id,)) == {}


async def test_evidence_changes_in_turns(book: Book) -> None:
    """Of several who saw the same one keeps what it has, with its conversations, and the others keep nothing."""
    before = await book.evidence.progress(book.canary)
    wanted = [
        replace(before, document={"by": number}, outcomes_to=NOON + number, verdict="waits", judged_at=NOON)
        for number in range(4)
    ]
    kept = await asyncio.gather(
        *(book.evidence.keep(before, each, Aspect.QUALITY, [1, 2, 10 + n]) for n, each in enumerate(wanted))
    )
    (winner,) = [each for each in kept if each is not None]
    assert winner.turn == 1
    assert await book.evidence.progress(book.canary) == winner
    assert await book.evidence.find((book.canary.id, 77)) == {book.canary.id: winner}
    assert winner.document is not None
    assert await book.rollouts.looks((book.canary.id, 77)) == {book.canary.id: CanaryLook("waits", NOON)}
    counted = await book.evidence.counted(book.canary.id, Aspect.QUALITY, [1, 2, 3, 10, 11, 12, 13])
    assert counted == {1, 2, 10 + winner.document["by"]}
    assert await book.evidence.counted(book.canary.id, Aspect.SERVICE, [1, 2]) == frozenset()
    assert await book.evidence.keep(before, before, Aspect.SERVICE, [7]) is None
    assert await book.evidence.counted(book.canary.id, Aspect.SERVICE, [7]) == frozenset()


async def test_conversations_are_forgotten_once_a_canary_ends(book: Book) -> None:
    """A part at a time, and the evidence stays."""
    before = await book.evidence.progress(book.canary)
    kept = await book.evidence.keep(before, before, Aspect.SERVICE, range(POINTS - 50, POINTS))
    assert await book.evidence.forget(limit=30) == 0
    await book.rollouts.withdraw_canary(book.canary, reason="it harms", by=OPERATOR)
    assert [await book.evidence.forget(limit=30) for _ in range(3)] == [30, 20, 0]
    assert await book.evidence.progress(book.canary) == kept
