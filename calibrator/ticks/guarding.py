"""The tick that looks after canaries: reads what is new of each, judges it, and widens, promotes or withdraws it.

What was read is kept as sums, with a mark up to where, so that nothing is read from the beginning again.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from calibrator.guard import Action, Trial, Verdict, judge
from calibrator.guarding.document import taken_up, written
from calibrator.guarding.evidence import Labelled, Served, Terms
from calibrator.guarding.versions import Versions
from calibrator.in_force import InForce, policies_in_force
from gateway.clock import SystemClock
from gateway.domain.key import Role
from gateway.domain.profile import ProfileVersion
from gateway.domain.record import Result
from gateway.domain.rollout import CALIBRATOR, CanaryStanding
from gateway.domain.tenancy import Author
from gateway.errors import ConfigurationError, Conflict, NotFound
from gateway.policy.document import CalibrateDocument
from gateway.policy.guard_document import GuardDocument
from gateway.ports import Clock
from gateway.settings import Places, Settings, database_url
from gateway.store.base import Database, locate
from gateway.store.canary_evidence import Aspect, CanaryEvidence, CanaryProgress, DrawnRequest, JudgedRequest
from gateway.store.changes import Changes
from gateway.store.profiles import Profiles
from gateway.store.rollouts import Rollouts
from gateway.store.session import session

SETTLING_S: Final = 60.0
"""How old an outcome is before it is counted: what contradicts it within that time is counted with it."""
OVERLAP_S: Final = 120.0
"""How much is read once more, for outcomes whose request came on record after them."""
RECORDED_S: Final = 30.0
"""After a request's deadline, within this time its record is in the database."""

_WORK_S: Final = 8.0
_SERVED: Final = 2_000
"""Requests a tick looks at for cost, time and errors; with more traffic than that it takes the first of a period."""
_FORGOTTEN: Final = 20_000
_CONNECTIONS: Final = 2
_FAILURES: Final = frozenset({Result.FAILED, Result.TIMED_OUT, Result.TRUNCATED, Result.REFUSED})
_DEFAULT_SHARES: Final = tuple(CalibrateDocument.model_fields["canary"].default)
_log = logging.getLogger("ponder.guarding")
_Found = TypeVar("_Found", JudgedRequest, DrawnRequest)


async def tick(where: Places, settings: Settings) -> None:
    """Look after all canaries, for some seconds."""
    clock = SystemClock()
    async with opened(locate(database_url(where, settings)), clock) as desk:
        running = [each.canary for each in (await desk.rollouts.all()).values() if each.canary is not None]
        if running:
            try:
                policies = await policies_in_force(where, settings, os.environ, desk.changes, clock)
            except ConfigurationError as fault:
                _log.warning("canaries are not looked after, as the configuration is at fault: %s", fault.message)
                return
            await guard(desk, running, policies)
        await desk.evidence.forget(limit=_FORGOTTEN)


@dataclass(frozen=True, slots=True)
class Desk:
    """What guarding needs: the stores, and the time."""

    changes: Changes
    rollouts: Rollouts
    profiles: Profiles
    evidence: CanaryEvidence
    clock: Clock


@asynccontextmanager
async def opened(database: Database, clock: Clock) -> AsyncIterator[Desk]:
    """The desk of a database."""
    async with session(database, most=_CONNECTIONS) as (changes, connections):
        yield Desk(changes, Rollouts(changes), Profiles(changes), CanaryEvidence(connections), clock)


async def guard(desk: Desk, running: Sequence[CanaryStanding], policies: Mapping[str, InForce]) -> None:
    """Judge these canaries and act on it. What another process did meanwhile is left as it is."""
    until = desk.clock.monotonic() + _WORK_S
    for canary in running:
        verdict = await _Look(desk, canary, policies.get(canary.policy), until).verdict()
        if verdict is None:
            continue
        try:
            await _act(desk, canary, verdict)
        except Conflict as fault:
            _log.info("policy %s: the canary was not touched: %s", canary.policy, fault.message)


async def _act(desk: Desk, canary: CanaryStanding, verdict: Verdict) -> None:
    by = Author(CALIBRATOR, Role.ADMIN, desk.clock.now())
    words = f"policy {canary.policy}: version {canary.number}, tried on {canary.share:.0%}"
    if verdict.action is Action.WIDEN and verdict.share is not None:
        await desk.rollouts.widen_canary(canary, share=verdict.share, by=by)
        _log.info("%s, goes to %.0f%%: %s", words, 100 * verdict.share, verdict.reason)
    elif verdict.action is Action.PROMOTE:
        await desk.rollouts.promote_canary(canary, reason=verdict.reason, by=by)
        _log.info("%s, is in force for all: %s", words, verdict.reason)
    elif verdict.action is Action.WITHDRAW:
        await desk.rollouts.withdraw_canary(canary, reason=verdict.reason, by=by)
        _log.warning("%s, is withdrawn: %s", words, verdict.reason)


def terms_of(document: GuardDocument) -> Terms:
    """The policy's terms, as the guard takes them."""
    return Terms(
        margin=document.margin,
        risk=document.risk,
        timeout_s=document.timeout,
        min_outcomes=document.min_outcomes,
        cost_at_most=document.cost_at_most,
        latency_at_most=document.latency_at_most,
        errors_at_most=document.errors_at_most,
    )


