"""Asks in batches what can wait for them: through the gateway's own batches, which providers answer at half the price.

All of it is rows: the pairs of a batch are held under its name before it is submitted, and it is looked for by that
name where nobody knows what became of it. So whoever goes on with a run, whatever ended a process, submits nothing
twice. Only one process at a time does so for a run. Answers have no latency then, and none is late.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from calibrator.answers import measurement_of
from calibrator.asking import Answer, Failure, Wanted, batched_body, read_late
from calibrator.experiment import RunPlan
from calibrator.judging import Judging
from calibrator.standing import Job, RunStanding
from gateway.background.late import at_batch_price
from gateway.background.late_asks import batch_api
from gateway.dialects.json_bytes import dumps
from gateway.domain.experiment import MeasurementBatch, MeasurementHold
from gateway.domain.identity import new_id
from gateway.domain.money import ZERO, Usd
from gateway.errors import ConfigurationError, Unavailable, UpstreamDenied, UpstreamError, UpstreamRefused
from gateway.ports import BatchApi, BatchPhase, BatchRequest, BatchResult, Clock
from gateway.store.experiments import Experiments
from gateway.store.measurement_batches import MeasurementBatches
from gateway.store.measurements import Measurements

ENDPOINT: Final = "/v1/chat/completions"
HELD_S: Final = 25 * 3_600.0
"""How long the pairs of a batch are held: its day, and an hour to take its answers in."""
_OK: Final = 200
_LEASE_S: Final = 300.0
_PAIRS_AT_MOST: Final = 5_000
_BYTES_AT_MOST: Final = 16 * 1024 * 1024
"""Of one batch."""
_FIRST_LOOK_S, _LONGEST_LOOK_S, _PATIENCE_SHARE = 1.0, 60.0, 0.05
_log = logging.getLogger("ponder.measuring")

Pair = tuple[str, str]
"""An item and the name of an answer."""


@dataclass(frozen=True, slots=True)
class BatchDesk:
    """What asking in batches takes: the stores, the gateway's batches, who checks, and who this process is."""

    experiments: Experiments
    measurements: Measurements
    batches: MeasurementBatches
    api: BatchApi
    judging: Judging
    clock: Clock
    owner: str


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at a run's batches came to: pairs to leave alone, and when to look again, if anything is awaited."""

    left_alone: frozenset[Pair]
    pause_s: float | None
    is_changed: bool = False
    """Whether something was taken in, so that other pairs are wanted now."""


NOTHING: Final = Look(frozenset(), None)


