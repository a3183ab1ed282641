"""Tests of gateway/store/notices.py and gateway/domain/notice.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal

import orjson
import pytest

from gateway.domain.limits import Budget, Period
from gateway.domain.money import usd
from gateway.domain.notice import BudgetEvent, Crossing, ProfileEvent, ProfileTurn, notice_document, turn_document
from gateway.domain.tenancy import KeyTerms, TeamTerms
from gateway.store.base import Database
from gateway.store.changes import Changes
from gateway.store.keys import Keys
from gateway.store.notices import FAILED, SENT, DueNotice, Notices
from gateway.store.teams import Teams
from tests.store.records import NOON
from tests.store.tenants import ADMIN, secret

BUDGET = Budget(usd("10"), Period.DAY, Decimal("0.8"))
CROSSING = Crossing(BudgetEvent.SOFT_LIMIT, "key:key_1", BUDGET, usd("8.123456789"), usd("0.5"), NOON)
TURN = ProfileTurn(ProfileEvent.CANARY_WITHDRAWN, "work", 3, "it harms", NOON, share=0.05, in_force=2)
LAPSED = replace(TURN, event=ProfileEvent.LAPSED, rule="checkable", rule_digest="abc", share=None)
DAY_S, CLAIM_S = 86_400.0, 60.0


@pytest.fixture
async def notices(database: Database) -> AsyncIterator[Notices]:
    """The notices in the database."""
    notices = Notices(database)
    yield notices
    await notices.close()


async def _due(notices: Notices, now: float = NOON) -> list[DueNotice]:
    return list(await notices.claim(now=now, for_s=CLAIM_S, limit=10))


async def test_each_event_is_written_once(notices: Notices) -> None:
    """The same event of the same budget in the same period is written once per webhook; anything else apart."""
    assert await notices.add("msg_1", CROSSING, "search", "hook-1")
    assert not await notices.add("msg_2", CROSSING, "search", "hook-1")
    assert not await notices.add("msg_3", replace(CROSSING, at=NOON + 60, spent=usd("9")), "search", "hook-1")
    others = (
        (CROSSING, "hook-2"),
        (replace(CROSSING, event=BudgetEvent.EXHAUSTED), "hook-1"),
        (replace(CROSSING, account="team:key_1"), "hook-1"),
        (replace(CROSSING, at=NOON + DAY_S), "hook-1"),
        (replace(CROSSING, budget=replace(BUDGET, period=Period.MONTH)), "hook-1"),
        (replace(CROSSING, budget=replace(BUDGET, amount=usd("20"))), "hook-1"),
    )
    for number, (crossing, webhook) in enumerate(others):
        assert await notices.add(f"msg_other_{number}", crossing, "search", webhook)


async def test_each_event_of_a_profile_is_written_once(notices: Notices) -> None:
    """By policy, version, event and time; what is only seen, whenever anybody sees it, by what the rule is now."""
    same = (
        (TURN, replace(TURN, in_force=None, reason="other words")),
        (LAPSED, replace(LAPSED, at=NOON + 5)),
    )
    for first, again in same:
        assert await notices.add_turn("msg_" + first.event, first, "hook-1", now=NOON)
        assert not await notices.add_turn("msg_again", again, "hook-1", now=NOON)
    others = (
        replace(TURN, event=ProfileEvent.CANARY_PROMOTED),
        replace(TURN, policy="other"),
        replace(TURN, version=4),
        replace(TURN, at=NOON + 1),
        replace(LAPSED, rule="talk"),
        replace(LAPSED, rule_digest="abd"),
    )
    for number, other in enumerate(others):
        assert await notices.add_turn(f"msg_other_{number}", other, "hook-1", now=NOON)
    assert await notices.add_turn("msg_hook_2", TURN, "hook-2", now=NOON)


async def test_the_body_tells_of_the_profile(notices: Notices) -> None:
    """It says which version of which policy, why, and what is in force; what does not apply is left out."""
    await notices.add_turn("msg_1", TURN, "hook", now=NOON)
    (due,) = await _due(notices)
    assert (
        orjson.loads(due.body)
        == turn_document(TURN)
        == {
            "type": "profile.canary_withdrawn",
            "timestamp": "2026-11-22T12:00:00.000+00:00",
            "data": {
                "policy": "work",
                "version": 3,
                "in_force": 2,
                "reason": "it harms",
                "share": 0.05,
                "time": "2026-11-22T12:00:00.000+00:00",
            },
        }
    )
    assert turn_document(LAPSED)["data"].keys() == {"policy", "version", "in_force", "reason", "rule", "time"}


async def test_of_many_writers_one_writes(database: Database) -> None:
    """Ten processes that notice the same event at once write one notice."""
    writers = [Notices(database) for _ in range(10)]
    written = await asyncio.gather(
        *(each.add(f"msg_{number}", CROSSING, "search", "hook") for number, each in enumerate(writers))
    )
    assert sorted(written) == [False] * 9 + [True]
    assert len(await _due(writers[0])) == 1
    for each in writers:
        await each.close()


async def test_of_many_senders_one_gets_each(notices: Notices, database: Database) -> None:
    """Twelve notices claimed by six processes at once are claimed once each."""
    for number in range(12):
        await notices.add(f"msg_{number}", replace(CROSSING, account=f"key:{number}"), "search", "hook")
    senders = [Notices(database) for _ in range(6)]
    claimed = await asyncio.gather(*(each.claim(now=NOON, for_s=CLAIM_S, limit=4) for each in senders))
    ids = [notice.id for some in claimed for notice in some]
    rest = [notice.id for notice in await _due(notices)] + [notice.id for notice in await _due(notices)]
    assert sorted(ids + rest) == sorted(f"msg_{number}" for number in range(12))
    for each in senders:
        await each.close()


async def test_a_claim_ends_with_its_process(notices: Notices) -> None:
    """What was claimed and never ended is due again when the claim's time is over, as the same message."""
    await notices.add("msg_1", CROSSING, "search", "hook")
    (first,) = await _due(notices)
    assert await _due(notices, NOON + CLAIM_S - 1) == []
    assert await _due(notices, NOON + CLAIM_S) == [replace(first, attempts=2)]


