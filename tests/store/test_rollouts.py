"""Roll-outs: which version is in force, trying another one on a share, and taking back what harms."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from gateway.domain.rollout import CanaryStanding, CanaryState, Rollout
from gateway.errors import Conflict, InvalidRequest, NotFound
from gateway.store.changes import Changes
from gateway.store.profiles import Profiles
from gateway.store.rollouts import Rollouts
from tests.store.profiles import document
from tests.store.records import NOON
from tests.store.tenants import OPERATOR

LATER = replace(OPERATOR, at=NOON + 60.123456789)


@pytest.fixture
async def rollouts(changes: Changes) -> Rollouts:
    """Three versions of a profile, and nothing in force."""
    for number in (1, 2, 3):
        await Profiles(changes).publish(
            document(arm=f"arm{number}"), number=number, expires_at=NOON + 1_000, by=OPERATOR
        )
    return Rollouts(changes)


async def _activate(rollouts: Rollouts, *numbers: int) -> None:
    for number in numbers:
        await rollouts.activate("default", number, reason="by hand", by=OPERATOR)


async def _back(rollouts: Rollouts) -> int | None:
    return (await rollouts.roll_back("default", reason="it harms", by=LATER)).number


async def test_nothing_is_in_force_before_it_is_activated(rollouts: Rollouts) -> None:
    """Publishing alone decides nothing."""
    assert await rollouts.all() == {}
    assert await rollouts.find("default") == Rollout("default", None, None)
    assert await rollouts.history("default", limit=9) == ()


async def test_a_version_is_put_in_force(rollouts: Rollouts, changes: Changes) -> None:
    """For the one policy, with who did it and why, and a row in the audit log."""
    done = await rollouts.activate("default", 2, reason="calibrated", by=LATER)
    assert await rollouts.all() == {"default": done}
    activation = done.activation
    assert activation is not None
    assert (activation.number, activation.reason, activation.actor) == (2, "calibrated", LATER.id)
    assert activation.at == pytest.approx(LATER.at, abs=1e-6)
    newest, *_ = await changes.audit(limit=1)
    assert (newest.action, newest.target) == ("profile.activate", "profile:default")
    assert newest.before == {"number": None, "since": None, "reason": None, "canary": None}
    assert newest.after is not None
    assert (newest.after["number"], newest.after["reason"]) == (2, "calibrated")


async def test_going_back_leads_to_what_was_trusted(rollouts: Rollouts) -> None:
    """Never to a version that was itself gone back from, and before the first one to none."""
    await _activate(rollouts, 1, 2)
    assert await _back(rollouts) == 1
    await _activate(rollouts, 3)
    assert await _back(rollouts) == 1
    assert await _back(rollouts) is None
    assert (await rollouts.all())["default"].number is None
    with pytest.raises(Conflict, match="nothing to go back from"):
        await _back(rollouts)
    await _activate(rollouts, 2)
    assert await _back(rollouts) is None
    numbers = [each.number for each in await rollouts.history("default", limit=9)]
    assert numbers == [None, 2, None, 1, 3, 1, 2, 1]


async def test_going_back_goes_one_version_at_a_time(rollouts: Rollouts) -> None:
    """From the third trusted version to the second, and from that to the first."""
    await _activate(rollouts, 1, 2, 3)
    assert [await _back(rollouts) for _ in range(3)] == [2, 1, None]


async def test_what_cannot_be_put_in_force_is_refused(rollouts: Rollouts) -> None:
    """A version that is not there or in force already, and a policy without any."""
    await _activate(rollouts, 1)
    number = await rollouts.number()
    with pytest.raises(Conflict, match="in force already"):
        await _activate(rollouts, 1)
    with pytest.raises(NotFound, match="no version 4"):
        await _activate(rollouts, 4)
    with pytest.raises(NotFound):
        await rollouts.begin_canary("nobody", 1, share=0.01, by=OPERATOR)
    with pytest.raises(Conflict, match="nothing to go back from"):
        await rollouts.roll_back("nobody", reason="x", by=OPERATOR)
    assert await rollouts.number() == number


async def test_a_canary_goes_through_its_stages(rollouts: Rollouts) -> None:
    """It begins beside the version in force, is widened, and ends with its version in force for all."""
    await _activate(rollouts, 1)
    canary = await rollouts.begin_canary("default", 2, share=0.01, by=OPERATOR)
    assert (canary.number, canary.over, canary.stage, canary.share) == (2, 1, 0, 0.01)
    assert (await rollouts.all())["default"].canary == canary
    assert (await rollouts.find("default")).number == 1
    wider = await rollouts.widen_canary(canary, share=0.05, by=LATER)
    assert (wider.stage, wider.share, wider.began_at) == (1, 0.05, canary.began_at)
    assert wider.stage_began_at > canary.stage_began_at
    done = await rollouts.promote_canary(wider, reason="not worse", by=LATER)
    assert (done.number, done.canary) == (2, None)
    (ended,) = await rollouts.canaries("default", limit=9)
    assert (ended.state, ended.reason, ended.stage) == (CanaryState.PROMOTED, "not worse", 1)
    assert ended.ended_at is not None
    assert await _back(rollouts) == 1


async def test_a_canary_is_withdrawn(rollouts: Rollouts) -> None:
    """All have again what the others had, also where that was nothing."""
    canary = await rollouts.begin_canary("default", 2, share=0.5, by=LATER)
    assert canary.over is None
    done = await rollouts.withdraw_canary(canary, reason="time out", by=LATER)
    assert done == Rollout("default", None, None)
    (ended,) = await rollouts.canaries("default", limit=9)
    assert (ended.state, ended.reason) == (CanaryState.WITHDRAWN, "time out")
    assert (await rollouts.begin_canary("default", 2, share=1, by=LATER)).id > canary.id


async def test_a_rollback_ends_the_canary_first(rollouts: Rollouts) -> None:
    """The version in force is only taken back by the next one."""
    await _activate(rollouts, 1, 2)
    await rollouts.begin_canary("default", 3, share=0.25, by=OPERATOR)
    assert await _back(rollouts) == 2
    (ended,) = await rollouts.canaries("default", limit=9)
    assert (ended.state, ended.reason) == (CanaryState.WITHDRAWN, "it harms")
    assert await _back(rollouts) == 1


async def test_a_version_in_doubt_is_suspended(rollouts: Rollouts, changes: Changes) -> None:
    """No version is in force then, whatever was before it, and a canary ends; who looked long ago changes nothing."""
    await _activate(rollouts, 1, 2)
    await rollouts.begin_canary("default", 3, share=0.25, by=OPERATOR)
    with pytest.raises(Conflict, match="version 1 of profile 'default' is not in force any more"):
        await rollouts.suspend("default", 1, reason="drift", by=LATER)
    after = await rollouts.suspend("default", 2, reason="drift", by=LATER)
    assert (after.number, after.canary) == (None, None)
    (ended,) = await rollouts.canaries("default", limit=9)
    assert (ended.state, ended.reason) == (CanaryState.WITHDRAWN, "drift")
    newest, *_ = await changes.audit(limit=1)
    assert newest.action == "profile.suspend"
    with pytest.raises(Conflict, match="nothing to go back from"):
        await _back(rollouts)


@pytest.mark.parametrize(("number", "state"), [(3, CanaryState.PROMOTED), (2, CanaryState.WITHDRAWN)])
async def test_activating_a_version_ends_the_canary(rollouts: Rollouts, number: int, state: CanaryState) -> None:
    """Its own promotes it, another withdraws it."""
    await _activate(rollouts, 1)
    await rollouts.begin_canary("default", 3, share=0.25, by=OPERATOR)
    await _activate(rollouts, number)
    present = await rollouts.find("default")
    assert (present.number, present.canary) == (number, None)
    assert [each.state for each in await rollouts.canaries("default", limit=9)] == [state]


async def test_the_version_in_force_can_be_confirmed_over_a_canary(rollouts: Rollouts) -> None:
    """To activate it withdraws the canary, and going back then leads where it led before."""
    await _activate(rollouts, 1, 2)
    await rollouts.begin_canary("default", 3, share=0.25, by=OPERATOR)
    await _activate(rollouts, 2)
    assert (await rollouts.find("default")).canary is None
    assert await _back(rollouts) == 1


async def test_a_policy_has_one_canary(rollouts: Rollouts) -> None:
    """Of those that begin at once one does, and the version in force is not tried."""
    await _activate(rollouts, 1)
    with pytest.raises(Conflict, match="in force for all already"):
        await rollouts.begin_canary("default", 1, share=0.01, by=OPERATOR)
    attempts = (rollouts.begin_canary("default", number, share=0.01, by=OPERATOR) for number in (2, 3, 2))
    results = await asyncio.gather(*attempts, return_exceptions=True)
    assert len([each for each in results if isinstance(each, Conflict)]) == 2
    assert len(await rollouts.canaries("default", limit=9)) == 1


async def test_who_looked_too_long_ago_changes_nothing(rollouts: Rollouts) -> None:
    """A canary that was widened or ended meanwhile is neither widened, promoted nor withdrawn by its old state."""
    canary = await rollouts.begin_canary("default", 2, share=0.01, by=OPERATOR)
    wider = await rollouts.widen_canary(canary, share=0.05, by=LATER)

    async def refused(seen: CanaryStanding) -> None:
        for attempt in (
            rollouts.widen_canary(seen, share=1, by=LATER),
            rollouts.promote_canary(seen, reason="x", by=LATER),
            rollouts.withdraw_canary(seen, reason="x", by=LATER),
        ):
            with pytest.raises(Conflict, match="changed or ended"):
                await attempt

    await refused(canary)
    assert (await rollouts.find("default")).canary == wider
    await rollouts.withdraw_canary(wider, reason="time out", by=LATER)
    await refused(wider)
    assert (await rollouts.find("default")).number is None


@pytest.mark.parametrize("share", [0, -0.1, 1.01, float("nan")])
async def test_a_share_is_a_share(rollouts: Rollouts, share: float) -> None:
    """Above nothing and at most all."""
    with pytest.raises(InvalidRequest, match="share"):
        await rollouts.begin_canary("default", 1, share=share, by=OPERATOR)
    canary = await rollouts.begin_canary("default", 1, share=1, by=OPERATOR)
    with pytest.raises(InvalidRequest, match="share"):
        await rollouts.widen_canary(canary, share=share, by=OPERATOR)
