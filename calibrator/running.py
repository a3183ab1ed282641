"""The story of one run: planned, begun, measured, concluded. The command and the worker's tick both tell it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from calibrator.asking import asking, batch_asking
from calibrator.batches import BatchDesk
from calibrator.binding import BoundPolicy, bound_policy
from calibrator.conclude import Conclusion, Desk, author, conclude
from calibrator.examining import Examining
from calibrator.experiment import RunPlan, plan_run
from calibrator.in_force import documents_in_force, offered
from calibrator.insisting import insist
from calibrator.items.gathering import gather
from calibrator.items.item import Item
from calibrator.items.logged import Sample, Source, draw, drawn_again, read_sample
from calibrator.judging import Judging
from calibrator.measure import Means, Measuring, Progress, Standstill
from calibrator.truths import Known
from gateway.adapters.openai_batches import OpenAIBatches
from gateway.adapters.transport import Transport
from gateway.clock import SystemClock
from gateway.domain.experiment import ExperimentStanding, ExperimentState
from gateway.domain.rollout import CALIBRATOR
from gateway.errors import ConfigurationError, NotFound
from gateway.flow.house import Catalog
from gateway.policy.items_document import ItemsDocument
from gateway.policy.reading import Policy
from gateway.search.verifier_look import Evidence
from gateway.settings import Places, Settings, database_url
from gateway.store.base import locate
from gateway.store.changes import Changes
from gateway.store.connections import Connections
from gateway.store.experiments import Experiments
from gateway.store.logged_asks import LoggedAsks
from gateway.store.measurement_batches import MeasurementBatches
from gateway.store.measurements import Measurements
from gateway.store.rollouts import Rollouts
from gateway.store.searches import StoredSearches
from gateway.store.verifier_looks import VerifierLooks

REPORTS: Final = "reports"
"""The folder in PONDER_HOME with the pages of runs."""
_RECENT: Final = 50
_DAY_S: Final = 86_400.0
_RUN_S: Final = 3 * _DAY_S
"""Within which a run is done, if nothing holds it up."""
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
        self._open = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._offered: Catalog | None = None
        self.experiments = Experiments(self._connections)
        self.measurements = Measurements(self._connections)
        self.examining = Examining(VerifierLooks(self._changes), StoredSearches(self._connections))

    async def policies(self) -> Mapping[str, Policy]:
        """The policies in force, by their names."""
        return await documents_in_force(self._where, self._settings, self._changes, self._clock)

    async def plan(self, wish: Wish, drawn: Sample | None = None) -> RunPlan:
        """The plan of a run as the policy in force and the items are now. Raises ConfigurationError.

        ``drawn`` are the logged asks of a run that was begun before.
        """
        policy = await bound_policy(wish.policy, self._changes, await self._catalog())
        if not policy.rules:
            raise ConfigurationError(f"policy {wish.policy} has no calibrated rule, so there is nothing to measure for")
        of = policy.read.document.calibrate
        wanted = ItemsDocument() if of is None else of.items
        sample, logged = await self._logged(policy, wanted, wish, drawn)
        return plan_run(
            policy,
            gather(wanted, policy.file, policy.ready, logged),
            rules=wish.rules,
            most_items=wish.most_items,
            seed=wish.seed,
            cap=wish.cap,
            sample=sample,
        )

    async def _logged(
        self, policy: BoundPolicy, wanted: ItemsDocument, wish: Wish, drawn: Sample | None
    ) -> tuple[Sample | None, Sequence[Item]]:
        """The logged asks of a run: those that it drew before, or such as are drawn now."""
        if wanted.logged is None:
            return None, ()
        rules = [each for each in policy.rules if not wish.rules or each.rule.name in wish.rules]
        source, asks = Source(policy.ready, rules, wanted.logged), LoggedAsks(self._connections)
        if drawn is not None:
            return drawn, await drawn_again(asks, source, drawn)
        now = self._clock.now()
        kept_s = self._settings.retention.text_days * _DAY_S
        # What is deleted soon would hold up a run that takes its time.
        since = now - min(wanted.logged.since, max(kept_s - _RUN_S, kept_s / 2))
        return await draw(asks, source, since=since, until=now, seed=wish.seed)

    async def plan_again(self, standing: ExperimentStanding) -> RunPlan:
        """The plan that an open run was begun by. Raises ConfigurationError where something of it changed since."""
        of = standing.experiment
        rules: Mapping[str, Mapping[str, int]] = of.target.get("rules", {})
        most = max((each["items"] for each in rules.values()), default=None)
        drawn = of.target.get("logged")
        sample = None if drawn is None else read_sample(drawn)
        made = await self.plan(Wish(of.policy, tuple(rules), most, of.cap, of.seed), sample)
        if made.digest != of.digest:
            raise ConfigurationError(
                f"run {of.id} was begun with another policy, other models or other items than there are now, so it "
                f"cannot be gone on with; end it with `ponder calibrate cancel {of.id}`, and begin another"
            )
        return made

    async def _catalog(self) -> Catalog:
        """The models that there are; they stay open until the runs are closed, as checks may call them."""
        async with self._opening:
            if self._offered is None:
                opening = offered(self._where, self._settings, self._environment, self._changes)
                self._offered = await self._open.enter_async_context(opening)
            return self._offered

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
        connection = None if plan.wait_s is None else batch_asking(self._where, settings, self._environment)
        try:
            await asked.check()
            await judging.check(plan.items)
            batches = None if connection is None else self._batches(connection, judging)
            yield Means(self.experiments, self.measurements, asked, judging, at_once, self._clock, batches)
        finally:
            await judging.close()
            await asked.close()
            if connection is not None:
                await connection.close()

    def _batches(self, connection: Transport, judging: Judging) -> BatchDesk:
        return BatchDesk(
            experiments=self.experiments,
            measurements=self.measurements,
            batches=MeasurementBatches(self._connections),
            api=OpenAIBatches(connection),
            judging=judging,
            clock=self._clock,
            owner=_owner(),
        )

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
        return await insist(lambda: self._conclude(plan, run_id, known, means.judging, activates=activates))

    async def evidence(self, run_id: str) -> Mapping[str, Evidence]:
        """What the answers of a run tell of verifiers, by name. Raises NotFound and ConfigurationError."""
        standing = await self.find(run_id)
        try:
            plan = await self.plan_again(standing)
        except ConfigurationError as fault:
            raise ConfigurationError(
                f"run {run_id} cannot be examined any more: its policy, models or items are others now, or texts of "
                "its items are deleted"
            ) from fault
        judging = Judging(self._settings.graders, plan.policy.offered)
        try:
            await judging.check(plan.items)
            known = {(each.item, each.arm): each async for batch in self.measurements.batches(run_id) for each in batch}
            return await self.examining.of_run(plan, run_id, known, judging)
        finally:
            await judging.close()

    async def _conclude(
        self, plan: RunPlan, run_id: str, known: Known, judging: Judging, *, activates: bool
    ) -> Conclusion | Standstill:
        now = self._clock.now()
        claim = await self.experiments.claim(run_id, owner=_owner(), now=now, lease_s=_LEASE_S)
        if claim is None or not await self.experiments.advance(claim, ExperimentState.CHOOSING):
            return Standstill.BUSY
        await self.examining.examine(plan, run_id, known, judging, author(self._actor, now))
        desk = Desk(self.experiments, self._changes, self._where.home / REPORTS, activates)
        # A run that is choosing is measured no further: what is missing then, the money was missing for.
        return await conclude(desk, plan, claim, known, is_over=True, by=author(self._actor, now))

    async def close(self) -> None:
        """Close the connections."""
        await self._open.aclose()
        await self._connections.close()
        await self._changes.close()


def _owner() -> str:
    return f"{os.uname().nodename}-{os.getpid()}"
