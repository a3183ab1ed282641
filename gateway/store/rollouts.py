"""Which version of a profile is in force, and canaries. Every change is a pointer flip that each process follows.

A policy has at most one canary at a time. Activating any version ends it: promoted if it is that version,
else withdrawn.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import RowMapping, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.profile_document import profile_target
from gateway.domain.rollout import (
    CanaryLook,
    CanaryStanding,
    CanaryState,
    ProfileActivation,
    Rollout,
    good_versions,
    rollout_document,
)
from gateway.domain.tenancy import Author
from gateway.errors import Conflict, InvalidRequest, NotFound
from gateway.store.calibration_tables import canaries, canary_evidence, profile_activations, profiles
from gateway.store.changes import Change, Changes


class Rollouts:
    """What is in force of the profiles in a database."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def number(self) -> int:
        """The number of the last change of anything: while it stays, so does what is in force."""
        return await self._changes.number()

    async def all(self) -> Mapping[str, Rollout]:
        """What is in force, by policy; those of which nothing ever was are left out."""
        columns = profile_activations.c
        newest = select(func.max(columns.change)).group_by(columns.policy)
        async with self._changes.reading() as connection:
            present = await connection.execute(select(profile_activations).where(columns.change.in_(newest)))
            activations = {row["policy"]: _activation(row) for row in present.mappings()}
            running = await connection.execute(select(canaries).where(canaries.c.ended_at.is_(None)))
            tried = {row["policy"]: _canary(row) for row in running.mappings()}
        names = sorted(activations.keys() | tried.keys())
        return {name: Rollout(name, activations.get(name), tried.get(name)) for name in names}

    async def find(self, policy: str) -> Rollout:
        """What is in force of a policy's profile, which may be nothing."""
        async with self._changes.reading() as connection:
            return await _rollout(connection, policy)

    async def history(self, policy: str, *, limit: int) -> tuple[ProfileActivation, ...]:
        """What was in force when, the latest first."""
        columns = profile_activations.c
        statement = select(profile_activations).where(columns.policy == policy).order_by(columns.change.desc())
        async with self._changes.reading() as connection:
            return tuple(_activation(row) for row in (await connection.execute(statement.limit(limit))).mappings())

    async def canaries(self, policy: str, *, limit: int) -> tuple[CanaryStanding, ...]:
        """The canaries of a policy, the latest first."""
        statement = select(canaries).where(canaries.c.policy == policy).order_by(canaries.c.id.desc()).limit(limit)
        async with self._changes.reading() as connection:
            return tuple(_canary(row) for row in (await connection.execute(statement)).mappings())

    async def looks(self, canary_ids: Collection[int]) -> Mapping[int, CanaryLook]:
        """What the guard made of those of these canaries that it looked at, by their ids."""
        columns = canary_evidence.c
        statement = select(columns.canary_id, columns.verdict, columns.judged_at).where(
            columns.canary_id.in_(canary_ids), columns.verdict.is_not(None)
        )
        async with self._changes.reading() as connection:
            return {row[0]: CanaryLook(*row[1:]) for row in await connection.execute(statement)}

    async def activate(self, policy: str, number: int, *, reason: str, by: Author) -> Rollout:
        """Put a version in force for all. Raises NotFound, and Conflict where it is in force without a canary."""
        async with self._changes.begin(by) as change:
            before = await _rollout(change.connection, policy)
            await _check_published(change.connection, policy, number)
            if number == before.number and before.canary is None:
                raise Conflict(f"version {number} of profile {policy!r} is in force already")
            await _end_canary(change, before, number, reason)
            await _point(change, policy, number, reason)
            return await _recorded(change, "profile.activate", before)

    async def roll_back(self, policy: str, *, reason: str, by: Author) -> Rollout:
        """Take back what came last: a running canary, or else the version in force.

        In its place comes the version that was trusted before it; where there is none, no profile is in
        force and the policy's own ``until_certified`` holds. Raises Conflict with nothing to take back.
        """
        async with self._changes.begin(by) as change:
            before = await _rollout(change.connection, policy)
            if before.canary is not None:
                await _end_canary(change, before, None, reason)
            elif before.number is None:
                raise Conflict(f"no version of profile {policy!r} is in force, so there is nothing to go back from")
            else:
                columns = profile_activations.c
                statement = select(columns.number).where(columns.policy == policy).order_by(columns.change)
                trusted = good_versions(await change.connection.scalars(statement))
                await _point(change, policy, trusted[-2] if len(trusted) > 1 else None, reason)
            return await _recorded(change, "profile.roll_back", before)

    async def suspend(self, policy: str, number: int, *, reason: str, by: Author) -> Rollout:
        """Let no version be in force in the place of this one, and end a canary beside it: ``until_certified`` holds.

        For what is in doubt as a whole: versions before it are no better founded. Raises Conflict where
        another version is in force by now.
        """
        async with self._changes.begin(by) as change:
            before = await _rollout(change.connection, policy)
            if before.number != number:
                raise Conflict(f"version {number} of profile {policy!r} is not in force any more; look at it again")
            await _end_canary(change, before, None, reason)
            await _point(change, policy, None, reason)
            return await _recorded(change, "profile.suspend", before)

    async def begin_canary(self, policy: str, number: int, *, share: float, by: Author) -> CanaryStanding:
        """Try a version on a share of conversations. Raises NotFound, and Conflict while there is a canary."""
        _check_share(share)
        async with self._changes.begin(by) as change:
            before = await _rollout(change.connection, policy)
            await _check_published(change.connection, policy, number)
            if before.canary is not None:
                raise Conflict(f"version {before.canary.number} of profile {policy!r} is being tried; end that first")
            if number == before.number:
                raise Conflict(f"version {number} of profile {policy!r} is in force for all already")
            begun = CanaryStanding(
                id=change.number,
                policy=policy,
                number=number,
                over=before.number,
                stage=0,
                share=share,
                state=CanaryState.RUNNING,
                reason=None,
                began_at=by.at,
                stage_began_at=by.at,
                ended_at=None,
            )
            await change.connection.execute(insert(canaries).values(asdict(begun)))
            return _running(await _recorded(change, "profile.canary_begin", before))

    async def widen_canary(self, canary: CanaryStanding, *, share: float, by: Author) -> CanaryStanding:
        """Take a running canary to its next stage. Raises Conflict where it is not as it was when it was looked at."""
        _check_share(share)
        async with self._changes.begin(by) as change:
            before = await _still(change.connection, canary)
            values = {"stage": canary.stage + 1, "share": share, "stage_began_at": by.at}
            await change.connection.execute(update(canaries).where(canaries.c.id == canary.id).values(values))
            return _running(await _recorded(change, "profile.canary_widen", before))

    async def promote_canary(self, canary: CanaryStanding, *, reason: str, by: Author) -> Rollout:
        """Put a canary's version in force for all. Raises Conflict where it is not as it was when it was looked at."""
        async with self._changes.begin(by) as change:
            before = await _still(change.connection, canary)
            await _end_canary(change, before, canary.number, reason)
            await _point(change, canary.policy, canary.number, reason)
            return await _recorded(change, "profile.canary_end", before)

    async def withdraw_canary(self, canary: CanaryStanding, *, reason: str, by: Author) -> Rollout:
        """End a canary: all have what the others had. Raises Conflict where it is not as it was when looked at."""
        async with self._changes.begin(by) as change:
            before = await _still(change.connection, canary)
            await _end_canary(change, before, None, reason)
            return await _recorded(change, "profile.canary_end", before)


