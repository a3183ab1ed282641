"""Measures a run: asks items of arms until its trials come to an end, its money does, or the time is over.

Any number of processes may do so at once for one run. What is measured next follows from what is measured, so none
of them remembers anything, and whoever is killed is missed by nobody: its holds end, and their pairs are free again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

from calibrator.answers import measurement_of
from calibrator.asking import Asking, Postponed, Wanted, body_bytes
from calibrator.batches import NOTHING, BatchDesk, Look, RunBatches
from calibrator.experiment import RunPlan
from calibrator.insisting import insist
from calibrator.judging import Judging
from calibrator.standing import Job, RunStanding, standing_of
from calibrator.truths import Known
from gateway.domain.experiment import Measurement, MeasurementHold, Refusal
from gateway.domain.identity import new_id
from gateway.domain.money import ZERO, Usd
from gateway.errors import ConfigurationError, PonderError, Unavailable
from gateway.ports import Clock
from gateway.store.experiments import Experiments
from gateway.store.measurements import Measurements

HELD_S: Final = 300.0
"""How long a pair stays its process's beyond the deadline of its answer: for waiting, and for the check."""
_PAUSE_S: Final = 1.0
"""Between looks at what other processes are measuring."""


class Standstill(Enum):
    """Why measuring stopped before the trials came to an end."""

    TIME = auto()
    MONEY = auto()
    ENDED = auto()
    """Somebody ended the run."""
    BUSY = auto()
    """All pairs that are wanted are being measured by others."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: pairs measured, those that are left if nothing ends it early, and its money."""

    done: int
    left: int
    spent: Usd
    cap: Usd


@dataclass(frozen=True, slots=True)
class Means:
    """What measuring takes: the stores, whom to ask, who checks, how many at once, and the time."""

    experiments: Experiments
    measurements: Measurements
    asking: Asking
    judging: Judging
    concurrency: int
    clock: Clock
    batches: BatchDesk | None = None
    """Where the policy lets a run wait for its providers' batches."""


class Measuring:
    """One process's part in measuring a run."""

    def __init__(self, plan: RunPlan, run_id: str, means: Means) -> None:
        self._plan = plan
        self._run_id = run_id
        self._means = means

    async def known(self) -> Known:
        """All that is measured so far, by whomever."""
        return await insist(self._known)

    async def _known(self) -> Known:
        found: dict[tuple[str, str], Measurement] = {}
        async for batch in self._means.measurements.batches(self._run_id):
            found.update(((each.item, each.arm), each) for each in batch)
        return found

    async def go_on(
        self, *, until: float | None, is_patient: bool, report: Callable[[Progress], None]
    ) -> Standstill | None:
        """Measure until every trial is at its end; None then, or what stopped it before.

        Nothing is begun after ``until``, by the clock. Who ``is_patient`` waits for what others are measuring.
        Raises Unavailable where an arm cannot be asked for now, and ConfigurationError where the run is refused.
        """
        means = self._means
        while True:
            await insist(lambda: means.measurements.release_expired(self._run_id, now=means.clock.now()))
            standing = standing_of(self._plan, await self.known())
            if standing.is_at_its_end:
                return None
            look = await self._look_at_batches(standing, until, is_patient=is_patient)
            if look.is_changed:
                continue
            shift = _Shift(self._plan, self._run_id, means, until)

            async def tell(shift: _Shift = shift, standing: RunStanding = standing) -> None:
                found = await insist(lambda: means.experiments.find(self._run_id))
                if found is not None:
                    done, left = standing.done + shift.done, standing.left - shift.done
                    report(Progress(done, left, found.spent, found.experiment.cap))

            await tell()
            jobs = (job for job in standing.jobs() if (job.item.id, job.name) not in look.left_alone)
            await shift.work(jobs, tell)
            if shift.stopped_by is not None:
                return shift.stopped_by
            if not shift.done:
                if not is_patient:
                    return Standstill.BUSY
                await asyncio.sleep(look.pause_s or _PAUSE_S)

    async def _look_at_batches(self, standing: RunStanding, until: float | None, *, is_patient: bool) -> Look:
        """What waits for batches, and goes on there; nothing where the policy does not let a run wait."""
        means, wait_s = self._means, self._plan.wait_s
        found = None if means.batches is None else await insist(lambda: means.experiments.find(self._run_id))
        if means.batches is None or wait_s is None or found is None:
            return NOTHING
        batches = RunBatches(self._plan, self._run_id, means.batches, until=found.experiment.created_at + wait_s)
        if not is_patient:
            return await batches.look(standing, stop_at=until)
        return await insist(lambda: batches.look(standing, stop_at=until))


