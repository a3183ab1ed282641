"""Webhooks are told of budgets once, whichever process notices, and however often their servers fail."""

from __future__ import annotations

import sqlite3
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.adapters.webhook import make_webhook
from gateway.domain.money import usd
from gateway.domain.notice import EVENTS, BudgetEvent
from gateway.herald import BACK_OFF_S
from gateway.ports import Claim
from tests.adapters.journal.samples import until
from tests.clock import SetClock
from tests.heralding import ACCOUNT, Make, Stage
from tests.hooked import SECRET, Receiver

pytest_plugins = ("tests.heralding_fixtures",)


async def _taken(stage: Stage) -> None:
    """Wait until the herald has taken every mark."""
    await until(lambda: not len(stage.crossings))


async def _failed(stage: Stage, attempts: int) -> None:
    """Wait until this many attempts have failed."""
    await until(lambda: stage.count("failed") == attempts)


async def test_a_passed_soft_limit_is_told_once(stage: Make, receiver: Receiver, clock: SetClock) -> None:
    """Of many requests past it, in two processes, one message comes; the next day it is told again."""
    one, other = await stage(), await stage()
    for number in range(5):
        for each in (one, other):
            await each.spend(f"r{number}", "0.1", "0.1")
    for each in (one, other):
        await each.spend("r5", "0.1", "0.05")
    await until(lambda: len(receiver.messages) == 1)
    for each in (one, other):
        await each.spend("r6", "0.1", "0.01")
        await _taken(each)
    (message,) = receiver.messages
    assert message.is_genuine
    assert message.json["type"] == "budget.soft_limit"
    assert message.json["data"]["account"] == "key:k1"
    assert Decimal(message.json["data"]["spent_usd"]) >= Decimal("0.5")
    assert one.count("sent") + other.count("sent") == 1
    clock.at += 86_400
    await one.spend("tomorrow", "0.6", "0.6")
    await until(lambda: len(receiver.messages) == 2)
    assert receiver.messages[0].id != receiver.messages[1].id


async def test_what_is_only_held_is_not_told(stage: Make, receiver: Receiver) -> None:
    """A hold past the soft limit waits for its true cost: less tells nothing, more tells."""
    gateway = await stage()
    await gateway.spend("cheap", "0.9", "0.1")
    await gateway.spend("under way", "0.5", None)
    await _taken(gateway)
    assert receiver.messages == []
    held = await gateway.purse.hold(
        Claim("under way", (ACCOUNT,), usd("0.5"), tokens=1, now=gateway.clock.now(), lease_s=60)
    )
    await gateway.purse.settle(held, usd("0.45"), tokens=1, now=gateway.clock.now())
    await until(lambda: len(receiver.messages) == 1)
    assert receiver.messages[0].json["data"]["spent_usd"] == "0.55"


async def test_a_refusal_is_told_once(stage: Make, receiver: Receiver) -> None:
    """A budget that turned requests away is told as exhausted, beside its soft limit."""
    gateway = await stage()
    await gateway.spend("r1", "0.9", "0.9")
    for number in range(3):
        await gateway.spend(f"refused{number}", "0.2", None)
    await until(lambda: len(receiver.messages) == 2)
    assert sorted(message.json["type"] for message in receiver.messages) == ["budget.exhausted", "budget.soft_limit"]
    assert {message.json["data"]["percent"] for message in receiver.messages} == {90.0}


async def test_events_are_chosen_per_webhook(stage: Make, receiver: Receiver) -> None:
    """A webhook is told of the events it asked for, and of no others."""
    events = frozenset({BudgetEvent.EXHAUSTED})
    gateway = await stage(make_webhook(f"{receiver.address}/hook", SECRET, events, allow_private=False))
    await gateway.spend("r1", "0.9", "0.9")
    await gateway.spend("refused", "0.2", None)
    await until(lambda: len(receiver.messages) == 1)
    await until(lambda: gateway.count("sent") == 1)
    assert receiver.messages[0].json["type"] == "budget.exhausted"


async def test_a_failing_server_is_tried_again_with_growing_waits(
    stage: Make, receiver: Receiver, clock: SetClock
) -> None:
    """After each failure the same message comes later again, until it is taken; meanwhile operators are told."""
    receiver.status = 500
    gateway = await stage()
    await gateway.spend("r1", "0.9", "0.9")
    for attempt, wait_s in enumerate(BACK_OFF_S[:3], 1):
        await _failed(gateway, attempt)
        assert "answered 500" in gateway.herald.degraded()[0]
        clock.at += wait_s
    await until(lambda: gateway.count("failed") == 4)
    receiver.status = 204
    clock.at += BACK_OFF_S[3]
    await until(lambda: gateway.count("sent") == 1)
    assert gateway.herald.degraded() == ()
    assert len({(message.id, message.body) for message in receiver.messages}) == 1
    assert len(receiver.messages) == 5
    assert all(message.is_genuine for message in receiver.messages)
    assert len({message.timestamp for message in receiver.messages}) == 5


async def test_it_is_given_up_after_the_last_wait(stage: Make, receiver: Receiver, clock: SetClock) -> None:
    """A server that never takes a message gets no more of it, which is counted."""
    receiver.status = 503
    gateway = await stage()
    await gateway.spend("r1", "0.9", "0.9")
    for attempt, wait_s in enumerate((*BACK_OFF_S, 86_400.0), 1):
        await _failed(gateway, attempt)
        clock.at += wait_s
    await until(lambda: gateway.count("given_up") == 1)
    assert len(receiver.messages) == len(BACK_OFF_S) + 1


async def test_a_restart_goes_on(stage: Make, receiver: Receiver, clock: SetClock) -> None:
    """What one process could not deliver before it ended, the next one delivers, as the same message."""
    receiver.status = 500
    first = await stage()
    await first.spend("r1", "0.9", "0.9")
    await until(lambda: first.count("failed") == 1)
    await first.herald.close(within_s=5)
    receiver.status = 204
    clock.at += BACK_OFF_S[0]
    second = await stage()
    await until(lambda: second.count("sent") == 1)
    assert len({message.id for message in receiver.messages}) == 1


async def test_a_database_that_is_away_loses_no_event(
    stage: Make, receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What was noticed while the database was locked is told when it is free again."""
    gateway = await stage()
    blocker = sqlite3.connect(tmp_path / "ponder.db", isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    await gateway.spend("r1", "0.9", "0.9")
    await until(lambda: "webhooks wait" in caplog.text)
    blocker.execute("COMMIT")
    blocker.close()
    await until(lambda: len(receiver.messages) == 1)


async def test_webhooks_follow_the_configuration(stage: Make, receiver: Receiver) -> None:
    """A webhook that is taken out is told nothing any more; one that is put in is told from the next request on."""
    gateway = await stage()
    old, new = (
        make_webhook(f"{receiver.address}/{path}", SECRET, EVENTS, allow_private=False) for path in ("old", "new")
    )
    gateway.herald.tell([old])
    await gateway.spend("r1", "0.6", "0.6")
    await until(lambda: len(receiver.messages) == 1)
    gateway.herald.tell([new])
    await gateway.spend("r2", "0.1", "0.01")
    await until(lambda: len(receiver.messages) == 2)
    gateway.herald.tell([])
    await gateway.spend("refused", "0.9", None)
    await _taken(gateway)
    assert [message.json["type"] for message in receiver.messages] == ["budget.soft_limit"] * 2