class RunBatches:
    """The batches of one run, until ``until`` by the clock: what is not answered by then is asked live."""

    def __init__(self, plan: RunPlan, run_id: str, desk: BatchDesk, *, until: float) -> None:
        self._plan = plan
        self._run_id = run_id
        self._desk = desk
        self._until = until

    async def look(self, standing: RunStanding, *, stop_at: float | None) -> Look:
        """Begin, follow and take in batches, as far as they are.

        What is taken in after ``stop_at`` waits for the next look. Raises Unavailable where the gateway is away,
        and ConfigurationError where it does not let the key have batches.
        """
        desk, now = self._desk, self._desk.clock.now()
        claim = await desk.experiments.claim(self._run_id, owner=desk.owner, now=now, lease_s=_LEASE_S)
        if claim is None:
            waiting = frozenset(_pair(job) for _, group in self._groups(standing) for job in group)
            return Look(waiting, _FIRST_LOOK_S)
        try:
            jobs = {_pair(job): job for job in standing.jobs()}
            for batch in await desk.batches.of_run(self._run_id):
                if batch.ended_at is None and await self._follow(batch, jobs, stop_at):
                    return Look(frozenset(), None, is_changed=True)
            return await self._after(standing, jobs)
        except UpstreamDenied as fault:
            raise ConfigurationError(f"the calibrator's key may have no batches: {fault.message}") from fault
        except UpstreamError as fault:
            raise Unavailable(f"the gateway's batches cannot be had now: {fault.message}") from fault
        finally:
            await desk.experiments.release(claim)

    async def _after(self, standing: RunStanding, jobs: Mapping[Pair, Job]) -> Look:
        """Begin the next batches, if none is under way and waiting goes on; and what to leave alone meanwhile."""
        desk = self._desk
        known = await desk.batches.of_run(self._run_id)
        is_over = desk.clock.now() >= self._until or any(batch.unanswered for batch in known)
        if not is_over and all(batch.ended_at is not None for batch in known):
            for _, group in self._groups(standing):
                await self._begin(group, jobs)
        under_way = [batch for batch in await desk.batches.of_run(self._run_id) if batch.ended_at is None]
        if not under_way:
            return Look(frozenset(), None)
        held = [hold for batch in under_way for hold in await desk.batches.holds(batch)]
        age = desk.clock.now() - min(batch.created_at for batch in under_way)
        pause_s = min(max(_PATIENCE_SHARE * age, _FIRST_LOOK_S), _LONGEST_LOOK_S)
        return Look(frozenset((hold.item, hold.arm) for hold in held), pause_s)

    def _groups(self, standing: RunStanding) -> Iterator[tuple[str, list[Job]]]:
        """What is wanted and can wait, by the model that answers it: a provider's batch is of one."""
        models = [(model, job) for job in standing.jobs() if (model := self._model(job)) is not None]
        for name, group in groupby(sorted(models, key=_name), key=_name):
            part: list[Job] = []
            size = 0
            for _, job in group:
                own = len(dumps(self._body(job)))
                if part and (len(part) == _PAIRS_AT_MOST or size + own > _BYTES_AT_MOST):
                    yield name, part
                    part, size = [], 0
                part.append(job)
                size += own
            yield name, part

    def _model(self, job: Job) -> str | None:
        """The model of an arm whose provider answers batches at a price of their own; None for all other arms."""
        arm, offered = job.rule.bound.policy.arms[job.arm], self._plan.policy.offered
        if arm.is_search or len(arm.legs) != 1:
            return None
        model = arm.legs[0].model
        is_cheaper = at_batch_price(model) is not None and model.max_output_tokens is not None
        return model.name if is_cheaper and batch_api(offered, model.upstream) is not None else None

    def _body(self, job: Job) -> dict[str, object]:
        policy = job.rule.bound.policy
        return batched_body(Wanted(job.item, policy.name, job.arm, self._run_id, ZERO, policy.deadline_s))

    async def _begin(self, group: Sequence[Job], jobs: Mapping[Pair, Job]) -> None:
        """Hold the pairs of a batch and submit it; once the cap has no room for one, the run goes on without any."""
        now = self._desk.clock.now()
        batch = MeasurementBatch(new_id("hold", now), self._run_id, None, now)
        holds = [
            MeasurementHold(
                id=batch.id,
                experiment_id=self._run_id,
                item=job.item.id,
                arm=job.name,
                amount=job.rule.ceiling(job.arm, len(dumps(self._body(job)))),
                until=now + HELD_S,
            )
            for job in group
        ]
        if await self._desk.batches.begin(batch, holds) is None:
            await self._submit(batch, jobs)

    async def _follow(self, batch: MeasurementBatch, jobs: Mapping[Pair, Job], stop_at: float | None) -> bool:
        """Take a batch's next step; whether it has ended by that."""
        desk = self._desk
        if batch.batch_id is None:
            return await self._submit(batch, jobs)
        try:
            phase = await desk.api.phase(batch.batch_id)
        except UpstreamRefused:  # the gateway knows it no more, and nobody what it cost
            return await self._give_up(batch, is_charged=True)
        if phase is BatchPhase.ENDED:
            return await self._take_in(batch, batch.batch_id, jobs, stop_at)
        if phase is BatchPhase.REFUSED:
            return await self._give_up(batch, is_charged=False)
        if phase is BatchPhase.RUNNING and desk.clock.now() >= self._until:
            await desk.api.cancel(batch.batch_id)
        return False

    async def _submit(self, batch: MeasurementBatch, jobs: Mapping[Pair, Job]) -> bool:
        """Submit a batch, unless it is there already; whether it has ended by that, as the gateway takes none."""
        desk = self._desk
        found = await desk.api.find(batch.id)
        if found is None:
            requests = [
                BatchRequest(_custom_id(hold), dumps(self._body(job)))
                for hold in await desk.batches.holds(batch)
                if (job := jobs.get((hold.item, hold.arm))) is not None
            ]
            try:
                found = await desk.api.submit(batch.id, ENDPOINT, requests)
            except UpstreamRefused as fault:
                _log.info(
                    "run %s: the gateway takes no batch, so it asks live (%d)", self._run_id, fault.upstream_status
                )
                return await self._give_up(batch, is_charged=False)
        await desk.batches.submitted(batch, found)
        return False

    async def _take_in(
        self, batch: MeasurementBatch, batch_id: str, jobs: Mapping[Pair, Job], stop_at: float | None
    ) -> bool:
        """Keep what was answered, and give the other pairs back; whether that is done."""
        desk = self._desk
        holds = {_custom_id(hold): hold for hold in await desk.batches.holds(batch)}
        if not holds:
            await desk.batches.end(batch, unanswered=0, now=desk.clock.now())
            return True
        results = [each async for each in desk.api.results(batch_id) if each.id in holds]
        # Those without an answer last: who is interrupted before them counts them at the next look.
        results.sort(key=lambda each: each.status != _OK)
        named = [each.request_id for each in results if each.request_id is not None]
        costs = await desk.batches.costs(named)
        if len(costs) < len(set(named)):
            return False  # their records are on their way to the database
        unanswered = 0
        for result in results:
            if result.status == _OK and stop_at is not None and desk.clock.now() >= stop_at:
                return False
            is_kept = await self._keep(holds.pop(result.id), result, costs, jobs)
            unanswered += not is_kept
        for hold in holds.values():
            await desk.measurements.release(hold, cost=hold.amount)
        await desk.batches.end(batch, unanswered=unanswered + len(holds), now=desk.clock.now())
        return True

    async def _keep(
        self, hold: MeasurementHold, result: BatchResult, costs: Mapping[str, Usd | None], jobs: Mapping[Pair, Job]
    ) -> bool:
        """Keep an answer under its pair's hold; False where there is none, and the pair is given back."""
        desk, job = self._desk, jobs.get((hold.item, hold.arm))
        cost = ZERO if result.request_id is None else costs[result.request_id]
        said: Answer | Failure | None = read_late(result, cost)
        if said is None or job is None:
            await desk.measurements.release(hold, cost=hold.amount if cost is None else cost)
            return job is None
        measured = await measurement_of(job, said, desk.judging, at_most=hold.amount, now=desk.clock.now())
        await desk.measurements.keep(hold, measured)
        return True

    async def _give_up(self, batch: MeasurementBatch, *, is_charged: bool) -> bool:
        """Give all pairs of a batch back; they are asked live."""
        desk = self._desk
        holds = await desk.batches.holds(batch)
        for hold in holds:
            await desk.measurements.release(hold, cost=hold.amount if is_charged else ZERO)
        await desk.batches.end(batch, unanswered=max(len(holds), 1), now=desk.clock.now())
        return True


def _name(of: tuple[str, Job]) -> str:
    return of[0]


def _pair(job: Job) -> Pair:
    return job.item.id, job.name


def _custom_id(hold: MeasurementHold) -> str:
    """The name of a pair in a batch's files, whatever signs its item's id has."""
    return hashlib.sha256(f"{hold.item}\n{hold.arm}".encode("utf-8", "surrogatepass")).hexdigest()[:40]
