"""The tick that verifies a sampled share of each policy's answers, under its cap for the day.

Requests are looked at in the order of their starts, up to now, and a little later once more: a long request, or
one whose gateway was away from the database, comes on record after others that began later.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from calibrator.in_force import documents_in_force, offered
from calibrator.verifying import Inspector, Subject, Verified, is_sampled, source_of, subject_of
from gateway.clock import SystemClock
from gateway.domain.money import ZERO, Usd, show, usd
from gateway.errors import ConfigurationError, UpstreamError
from gateway.flow.house import Catalog
from gateway.policy.document import VerifyDocument
from gateway.ports import Clock
from gateway.settings import Places, Settings, database_url
from gateway.store.base import locate
from gateway.store.changes import Changes
from gateway.store.outcomes import Outcomes
from gateway.store.records import Records
from gateway.store.session import session
from gateway.store.sinks import open_sink
from gateway.store.verifications import Answered, Unverified, VerificationClaim, Verifications

SETTLING_S: Final = 1_200.0
"""For so long after its start a request is looked for again: the longest deadline twice over."""
OLDEST_S: Final = 86_400.0
"""What could not be verified for a day is let go."""

_WORK_S: Final = 6.0
_CALL_S: Final = 6.0
_LEASE_S: Final = 60.0
_AT_ONCE: Final = 8
_PAGE: Final = 5_000
_CONNECTIONS: Final = 2
_log = logging.getLogger("ponder.verifying")


async def tick(where: Places, settings: Settings) -> None:
    """Verify what is due of every policy's traffic, for some seconds."""
    clock, changes = SystemClock(), Changes(locate(database_url(where, settings)))
    try:
        policies = await documents_in_force(where, settings, changes, clock)
    finally:
        await changes.close()
    asked = {
        name: policy.document.calibrate.verify
        for name, policy in policies.items()
        if policy.document.calibrate is not None and policy.document.calibrate.verify is not None
    }
    if asked:
        async with opened(where, settings, os.environ, clock) as desk:
            await verify(desk, asked)


@dataclass(frozen=True, slots=True)
class Desk:
    """What verifying needs: the stores, the models and their verifiers, and the time."""

    verifications: Verifications
    outcomes: Outcomes
    records: Records
    offered: Catalog
    clock: Clock


@asynccontextmanager
async def opened(
    where: Places, settings: Settings, environment: Mapping[str, str], clock: Clock
) -> AsyncIterator[Desk]:
    """The desk of this configuration. Raises ConfigurationError where that cannot be."""
    database = locate(database_url(where, settings))
    async with session(database, most=_CONNECTIONS) as (changes, connections):
        records = Records(open_sink(database))
        try:
            async with offered(where, settings, environment, changes) as found:
                yield Desk(Verifications(connections), Outcomes(connections), records, found, clock)
        finally:
            await records.close()


async def verify(desk: Desk, asked: Mapping[str, VerifyDocument]) -> None:
    """Verify answers of these policies until the time of a tick is over; one that another process has is left to it."""
    until = desk.clock.monotonic() + _WORK_S
    for policy, wanted in asked.items():
        now = desk.clock.now()
        try:
            inspector = _inspector(desk, policy, wanted)
        except ConfigurationError as fault:
            _log.warning("answers of policy %s are not verified: %s", policy, fault.message)
            continue
        day = datetime.fromtimestamp(now, UTC).date().isoformat()
        claim = await desk.verifications.claim(policy, day=day, now=now, lease_s=_LEASE_S)
        if claim is None:
            continue
        settled = now - SETTLING_S
        since = settled if claim.read_to is None else max(claim.read_to, now - OLDEST_S)
        read_to = since
        try:
            read_to = await _Round(desk, claim, inspector, usd(wanted.spend_at_most_usd), until).run(since, now)
        finally:
            await desk.verifications.release(claim, read_to=min(read_to, settled))


