"""Experiments: one open run per policy, each worked on by whoever holds its lease, ended exactly once.

What they measure and spend is :mod:`gateway.store.measurements`'s, and takes no lease: many processes
measure for one run at once.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Update, insert, or_, select, update

from gateway.domain.experiment import Experiment, ExperimentClaim, ExperimentStanding, ExperimentState
from gateway.domain.money import from_nanos, to_nanos
from gateway.errors import Conflict
from gateway.store.base import Unstorable
from gateway.store.calibration_tables import experiments, measurements
from gateway.store.connections import Connections

_IS_OPEN = experiments.c.finished_at.is_(None)


class Experiments:
    """The calibration runs in a database."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def create(self, experiment: Experiment) -> None:
        """Begin a run. Raises Conflict while the policy has one that has not ended."""
        try:
            async with self._connections.writing() as connection:
                await connection.execute(insert(experiments).values(_row(experiment)))
        except Unstorable:
            running = await self.open_run(experiment.policy)
            if running is None:
                raise
            raise Conflict(
                f"policy {experiment.policy!r} is being calibrated by {running.experiment.id}; wait for its end, "
                "or cancel it"
            ) from None

    async def find(self, experiment_id: str) -> ExperimentStanding | None:
        """The run with this id."""
        return await self._first(experiments.c.id == experiment_id)

    async def open_run(self, policy: str) -> ExperimentStanding | None:
        """The run of a policy that has not ended."""
        return await self._first(experiments.c.policy == policy, _IS_OPEN)

    async def open_runs(self) -> tuple[ExperimentStanding, ...]:
        """All runs that have not ended, the oldest first."""
        statement = select(experiments).where(_IS_OPEN).order_by(experiments.c.created_at, experiments.c.id)
        async with self._connections.reading() as connection:
            return tuple(_standing(row) for row in (await connection.execute(statement)).mappings())

    async def recent(self, *, limit: int, policy: str | None = None) -> tuple[ExperimentStanding, ...]:
        """The newest runs, of one policy if one is named, newest first."""
        statement = select(experiments).order_by(experiments.c.created_at.desc(), experiments.c.id.desc()).limit(limit)
        if policy is not None:
            statement = statement.where(experiments.c.policy == policy)
        async with self._connections.reading() as connection:
            return tuple(_standing(row) for row in (await connection.execute(statement)).mappings())

    async def claim(self, experiment_id: str, *, owner: str, now: float, lease_s: float) -> ExperimentClaim | None:
        """Take an open run for a while; None when somebody has it, or it has ended.

        One that is taken again by its own holder is a new claim, and the older one is void.
        """
        is_free = or_(
            experiments.c.lease_until.is_(None), experiments.c.lease_until <= now, experiments.c.owner == owner
        )
        take = (
            update(experiments)
            .where(experiments.c.id == experiment_id, _IS_OPEN, is_free)
            .values(owner=owner, lease_until=now + lease_s, attempts=experiments.c.attempts + 1)
            .returning(experiments)
        )
        async with self._connections.writing() as connection:
            row = (await connection.execute(take)).mappings().first()
        return None if row is None else ExperimentClaim(_standing(row), owner, row["attempts"])

    async def renew(self, claim: ExperimentClaim, *, until: float) -> bool:
        """Keep a claim's lease; False when it is void, and what it was for is to be left alone."""
        return await self._change(claim, {"lease_until": until})

    async def release(self, claim: ExperimentClaim) -> bool:
        """Let others take the run at once; False when the claim was void already."""
        return await self._change(claim, {"owner": None, "lease_until": None})

    async def advance(self, claim: ExperimentClaim, state: ExperimentState, *, note: str | None = None) -> bool:
        """Put an open run into another state that is no end; False when the claim is void."""
        if state.is_end:
            raise ValueError("a run is ended by finish()")
        return await self._change(claim, {"state": state.value, "note": note})

    async def finish(self, claim: ExperimentClaim, state: ExperimentState, *, note: str | None, now: float) -> bool:
        """End a run and let go of it; False when the claim is void, and nothing is changed.

        What the reference said to logged asks is forgotten with it.
        """
        if not state.is_end:
            raise ValueError("a run ends in a state that is an end")
        async with self._connections.writing() as connection:
            done = await connection.execute(_changed(claim, _ended(state, note, now)))
            if done.rowcount == 1:
                await connection.execute(_forgotten(claim.standing.experiment.id))
            return done.rowcount == 1

    async def cancel(self, experiment_id: str, *, note: str, now: float) -> bool:
        """End an open run whoever holds it: their claims are void. False when there is none to end."""
        chosen = update(experiments).where(experiments.c.id == experiment_id, _IS_OPEN)
        async with self._connections.writing() as connection:
            done = await connection.execute(chosen.values(_ended(ExperimentState.CANCELLED, note, now)))
            if done.rowcount == 1:
                await connection.execute(_forgotten(experiment_id))
            return done.rowcount == 1

    async def _first(self, *conditions: ColumnElement[bool]) -> ExperimentStanding | None:
        async with self._connections.reading() as connection:
            row = (await connection.execute(select(experiments).where(*conditions))).mappings().first()
        return None if row is None else _standing(row)

    async def _change(self, claim: ExperimentClaim, values: dict[str, Any]) -> bool:
        async with self._connections.writing() as connection:
            return (await connection.execute(_changed(claim, values))).rowcount == 1


def _changed(claim: ExperimentClaim, values: dict[str, Any]) -> Update:
    """The change of a run that this claim still holds."""
    held = (
        experiments.c.id == claim.standing.experiment.id,
        experiments.c.owner == claim.owner,
        experiments.c.attempts == claim.number,
        _IS_OPEN,
    )
    return update(experiments).where(*held).values(values)


def _forgotten(experiment_id: str) -> Update:
    own = (measurements.c.experiment_id == experiment_id, measurements.c.answer.is_not(None))
    return update(measurements).where(*own).values(answer=None)


def _ended(state: ExperimentState, note: str | None, now: float) -> dict[str, Any]:
    return {"state": state.value, "note": note, "finished_at": now, "owner": None, "lease_until": None}


def _row(experiment: Experiment) -> dict[str, Any]:
    return {
        "id": experiment.id,
        "policy": experiment.policy,
        "policy_digest": experiment.policy_digest,
        "digest": experiment.digest,
        "seed": experiment.seed,
        "target": dict(experiment.target),
        "cap_nanos": to_nanos(experiment.cap),
        "spent_nanos": 0,
        "held_nanos": 0,
        "state": ExperimentState.MEASURING.value,
        "created_at": experiment.created_at,
        "created_by": experiment.created_by,
        "attempts": 0,
    }


def _standing(row: RowMapping) -> ExperimentStanding:
    return ExperimentStanding(
        experiment=Experiment(
            id=row["id"],
            policy=row["policy"],
            policy_digest=row["policy_digest"],
            digest=row["digest"],
            seed=row["seed"],
            target=row["target"],
            cap=from_nanos(row["cap_nanos"]),
            created_at=row["created_at"],
            created_by=row["created_by"],
        ),
        state=ExperimentState(row["state"]),
        note=row["note"],
        spent=from_nanos(row["spent_nanos"]),
        held=from_nanos(row["held_nanos"]),
        owner=row["owner"],
        lease_until=row["lease_until"],
        finished_at=row["finished_at"],
    )
