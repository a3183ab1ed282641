"""The profiles in force in a process: what was published and activated, anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

import pytest
from sqlalchemy import text

from gateway.domain.profile import Canary, Profile
from gateway.profiles import ProfilesInForce
from gateway.store.base import locate, open_async
from gateway.store.changes import Changes
from gateway.store.following import POLL_S
from gateway.store.profiles import Profiles
from gateway.store.rollouts import Rollouts
from gateway.store.schema import upgrade
from gateway.store.verifier_looks import VerifierLooks
from gateway.telemetry import Meter
from tests.store.profiles import document
from tests.store.records import NOON
from tests.store.tenants import OPERATOR
from tests.store.test_verifier_looks import look

NEVER = NOON + 9e8
FIRST, SECOND = (document(arm=arm).version(number, expires_at=NEVER) for number, arm in ((1, "fast"), (2, "think")))


@dataclass(frozen=True, slots=True)
class Published:
    """Two versions of a profile in a database."""

    url: str
    changes: Changes
    rollouts: Rollouts

    def follower(self) -> ProfilesInForce:
        """What a process has of it."""
        return ProfilesInForce(self.changes, poll_s=0.001)

    async def activate(self, number: int) -> None:
        """Put a version in force."""
        await self.rollouts.activate("default", number, reason="by hand", by=OPERATOR)

    async def run(self, statement: str) -> None:
        """Change what never changes."""
        engine = open_async(locate(self.url), connections=1)
        async with engine.begin() as connection:
            await connection.execute(text(statement))
        await engine.dispose()


@pytest.fixture
async def published(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Published]:
    """Nothing in force yet."""
    url = f"sqlite:///{tmp_path_factory.mktemp('profiles')}/ponder.db"
    await upgrade(url)
    changes = Changes(locate(url))
    for number, arm in ((1, "fast"), (2, "think")):
        await Profiles(changes).publish(document(arm=arm), number=number, expires_at=NEVER, by=OPERATOR)
    yield Published(url, changes, Rollouts(changes))
    await changes.close()


async def test_what_is_in_force_is_read_at_the_start(published: Published) -> None:
    """The version, and the canary beside it with its share."""
    await published.activate(1)
    await published.rollouts.begin_canary("default", 2, share=0.25, by=OPERATOR)
    follower = published.follower()
    assert follower.profiles == {}
    await follower.refresh()
    assert follower.profiles == {"default": Profile("default", FIRST, Canary(SECOND, 0.25))}
    assert follower.degraded() == ()


async def test_every_process_follows(published: Published) -> None:
    """What is activated, tried or taken back anywhere is told in each process, which has it by then."""
    followers = [published.follower() for _ in range(2)]
    told = asyncio.Queue[ProfilesInForce]()
    for follower in followers:
        await follower.start(on_change=partial(told.put_nowait, follower))

    async def all_have(expected: Profile) -> None:
        assert {await asyncio.wait_for(told.get(), 10) for _ in followers} == set(followers)
        assert [follower.profiles["default"] for follower in followers] == [expected, expected]

    await published.activate(1)
    await all_have(Profile("default", FIRST))
    canary = await published.rollouts.begin_canary("default", 2, share=0.05, by=OPERATOR)
    await all_have(Profile("default", FIRST, Canary(SECOND, 0.05)))
    canary = await published.rollouts.widen_canary(canary, share=0.5, by=OPERATOR)
    await all_have(Profile("default", FIRST, Canary(SECOND, 0.5)))
    await published.rollouts.promote_canary(canary, reason="not worse", by=OPERATOR)
    await all_have(Profile("default", SECOND))
    for expected in (FIRST, None):
        await published.rollouts.roll_back("default", reason="it harms", by=OPERATOR)
        await all_have(Profile("default", expected))
    for follower in followers:
        await follower.close()


async def test_processes_follow_by_themselves_within_two_seconds(published: Published) -> None:
    """Each on connections of its own, as often as it looks by default: well within what is promised."""
    assert 2 * POLL_S < 2
    everyone = [Changes(locate(published.url)) for _ in range(2)]
    followers = [ProfilesInForce(changes) for changes in everyone]
    told = asyncio.Queue[ProfilesInForce]()
    for follower in followers:
        await follower.start(on_change=partial(told.put_nowait, follower))
    await published.activate(1)
    assert {await asyncio.wait_for(told.get(), 10) for _ in followers} == set(followers)
    await published.rollouts.suspend("default", 1, reason="drift", by=OPERATOR)
    assert {await asyncio.wait_for(told.get(), 10) for _ in followers} == set(followers)
    assert [follower.profiles["default"].current for follower in followers] == [None, None]
    for follower, changes in zip(followers, everyone, strict=True):
        await follower.close()
        await changes.close()


async def test_changes_of_other_things_are_not_told(published: Published) -> None:
    """A profile that is published and not activated decides nothing."""
    follower = published.follower()
    await follower.refresh()
    calls: list[int] = []
    await follower.start(on_change=partial(calls.append, 1))
    await Profiles(published.changes).publish(document(arm="vote"), number=3, expires_at=NEVER, by=OPERATOR)
    await follower.refresh()
    await follower.close()
    assert calls == []
    assert follower.profiles == {}


@pytest.mark.parametrize(
    "fault", ["UPDATE profiles SET document = '{}' WHERE number = 2", "DELETE FROM profiles WHERE number = 2"]
)
async def test_a_version_that_cannot_be_read_is_not_used(published: Published, fault: str) -> None:
    """The operator is told, all other versions serve, and going back mends it."""
    await published.activate(1)
    await published.activate(2)
    await published.run("DELETE FROM certificates")
    await published.run(fault)
    follower = published.follower()
    await follower.refresh()
    assert follower.profiles == {"default": Profile("default", None)}
    (state,) = follower.degraded()
    assert "version 2 of profile default is in force and not used" in state
    await published.rollouts.roll_back("default", reason="unreadable", by=OPERATOR)
    await follower.refresh()
    assert follower.profiles == {"default": Profile("default", FIRST)}
    assert follower.degraded() == ()


async def test_metrics_tell_how_many_profiles_and_canaries_there_are(published: Published) -> None:
    """A policy that has gone back to nothing has none."""
    follower, meter = published.follower(), Meter()
    follower.watch(meter)

    async def exposed() -> tuple[bool, bool]:
        await follower.refresh()
        rendered = meter.render().decode()
        return "ponder_profiles 1.0" in rendered, "ponder_profile_canaries 1.0" in rendered

    assert await exposed() == (False, False)
    await published.activate(1)
    assert await exposed() == (True, False)
    await published.rollouts.begin_canary("default", 2, share=0.05, by=OPERATOR)
    assert await exposed() == (True, True)
    for _ in range(2):
        await published.rollouts.roll_back("default", reason="it harms", by=OPERATOR)
    assert await exposed() == (False, False)


async def test_metrics_tell_of_expiry_and_of_what_was_taken_back(published: Published) -> None:
    """A promotion takes nothing back; a canary that is withdrawn, an earlier version and none at all do."""
    follower, meter = published.follower(), Meter()
    follower.watch(meter)

    async def exposed() -> tuple[float | None, float | None]:
        await follower.refresh()
        found = {
            line.split("{")[0]: float(line.rsplit(" ", 1)[1])
            for line in meter.render().decode().splitlines()
            if '{policy="default"}' in line
        }
        return found.get("ponder_profile_expiry_seconds"), found.get("ponder_profiles_taken_back_total")

    assert await exposed() == (None, None)
    await published.activate(1)
    assert await exposed() == (NEVER, 0)
    canary = await published.rollouts.begin_canary("default", 2, share=0.05, by=OPERATOR)
    assert await exposed() == (NEVER, 0)
    await published.rollouts.withdraw_canary(canary, reason="it harms", by=OPERATOR)
    assert await exposed() == (NEVER, 1)
    canary = await published.rollouts.begin_canary("default", 2, share=0.05, by=OPERATOR)
    canary = await published.rollouts.widen_canary(canary, share=0.5, by=OPERATOR)
    assert await exposed() == (NEVER, 1)
    await published.rollouts.promote_canary(canary, reason="not worse", by=OPERATOR)
    assert await exposed() == (NEVER, 1)
    await published.rollouts.roll_back("default", reason="it harms", by=OPERATOR)
    assert await exposed() == (NEVER, 2)
    await published.rollouts.roll_back("default", reason="it harms", by=OPERATOR)
    assert await exposed() == (None, 3)


async def test_caps_on_verifiers_are_followed(published: Published) -> None:
    """Found or lifted anywhere, each is told in this process, and a metric shows it with what the look found."""
    follower, meter, told = published.follower(), Meter(), asyncio.Queue[None]()
    follower.watch(meter)
    await follower.start(lambda: told.put_nowait(None))
    try:
        looks = VerifierLooks(published.changes)
        assert follower.caps == {}
        await looks.record(look(1, 4), OPERATOR)
        await told.get()
        assert follower.caps == {"prm": 4}
        exposed = meter.render().decode()
        assert 'ponder_verifier_cap{verifier="prm"} 4.0' in exposed
        assert 'ponder_verifier_within_auc{verifier="prm"} 0.' in exposed
        await looks.lift("prm", OPERATOR)
        await told.get()
        assert follower.caps == {}
        assert "ponder_verifier_cap{" not in meter.render().decode()
    finally:
        await follower.close()