class _Look:
    """One canary's part of a tick."""

    def __init__(self, desk: Desk, canary: CanaryStanding, policy: InForce | None, until: float) -> None:
        self._desk = desk
        self._canary = canary
        self._policy = policy
        self._until = until

    async def verdict(self) -> Verdict | None:
        """What is to be done; None where another process looks at the canary just now."""
        now, policy = self._desk.clock.now(), self._policy
        if policy is None:
            return Verdict(Action.WITHDRAW, "there is no policy of this name any more")
        try:
            new = await self._version(self._canary.number)
        except (ConfigurationError, NotFound) as fault:
            return Verdict(Action.WITHDRAW, f"the version cannot be used: {fault.message}")
        versions = Versions(policy.ready, new, await self._other())
        if now >= new.expires_at:
            return Verdict(Action.WITHDRAW, "it has expired")
        if not versions.still_certifies:
            return Verdict(
                Action.WITHDRAW, "it certifies no rule of the policy, its arms and their models as they are now"
            )
        if not versions.differ(now):
            return Verdict(Action.PROMOTE, "it answers every ask by the same arm as what the others have")
        return await self._judged(versions, policy, now)

    async def _judged(self, versions: Versions, policy: InForce, now: float) -> Verdict | None:
        said = policy.calibrate
        terms = terms_of(GuardDocument() if said is None else said.guard)
        progress: CanaryProgress | None = await self._desk.evidence.progress(self._canary)
        if progress is not None:
            progress = await self._count_labels(versions, terms, progress, now - SETTLING_S)
        if progress is not None:
            recorded = now - policy.ready.deadline_s - RECORDED_S
            progress = await self._count_service(versions, terms, progress, recorded)
        if progress is None:
            return None
        shares = _DEFAULT_SHARES if said is None else said.canary
        trial = Trial(self._canary.share, self._canary.began_at, shares)
        verdict = judge(trial, taken_up(progress.document, terms), now)
        seen = replace(progress, verdict=verdict.reason, judged_at=now)
        return None if await self._desk.evidence.keep(progress, seen, Aspect.QUALITY, ()) is None else verdict

    async def _count_labels(
        self, versions: Versions, terms: Terms, progress: CanaryProgress, until: float
    ) -> CanaryProgress | None:
        """Count what was found up to this moment, as far as the tick's time goes."""
        store, since = self._desk.evidence, max(self._canary.began_at, progress.outcomes_to - OVERLAP_S)
        async for part in store.judged(self._canary, since=since, until=until):
            fresh = await self._uncounted(Aspect.QUALITY, ((each.request.point, each) for each in part))
            evidence = taken_up(progress.document, terms)
            evidence = evidence.with_labels([_labelled(each, versions) for each in fresh.values()])
            read_to = max(progress.outcomes_to, *(each.at for each in part))
            after = replace(progress, document=written(evidence), outcomes_to=read_to)
            kept = await self._desk.evidence.keep(progress, after, Aspect.QUALITY, fresh)
            if kept is None:
                return None
            progress = kept
            if self._desk.clock.monotonic() >= self._until:
                return progress
        return replace(progress, outcomes_to=max(progress.outcomes_to, until))

    async def _count_service(
        self, versions: Versions, terms: Terms, progress: CanaryProgress, until: float
    ) -> CanaryProgress | None:
        """Count how requests up to this moment were served."""
        if until <= progress.requests_to:
            return progress
        read = await self._desk.evidence.served(self._canary, since=progress.requests_to, until=until, limit=_SERVED)
        concerned = (
            (each.point, each)
            for each in read
            if not versions.are_alike(each.rule, each.category, each.difficulty, each.started_at)
        )
        fresh = await self._uncounted(Aspect.SERVICE, concerned)
        evidence = taken_up(progress.document, terms).with_traffic([_served(each) for each in fresh.values()])
        after = replace(progress, document=written(evidence), requests_to=until)
        return await self._desk.evidence.keep(progress, after, Aspect.SERVICE, fresh)

    async def _uncounted(self, aspect: Aspect, found: Iterable[tuple[int, _Found]]) -> dict[int, _Found]:
        """The first of each conversation, by its point, where that was not counted before."""
        firsts: dict[int, _Found] = {}
        for point, each in found:
            firsts.setdefault(point, each)
        known = await self._desk.evidence.counted(self._canary.id, aspect, firsts)
        return {point: each for point, each in firsts.items() if point not in known}

    async def _version(self, number: int) -> ProfileVersion:
        return (await self._desk.profiles.find(self._canary.policy, number)).version()

    async def _other(self) -> ProfileVersion | None:
        """What the others have; nothing where it cannot be read, as gateways then use nothing of it."""
        if self._canary.over is None:
            return None
        try:
            return await self._version(self._canary.over)
        except (ConfigurationError, NotFound):
            return None


def _cell(request: DrawnRequest) -> str:
    return "|".join((request.rule, request.category, request.difficulty or ""))


def _labelled(judged: JudgedRequest, versions: Versions) -> Labelled:
    """The request with one score of all that was found: their mean by weight.

    It was judged with the probability that any of the sources chose it; one that does not say has chosen
    everything.
    """
    request, said = judged.request, judged.said
    weight, missed = sum(each.weight for each in said), 1.0
    for each in said:
        missed *= 1 - (1.0 if each.probability is None else each.probability)
    return Labelled(
        cell=_cell(request),
        share=request.share,
        is_new=request.is_new,
        is_same=versions.are_alike(request.rule, request.category, request.difficulty, request.started_at),
        score=sum(each.score * each.weight for each in said) / weight,
        weight=max(each.weight for each in said),
        probability=1 - missed,
    )


def _served(request: DrawnRequest) -> Served:
    return Served(
        cell=_cell(request),
        share=request.share,
        is_new=request.is_new,
        has_failed=request.result in _FAILURES,
        total_s=request.total_s,
        cost_usd=None if request.cost is None else float(request.cost),
    )
