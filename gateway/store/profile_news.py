"""What became of profiles by itself: canaries that ended, versions that were suspended, and those that expired.

What changes a profile is on record in the transaction that changes it, whichever process made it, so whoever
looks later misses nothing.
"""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.notice import ProfileEvent, ProfileTurn
from gateway.domain.rollout import CanaryState
from gateway.store.calibration_tables import canaries, profile_activations, profiles
from gateway.store.connections import Connections
from gateway.store.tables import audit_log

_ENDS = {
    CanaryState.PROMOTED: ProfileEvent.CANARY_PROMOTED,
    CanaryState.WITHDRAWN: ProfileEvent.CANARY_WITHDRAWN,
}


class ProfileNews:
    """The news of one database."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def since(self, moment: float, *, now: float) -> tuple[ProfileTurn, ...]:
        """What happened since then, the oldest first; what has expired and is in force still is always among it."""
        async with self._connections.reading() as connection:
            ends = await _ends(connection)
            turns = [*await _canaries(connection, moment), *await _suspensions(connection, moment)]
        in_force = {policy: number for policy, (number, expires_at) in ends.items() if expires_at > now}
        turns += [_expired(policy, number, at) for policy, (number, at) in ends.items() if at <= now]
        told = (replace(each, in_force=in_force.get(each.policy)) for each in turns)
        return tuple(sorted(told, key=lambda each: each.at))


async def _ends(connection: AsyncConnection) -> dict[str, tuple[int, float]]:
    """By policy, the version that is in force for all, and when it expires."""
    columns = profile_activations.c
    newest = select(func.max(columns.change)).group_by(columns.policy)
    statement = (
        select(columns.policy, columns.number, profiles.c.expires_at)
        .join(profiles, (profiles.c.policy == columns.policy) & (profiles.c.number == columns.number))
        .where(columns.change.in_(newest))
    )
    return {row.policy: (row.number, row.expires_at) for row in await connection.execute(statement)}


async def _canaries(connection: AsyncConnection, since: float) -> list[ProfileTurn]:
    columns = canaries.c
    statement = select(
        columns.policy, columns.number, columns.share, columns.state, columns.reason, columns.ended_at
    ).where(columns.ended_at >= since)
    return [
        ProfileTurn(
            event=_ENDS[CanaryState(row.state)],
            policy=row.policy,
            version=row.number,
            reason=row.reason,
            at=row.ended_at,
            share=row.share,
        )
        for row in await connection.execute(statement)
    ]


async def _suspensions(connection: AsyncConnection, since: float) -> list[ProfileTurn]:
    """Versions that were suspended; one that was taken back by hand to none is not."""
    columns = profile_activations.c
    statement = (
        select(columns.policy, columns.reason, columns.at, audit_log.c.before)
        .join(audit_log, audit_log.c.number == columns.change)
        .where(columns.at >= since, columns.number.is_(None), audit_log.c.action == "profile.suspend")
    )
    return [
        ProfileTurn(ProfileEvent.SUSPENDED, row.policy, row.before["number"], row.reason, row.at)
        for row in await connection.execute(statement)
    ]


def _expired(policy: str, number: int, at: float) -> ProfileTurn:
    reason = "its time is over, and no other version has taken its place"
    return ProfileTurn(ProfileEvent.EXPIRED, policy, number, reason, at)
