"""The policies in force in this process: those of the files, save where one was rolled back.

What the files say is recorded in the database as it comes into force. A rollback made anywhere is
noticed within about a second. While the database is away the policies last known serve on, and what
came into force meanwhile is recorded when it is back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType

from gateway.domain.policy_version import Activation, PolicyVersion
from gateway.errors import ConfigurationError, NotFound, PonderError
from gateway.policy.reading import Policy, read_policy
from gateway.ports import Clock
from gateway.store.policies import PolicyVersions
from gateway.telemetry import Meter

POLL_S = 0.8
_log = logging.getLogger(__name__)


class Library:
    """The policies of one process."""

    def __init__(self, versions: PolicyVersions, clock: Clock, *, poll_s: float = POLL_S) -> None:
        self._versions = versions
        self._clock = clock
        self._poll_s = poll_s
        self._of_files: Mapping[str, Policy] = {}
        self._rolled_back: Mapping[str, tuple[Activation, Policy]] = {}
        self._faults: Mapping[str, str] = {}
        self._number = -1
        self._is_recorded = True
        self._turn = asyncio.Lock()
        self._on_change: Callable[[], None] | None = None
        self._following: asyncio.Task[None] | None = None
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
        self._following = asyncio.create_task(self._follow(), name="library")

    async def close(self) -> None:
        """Stop following."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait({self._following})

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
            await self._take_in(await self._versions.present())
            self._number = number
            before = self.policies
            self._put_in_force()
        if self.policies != before and self._on_change is not None:
            self._on_change()

    def degraded(self) -> tuple[str, ...]:
        """Policies that are not the ones that somebody asked for, in words for an operator."""
        return tuple(self._faults.values())

    def watch(self, meter: Meter) -> None:
        """Expose how many policies there are, and how many of them are rolled back."""
        meter.watch("ponder_policies", "Policies in force.", lambda: len(self.policies))
        meter.watch("ponder_policies_rolled_back", "Policies that are rolled back.", lambda: self.rolled_back)

    def in_force(self, loaded: Mapping[str, Policy]) -> Mapping[str, Policy]:
        """What is in force where the files say this: all of it, save what was rolled back from just this."""
        return MappingProxyType({**loaded, **self._standing_in(loaded)})

    @property
    def rolled_back(self) -> int:
        """How many policies are not their files' versions."""
        return len(self._standing_in(self._of_files))

    def _standing_in(self, loaded: Mapping[str, Policy]) -> dict[str, Policy]:
        return {
            name: policy
            for name, (activation, policy) in self._rolled_back.items()
            if name in loaded and activation.over == loaded[name].digest
        }

    def _put_in_force(self) -> None:
        changed = self.in_force(self._of_files)
        if changed != self.policies:
            self.policies = changed

    async def _record(self) -> None:
        loaded, at = self._of_files, self._clock.now()
        versions = [PolicyVersion(each.name, each.digest, each.text, at) for each in loaded.values()]
        await self._versions.record(versions, at=at)
        self._is_recorded = self._of_files is loaded

    async def _take_in(self, present: Mapping[str, Activation]) -> None:
        rolled_back: dict[str, tuple[Activation, Policy]] = {}
        faults: dict[str, str] = {}
        for name, activation in present.items():
            if activation.over is None:
                continue
            try:
                version = await self._versions.find(activation.digest)
                rolled_back[name] = activation, read_policy(name, version.document)
            except (ConfigurationError, NotFound) as fault:
                faults[name] = (
                    f"policy {name} is rolled back to {activation.digest[:12]}, which this release cannot read, "
                    f"so the version of its file serves: {fault.message}"
                )
        for name in faults.keys() - self._faults.keys():
            _log.error("%s", faults[name])
        for name in rolled_back.keys() - self._rolled_back.keys():
            _log.warning("policy %s is rolled back to %s", name, rolled_back[name][0].digest[:12])
        self._rolled_back, self._faults = rolled_back, faults

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            try:
                await self.refresh()
            except PonderError as fault:
                # The keys of callers are read from the same database, and their ring tells operators.
                _log.debug("policies cannot be followed, those last known serve on: %s", fault.message)
