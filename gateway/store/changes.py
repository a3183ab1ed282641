"""Changes of what the gateway is told to do: numbered, made one at a time, each with its row in the audit log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.domain.tenancy import Author
from gateway.store.base import Database, open_async, translating
from gateway.store.tables import audit_log, changes

_CONNECTIONS = 2
_THE_ROW = 1


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change that was made. ``before`` is None for what is new, ``after`` for what is gone."""

    number: int
    at: float
    actor: str
    action: str
    target: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


class Change:
    """A change under way: its transaction, and the number that the rows it touches are marked with."""

    def __init__(self, connection: AsyncConnection, number: int, by: Author) -> None:
        self.connection = connection
        self.number = number
        self.by = by
        self.is_recorded = False

    async def record(
        self, action: str, target: str, *, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
    ) -> None:
        """Write the change's one row in the audit log; the documents hold no secret."""
        values = {
            "number": self.number,
            "at": self.by.at,
            "actor": self.by.id,
            "action": action,
            "target": target,
            "before": before,
            "after": after,
        }
        await self.connection.execute(insert(audit_log).values(values))
        self.is_recorded = True

    async def pepper(self) -> str | None:
        """The fingerprint of the pepper in use; None before the first key."""
        return await _pepper(self.connection)

    async def set_pepper(self, fingerprint: str) -> None:
        """Note which pepper the digests are made with from now on."""
        await self.connection.execute(update(changes).values(pepper=fingerprint))


class Changes:
    """The changes of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._engine: AsyncEngine = open_async(database, connections=_CONNECTIONS)

    async def close(self) -> None:
        """Close the connections."""
        await self._engine.dispose()

    @asynccontextmanager
    async def begin(self, by: Author) -> AsyncIterator[Change]:
        """A change, kept if it was recorded and undone otherwise.

        Taking the number locks its row until the end, so changes follow one another in the order of
        their numbers, and what one reads no other changes.
        """
        take = update(changes).where(changes.c.id == _THE_ROW).values(number=changes.c.number + 1)
        with translating(self._database):
            async with self._engine.connect() as connection:
                number = (await connection.execute(take.returning(changes.c.number))).scalar_one()
                change = Change(connection, number, by)
                yield change
                if change.is_recorded:
                    await connection.commit()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for looking at things."""
        with translating(self._database):
            async with self._engine.connect() as connection:
                yield connection

    async def pepper(self) -> str | None:
        """The fingerprint of the pepper in use; None before the first key."""
        async with self.reading() as connection:
            return await _pepper(connection)

    async def number(self) -> int:
        """The number of the last change."""
        async with self.reading() as connection:
            return await last_number(connection)

    async def audit(self, *, limit: int, before: int | None = None, target: str | None = None) -> list[AuditEntry]:
        """The newest changes first, of one target if one is named; ``before`` a change's number."""
        statement = select(audit_log).order_by(audit_log.c.number.desc()).limit(limit)
        if before is not None:
            statement = statement.where(audit_log.c.number < before)
        if target is not None:
            statement = statement.where(audit_log.c.target == target)
        async with self.reading() as connection:
            return [AuditEntry(**row) for row in (await connection.execute(statement)).mappings()]


async def last_number(connection: AsyncConnection) -> int:
    """The number of the last change."""
    number: int = (await connection.execute(select(changes.c.number))).scalar_one()
    return number


async def _pepper(connection: AsyncConnection) -> str | None:
    fingerprint: str | None = await connection.scalar(select(changes.c.pepper))
    return fingerprint
