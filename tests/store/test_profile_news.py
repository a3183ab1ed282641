"""What became of profiles, as their changes are on record."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gateway.domain.notice import ProfileEvent
from gateway.domain.tenancy import Author
from gateway.store.base import Database
from gateway.store.changes import Changes
from gateway.store.connections import Connections
from gateway.store.profile_news import ProfileNews
from gateway.store.profiles import Profiles
from gateway.store.rollouts import Rollouts
from tests.store.profiles import document
from tests.store.records import NOON
from tests.store.tenants import OPERATOR

LATER = replace(OPERATOR, at=NOON + 60)


@pytest.fixture
async def rollouts(changes: Changes) -> Rollouts:
    """Two versions that expire after 1,000 seconds, the first in force."""
    for number in (1, 2):
        await Profiles(changes).publish(document(), number=number, expires_at=NOON + 1_000, by=OPERATOR)
    rollouts = Rollouts(changes)
    await rollouts.activate("default", 1, reason="calibrated", by=OPERATOR)
    return rollouts


@pytest.fixture
async def news(database: Database) -> AsyncIterator[ProfileNews]:
    """Of the same database."""
    connections = Connections(database, most=1)
    yield ProfileNews(connections)
    await connections.close()


async def _try(rollouts: Rollouts, by: Author) -> None:
    await rollouts.begin_canary("default", 2, share=0.25, by=by)


async def test_what_happened_comes_in_its_order(rollouts: Rollouts, news: ProfileNews) -> None:
    """A withdrawal, a suspension and a promotion, each with its version, reason and time."""
    await _try(rollouts, OPERATOR)
    await rollouts.withdraw_canary(
        (await rollouts.canaries("default", limit=1))[0], reason="it harms", by=replace(OPERATOR, at=NOON + 10)
    )
    await rollouts.suspend("default", 1, reason="drift", by=replace(OPERATOR, at=NOON + 20))
    await _try(rollouts, replace(OPERATOR, at=NOON + 30))
    await rollouts.activate("default", 2, reason="by hand", by=replace(OPERATOR, at=NOON + 40))
    found = await news.since(NOON, now=NOON + 100)
    assert [(each.event, each.version, each.reason, each.at, each.share) for each in found] == [
        (ProfileEvent.CANARY_WITHDRAWN, 2, "it harms", NOON + 10, 0.25),
        (ProfileEvent.SUSPENDED, 1, "drift", NOON + 20, None),
        (ProfileEvent.CANARY_PROMOTED, 2, "by hand", NOON + 40, 0.25),
    ]
    assert {each.in_force for each in found} == {2}
    assert await news.since(NOON + 41, now=NOON + 100) == ()
    assert len(await news.since(NOON + 20, now=NOON + 100)) == 2


async def test_to_go_back_by_hand_is_no_news(rollouts: Rollouts, news: ProfileNews) -> None:
    """Nor is a canary that runs, or a version that comes into force."""
    await rollouts.roll_back("default", reason="by hand", by=LATER)
    await rollouts.activate("default", 1, reason="by hand", by=LATER)
    await _try(rollouts, LATER)
    assert await news.since(NOON, now=NOON + 100) == ()


async def test_what_expires_in_force_is_news_while_it_lasts(rollouts: Rollouts, news: ProfileNews) -> None:
    """However long ago; not of a version that was not in force then."""
    assert await news.since(NOON, now=NOON + 999) == ()
    for now in (NOON + 1_000, NOON + 9e6):
        [expired] = await news.since(now - 10, now=now)
        assert (expired.event, expired.version, expired.at) == (ProfileEvent.EXPIRED, 1, NOON + 1_000)
        assert expired.in_force is None
    await rollouts.roll_back("default", reason="by hand", by=LATER)
    assert await news.since(NOON, now=NOON + 1_000) == ()
