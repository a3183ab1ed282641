"""Versions of policies, and which is in force: what the files brought, and what was rolled back.

Every version that ever was in force is kept, so that a decision can be read with the policy it was
made by. A rollback puts an earlier version in the place of one of the files'. It holds wherever a file
says just that, in every process and across restarts, until it is released; what else a file comes to
say is in force. So gateways whose files differ, halfway through a deployment, do not disturb each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, TypeAlias

from sqlalchemy import Select, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.key import Role
from gateway.domain.policy_version import FILES, Activation, PolicyVersion, activation_document, policy_target
from gateway.domain.tenancy import Author
from gateway.errors import Conflict, NotFound
from gateway.store.changes import Change, Changes
from gateway.store.tables import policies, policy_activations

Standing: TypeAlias = tuple[str, str]
"""A policy's name, and the digest of one of its file's versions."""


class PolicyVersions:
    """The versions of policies in a database."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def record(self, loaded: Iterable[PolicyVersion], *, at: float) -> None:
        """Note that these are what the files say. Safe to repeat, from any number of processes.

        A version that is the latest already, or is rolled back from, needs no new row.
        """
        standing = await self.standing()
        for version in loaded:
            if _is_noted(standing, version):
                continue
            async with self._changes.begin(Author(FILES, Role.ADMIN, at)) as change:
                standing = await _standing(change.connection)
                # Asked again: another process with the same files may have been faster.
                if not _is_noted(standing, version):
                    await _keep(change.connection, version)
                    fresh = _next(change, version.name, version.digest)
                    await _activate(change, "policy.load", fresh, _latest(standing, version.name))

    async def roll_back(self, name: str, *, to: str | None, by: Author) -> Activation:
        """Put an earlier version in force: the one before the latest one, or the one with the digest ``to``.

        Raises NotFound for an unknown policy or version, and Conflict where there is none before, or
        ``to`` is in force already.
        """
        async with self._changes.begin(by) as change:
            before = await _find(change.connection, name)
            chosen = await _earlier(change.connection, before) if to is None else to
            if chosen is None:
                raise Conflict(f"policy {name!r} has no version before the one in force to go back to")
            if chosen == before.digest:
                raise Conflict(f"this version of policy {name!r} is in force already")
            version = await _version(change.connection, chosen)
            if version is None or version.name != name:
                raise NotFound(
                    f"policy {name!r} has no version with this digest; GET /admin/policies/{name}/versions lists them"
                )
            over = None if chosen == before.of_file else before.of_file
            return await _activate(change, "policy.roll_back", _next(change, name, chosen, over), before)

    async def release(self, name: str, *, by: Author) -> Activation:
        """End the latest rollback: the file's version is in force again. Raises NotFound, and Conflict without one."""
        async with self._changes.begin(by) as change:
            await _find(change.connection, name)
            standing = await _standing(change.connection)
            before = _latest({key: each for key, each in standing.items() if each.over is not None}, name)
            if before is None:
                raise Conflict(f"policy {name!r} is not rolled back; the version of its file is in force")
            return await _activate(change, "policy.release", _next(change, name, before.of_file), before)

    async def standing(self) -> Mapping[Standing, Activation]:
        """What was decided last about each version that files ever had."""
        async with self._changes.reading() as connection:
            return await _standing(connection)

    async def find(self, digest: str) -> PolicyVersion:
        """The version with this digest. Raises NotFound."""
        async with self._changes.reading() as connection:
            version = await _version(connection, digest)
        if version is None:
            raise NotFound("there is no policy with this digest; a request's record names the one it was decided by")
        return version

    async def history(self, name: str, *, limit: int) -> list[Activation]:
        """When which version of a policy came into force, the latest first. Raises NotFound."""
        async with self._changes.reading() as connection:
            await _find(connection, name)
            statement = _activations().where(policy_activations.c.name == name)
            rows = await connection.execute(statement.order_by(policy_activations.c.number.desc()).limit(limit))
            return [Activation(**row) for row in rows.mappings()]

    async def number(self) -> int:
        """The number of the last change of anything."""
        return await self._changes.number()


def _is_noted(standing: Mapping[Standing, Activation], version: PolicyVersion) -> bool:
    own = standing.get((version.name, version.digest))
    return own is not None and (own.over is not None or own == _latest(standing, version.name))


def _latest(standing: Mapping[Standing, Activation], name: str) -> Activation | None:
    own = (activation for activation in standing.values() if activation.name == name)
    return max(own, key=lambda activation: activation.number, default=None)


def _activations() -> Select[Any]:
    return select(policy_activations)


async def _standing(connection: AsyncConnection) -> dict[Standing, Activation]:
    columns = policy_activations.c
    latest = select(func.max(columns.number)).group_by(columns.name, func.coalesce(columns.over, columns.digest))
    rows = await connection.execute(_activations().where(columns.number.in_(latest)))
    found = [Activation(**row) for row in rows.mappings()]
    return {(activation.name, activation.of_file): activation for activation in found}


async def _find(connection: AsyncConnection, name: str) -> Activation:
    found = _latest(await _standing(connection), name)
    if found is None:
        raise NotFound("there is no policy of this name; GET /admin/policies lists those there are")
    return found


async def _earlier(connection: AsyncConnection, present: Activation) -> str | None:
    """The version that the files had before the present one; further back each time it is asked for."""
    columns = policy_activations.c
    of_files = select(columns.digest).where(columns.name == present.name, columns.over.is_(None))
    loaded = list(await connection.scalars(of_files.order_by(columns.number.desc())))
    places = [place for place, digest in enumerate(loaded) if digest == present.digest]
    if not places:
        return None
    passed = {present.digest, present.of_file}
    return next((digest for digest in loaded[places[0] + 1 :] if digest not in passed), None)


async def _version(connection: AsyncConnection, digest: str) -> PolicyVersion | None:
    row = (await connection.execute(select(policies).where(policies.c.digest == digest))).mappings().first()
    return None if row is None else PolicyVersion(**row)


async def _keep(connection: AsyncConnection, version: PolicyVersion) -> None:
    if await _version(connection, version.digest) is None:
        await connection.execute(insert(policies).values(asdict(version)))


def _next(change: Change, name: str, digest: str, over: str | None = None) -> Activation:
    return Activation(change.number, name, digest, over, change.by.at, change.by.id)


async def _activate(change: Change, action: str, activation: Activation, before: Activation | None) -> Activation:
    await change.connection.execute(insert(policy_activations).values(asdict(activation)))
    await change.record(
        action,
        policy_target(activation.name),
        before=None if before is None else activation_document(before),
        after=activation_document(activation),
    )
    return activation
