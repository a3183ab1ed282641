"""The policies in force in this process: those of the files, save where one was rolled back.

What the files say is recorded in the database as it comes into force. A rollback made anywhere is
noticed within about a second, and applies where the files say just what was rolled back from. While the
database is away the policies last known serve on, and what came into force meanwhile is recorded when
it is back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType

from gateway.domain.policy_version import Activation, PolicyVersion
from gateway.errors import ConfigurationError, NotFound
from gateway.policy.reading import Policy, read_policy
from gateway.ports import Clock
from gateway.store.following import POLL_S, Following
from gateway.store.policies import PolicyVersions, Standing
from gateway.telemetry import Meter

_log = logging.getLogger(__name__)


class Library:
    """The policies of one process."""

    def __init__(self, versions: PolicyVersions, clock: Clock, *, poll_s: float = POLL_S) -> None:
        self._versions = versions
        self._clock = clock
        self._of_files: Mapping[str, Policy] = {}
        self._standing: Mapping[Standing, Activation] = {}
        self._rolled_back: Mapping[Standing, Policy] = {}
        self._faults: Mapping[Standing, str] = {}
        self._number = -1
        self._is_recorded = True
        self._turn = asyncio.Lock()
        self._on_change: Callable[[], None] | None = None
        self._following = Following("policies", self.refresh, poll_s=poll_s)
        self.policies: Mapping[str, Policy] = MappingProxyType({})
        """By name; replaced whole."""

    def adopt(self, loaded: Mapping[str, Policy]) -> None:
        """Let these, of the files, be in force; where one is rolled back from just this version it stays so."""
        self._of_files = loaded
        self._is_recorded = False
        self._put_in_force()

    async def start(self, on_change: Callable[[], None]) -> None:
        """Read what is rolled back, then follow the database and tell of changes.

        Raises Unavailable or ConfigurationError when the database cannot be read.
        """
        await self.refresh()
        self._on_change = on_change
        self._following.start()

    async def close(self) -> None:
        """Stop following."""
        await self._following.close()

    async def refresh(self) -> None:
        """Record what is new in force, and take in what was rolled back or released anywhere.

        Raises Unavailable or ConfigurationError when the database cannot be reached.
        """
        async with self._turn:
            if not self._is_recorded:
                await self._record()
            number = await self._versions.number()
            if number == self._number:
                return
            await self._take_in(await self._versions.standing())
            self._number = number
            before = self.policies
            self._put_in_force()
        if self.policies != before and self._on_change is not None:
            self._on_change()

    def degraded(self) -> tuple[str, ...]:
        """Policies that are not the ones that somebody asked for, in words for an operator."""
        return tuple(self._faults[key] for key in self._keys(self._of_files) if key in self._faults)

    def watch(self, meter: Meter) -> None:
        """Expose how many policies there are, and how many of them are rolled back."""
        meter.watch("ponder_policies", "Policies in force.", lambda: len(self.policies))
        meter.watch("ponder_policies_rolled_back", "Policies that are rolled back.", lambda: self.rolled_back)

    def in_force(self, loaded: Mapping[str, Policy]) -> Mapping[str, Policy]:
        """What is in force where the files say this: all of it, save what was rolled back from just this."""
        standing_in = {name: self._rolled_back.get((name, digest)) for name, digest in self._keys(loaded)}
        return MappingProxyType({name: standing_in[name] or policy for name, policy in loaded.items()})

    def activation_of(self, name: str) -> Activation | None:
        """Since when, and by whom, the version in force is; None until that is on record."""
        policy = self._of_files.get(name)
        key = (name, policy.digest) if policy is not None else None
        return None if key is None or key in self._faults else self._standing.get(key)

    @property
    def rolled_back(self) -> int:
        """How many policies are not their files' versions."""
        return sum(key in self._rolled_back for key in self._keys(self._of_files))

    @staticmethod
    def _keys(loaded: Mapping[str, Policy]) -> list[Standing]:
        return [(name, policy.digest) for name, policy in loaded.items()]

    def _put_in_force(self) -> None:
        changed = self.in_force(self._of_files)
        if changed != self.policies:
            self.policies = changed

    async def _record(self) -> None:
        loaded, at = self._of_files, self._clock.now()
        versions = [PolicyVersion(each.name, each.digest, each.text, at) for each in loaded.values()]
        await self._versions.record(versions, at=at)
        self._is_recorded = self._of_files is loaded

    async def _take_in(self, standing: Mapping[Standing, Activation]) -> None:
        rolled_back: dict[Standing, Policy] = {}
        faults: dict[Standing, str] = {}
        for key, activation in standing.items():
            if activation.over is None:
                continue
            name, digest = activation.name, activation.digest[:12]
            try:
                version = await self._versions.find(activation.digest)
                rolled_back[key] = read_policy(name, version.document)
            except (ConfigurationError, NotFound) as fault:
                faults[key] = (
                    f"policy {name} is rolled back to {digest}, which this release cannot read, so the version of its "
                    f"file serves: {fault.message}"
                )
            if key in faults and key not in self._faults:
                _log.error("%s", faults[key])
            elif key in rolled_back and self._standing.get(key) != activation:
                _log.warning("policy %s is rolled back from %s to %s", name, key[1][:12], digest)
        self._standing, self._rolled_back, self._faults = standing, rolled_back, faults
