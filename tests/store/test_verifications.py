"""What is verified of traffic: one process at a time, under a day's cap, and never the same answer twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.money import usd
from gateway.domain.outcome import Outcome
from gateway.domain.plan import Plan
from gateway.domain.record import RequestRecord, Result, StoredText
from gateway.store.base import Database
from gateway.store.connections import Connections
from gateway.store.outcomes import Outcomes
from gateway.store.sinks import Sink
from gateway.store.verifications import CALIBRATOR, Answered, VerificationClaim, Verifications
from tests.store.records import DAY_S, FULL, NOON, identity, request

assert FULL.plan is not None
PLAN: Plan = replace(FULL.plan, policy="work", is_observed=False)
TEXT = StoredText(b'{"model":"auto"}', b'{"choices":[]}')
TODAY, TOMORROW = "2026-11-22", "2026-11-23"
CAP = usd("0.000000010")


@pytest.fixture
async def connections(database: Database) -> AsyncIterator[Connections]:
    """Those of an empty database."""
    opened = Connections(database, most=4)
    yield opened
    await opened.close()


@pytest.fixture
def store(connections: Connections) -> Verifications:
    """What is verified in it."""
    return Verifications(connections)


def answered(number: int = 1, **changes: Any) -> RequestRecord:
    """A request that the policy decided, with its text."""
    begun = NOON + number
    known = {"started_at": begun, "plan": PLAN, "text": TEXT, "model_asked": "auto", **changes}
    return replace(request(number), id=identity(number, begun), **known)


async def _claimed(store: Verifications, *, now: float = NOON, day: str = TODAY) -> VerificationClaim:
    claim = await store.claim("work", day=day, now=now, lease_s=10)
    assert claim is not None
    return claim


async def _found(store: Verifications, **changes: Any) -> list[Answered]:
    asked = {"since": NOON, "after": None, "until": NOON + DAY_S, "size": 10, **changes}
    return list(await store.answered("work", **asked))


async def test_a_policy_is_with_one_process_at_a_time(store: Verifications) -> None:
    """Of many that ask at once one gets it; another may have it once the lease is over, or it was let go."""
    claims = await asyncio.gather(*(store.claim("work", day=TODAY, now=NOON, lease_s=10) for _ in range(4)))
    (claim,) = [each for each in claims if each is not None]
    assert claim.read_to is None
    assert await store.claim("work", day=TODAY, now=NOON + 9, lease_s=10) is None
    assert await store.claim("other", day=TODAY, now=NOON, lease_s=10) is not None
    second = await _claimed(store, now=NOON + 10)
    assert not await store.release(claim, read_to=NOON + 5)
    assert await store.release(second, read_to=NOON + 6)
    assert (await _claimed(store, now=NOON + 11)).read_to == NOON + 6


async def test_money_is_set_aside_under_the_cap(store: Verifications) -> None:
    """What would go beyond it is refused, however many ask at once; the true cost makes room again."""
    claim = await _claimed(store)
    part = usd("0.000000004")
    held = await asyncio.gather(*(store.hold(claim, part, cap=CAP) for _ in range(4)))
    assert sorted(held) == [False, False, True, True]
    assert await store.spent("work", day=TODAY) == usd("0.000000008")
    assert await store.settle(claim, part, cost=usd("0.000000001"))
    assert await store.hold(claim, part, cap=CAP)
    assert not await store.hold(claim, usd("0.000000002"), cap=CAP)
    assert await store.spent("work", day=TODAY) == usd("0.000000009")


async def test_what_was_never_settled_is_charged(store: Verifications) -> None:
    """A process that ended with money set aside has spent it, as far as the day is concerned; its claim is void."""
    first = await _claimed(store)
    assert await store.hold(first, usd("0.000000007"), cap=CAP)
    second = await _claimed(store, now=NOON + 10)
    assert not await store.settle(first, usd("0.000000007"), cost=usd(0))
    assert not await store.hold(first, usd("0.000000001"), cap=CAP)
    assert not await store.hold(second, usd("0.000000004"), cap=CAP)
    assert await store.hold(second, usd("0.000000003"), cap=CAP)


async def test_spending_begins_anew_each_day(store: Verifications) -> None:
    """Yesterday's is not counted any more."""
    claim = await _claimed(store)
    assert await store.hold(claim, CAP, cap=CAP)
    await store.release(claim, read_to=NOON)
    claim = await _claimed(store, day=TOMORROW)
    assert await store.spent("work", day=TOMORROW) == 0
    assert await store.hold(claim, CAP, cap=CAP)
    assert await store.spent("work", day=TODAY) == 0


async def test_only_answers_that_the_policy_decided_are_found(store: Verifications, sink: Sink) -> None:
    """Other policies', refused ones, named arms and pinned models are no traffic of it."""
    await sink.write(
        [
            answered(1),
            answered(2, plan=replace(PLAN, policy="other")),
            answered(3, result=Result.FAILED),
            answered(4, model_asked="arm:fast"),
            answered(5, plan=None),
            answered(6, model_asked="auto:work"),
        ]
    )
    assert [each.id for each in await _found(store)] == [identity(n, NOON + n) for n in (1, 6)]
    assert [each.id for each in await _found(store, since=NOON + 2, until=NOON + 6)] == []
    assert [each.started_at for each in await _found(store, since=NOON + 6)] == [NOON + 6]


async def test_pages_follow_each_other(store: Verifications, sink: Sink) -> None:
    """Those that began in the same moment too, each once."""
    same = [answered(number, started_at=NOON + 1) for number in range(1, 6)]
    await sink.write([replace(each, id=identity(n, NOON + 1)) for n, each in enumerate(same)])
    seen: list[Answered] = []
    while page := await _found(store, after=seen[-1] if seen else None, size=2):
        seen += page
    assert [each.id for each in seen] == [identity(n, NOON + 1) for n in range(5)]


async def test_an_answer_is_unverified_until_its_outcome_is_there(
    store: Verifications, connections: Connections, sink: Sink
) -> None:
    """The outcome of another source, or of another giver, is another one; what has no text is left out."""
    observed = answered(3, plan=replace(PLAN, is_observed=True))
    await sink.write([answered(1), answered(2), observed, answered(4, text=None)])
    chosen = await _found(store)
    assert len(chosen) == 4
    said = Outcome(chosen[0].id, "verifier:judge", 1.0, NOON + 60, CALIBRATOR, is_vouched=True)
    other = replace(said, request_id=chosen[1].id, source="verifier:prm")
    await Outcomes(connections).add([said, other, replace(other, source="verifier:judge", key_id="key_1")])
    (left,) = await store.unverified(chosen, "verifier:judge")
    assert (left.id, left.request, left.answer) == (chosen[1].id, TEXT.request, TEXT.answer)
    assert (left.started_at, left.key_id, left.is_stream) == (NOON + 2, "default", False)
    assert [each.id for each in await store.unverified(chosen, "verifier:prm")] == [chosen[0].id]
    assert await store.unverified([], "verifier:judge") == ()