async def test_an_ended_notice_is_not_due_again(notices: Notices) -> None:
    """Postponed it is due when said; sent or given up it never is, and it is still not written again."""
    await notices.add("msg_1", CROSSING, "search", "hook")
    await _due(notices)
    await notices.postpone("msg_1", until=NOON + 300, error="example.com answered 500")
    assert await _due(notices, NOON + 299) == []
    assert len(await _due(notices, NOON + 300)) == 1
    await notices.end("msg_1", SENT, now=NOON + 301)
    await notices.postpone("msg_1", until=NOON, error="late")
    assert await _due(notices, NOON + DAY_S) == []
    assert not await notices.add("msg_2", CROSSING, "search", "hook")


async def test_old_notices_are_forgotten_unless_they_would_be_told_again(notices: Notices) -> None:
    """Ended ones of periods that are over go; those of total budgets and those that wait stay."""
    total = replace(CROSSING, budget=replace(BUDGET, period=Period.TOTAL))
    for name, crossing in (("sent", CROSSING), ("total", total), ("waits", replace(CROSSING, account="key:2"))):
        await notices.add(name, crossing, "search", "hook")
    await notices.end("sent", FAILED, now=NOON + 1, error="no")
    await notices.end("total", SENT, now=NOON + 1)
    assert await notices.forget(before=NOON + 1) == 0
    assert await notices.forget(before=NOON + 2) == 1
    assert not await notices.add("again", total, "search", "hook")
    assert [notice.id for notice in await _due(notices)] == ["waits"]


async def test_what_lasts_is_told_once_however_long(notices: Notices) -> None:
    """A version that has expired, or a rule that has lapsed, may stay so; a canary that ended is looked for no more."""
    turns = [TURN, LAPSED, replace(TURN, event=ProfileEvent.EXPIRED)]
    for number, turn in enumerate(turns):
        await notices.add_turn(f"msg_{number}", turn, "hook", now=NOON)
        await notices.end(f"msg_{number}", SENT, now=NOON + 1)
    assert await notices.forget(before=NOON + 2) == 1
    again = [await notices.add_turn(f"msg_again_{turn.event}", turn, "hook", now=NOON) for turn in turns]
    assert again == [True, False, False]


async def test_the_body_tells_of_the_budget(notices: Notices) -> None:
    """It says whose budget, which period, the limit, what is spent and held, and nothing of any request."""
    await notices.add("msg_1", CROSSING, "search", "hook")
    (due,) = await _due(notices)
    assert (
        orjson.loads(due.body)
        == notice_document(CROSSING, "search")
        == {
            "type": "budget.soft_limit",
            "timestamp": "2026-11-22T12:00:00.000+00:00",
            "data": {
                "account": "key:key_1",
                "name": "search",
                "period": "day",
                "period_start": "2026-11-22T00:00:00.000+00:00",
                "limit_usd": "10",
                "soft_share": "0.8",
                "spent_usd": "8.123456789",
                "held_usd": "0.5",
                "percent": 81.23,
                "time": "2026-11-22T12:00:00.000+00:00",
            },
        }
    )
    endless = replace(CROSSING, budget=Budget(usd("0"), Period.TOTAL), spent=usd("0"))
    data = notice_document(endless, "x")["data"]
    assert (data["period_start"], data["percent"], data["soft_share"]) == (None, None, None)


async def test_accounts_are_named(notices: Notices, changes: Changes) -> None:
    """Keys and teams are called by their names; what is not there has none."""
    await Teams(changes).create("team_1", TeamTerms("red"), by=ADMIN)
    await Keys(changes).create("key_1", KeyTerms("search"), secret(1), by=ADMIN)
    named = await notices.names(["key:key_1", "team:team_1", "key:nobody"])
    assert named == {"key:key_1": "search", "team:team_1": "red"}
    assert await notices.names([]) == {}
