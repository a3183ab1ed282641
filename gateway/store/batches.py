"""Batches: taken care of by one process at a time under a lease, their lines being jobs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    RowMapping,
    Update,
    and_,
    case,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.background import (
    Batch,
    BatchClaim,
    BatchState,
    Counts,
    Job,
    JobStanding,
    JobState,
    LineFault,
    Outcome,
    ProviderBatch,
    StoredFile,
    fault_document,
)
from gateway.store.background_tables import batches, jobs
from gateway.store.connections import Connections
from gateway.store.files import completed
from gateway.store.jobs import ended, job_row, standing

_DELETED_AT_ONCE = 500
_LINES_AT_ONCE = 500
_IS_OPEN = batches.c.finished_at.is_(None)
_CAN_CANCEL = (BatchState.VALIDATING, BatchState.IN_PROGRESS, BatchState.CANCELLING)
_AT_PROVIDER = "provider"
"""The owner of lines that no process may take: their provider answers them."""


class Batches:
    """The batches in a database, as seen by one process, the ``owner`` of the leases it takes."""

    def __init__(self, connections: Connections, owner: str) -> None:
        self._connections = connections
        self._owner = owner

    async def create(self, batch: Batch) -> None:
        """Store a new batch; it is due at once."""
        values = {
            **_columns(batch),
            "id": batch.id,
            "key_id": batch.key_id,
            "endpoint": batch.endpoint,
            "input_file_id": batch.input_file_id,
            "metadata": dict(batch.metadata),
            "created_at": batch.created_at,
            "deadline_at": batch.deadline_at,
            "attempts": 0,
            "due_at": batch.created_at,
        }
        async with self._connections.writing() as connection:
            await connection.execute(insert(batches).values(values))

    async def find(self, batch_id: str, key_id: str, *, now: float) -> Batch | None:
        """A key's batch, its counts as they are now; None if there is none, or its time is over."""
        found = await self._visible(key_id, now=now, limit=1, condition=batches.c.id == batch_id)
        return found[0] if found else None

    async def page(self, key_id: str, *, limit: int, now: float, after: str | None = None) -> list[Batch]:
        """A key's batches, the newest first; those that follow ``after``."""
        condition = None if after is None else batches.c.id < after  # ids begin with their time
        return await self._visible(key_id, now=now, limit=limit, condition=condition)

    async def _visible(
        self, key_id: str, *, now: float, limit: int, condition: ColumnElement[bool] | None
    ) -> list[Batch]:
        is_kept = or_(_IS_OPEN, batches.c.kept_until > now)
        statement = select(batches).where(batches.c.key_id == key_id, is_kept)
        if condition is not None:
            statement = statement.where(condition)
        async with self._connections.reading() as connection:
            rows = await connection.execute(statement.order_by(batches.c.id.desc()).limit(limit))
            found = [_to_batch(row) for row in rows.mappings()]
            counts = await _counted(
                connection, [batch.id for batch in found if BatchState.FINALIZING not in batch.stamps]
            )
        return [replace(batch, counts=counts.get(batch.id, batch.counts)) for batch in found]

    async def cancel(self, batch_id: str, key_id: str, *, now: float) -> bool:
        """Stop a batch that has not ended; its lines under way are finished. False if it is too late."""
        # A greater number takes the batch from whoever takes care of it, before anything is written over this.
        stop = (
            update(batches)
            .where(batches.c.id == batch_id, batches.c.key_id == key_id, batches.c.state.in_(_CAN_CANCEL))
            .values(
                state=BatchState.CANCELLING, attempts=batches.c.attempts + 1, owner=None, lease_until=None, due_at=now
            )
            .returning(batches.c.stamps)
        )
        async with self._connections.writing() as connection:
            stamps = (await connection.execute(stop)).scalar_one_or_none()
            if stamps is None:
                return False
            stamped = {BatchState.CANCELLING.value: now, **stamps}
            await connection.execute(update(batches).where(batches.c.id == batch_id).values(stamps=stamped))
        return True

    async def claim(self, *, now: float, lease_s: float) -> BatchClaim | None:
        """Take the oldest batch that wants something: to be validated, submitted, expired, cancelled or finalized."""
        has_open_lines = exists().where(jobs.c.batch_id == batches.c.id, jobs.c.finished_at.is_(None))
        wants = or_(
            batches.c.state != BatchState.IN_PROGRESS,
            batches.c.upstream.is_not(None),
            batches.c.deadline_at <= now,
            ~has_open_lines,
        )
        chosen = (
            select(batches.c.id)
            .where(*_free(now), batches.c.due_at <= now, wants)
            .order_by(batches.c.created_at)
            .limit(1)
        )
        async with self._connections.reading() as connection:
            batch_id = await connection.scalar(chosen)
        if batch_id is None:
            return None
        take = (
            update(batches)
            .where(batches.c.id == batch_id, *_free(now))
            .values(owner=self._owner, lease_until=now + lease_s, attempts=batches.c.attempts + 1)
            .returning(batches)
        )
        async with self._connections.writing() as connection:
            row = (await connection.execute(take)).mappings().first()
        return None if row is None else BatchClaim(_to_batch(row), row["attempts"])

    async def renew(self, claims: Iterable[BatchClaim], *, until: float) -> set[str]:
        """Keep leases; the ids of the batches that are still ours."""
        numbers = [(claim.batch.id, claim.number) for claim in claims]
        held = tuple_(batches.c.id, batches.c.attempts).in_(numbers)
        # The owner is asked for too: a batch that was let go a moment ago has none.
        statement = (
            update(batches)
            .where(held, batches.c.owner == self._owner, _IS_OPEN)
            .values(lease_until=until)
            .returning(batches.c.id)
        )
        async with self._connections.writing() as connection:
            return set((await connection.execute(statement)).scalars().all())

    async def save(self, claim: BatchClaim, batch: Batch) -> bool:
        """Keep what became of a batch; False, and nothing is kept, if it is no longer ours."""
        async with self._connections.writing() as connection:
            return await self._save(connection, claim, _columns(batch))

    async def leave(self, claim: BatchClaim, *, due_at: float) -> None:
        """Let the batch be taken again from ``due_at`` on."""
        async with self._connections.writing() as connection:
            await self._save(connection, claim, {"owner": None, "lease_until": None, "due_at": due_at})

    async def entered(self, batch_id: str) -> int:
        """The last line that became a job; 0 if none has."""
        async with self._connections.reading() as connection:
            last: int | None = await connection.scalar(select(func.max(jobs.c.line)).where(jobs.c.batch_id == batch_id))
        return last or 0

    async def enter(self, claim: BatchClaim, lines: Sequence[Job], *, at_provider: bool) -> bool:
        """Make lines jobs, all or none; False if the batch is no longer ours. Those at a provider nobody takes."""
        rows = [job_row(line) for line in lines]
        if at_provider:
            away = {"state": JobState.IN_PROGRESS, "owner": _AT_PROVIDER, "lease_until": _NEVER}
            rows = [{**row, **away} for row in rows]
        async with self._connections.writing() as connection:
            # The lease is looked at first and its row locked: two processes never enter the same lines.
            if not await self._save(connection, claim, {"due_at": claim.batch.created_at}):
                return False
            await connection.execute(insert(jobs), rows)
        return True

    async def end_lines(self, batch_id: str, state: JobState, *, now: float, at_provider: bool = False) -> None:
        """End the lines that nobody has taken, or those that are a provider's; some hundred in each transaction."""
        is_waiting = jobs.c.owner == _AT_PROVIDER if at_provider else jobs.c.state == JobState.QUEUED
        waiting = (jobs.c.batch_id == batch_id, is_waiting, jobs.c.finished_at.is_(None))
        some = select(jobs.c.id).where(*waiting).limit(_LINES_AT_ONCE)
        statement = update(jobs).where(jobs.c.id.in_(some), *waiting).values({"state": state, **ended(now, None)})
        await self._repeat(statement)

    async def give_back_lines(self, batch_id: str) -> None:
        """Let processes take the lines that were a provider's, some hundred in each transaction."""
        away = (jobs.c.batch_id == batch_id, jobs.c.owner == _AT_PROVIDER, jobs.c.finished_at.is_(None))
        some = select(jobs.c.id).where(*away).limit(_LINES_AT_ONCE)
        values = {"state": JobState.QUEUED, "owner": None, "lease_until": None}
        await self._repeat(update(jobs).where(jobs.c.id.in_(some), *away).values(values))

    async def _repeat(self, statement: Update) -> None:
        """Make a change of some rows until none is left to change."""
        count = _LINES_AT_ONCE
        while count == _LINES_AT_ONCE:
            async with self._connections.writing() as connection:
                count = (await connection.execute(statement)).rowcount

    async def has_open_lines(self, batch_id: str) -> bool:
        """Whether some lines have not ended."""
        is_open = exists().where(jobs.c.batch_id == batch_id, jobs.c.finished_at.is_(None))
        async with self._connections.reading() as connection:
            return bool(await connection.scalar(select(is_open)))

    async def lines(self, batch_id: str, *, after: int, limit: int) -> list[JobStanding]:
        """Lines in order, those after the line of this number."""
        statement = select(jobs).where(jobs.c.batch_id == batch_id, jobs.c.line > after)
        async with self._connections.reading() as connection:
            rows = await connection.execute(statement.order_by(jobs.c.line).limit(limit))
            return [standing(row) for row in rows.mappings()]

    async def lines_of(self, batch_id: str, job_ids: Sequence[str]) -> list[JobStanding]:
        """The lines of these ids."""
        statement = select(jobs).where(jobs.c.batch_id == batch_id, jobs.c.id.in_(job_ids))
        async with self._connections.reading() as connection:
            return [standing(row) for row in (await connection.execute(statement)).mappings()]

    async def end_line(self, job_id: str, outcome: Outcome, *, now: float) -> None:
        """Keep how a line ended that was a provider's."""
        values = {
            "state": outcome.state,
            "status": outcome.status,
            "request_id": outcome.request_id,
            "result": outcome.body,
            **ended(now, None),
        }
        away = (jobs.c.id == job_id, jobs.c.owner == _AT_PROVIDER, jobs.c.finished_at.is_(None))
        async with self._connections.writing() as connection:
            await connection.execute(update(jobs).where(*away).values(values))

    async def count(self, batch_id: str) -> Counts:
        """How many lines there are, and how they ended."""
        async with self._connections.reading() as connection:
            return (await _counted(connection, [batch_id])).get(batch_id, Counts())

    async def finish(
        self, claim: BatchClaim, batch: Batch, outputs: Sequence[StoredFile], *, now: float, kept_until: float
    ) -> bool:
        """End a batch, its files becoming visible in the same moment.

        False, and nothing is kept, if it is no longer ours.
        """
        values = {**_columns(batch), "finished_at": now, "kept_until": kept_until, "owner": None, "lease_until": None}
        async with self._connections.writing() as connection:
            if not await self._save(connection, claim, values):
                return False
            for file in outputs:
                await completed(connection, file)
        return True

    async def delete_lines(self) -> int:
        """Forget the lines of batches that have ended, some hundred at most; how many they were."""
        is_over = jobs.c.batch_id.in_(select(batches.c.id).where(batches.c.finished_at.is_not(None)))
        some = select(jobs.c.id).where(is_over).limit(_LINES_AT_ONCE)
        async with self._connections.writing() as connection:
            return (await connection.execute(delete(jobs).where(jobs.c.id.in_(some)))).rowcount

    async def delete_ended(self, *, now: float) -> int:
        """Forget batches whose time is over, some hundred at most; how many they were."""
        over = select(batches.c.id).where(batches.c.kept_until <= now).limit(_DELETED_AT_ONCE)
        async with self._connections.writing() as connection:
            done = await connection.execute(delete(batches).where(batches.c.id.in_(over)))
        return done.rowcount

    async def _save(self, connection: AsyncConnection, claim: BatchClaim, values: dict[str, Any]) -> bool:
        held = and_(batches.c.id == claim.batch.id, batches.c.attempts == claim.number, _IS_OPEN)
        return (await connection.execute(update(batches).where(held).values(values))).rowcount == 1


