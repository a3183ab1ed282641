"""Verifications: which answers are still to be scored off the request's path, by whom, and for how much a day.

A policy's traffic is scored by whoever holds its lease. Before a verifier's model is called the most that it may
cost is set aside by an UPDATE that only succeeds under the day's cap; the true cost takes its place. What a
process set aside and never settled is charged whole when its lease passes on, as nobody knows what was spent.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, case, exists, or_, select, tuple_, update

from gateway.domain.chat import Dialect
from gateway.domain.identity import id_time
from gateway.domain.money import Usd, from_nanos, to_nanos
from gateway.domain.record import Result
from gateway.store.calibration_tables import outcomes, verifications
from gateway.store.conflicts import KeepingInsert
from gateway.store.connections import Connections
from gateway.store.located import TEXT_OF_REQUEST
from gateway.store.tables import request_texts, requests

CALIBRATOR: Final = "calibrator"
"""Who gives the outcomes of verifiers, and whose the records of their calls are: no key of anybody's."""
_ARMS: Final = "arm:%"


@dataclass(frozen=True, slots=True)
class VerificationClaim:
    """A policy whose traffic one process verifies until its lease ends; ``number`` counts the holders.

    ``read_to`` is up to where requests were looked at, by their start; None before the first time.
    """

    policy: str
    number: int
    read_to: float | None


@dataclass(frozen=True, slots=True)
class Answered:
    """A request that a policy decided and that was answered: its place in the order of requests."""

    started_at: float
    id: str


@dataclass(frozen=True, slots=True)
class Unverified:
    """A request with its text, and without the outcome that is looked for."""

    started_at: float
    id: str
    key_id: str
    dialect: Dialect
    is_stream: bool
    request: bytes
    answer: bytes


class Verifications:
    """What is verified of each policy's traffic, and what that cost."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def claim(self, policy: str, *, day: str, now: float, lease_s: float) -> VerificationClaim | None:
        """Take a policy for a while; None while somebody has it. With a new day its spending begins anew."""
        columns = verifications.c
        spent = case((columns.day == day, columns.spent_nanos + columns.held_nanos), else_=0)
        take = (
            update(verifications)
            .where(columns.policy == policy, or_(columns.lease_until.is_(None), columns.lease_until <= now))
            .values(day=day, spent_nanos=spent, held_nanos=0, number=columns.number + 1, lease_until=now + lease_s)
            .returning(columns.number, columns.read_to)
        )
        fresh = {"policy": policy, "number": 0, "day": day, "spent_nanos": 0, "held_nanos": 0}
        async with self._connections.writing() as connection:
            await connection.execute(KeepingInsert(verifications).values(fresh))
            row = (await connection.execute(take)).first()
        return None if row is None else VerificationClaim(policy, row.number, row.read_to)

    async def release(self, claim: VerificationClaim, *, read_to: float) -> bool:
        """Let others take the policy, which was looked at up to this moment; False when the claim was void."""
        return await self._change(claim, {"read_to": read_to, "lease_until": None})

    async def hold(self, claim: VerificationClaim, amount: Usd, *, cap: Usd) -> bool:
        """Set money of the day aside; False when the cap leaves less, or the claim is void."""
        columns, nanos = verifications.c, to_nanos(amount)
        fits = columns.spent_nanos + columns.held_nanos + nanos <= to_nanos(cap)
        return await self._change(claim, {"held_nanos": columns.held_nanos + nanos}, fits)

    async def settle(self, claim: VerificationClaim, amount: Usd, *, cost: Usd) -> bool:
        """Put the cost in the place of what was held; False when the claim is void, and the whole was charged."""
        columns = verifications.c
        values = {
            "held_nanos": columns.held_nanos - to_nanos(amount),
            "spent_nanos": columns.spent_nanos + to_nanos(cost),
        }
        return await self._change(claim, values)

    async def spent(self, policy: str, *, day: str) -> Usd:
        """What verification cost a policy on this day, with what is set aside."""
        columns = verifications.c
        sums = select(columns.spent_nanos + columns.held_nanos).where(columns.policy == policy, columns.day == day)
        async with self._connections.reading() as connection:
            return from_nanos(await connection.scalar(sums) or 0)

    async def answered(
        self, policy: str, *, since: float, after: Answered | None, until: float, size: int
    ) -> Sequence[Answered]:
        """The requests of a period that the policy decided and that were answered, oldest first, so many at most.

        Those that name their arm are no traffic of the policy, and are left out. ``until`` is exclusive.
        """
        columns = requests.c
        order = (columns.started_at, columns.id)
        begun = columns.started_at >= since if after is None else tuple_(*order) > (after.started_at, after.id)
        statement = (
            select(*order)
            .where(begun, columns.started_at < until, columns.policy == policy, columns.arm.is_not(None))
            .where(columns.result == Result.ANSWERED.value, columns.model_asked.not_like(_ARMS))
            .order_by(*order)
            .limit(size)
        )
        async with self._connections.reading() as connection:
            return [Answered(*row) for row in (await connection.execute(statement)).all()]

    async def unverified(self, chosen: Collection[Answered], source: str) -> Sequence[Unverified]:
        """Those of these requests whose text is kept and that have no outcome of the source yet, oldest first.

        What a policy only observed was answered by another arm, and is not among them.
        """
        if not chosen:
            return ()
        columns, texts = requests.c, request_texts.c
        is_observed = columns.plan["is_observed"].as_boolean()
        asked = (columns.started_at, columns.id, columns.key_id, columns.dialect, columns.is_stream)
        statement = (
            select(*asked, texts.request, texts.answer)
            .join(request_texts, TEXT_OF_REQUEST)
            .where(_among(chosen), is_observed.is_not(True), ~_has_outcome(chosen, source))
            .order_by(columns.started_at, columns.id)
        )
        async with self._connections.reading() as connection:
            rows = (await connection.execute(statement)).mappings().all()
        return [
            Unverified(
                started_at=row["started_at"],
                id=row["id"],
                key_id=row["key_id"],
                dialect=Dialect(row["dialect"]),
                is_stream=row["is_stream"],
                request=row["request"],
                answer=row["answer"],
            )
            for row in rows
        ]

    async def _change(self, claim: VerificationClaim, values: dict[str, Any], *more: ColumnElement[bool]) -> bool:
        held = (verifications.c.policy == claim.policy, verifications.c.number == claim.number)
        statement = update(verifications).where(*held, verifications.c.lease_until.is_not(None), *more).values(values)
        async with self._connections.writing() as connection:
            return (await connection.execute(statement)).rowcount == 1


def _among(chosen: Collection[Answered]) -> ColumnElement[bool]:
    """By a stretch of the key that both tables begin with, so that nothing else is read."""
    first, last = min(each.started_at for each in chosen), max(each.started_at for each in chosen)
    return and_(requests.c.started_at.between(first, last), requests.c.id.in_([each.id for each in chosen]))


def _has_outcome(chosen: Collection[Answered], source: str) -> ColumnElement[bool]:
    begun = [at for each in chosen if (at := id_time(each.id)) is not None]
    columns = outcomes.c
    return exists().where(
        columns.started_at.between(min(begun), max(begun)),
        columns.request_id == requests.c.id,
        columns.source == source,
        columns.key_id == CALIBRATOR,
    )
