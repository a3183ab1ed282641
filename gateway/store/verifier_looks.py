"""Looks at the health of verifiers, and the caps that are in force because of them.

A cap stays until another look finds another one, or an operator lifts it: a look that finds none has not shown that
there need be none. Looks are numbered, as each has its part of one risk; the same samples are never looked at twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.tenancy import Author
from gateway.errors import Conflict, NotFound
from gateway.search.verifier_look import Look, read_look
from gateway.store.calibration_tables import verifier_looks
from gateway.store.changes import Changes


@dataclass(frozen=True, slots=True)
class VerifierStanding:
    """A look at a verifier, and the cap that held after it until it was lifted."""

    look: Look
    cap: int | None
    at: float
    by: str
    lifted_at: float | None
    lifted_by: str | None

    @property
    def in_force(self) -> int | None:
        """The most samples that a search is given which this verifier chooses for; None without a cap."""
        return self.cap if self.lifted_at is None else None


class VerifierLooks:
    """The looks in a database."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def latest(self) -> Mapping[str, VerifierStanding]:
        """The last look at each verifier, by name."""
        columns = verifier_looks.c
        newest = select(func.max(columns.change)).group_by(columns.verifier)
        statement = select(verifier_looks).where(columns.change.in_(newest)).order_by(columns.verifier)
        async with self._changes.reading() as connection:
            rows = (await connection.execute(statement)).mappings()
            return {row["verifier"]: _standing(row) for row in rows}

    async def history(self, verifier: str, *, limit: int) -> tuple[VerifierStanding, ...]:
        """The looks at a verifier, the last first."""
        columns = verifier_looks.c
        statement = select(verifier_looks).where(columns.verifier == verifier).order_by(columns.change.desc())
        async with self._changes.reading() as connection:
            rows = (await connection.execute(statement.limit(limit))).mappings()
            return tuple(_standing(row) for row in rows)

    async def find(self, verifier: str, digest: str) -> VerifierStanding | None:
        """The look at these samples, if there was one."""
        columns = verifier_looks.c
        statement = select(verifier_looks).where(columns.verifier == verifier, columns.digest == digest)
        async with self._changes.reading() as connection:
            row = (await connection.execute(statement)).mappings().first()
        return None if row is None else _standing(row)

    async def next_number(self, verifier: str) -> int:
        """The number of the verifier's next look."""
        async with self._changes.reading() as connection:
            last = await _last(connection, verifier)
        return 1 if last is None else last.look.number + 1

    async def record(self, look: Look, by: Author) -> VerifierStanding:
        """Keep a look, and put the cap in force that it found. Raises Conflict where its number is taken."""
        async with self._changes.begin(by) as change:
            before = await _last(change.connection, look.verifier)
            if look.number != (1 if before is None else before.look.number + 1):
                raise Conflict(f"verifier {look.verifier!r} was looked at by somebody else just now; look again")
            held = None if before is None else before.in_force
            cap = held if look.health.cap is None else look.health.cap
            values = {
                "change": change.number,
                "verifier": look.verifier,
                "number": look.number,
                "source": look.source,
                "digest": look.digest,
                "document": look.document,
                "cap": cap,
                "at": by.at,
                "actor": by.id,
            }
            await change.connection.execute(insert(verifier_looks).values(values))
            after = {"cap": cap, "look": look.number, "source": look.source}
            await change.record("verifier.examine", _target(look.verifier), before={"cap": held}, after=after)
            return await _known(change.connection, look.verifier)

    async def lift(self, verifier: str, by: Author) -> VerifierStanding:
        """Take a verifier's cap out of force until another look finds one. Raises NotFound and Conflict."""
        async with self._changes.begin(by) as change:
            before = await _last(change.connection, verifier)
            if before is None:
                raise NotFound(f"verifier {verifier!r} was never examined; GET /admin/verifiers lists those that were")
            if before.in_force is None:
                raise Conflict(f"verifier {verifier!r} has no cap in force, so there is none to lift")
            values = {"lifted_at": by.at, "lifted_by": by.id}
            mine = (verifier_looks.c.verifier == verifier, verifier_looks.c.number == before.look.number)
            await change.connection.execute(update(verifier_looks).where(*mine).values(values))
            await change.record(
                "verifier.lift", _target(verifier), before={"cap": before.in_force}, after={"cap": None}
            )
            return await _known(change.connection, verifier)


def _target(verifier: str) -> str:
    return f"verifier:{verifier}"


async def _last(connection: AsyncConnection, verifier: str) -> VerifierStanding | None:
    columns = verifier_looks.c
    statement = select(verifier_looks).where(columns.verifier == verifier).order_by(columns.change.desc()).limit(1)
    row = (await connection.execute(statement)).mappings().first()
    return None if row is None else _standing(row)


async def _known(connection: AsyncConnection, verifier: str) -> VerifierStanding:
    found = await _last(connection, verifier)
    assert found is not None  # noqa: S101  it was written in this transaction
    return found


def _standing(row: RowMapping) -> VerifierStanding:
    document: Mapping[str, Any] = row["document"]
    return VerifierStanding(
        look=read_look(row["verifier"], row["number"], row["source"], row["digest"], document),
        cap=row["cap"],
        at=row["at"],
        by=row["actor"],
        lifted_at=row["lifted_at"],
        lifted_by=row["lifted_by"],
    )