_NEVER = 253_370_764_800.0
"""The year 9999: the lease of lines that are a provider's."""


async def _counted(connection: AsyncConnection, batch_ids: Sequence[str]) -> dict[str, Counts]:
    if not batch_ids:
        return {}
    is_answered = case((jobs.c.state == JobState.COMPLETED, 1), else_=0)
    has_ended = case((jobs.c.finished_at.is_not(None), 1), else_=0)
    statement = (
        select(jobs.c.batch_id, func.count(), func.sum(is_answered), func.sum(has_ended))
        .where(jobs.c.batch_id.in_(batch_ids))
        .group_by(jobs.c.batch_id)
    )
    return {
        batch_id: Counts(total, int(answered), int(done) - int(answered))
        for batch_id, total, answered, done in await connection.execute(statement)
    }


def _free(now: float) -> tuple[ColumnElement[bool], ...]:
    return _IS_OPEN, or_(batches.c.lease_until.is_(None), batches.c.lease_until <= now)


def _columns(batch: Batch) -> dict[str, Any]:
    provider = batch.provider
    return {
        "state": batch.state,
        "stamps": dict(batch.stamps),
        "faults": [fault_document(fault) for fault in batch.faults],
        "total": batch.counts.total,
        "completed": batch.counts.completed,
        "failed": batch.counts.failed,
        "output_file_id": batch.output_file_id,
        "error_file_id": batch.error_file_id,
        "upstream": None if provider is None else provider.upstream,
        "upstream_file_id": None if provider is None else provider.file_id,
        "upstream_batch_id": None if provider is None else provider.id,
    }


def _to_batch(row: RowMapping) -> Batch:
    is_provided = row["upstream"] is not None
    return Batch(
        id=row["id"],
        key_id=row["key_id"],
        endpoint=row["endpoint"],
        input_file_id=row["input_file_id"],
        metadata=row["metadata"],
        state=BatchState(row["state"]),
        created_at=row["created_at"],
        deadline_at=row["deadline_at"],
        stamps=row["stamps"],
        faults=tuple(LineFault(**fault) for fault in row["faults"]),
        counts=Counts(row["total"], row["completed"], row["failed"]),
        output_file_id=row["output_file_id"],
        error_file_id=row["error_file_id"],
        provider=ProviderBatch(row["upstream"], row["upstream_file_id"], row["upstream_batch_id"])
        if is_provided
        else None,
    )
