"""Asks of a policy's traffic, read to be asked again: which there are, their texts, and what their keys may do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from gateway.domain.key import Names, Scope, may_take, may_use
from gateway.domain.plan import Plan
from gateway.domain.record import RequestRecord, Result, StoredText
from gateway.domain.tenancy import KeyTerms, TeamTerms
from gateway.store.base import Database
from gateway.store.changes import Changes
from gateway.store.connections import Connections
from gateway.store.keys import Keys
from gateway.store.logged_asks import KnownAsk, LoggedAsks
from gateway.store.sinks import Sink
from gateway.store.teams import Teams
from tests.store.records import FULL, NOON, identity, request
from tests.store.tenants import ADMIN, secret

assert FULL.plan is not None
PLAN: Plan = replace(FULL.plan, policy="work", category="math", difficulty="easy", facts={"confidence": 0.75})


def _kept(number: int, **changes: Any) -> RequestRecord:
    text = StoredText(b"asked", b"said", {})
    given = {"started_at": NOON + number, "text": text, "plan": PLAN, "model_asked": "auto", **changes}
    return request(number, **given)


@dataclass(frozen=True, slots=True)
class Site:
    """A database to be written and read."""

    asks: LoggedAsks
    sink: Sink

    async def known(self, *, until: float = NOON + 100, size: int = 2) -> list[KnownAsk]:
        """The asks of the policy since noon."""
        return [ask async for part in self.asks.parts("work", since=NOON, until=until, size=size) for ask in part]


@pytest.fixture
async def site(database: Database, sink: Sink) -> AsyncIterator[Site]:
    """An empty database."""
    connections = Connections(database, most=1)
    yield Site(LoggedAsks(connections), sink)
    await connections.close()


async def test_only_answered_traffic_of_the_policy_with_text_is_there(site: Site) -> None:
    """No request that names an arm, as a calibration's own do; none of another policy, time or end."""
    await site.sink.write(
        [
            _kept(1),
            _kept(2, text=None),
            _kept(3, plan=replace(PLAN, policy="other")),
            _kept(4, model_asked="arm:work/fast"),
            _kept(5, result=Result.FAILED),
            _kept(6, started_at=NOON - 1),
            _kept(7, started_at=NOON + 100),
            _kept(8),
        ]
    )
    plain = KnownAsk(identity(1, NOON + 1), "default", "math", "easy", 0.75, is_plain=True)
    assert await site.known() == [plain, replace(plain, id=identity(8, NOON + 8))]


@pytest.mark.parametrize("odd", ["tools", "images", "schema", "tool_turn"])
async def test_more_than_text_is_not_plain(site: Site, odd: str) -> None:
    """Tools, images, and a form that the answer must have, are part of what was asked."""
    await site.sink.write([_kept(1, plan=replace(PLAN, facts={odd: True}))])
    (found,) = await site.known()
    assert (found.is_plain, found.confidence) == (False, None)


async def test_texts_come_in_the_order_that_is_asked_for(site: Site) -> None:
    """Those that are deleted by now are left out."""
    await site.sink.write([_kept(number, text=StoredText(b"%d" % number, b"", {})) for number in range(5)])
    ids = [identity(number, NOON + number) for number in (3, 9, 1)]
    found = [text async for part in site.asks.texts(ids) for text in part]
    assert [(each.id, each.request, each.confidence) for each in found] == [(ids[0], b"3", 0.75), (ids[2], b"1", 0.75)]


async def test_a_key_may_what_it_and_its_team_may(site: Site, changes: Changes) -> None:
    """Both scopes hold; a key that there is not, is not there."""
    await Teams(changes).create("team_1", TeamTerms("red", scope=Scope(models=Names(("gpt-*",)))), by=ADMIN)
    terms = KeyTerms("one", team_id="red", scope=Scope(arms=Names(("fast",))))
    await Keys(changes).create("key_1", terms, secret(1), by=ADMIN)
    found = await site.asks.keys({"key_1", "gone"})
    assert found.keys() == {"key_1"}
    key = found["key_1"]
    assert (may_take(key, "fast"), may_take(key, "think")) == (True, False)
    assert (may_use(key, "gpt-5"), may_use(key, "claude")) == (True, False)
