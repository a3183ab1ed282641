"""The tick that watches whether what profiles were certified on still holds, and suspends those in doubt.

Without a version in force the policy's own ``until_certified`` answers, until a new calibration brings one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from calibrator.drift_watch import Scored, falls, shift
from gateway.domain.key import Role
from gateway.domain.rollout import CALIBRATOR, ProfileActivation
from gateway.domain.tenancy import Author
from gateway.errors import Conflict
from gateway.settings import Places, Settings, database_url
from gateway.store.base import Database, locate
from gateway.store.category_mix import category_mix
from gateway.store.connections import Connections
from gateway.store.outcomes import Outcomes
from gateway.store.rollouts import Rollouts
from gateway.store.session import session

_WEEK_S: Final = 7 * 86_400.0
_LONGEST_S: Final = 2 * _WEEK_S
_SETTLING_S: Final = 60.0
_MOST: Final = 40_000
"""Outcomes that a look reads of a policy: with more of them it looks at fewer days."""
_WORK_S: Final = 8.0
_CONNECTIONS: Final = 1
_log = logging.getLogger("ponder.watching")


async def tick(where: Places, settings: Settings) -> None:
    """Watch all profiles in force, as far as the tick's time goes."""
    async with opened(locate(database_url(where, settings))) as desk:
        await watch(desk, now=time.time(), until=time.monotonic() + _WORK_S)


@dataclass(frozen=True, slots=True)
class Desk:
    """What watching needs."""

    connections: Connections
    rollouts: Rollouts


@asynccontextmanager
async def opened(database: Database) -> AsyncIterator[Desk]:
    """The desk of a database."""
    async with session(database, most=_CONNECTIONS) as (changes, connections):
        yield Desk(connections, Rollouts(changes))


async def watch(desk: Desk, *, now: float, until: float) -> None:
    """Suspend the versions that alarms speak against, with the first of them as the reason."""
    for policy, rollout in (await desk.rollouts.all()).items():
        activation = rollout.activation
        if activation is None or activation.number is None or time.monotonic() >= until:
            continue
        alarms = await _alarms(desk, activation, now)
        if not alarms:
            continue
        for alarm in alarms:
            _log.warning("policy %s: version %d is in doubt: %s", policy, activation.number, alarm)
        try:
            await desk.rollouts.suspend(
                policy,
                activation.number,
                reason=f"drift: {alarms[0]}",
                by=Author(CALIBRATOR, Role.ADMIN, now),
            )
        except Conflict as fault:
            _log.info("policy %s: %s", policy, fault.message)


async def _alarms(desk: Desk, activation: ProfileActivation, now: float) -> list[str]:
    """What speaks against a version since it came into force."""
    scored = await _scored(desk, activation, now - _SETTLING_S)
    shifted = None
    if now >= activation.at + 2 * _WEEK_S:
        mixes = [
            await category_mix(desk.connections, activation.policy, since=since, until=since + _WEEK_S)
            for since in (activation.at, now - _WEEK_S)
        ]
        shifted = shift(*mixes)
    return [*falls(scored), *([] if shifted is None else [shifted])]


async def _scored(desk: Desk, activation: ProfileActivation, until: float) -> list[Scored]:
    """The newest outcomes of what the version decided, in the order of time."""
    outcomes, scored = Outcomes(desk.connections), []
    since = max(activation.at, until - _LONGEST_S, await outcomes.reach(_MOST, until=until))
    async for part in outcomes.judged(activation.policy, since=since, until=until):
        scored += [
            Scored(each.outcome.source, each.category or "other", each.arm, each.outcome.score)
            for each in part
            if each.profile_version == activation.number
        ]
    return scored
