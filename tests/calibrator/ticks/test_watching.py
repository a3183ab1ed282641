"""Profiles in force are watched: what is in doubt is suspended, with its reason, and only then."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from calibrator.ticks import watching
from calibrator.ticks.watching import watch
from gateway.domain.profile import Profile
from gateway.domain.record import RequestRecord
from gateway.domain.rollout import CALIBRATOR, CanaryState
from gateway.settings import Settings, places
from tests.calibrator.ticks.canaries import POLICY, Site, built, outcome
from tests.policy.world import NOW, ask, plan, predicted
from tests.store.records import DAY_S, NOON, identity, request
from tests.store.tenants import OPERATOR

LATER = float("inf")


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """Version 1 is in force."""
    async with built(tmp_path) as made:
        yield made


async def _traffic(site: Site, counts: dict[str, int], *, at: float, accuracy: float) -> None:
    """Requests over a day that version 1 decided, each judged a minute after."""
    version = (await site.desk.profiles.find("work", 1)).version()
    draws, made = random.Random(at), list[RequestRecord]()
    for category, count in counts.items():
        decided = plan(POLICY, ask(predicted(category)), NOW, Profile("work", version))
        for number in range(count):
            site.requests += 1
            started_at = round(at + number / count * DAY_S, 3)
            made.append(
                request(site.requests, id=identity(site.requests, started_at), started_at=started_at, plan=decided)
            )
    await site.keep(made)
    await site.judge([outcome(each, float(draws.random() < accuracy)) for each in made])


async def _watch(site: Site, now: float) -> None:
    async with watching.opened(site.database) as desk:
        await watch(desk, now=now, until=LATER)


async def test_a_version_whose_answers_fall_is_suspended(site: Site) -> None:
    """The policy's own arm answers from then on, the reason says what fell, and a canary over it ends."""
    await _traffic(site, {"math": 1_500}, at=NOON + 10, accuracy=0.9)
    await site.begin()
    await _watch(site, NOON + DAY_S + 100)
    assert (await site.rollout()).number == 1
    await _traffic(site, {"math": 1_500}, at=NOON + DAY_S + 10, accuracy=0.5)
    await _watch(site, NOON + 3 * DAY_S)
    rollout = await site.rollout()
    assert (rollout.number, rollout.canary) == (None, None)
    assert rollout.activation is not None
    assert rollout.activation.actor == CALIBRATOR
    assert rollout.activation.reason.startswith("drift: think does worse on math than it did")
    assert (await site.last()).state is CanaryState.WITHDRAWN
    await _watch(site, NOON + 3 * DAY_S)
    assert len(await site.desk.rollouts.history("work", limit=9)) == 2


async def test_outcomes_of_other_versions_do_not_count(site: Site) -> None:
    """Nor those from before the version came into force: who activates it again begins anew."""
    await _traffic(site, {"math": 1_500}, at=NOON + 10, accuracy=0.9)
    await _traffic(site, {"math": 1_500}, at=NOON + DAY_S + 10, accuracy=0.5)
    by = replace(OPERATOR, at=NOON + 2 * DAY_S + 100)
    await site.desk.rollouts.activate("work", 2, reason="by hand", by=by)
    await _watch(site, NOON + 3 * DAY_S)
    assert (await site.rollout()).number == 2
    await site.desk.rollouts.activate("work", 1, reason="it was the users", by=by)
    await _watch(site, NOON + 3 * DAY_S)
    assert (await site.rollout()).number == 1


async def test_a_version_is_suspended_when_the_traffic_is_another(site: Site) -> None:
    """Once it has been in force for two weeks, by the first of them beside the last."""
    await _traffic(site, {"math": 800, "code": 200}, at=NOON + 10, accuracy=0.9)
    await _traffic(site, {"math": 300, "code": 700}, at=NOON + 14 * DAY_S, accuracy=0.9)
    await _watch(site, NOON + 13.9 * DAY_S)
    assert (await site.rollout()).number == 1
    await _watch(site, NOON + 15 * DAY_S)
    activation = (await site.rollout()).activation
    assert activation is not None
    assert activation.number is None
    assert "the mix of categories is another" in activation.reason


async def test_the_tick_watches_the_database_of_the_configuration(site: Site, tmp_path: Path) -> None:
    """What is steady stays in force."""
    where = places({"PONDER_HOME": str(tmp_path), "PONDER_CONFIG": str(tmp_path / "ponder.yaml")})
    await _traffic(site, {"math": 300}, at=time.time() - DAY_S - 100, accuracy=0.9)
    await watching.tick(where, Settings())
    assert (await site.rollout()).number == 1
