"""What the database holds of calibrations: imported runs, their outcomes, and published profiles."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

from calibrator.commands.progress import counted
from calibrator.tables.table import Gathering, Outcome, OutcomeTable
from gateway.domain.experiment import Experiment, ExperimentStanding, ExperimentState, Measurement
from gateway.domain.identity import new_id
from gateway.domain.key import Role
from gateway.domain.money import ZERO, usd
from gateway.domain.profile_document import ProfileDocument, PublishedProfile
from gateway.domain.rollout import Rollout
from gateway.domain.tenancy import Author
from gateway.errors import Conflict, NotFound
from gateway.settings import database_url, load, places
from gateway.store.base import Database, locate
from gateway.store.changes import Changes
from gateway.store.connections import Connections
from gateway.store.experiments import Experiments
from gateway.store.measurements import Measurements
from gateway.store.profiles import Profiles
from gateway.store.rollouts import Rollouts

ACTOR = "command"
_LEASE_S = 3_600.0
_DAY_S = 86_400
_Value = TypeVar("_Value")


def database() -> Database:
    """The database of the configuration."""
    where = places(os.environ)
    return locate(database_url(where, load(where.config)))


@asynccontextmanager
async def _connected() -> AsyncIterator[Connections]:
    connections = Connections(database(), most=1)
    try:
        yield connections
    finally:
        await connections.close()


def run(work: Coroutine[Any, Any, _Value]) -> _Value:
    """What comes of work on the database."""
    return asyncio.run(work)


async def keep(table: OutcomeTable, policy: str, policy_digest: str, advance: Callable[[int], None]) -> str:
    """Keep a table as a run of a policy that has ended, and its id. Raises Conflict while another run is open."""
    now = time.time()
    started = Experiment(
        id=new_id("run", now),
        policy=policy,
        policy_digest=policy_digest,
        digest=table.digest,
        seed=0,
        target={"arms": list(table.arms), "items": len(table.items), "imported": True},
        cap=ZERO,
        created_at=now,
        created_by=ACTOR,
    )
    async with _connected() as connections:
        experiments = Experiments(connections)
        await experiments.create(started)
        claim = await experiments.claim(started.id, owner=f"{ACTOR}-{os.getpid()}", now=now, lease_s=_LEASE_S)
        if claim is None:
            raise Conflict(f"another process took run {started.id}; import again")
        try:
            await Measurements(connections).add(started.id, _measurements(table, now, advance))
        except BaseException:
            await experiments.cancel(started.id, note="the import was interrupted", now=time.time())
            raise
        note = f"imported {len(table.items) * len(table.arms)} outcomes; choose from it with --run"
        await experiments.finish(claim, ExperimentState.UNCHANGED, note=note, now=time.time())
    return started.id


def _measurements(table: OutcomeTable, now: float, advance: Callable[[int], None]) -> Iterator[Measurement]:
    for row, item in enumerate(table.items):
        category, difficulty = table.cells[table.cell[row]]
        observed, latencies = float(table.observed_at[row]), table.latencies[row]
        for column, arm in enumerate(table.arms):
            yield Measurement(
                item=item,
                arm=arm,
                category=category,
                difficulty=difficulty,
                score=float(table.scores[row, column]),
                cost=usd(Decimal(repr(float(table.costs[row, column])))),
                tokens=0,
                latency_s=0.0 if math.isnan(latencies[column]) else float(latencies[column]),
                observed_at=now if math.isnan(observed) else observed,
            )
        advance((row + 1) * len(table.arms))


def outcomes(run_id: str, arms: tuple[str, ...]) -> OutcomeTable:
    """The table of a run's measurements. Raises NotFound for a run that there is not."""
    with counted(None, "outcomes") as advance:
        return run(_outcomes(run_id, arms, advance))


async def _outcomes(run_id: str, arms: tuple[str, ...], advance: Callable[[int], None]) -> OutcomeTable:
    gathering = Gathering()
    number = 0
    async with _connected() as connections:
        if await Experiments(connections).find(run_id) is None:
            raise NotFound(f"there is no run {run_id!r}; `ponder calibrate runs` lists those that there are")
        async for batch in Measurements(connections).batches(run_id):
            for each in batch:
                if each.is_draw:
                    continue
                number += 1
                gathering.add(_outcome(each), f"run {run_id}, outcome {number}")
            advance(number)
    return gathering.table(arms)


def _outcome(measured: Measurement) -> Outcome:
    return Outcome(
        item=measured.item,
        category=measured.category,
        difficulty=measured.difficulty,
        arm=measured.arm,
        score=measured.score,
        cost=float(measured.cost),
        latency_s=measured.latency_s or math.nan,
        observed_at=measured.observed_at,
    )


async def recent(limit: int, policy: str | None) -> tuple[ExperimentStanding, ...]:
    """The newest runs, of one policy if one is named."""
    async with _connected() as connections:
        return await Experiments(connections).recent(limit=limit, policy=policy)


async def answers(run_ids: Iterable[str]) -> Mapping[str, int]:
    """How many answers each of these runs has kept."""
    async with _connected() as connections:
        measurements = Measurements(connections)
        return {each: sum(cell.items for cell in await measurements.progress(each)) for each in run_ids}


async def publish(document: ProfileDocument, *, days: float, report: str | None) -> PublishedProfile:
    """Publish a document as the next version of its policy's profile; it is in force nowhere yet."""
    now = time.time()
    changes = Changes(database())
    try:
        profiles = Profiles(changes)
        return await profiles.publish(
            document,
            number=await profiles.latest(document.policy) + 1,
            expires_at=now + days * _DAY_S,
            by=Author(ACTOR, Role.ADMIN, now),
            report=report,
        )
    finally:
        await changes.close()


async def cancel_run(run_id: str, reason: str, *, now: float) -> bool:
    """End a run that has not ended; False where there is none."""
    async with _connected() as connections:
        return await Experiments(connections).cancel(run_id, note=reason, now=now)


async def roll_back(policy: str, reason: str, *, now: float) -> Rollout:
    """Take back what came last of a policy's profile. Raises Conflict with nothing to take back."""
    changes = Changes(database())
    try:
        return await Rollouts(changes).roll_back(policy, reason=reason, by=Author(ACTOR, Role.ADMIN, now))
    finally:
        await changes.close()


def day(moment: float) -> str:
    """A time for people, in UTC."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M")