def _check_share(share: float) -> None:
    if not 0 < share <= 1:
        raise InvalidRequest("a canary's share is above 0 and at most 1")


async def _still(connection: AsyncConnection, canary: CanaryStanding) -> Rollout:
    """What is in force, if the canary is still just this one."""
    rollout = await _rollout(connection, canary.policy)
    if rollout.canary != canary:
        raise Conflict(f"the canary of profile {canary.policy!r} has changed or ended meanwhile; look at it again")
    return rollout


async def _rollout(connection: AsyncConnection, policy: str) -> Rollout:
    columns = profile_activations.c
    newest = select(profile_activations).where(columns.policy == policy).order_by(columns.change.desc()).limit(1)
    activation = (await connection.execute(newest)).mappings().first()
    running = select(canaries).where(canaries.c.policy == policy, canaries.c.ended_at.is_(None))
    canary = (await connection.execute(running)).mappings().first()
    return Rollout(
        policy,
        None if activation is None else _activation(activation),
        None if canary is None else _canary(canary),
    )


async def _check_published(connection: AsyncConnection, policy: str, number: int) -> None:
    chosen = select(profiles.c.number).where(profiles.c.policy == policy, profiles.c.number == number)
    if await connection.scalar(chosen) is None:
        raise NotFound(
            f"profile {policy!r} has no version {number}; GET /admin/profiles/{policy}/versions lists those it has"
        )


async def _point(change: Change, policy: str, number: int | None, reason: str) -> None:
    activation = ProfileActivation(change.number, policy, number, reason, change.by.at, change.by.id)
    await change.connection.execute(insert(profile_activations).values(asdict(activation)))


async def _end_canary(change: Change, before: Rollout, activated: int | None, reason: str) -> None:
    canary = before.canary
    if canary is not None:
        state = CanaryState.PROMOTED if canary.number == activated else CanaryState.WITHDRAWN
        values = {"state": state.value, "reason": reason, "ended_at": change.by.at}
        await change.connection.execute(update(canaries).where(canaries.c.id == canary.id).values(values))


async def _recorded(change: Change, action: str, before: Rollout) -> Rollout:
    after = await _rollout(change.connection, before.policy)
    target = profile_target(before.policy)
    await change.record(action, target, before=rollout_document(before), after=rollout_document(after))
    return after


def _running(rollout: Rollout) -> CanaryStanding:
    """The canary as it is stored: its times to the microsecond, so that it can be compared."""
    assert rollout.canary is not None  # noqa: S101  it was written in this transaction
    return rollout.canary


def _activation(row: RowMapping) -> ProfileActivation:
    return ProfileActivation(**row)


def _canary(row: RowMapping) -> CanaryStanding:
    values: dict[str, Any] = {**row, "state": CanaryState(row["state"])}
    return CanaryStanding(**values)
