"""Verdicts of verifiers, with what somebody who is believed said of the same answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.outcome import Outcome
from gateway.domain.plan import Plan
from gateway.domain.record import RequestRecord
from gateway.store.base import Database
from gateway.store.connections import Connections
from gateway.store.judgements import Judgement, Judgements
from gateway.store.outcomes import Outcomes
from gateway.store.sinks import Sink
from gateway.store.verifications import CALIBRATOR
from tests.store.records import DAY_S, FULL, NOON, identity, request

assert FULL.plan is not None
PLAN: Plan = replace(FULL.plan, policy="work")
ARM = PLAN.arm.name


@pytest.fixture
async def connections(database: Database) -> AsyncIterator[Connections]:
    """Those of an empty database."""
    opened = Connections(database, most=2)
    yield opened
    await opened.close()


def answered(number: int, **changes: Any) -> RequestRecord:
    """A request that the policy decided."""
    begun = NOON + number
    return replace(request(number), id=identity(number, begun), **{"started_at": begun, "plan": PLAN, **changes})


def verdict(number: int, **changes: Any) -> Outcome:
    """A verifier's yes."""
    said = Outcome(
        identity(number, NOON + number), "verifier:judge", 1.0, NOON + DAY_S, CALIBRATOR, is_vouched=True
    )  # fmt: skip
    return replace(said, **changes)


def audit(number: int, **changes: Any) -> Outcome:
    """What an auditor found right."""
    return verdict(number, **{"source": "audit", "key_id": "auditor", **changes})


async def _read(connections: Connections, **period: float) -> list[Judgement]:
    asked = {"since": NOON, "until": NOON + DAY_S, **period}
    parts = [part async for part in Judgements(connections).read("work", size=2, **asked)]
    assert all(0 < len(part) <= 2 for part in parts)
    return [each for part in parts for each in part]


async def test_verdicts_come_with_their_truth(connections: Connections, sink: Sink) -> None:
    """By the arm that was decided; without anybody's word the truth is not known."""
    await sink.write([answered(number) for number in range(5)])
    said = [verdict(0), verdict(1, score=0.25), verdict(1, source="verifier:prm"), verdict(2), audit(1), audit(3)]
    await Outcomes(connections).add(said)
    assert await _read(connections) == [
        Judgement("judge", ARM, 1.0, None),
        Judgement("judge", ARM, 0.25, 1.0),
        Judgement("prm", ARM, 1.0, 1.0),
        Judgement("judge", ARM, 1.0, None),
    ]
    assert await _read(connections, since=NOON + 2) == [Judgement("judge", ARM, 1.0, None)]
    assert len(await _read(connections, until=NOON + 1)) == 1


async def test_only_those_who_may_speak_of_any_request_are_believed(connections: Connections, sink: Sink) -> None:
    """A user's word is not the truth; of several believed ones it is their mean by weight."""
    await sink.write([answered(1), answered(2)])
    user = audit(1, source="user", key_id="default", is_vouched=False)
    doubt = audit(2, source="tests", score=0.0, weight=0.25)
    await Outcomes(connections).add([verdict(1), user, verdict(2), audit(2), doubt])
    assert [each.truth for each in await _read(connections)] == [None, 0.8]


async def test_other_policies_and_givers_are_left_out(connections: Connections, sink: Sink) -> None:
    """A verdict is the calibrator's, on a request of the policy."""
    await sink.write([answered(1, plan=replace(PLAN, policy="other")), answered(2), answered(3, plan=None)])
    await Outcomes(connections).add([verdict(1), verdict(2, key_id="key_1"), verdict(3), verdict(4)])
    assert await _read(connections) == []
