"""The story of one run: planned, begun, measured, concluded. The command and the worker's tick both tell it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from calibrator.asking import asking
from calibrator.binding import bound_policy
from calibrator.conclude import Conclusion, Desk, author, conclude
from calibrator.experiment import RunPlan, plan_run
from calibrator.insisting import insist
from calibrator.items.gathering import gather
from calibrator.judging import Judging
from calibrator.measure import Means, Measuring, Progress, Standstill
from calibrator.standing import Known
from gateway.domain.experiment import ExperimentStanding, ExperimentState
from gateway.domain.rollout import CALIBRATOR
from gateway.errors import ConfigurationError, NotFound
from gateway.policy.items_document import ItemsDocument
from gateway.settings import Places, Settings, database_url
from gateway.store.base import locate
from gateway.store.changes import Changes
from gateway.store.connections import Connections
from gateway.store.experiments import Experiments
from gateway.store.measurements import Measurements
from gateway.store.rollouts import Rollouts
from gateway.wiring import SystemClock

REPORTS: Final = "reports"
"""The folder in PONDER_HOME with the pages of runs."""
_RECENT: Final = 50
_CONNECTIONS: Final = 4
"""To the database: what is written of an answer takes milliseconds, and the answer seconds."""
_LEASE_S: Final = 300.0
"""For choosing and publishing, which takes seconds."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a caller asks of a run, beyond what its policy says; None leaves it to the policy."""

    policy: str
    rules: tuple[str, ...] = ()
    most_items: int | None = None
    cap: Decimal | None = None
    seed: int = 0


def plan(wish: Wish) -> RunPlan:
    """The plan of a run as the configuration and the items are now. Raises ConfigurationError."""
    policy = bound_policy(wish.policy)
    if not policy.rules:
        raise ConfigurationError(f"policy {wish.policy} has no calibrated rule, so there is nothing to measure for")
    of = policy.read.document.calibrate
    items = gather(ItemsDocument() if of is None else of.items, policy.file, policy.ready)
    return plan_run(policy, items, rules=wish.rules, most_items=wish.most_items, seed=wish.seed, cap=wish.cap)


def plan_again(standing: ExperimentStanding) -> RunPlan:
    """The plan that an open run was begun by. Raises ConfigurationError where something of it has changed since."""
    of = standing.experiment
    rules: Mapping[str, Mapping[str, int]] = of.target.get("rules", {})
    most = max((each["items"] for each in rules.values()), default=None)
    made = plan(Wish(of.policy, tuple(rules), most, of.cap, of.seed))
    if made.digest != of.digest:
        raise ConfigurationError(
            f"run {of.id} was begun with another policy, other models or other items than there are now, so it cannot "
            f"be gone on with; end it with `ponder calibrate cancel {of.id}`, and begin another"
        )
    return made


class Runs:
    """The runs of one configuration, and the means to measure for them."""

    def __init__(self, where: Places, settings: Settings, environment: Mapping[str, str], *, actor: str) -> None:
        self._where = where
        self._settings = settings
        self._environment = environment
        self._actor = actor
        self._clock = SystemClock()
        database = locate(database_url(where, settings))
        self._connections = Connections(database, most=_CONNECTIONS)
        self._changes = Changes(database)
        self.experiments = Experiments(self._connections)
        self.measurements = Measurements(self._connections)

    async def begin(self, plan: RunPlan) -> ExperimentStanding:
        """Begin a run. Raises Conflict while the policy has one that has not ended."""
        started = plan.experiment(now=self._clock.now(), by=self._actor)
        await self.experiments.create(started)
        return await self.find(started.id)

    async def find(self, run_id: str) -> ExperimentStanding:
        """A run. Raises NotFound."""
        found = await insist(lambda: self.experiments.find(run_id))
        if found is None:
            raise NotFound(f"there is no run {run_id!r}; `ponder calibrate runs` lists those that there are")
        return found

    async def last(self, policy: str) -> ExperimentStanding | None:
        """The newest run of a policy that measured; imported tables are none."""
        newest = await self.experiments.recent(limit=_RECENT, policy=policy)
        return next((each for each in newest if not each.experiment.target.get("imported")), None)

    async def remark(self, standing: ExperimentStanding, note: str | None) -> None:
        """Note what holds an open run up, for whoever looks at it, or that nothing does any more."""
        claim = await self.experiments.claim(
            standing.experiment.id, owner=_owner(), now=self._clock.now(), lease_s=_LEASE_S
        )
        if claim is not None:
            await self.experiments.advance(claim, standing.state, note=note)
            await self.experiments.release(claim)

    async def suspended_at(self, policy: str) -> float | None:
        """When the calibrator itself took the last version of a policy's profile out of force, if it is so still."""
        now = (await Rollouts(self._changes).find(policy)).activation
        return None if now is None or now.number is not None or now.actor != CALIBRATOR else now.at

    @asynccontextmanager
    async def means(self, plan: RunPlan, *, concurrency: int | None, patience_s: float) -> AsyncIterator[Means]:
        """What measuring takes, looked at first: a gateway that answers, and checks that can be made here.

        Raises Unavailable and ConfigurationError, before anything is asked.
        """
        at_once = concurrency or self._settings.calibration.concurrency
        settings = self._settings.model_copy(
            update={"calibration": self._settings.calibration.model_copy(update={"concurrency": at_once})}
        )
        asked = asking(self._where, settings, self._environment, patience_s=patience_s)
        judging = Judging(settings.graders, plan.policy.offered)
        try:
            await asked.check()
            await judging.check(plan.items)
            yield Means(self.experiments, self.measurements, asked, judging, at_once, self._clock)
        finally:
            await judging.close()
            await asked.close()

    async def go_on(
        self,
        plan: RunPlan,
        run_id: str,
        means: Means,
        *,
        until: float | None,
        is_patient: bool,
        activates: bool,
        report: Callable[[Progress], None],
    ) -> Conclusion | Standstill:
        """Measure, and conclude once there is nothing more to measure, or no money for it."""
        measuring = Measuring(plan, run_id, means)
        standing = await self.find(run_id)
        if standing.state is ExperimentState.MEASURING:
            stopped = await measuring.go_on(until=until, is_patient=is_patient, report=report)
            if stopped not in (None, Standstill.MONEY):
                return stopped
        known = await measuring.known()
        return await insist(lambda: self._conclude(plan, run_id, known, activates=activates))

    async def _conclude(self, plan: RunPlan, run_id: str, known: Known, *, activates: bool) -> Conclusion | Standstill:
        now = self._clock.now()
        claim = await self.experiments.claim(run_id, owner=_owner(), now=now, lease_s=_LEASE_S)
        if claim is None or not await self.experiments.advance(claim, ExperimentState.CHOOSING):
            return Standstill.BUSY
        desk = Desk(self.experiments, self._changes, self._where.home / REPORTS, activates)
        # A run that is choosing is measured no further: what is missing then, the money was missing for.
        return await conclude(desk, plan, claim, known, is_over=True, by=author(self._actor, now))

    async def close(self) -> None:
        """Close the connections."""
        await self._connections.close()
        await self._changes.close()


def _owner() -> str:
    return f"{os.uname().nodename}-{os.getpid()}"