class _Shift:
    """Some workers that take jobs one after the other, until there are none or something stops all of them."""

    def __init__(self, plan: RunPlan, run_id: str, means: Means, until: float | None) -> None:
        self._plan = plan
        self._run_id = run_id
        self._means = means
        self._until = until
        self._under_way = 0
        self._fault: PonderError | None = None
        self.done = 0
        self.stopped_by: Standstill | None = None

    async def work(self, jobs: Iterator[Job], tell: Callable[[], Awaitable[None]]) -> None:
        """Take the jobs. When one worker has to stop, what the others have begun is brought to its end."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._means.concurrency):
                group.create_task(self._take(jobs, tell))
        if self._fault is not None:
            raise self._fault

    async def _take(self, jobs: Iterator[Job], tell: Callable[[], Awaitable[None]]) -> None:
        for job in jobs:
            if self._until is not None and self._means.clock.now() >= self._until:
                self.stopped_by = self.stopped_by or Standstill.TIME
            if self.stopped_by is not None or self._fault is not None:
                return
            try:
                refusal = await self._measure(job)
            except PonderError as fault:
                self._fault = fault
                return
            if refusal is Refusal.ENDED:
                self.stopped_by = Standstill.ENDED
            elif refusal is Refusal.CAP:
                await self._look_at_the_money()
                return
            elif refusal is None:
                self.done += 1
                await tell()

    async def _look_at_the_money(self) -> None:
        """Whether it is over, or only held by answers under way, which may cost less."""
        found = await insist(lambda: self._means.experiments.find(self._run_id))
        if not self._under_way and (found is None or found.held == ZERO):
            self.stopped_by = Standstill.MONEY

    async def _measure(self, job: Job) -> Refusal | None:
        """Measure a pair, unless it cannot be taken. Raises PonderError with the pair given back."""
        ready = job.rule.bound.policy
        wanted = Wanted(job.item, ready.name, job.arm, self._run_id, ZERO, ready.deadline_s)
        amount = job.rule.ceiling(job.arm, body_bytes(wanted))
        hold = MeasurementHold(
            id=new_id("hold", self._means.clock.now()),
            experiment_id=self._run_id,
            item=job.item.id,
            arm=job.name,
            amount=amount,
            until=self._means.clock.now() + ready.deadline_s + HELD_S,
        )
        self._under_way += 1
        try:
            refusal = await insist(lambda: self._means.measurements.hold(hold))
            if refusal is None:
                await self._ask(job, replace(wanted, max_cost=amount), hold)
        finally:
            self._under_way -= 1
        return refusal

    async def _ask(self, job: Job, wanted: Wanted, hold: MeasurementHold) -> None:
        try:
            said = await self._means.asking.ask(wanted)
            if not isinstance(said, Postponed):
                now = self._means.clock.now()
                measured = await measurement_of(job, said, self._means.judging, at_most=hold.amount, now=now)
        except ConfigurationError:
            await self._release(hold, ZERO)
            raise
        except BaseException:
            # Cut off in the middle: nobody knows what was spent. Without the shield it would be cut off as well.
            await asyncio.shield(self._release(hold, hold.amount))
            raise
        if isinstance(said, Postponed):
            await self._release(hold, ZERO if said.is_unbilled else hold.amount)
            raise Unavailable(
                f"arm {job.arm} cannot be asked for now: {said.reason}. What is measured stays; go on with "
                f"`ponder calibrate run --resume {self._run_id}`"
            )
        await insist(lambda: self._means.measurements.keep(hold, measured))

    async def _release(self, hold: MeasurementHold, cost: Usd) -> None:
        await insist(lambda: self._means.measurements.release(hold, cost=cost))
