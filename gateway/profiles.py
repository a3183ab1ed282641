"""The profiles in force in this process, and the caps: what calibration says of policies and verifiers, followed.

A version that is put in force or taken back anywhere decides here within about a second, without a
reload. While the database is away the profiles last known serve on, each until it expires. Of a version
that this release cannot read nothing is used, and the policy's own ``until_certified`` holds.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from gateway.domain.profile import Canary, Profile, ProfileVersion
from gateway.domain.rollout import Rollout
from gateway.errors import ConfigurationError, NotFound
from gateway.store.changes import Changes
from gateway.store.following import POLL_S, Following
from gateway.store.profiles import Profiles
from gateway.store.rollouts import Rollouts
from gateway.store.verifier_looks import VerifierLooks, VerifierStanding
from gateway.telemetry import Meter

_log = logging.getLogger(__name__)
_Place: TypeAlias = tuple[str, int]
"""A policy's name, and the number of a version of its profile."""


class ProfilesInForce:
    """The profiles of one process."""

    def __init__(self, changes: Changes, *, poll_s: float = POLL_S) -> None:
        self._rollouts = Rollouts(changes)
        self._published = Profiles(changes)
        self._looks = VerifierLooks(changes)
        self._looked_at: Mapping[str, VerifierStanding] = {}
        self._number = -1
        self._versions: Mapping[_Place, ProfileVersion] = {}
        self._faults: Mapping[_Place, str] = {}
        self._rollouts_seen: Mapping[str, Rollout] = {}
        self._taken_back: Counter[str] = Counter()
        self._turn = asyncio.Lock()
        self._on_change: Callable[[], None] | None = None
        self._following = Following("profiles", self.refresh, poll_s=poll_s)
        self.profiles: Mapping[str, Profile] = MappingProxyType({})
        """By the policy's name; replaced whole."""
        self.caps: Mapping[str, int] = MappingProxyType({})
        """The most samples by the verifier's name that chooses between them, where there is a cap; replaced whole."""

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
            rollouts, looked_at = await self._rollouts.all(), await self._looks.latest()
            await self._read(rollouts)
            self._taken_back.update(
                policy for policy, seen in self._rollouts_seen.items() if _is_taken_back(seen, rollouts.get(policy))
            )
            self._rollouts_seen = rollouts
            self._looked_at = looked_at
            self._number = number
            before = self.profiles, self.caps
            self.profiles = MappingProxyType({name: self._profile(rollout) for name, rollout in rollouts.items()})
            caps = {name: each.in_force for name, each in looked_at.items()}
            self.caps = MappingProxyType({name: cap for name, cap in caps.items() if cap is not None})
        if (self.profiles, self.caps) != before and self._on_change is not None:
            self._on_change()

    def degraded(self) -> tuple[str, ...]:
        """Versions that are in force and cannot be used, in words for an operator."""
        return tuple(self._faults.values())

    def watch(self, meter: Meter) -> None:
        """Expose how many policies have a profile or a canary, when profiles expire, and what was taken back."""
        meter.watch(
            "ponder_profiles", "Policies with a profile in force.", lambda: sum(map(_is_used, self.profiles.values()))
        )
        meter.watch(
            "ponder_profile_canaries",
            "Policies that try a profile on a share of conversations.",
            lambda: sum(profile.canary is not None for profile in self.profiles.values()),
        )
        meter.watch_each(
            "ponder_profile_expiry_seconds",
            "When the profile in force expires, in Unix seconds.",
            ("policy",),
            lambda: {
                (name,): profile.current.expires_at
                for name, profile in self.profiles.items()
                if profile.current is not None
            },
        )
        meter.watch_each(
            "ponder_profiles_taken_back",
            "Versions that were taken back: canaries that were withdrawn, rollbacks, suspensions.",
            ("policy",),
            lambda: {(name,): self._taken_back[name] for name in self.profiles},
            is_counter=True,
        )
        meter.watch_each(
            "ponder_verifier_within_auc",
            "How often a verifier scores the right one of two answers higher, as it was last examined.",
            ("verifier",),
            lambda: {
                (name,): each.look.health.within.value
                for name, each in self._looked_at.items()
                if each.look.health.within is not None
            },
        )
        meter.watch_each(
            "ponder_verifier_cap",
            "The most samples that a search draws for a verifier to choose from, where there is a cap.",
            ("verifier",),
            lambda: {(name,): cap for name, cap in self.caps.items()},
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


def _is_taken_back(before: Rollout, now: Rollout | None) -> bool:
    """Whether a version that was tried is nobody's, or an earlier one or none is in force."""
    number = None if now is None else now.number
    tried = None if before.canary is None else before.canary.number
    still_tried = None if now is None or now.canary is None else now.canary.number
    is_withdrawn = tried is not None and tried not in {number, still_tried}
    return is_withdrawn or (before.number is not None and (number is None or number < before.number))
