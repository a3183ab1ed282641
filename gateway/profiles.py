"""The profiles in force in this process: what calibration says of each policy, followed as it is published.

A version that is put in force or taken back anywhere decides here within about a second, without a
reload. While the database is away the profiles last known serve on, each until it expires. Of a version
that this release cannot read nothing is used, and the policy's own ``until_certified`` holds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from gateway.domain.profile import Canary, Profile, ProfileVersion
from gateway.domain.rollout import Rollout
from gateway.errors import ConfigurationError, NotFound
from gateway.store.following import POLL_S, Following
from gateway.store.profiles import Profiles
from gateway.store.rollouts import Rollouts
from gateway.telemetry import Meter

_log = logging.getLogger(__name__)
_Place: TypeAlias = tuple[str, int]
"""A policy's name, and the number of a version of its profile."""


class ProfilesInForce:
    """The profiles of one process."""

    def __init__(self, rollouts: Rollouts, published: Profiles, *, poll_s: float = POLL_S) -> None:
        self._rollouts = rollouts
        self._published = published
        self._number = -1
        self._versions: Mapping[_Place, ProfileVersion] = {}
        self._faults: Mapping[_Place, str] = {}
        self._turn = asyncio.Lock()
        self._on_change: Callable[[], None] | None = None
        self._following = Following("profiles", self.refresh, poll_s=poll_s)
        self.profiles: Mapping[str, Profile] = MappingProxyType({})
        """By the policy's name; replaced whole."""

    async def start(self, on_change: Callable[[], None]) -> None:
        """Read what is in force, then follow the database and tell of changes.

        Raises Unavailable or ConfigurationError when the database cannot be read.
        """
        await self.refresh()
        self._on_change = on_change
        self._following.start()

    async def close(self) -> None:
        """Stop following."""
        await self._following.close()

    async def refresh(self) -> None:
        """Take in what was put in force or taken back anywhere.

        Raises Unavailable or ConfigurationError when the database cannot be reached.
        """
        async with self._turn:
            number = await self._rollouts.number()
            if number == self._number:
                return
            rollouts = await self._rollouts.all()
            await self._read(rollouts)
            self._number = number
            before = self.profiles
            self.profiles = MappingProxyType({name: self._profile(rollout) for name, rollout in rollouts.items()})
        if self.profiles != before and self._on_change is not None:
            self._on_change()

    def degraded(self) -> tuple[str, ...]:
        """Versions that are in force and cannot be used, in words for an operator."""
        return tuple(self._faults.values())

    def watch(self, meter: Meter) -> None:
        """Expose how many policies have a profile, and how many a canary."""
        meter.watch(
            "ponder_profiles", "Policies with a profile in force.", lambda: sum(map(_is_used, self.profiles.values()))
        )
        meter.watch(
            "ponder_profile_canaries",
            "Policies that try a profile on a share of conversations.",
            lambda: sum(profile.canary is not None for profile in self.profiles.values()),
        )

    async def _read(self, rollouts: Mapping[str, Rollout]) -> None:
        """Have every version at hand that is in force or tried; those known are not read again."""
        versions: dict[_Place, ProfileVersion] = {}
        faults: dict[_Place, str] = {}
        for policy, rollout in rollouts.items():
            numbers = (rollout.number, None if rollout.canary is None else rollout.canary.number)
            for number in numbers:
                place = (policy, number or 0)
                if number is None or place in versions:
                    continue
                known = self._versions.get(place)
                try:
                    versions[place] = known or (await self._published.find(policy, number)).version()
                except (ConfigurationError, NotFound) as fault:
                    faults[place] = f"version {number} of profile {policy} is in force and not used: {fault.message}"
                    if place not in self._faults:
                        _log.error("%s", faults[place])
        self._versions, self._faults = versions, faults

    def _profile(self, rollout: Rollout) -> Profile:
        current = None if rollout.number is None else self._versions.get((rollout.policy, rollout.number))
        canary = None
        if rollout.canary is not None:
            tried = self._versions.get((rollout.policy, rollout.canary.number))
            canary = None if tried is None else Canary(tried, rollout.canary.share)
        return Profile(rollout.policy, current, canary)


def _is_used(profile: Profile) -> bool:
    return profile.current is not None
