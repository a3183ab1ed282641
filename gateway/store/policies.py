"""Versions of policies, and which is in force: what the files brought, and what was rolled back.

Every version that ever was in force is kept, so that a decision can be read with the policy it was
made by. A rollback puts an earlier version in the place of the file's; it holds in every process and
across restarts, and ends when it is released or when the file says something else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import Select, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.key import Role
from gateway.domain.policy_version import FILES, Activation, PolicyVersion, activation_document, policy_target
from gateway.domain.tenancy import Author
from gateway.errors import Conflict, NotFound
from gateway.store.changes import Change, Changes
from gateway.store.tables import policies, policy_activations


class PolicyVersions:
    """The versions of policies in a database."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def record(self, loaded: Iterable[PolicyVersion], *, at: float) -> None:
        """Note that these are what the files say. Safe to repeat, from any number of processes.

        A version that is in force, or stands in for nothing else than the file's, needs no new row. One
        that the file has anew ends a rollback of the one before it.
        """
        present = await self.present()
        for version in loaded:
            if _is_said_by_file(present.get(version.name), version.digest):
                continue
            async with self._changes.begin(Author(FILES, Role.ADMIN, at)) as change:
                before = (await _present(change.connection)).get(version.name)
                # Asked again: another process with the same files may have been faster.
                if not _is_said_by_file(before, version.digest):
                    await _keep(change.connection, version)
                    await _activate(change, "policy.load", _next(change, version.name, version.digest), before)

    async def roll_back(self, name: str, *, to: str | None, by: Author) -> Activation:
        """Put an earlier version in force: the one before the present one, or the one with the digest ``to``.

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
            of_file = before.over or before.digest
            over = None if chosen == of_file else of_file
            return await _activate(change, "policy.roll_back", _next(change, name, chosen, over), before)

    async def release(self, name: str, *, by: Author) -> Activation:
        """Let the file's version be in force again. Raises NotFound, and Conflict where it is."""
        async with self._changes.begin(by) as change:
            before = await _find(change.connection, name)
            if before.over is None:
                raise Conflict(f"policy {name!r} is not rolled back; the version of its file is in force")
            return await _activate(change, "policy.release", _next(change, name, before.over), before)

    async def present(self) -> Mapping[str, Activation]:
        """The latest activation of every policy that ever was in force, by name."""
        async with self._changes.reading() as connection:
            return await _present(connection)

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


def _is_said_by_file(present: Activation | None, digest: str) -> bool:
    """Whether the present activation is already one of a file that says this."""
    return present is not None and digest == (present.over or present.digest)


def _activations() -> Select[Any]:
    return select(policy_activations)


async def _present(connection: AsyncConnection) -> dict[str, Activation]:
    latest = select(func.max(policy_activations.c.number)).group_by(policy_activations.c.name)
    rows = await connection.execute(_activations().where(policy_activations.c.number.in_(latest)))
    return {row["name"]: Activation(**row) for row in rows.mappings()}


async def _find(connection: AsyncConnection, name: str) -> Activation:
    found = (await _present(connection)).get(name)
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
    return next((digest for digest in loaded[places[0] + 1 :] if digest != present.digest), None)


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