def _inspector(desk: Desk, policy: str, wanted: VerifyDocument) -> Inspector:
    verifier = desk.offered.verifiers.get(wanted.by)
    if verifier is None:
        raise ConfigurationError(f"there is no verifier {wanted.by!r}; name one of `verifiers` in ponder.yaml")
    model = None if verifier.model is None else desk.offered.models[verifier.model]
    if model is not None and model.price is None:
        raise ConfigurationError(f"model {model.name} of verifier {wanted.by} has no price, so no cap can be kept")
    return Inspector(policy, verifier, model, wanted.share, desk.clock)


class _Round:
    """One policy's part of a tick."""

    def __init__(self, desk: Desk, claim: VerificationClaim, inspector: Inspector, cap: Usd, until: float) -> None:
        self._desk = desk
        self._claim = claim
        self._inspector = inspector
        self._cap = cap
        self._until = until
        self._scored = 0
        self._spent = ZERO

    async def run(self, since: float, now: float) -> float:
        """Verify what began since, oldest first; up to where that came."""
        reached = await self._work(since, now)
        if self._scored:
            _log.info("policy %s: %d answers verified, for $%s", self._claim.policy, self._scored, show(self._spent))
        return reached

    async def _work(self, since: float, now: float) -> float:
        store, after = self._desk.verifications, None
        while True:
            page = await store.answered(self._claim.policy, since=since, after=after, until=now, size=_PAGE)
            for group in _groups(await self._due(page)):
                if self._is_over or not await self._verify(group):
                    return group[0].started_at
            if len(page) < _PAGE:
                return now
            after = page[-1]
            if self._is_over:
                return after.started_at

    @property
    def _is_over(self) -> bool:
        return self._desk.clock.monotonic() >= self._until

    async def _due(self, page: Sequence[Answered]) -> Sequence[Unverified]:
        inspector = self._inspector
        chosen = [each for each in page if is_sampled(each.id, inspector.probability)]
        return await self._desk.verifications.unverified(chosen, source_of(inspector.verifier.name))

    async def _verify(self, group: Sequence[Unverified]) -> bool:
        """Verify a few answers at once; False where the money of the day is out, or the verifier is away."""
        subjects = [
            subject for each in group if (subject := subject_of(each)) is not None and self._is_payable(subject)
        ]
        done = await asyncio.gather(*(self._verify_one(subject) for subject in subjects))
        if any(each is None for each in done):
            _log.warning(
                "policy %s: the day's $%s for verification leave no more; answers wait for tomorrow",
                self._claim.policy, show(self._cap),
            )  # fmt: skip
            return False
        faults = [each.fault for each in done if each is not None]
        is_away = bool(faults) and all(isinstance(fault, UpstreamError) and fault.is_unbilled for fault in faults)
        if is_away and faults[0] is not None:
            _log.warning("policy %s: nothing can be verified now: %s", self._claim.policy, faults[0].message)
        return not is_away

    def _is_payable(self, subject: Subject) -> bool:
        """Whether a whole day's money suffices for an answer; one for which it does not would hold up all others."""
        return self._inspector.ceiling(subject) <= self._cap

    async def _verify_one(self, subject: Subject) -> Verified | None:
        """What came of one answer, on record; None where the money does not suffice for it."""
        desk, ceiling = self._desk, self._inspector.ceiling(subject)
        if not await desk.verifications.hold(self._claim, ceiling, cap=self._cap):
            return None
        found = await self._inspector.verify(subject, deadline_s=_CALL_S)
        # The record first: should the process end in between, what was spent is known, and the answer is scored again.
        if found.record is not None:
            await desk.records.keep([found.record])
        if found.outcome is not None:
            await desk.outcomes.add([found.outcome])
            self._scored += 1
        self._spent = Usd(self._spent + found.charge)
        await desk.verifications.settle(self._claim, ceiling, cost=found.charge)
        return found


def _groups(due: Sequence[Unverified]) -> Iterator[Sequence[Unverified]]:
    for start in range(0, len(due), _AT_ONCE):
        yield due[start : start + _AT_ONCE]
