"""Jobs: stored requests, taken by one process at a time under a lease, and ended exactly once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Update, and_, case, delete, func, insert, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.background import Claim, Job, JobStanding, JobState, Outcome
from gateway.store.background_tables import jobs
from gateway.store.connections import Connections

_KEYS_AT_ONCE = 64
"""Keys whose jobs one claim looks at; the next one begins after them."""
_DELETED_AT_ONCE = 500

_IS_OPEN = jobs.c.finished_at.is_(None)


class Jobs:
    """The jobs in a database, as seen by one process, the ``owner`` of the leases it takes."""

    def __init__(self, connections: Connections, owner: str) -> None:
        self._connections = connections
        self._owner = owner
        self._after_key = ""

    async def add(self, job: Job) -> None:
        """Store a job; it is due at once."""
        async with self._connections.writing() as connection:
            await connection.execute(insert(jobs).values(job_row(job)))

    async def waiting(self, key_id: str, *, most: int) -> int:
        """How many background responses of a key have not ended, counted up to ``most``."""
        mine = select(jobs.c.id).where(jobs.c.key_id == key_id, ~jobs.c.is_line, _IS_OPEN).limit(most).subquery()
        async with self._connections.reading() as connection:
            count: int = (await connection.execute(select(func.count()).select_from(mine))).scalar_one()
        return count

    async def claim(self, *, now: float, lease_s: float, most: int, at_rest: Collection[str]) -> list[Claim]:
        """Take up to ``most`` jobs that are due, in turn from all keys that have some.

        ``at_rest`` are models and keys whose jobs are left alone for now. A job whose lease ran out is
        taken again, and counts a loss.
        """
        async with self._connections.reading() as connection:
            chosen = await self._choose(connection, now=now, most=most, at_rest=at_rest)
        if not chosen:
            return []
        take = (
            update(jobs)
            .where(jobs.c.id.in_(chosen), *_free(now))
            .values(
                state=JobState.IN_PROGRESS,
                owner=self._owner,
                lease_until=now + lease_s,
                attempts=jobs.c.attempts + 1,
                losses=jobs.c.losses + case((jobs.c.state == JobState.IN_PROGRESS, 1), else_=0),
            )
            .returning(jobs)
        )
        async with self._connections.writing() as connection:
            rows = (await connection.execute(take)).mappings().all()
        return [Claim(_to_job(row), row["attempts"], row["losses"]) for row in rows]

    async def _choose(
        self, connection: AsyncConnection, *, now: float, most: int, at_rest: Collection[str]
    ) -> list[str]:
        found: list[str] = []
        key_ids = await self._keys(connection)
        share = -(-most // len(key_ids)) if key_ids else 0
        for key_id in key_ids:
            if key_id not in at_rest and len(found) < most:
                mine = (
                    select(jobs.c.id)
                    .where(jobs.c.key_id == key_id, jobs.c.due_at <= now, jobs.c.model.not_in(at_rest), *_free(now))
                    .order_by(jobs.c.is_line, jobs.c.due_at)
                    .limit(min(share, most - len(found)))
                )
                found += (await connection.execute(mine)).scalars().all()
                self._after_key = key_id
        return found

    async def _keys(self, connection: AsyncConnection) -> list[str]:
        """Keys with open jobs, those after the last one served first; each is found by one step in the index."""
        key_ids: list[str] = []
        for start, end in ((self._after_key, None), ("", self._after_key)):
            at = start
            while len(key_ids) < _KEYS_AT_ONCE:
                following = select(jobs.c.key_id).where(_IS_OPEN, jobs.c.key_id > at).order_by(jobs.c.key_id).limit(1)
                key_id = await connection.scalar(following)
                if key_id is None or (end is not None and key_id > end):
                    break
                key_ids.append(key_id)
                at = key_id
        return key_ids

    async def renew(self, claims: Sequence[Claim], *, until: float) -> set[str]:
        """Keep leases; the ids of the jobs that are still ours. The others were cancelled, deleted or taken."""
        statement = update(jobs).where(self._held(claims)).values(lease_until=until).returning(jobs.c.id)
        async with self._connections.writing() as connection:
            return set((await connection.execute(statement)).scalars().all())

    async def finish(self, claim: Claim, outcome: Outcome, *, now: float, kept_until: float | None) -> bool:
        """Keep how a job ended, and forget what it asked; False, and nothing is kept, if it is no longer ours."""
        values = {
            "state": outcome.state,
            "status": outcome.status,
            "request_id": outcome.request_id,
            "result": outcome.body,
            "answer_id": outcome.answer_id,
            **ended(now, kept_until),
        }
        return await self._change(update(jobs).where(self._held([claim])).values(values))

    async def put_back(self, claim: Claim, *, due_at: float) -> bool:
        """Let a job be taken again from ``due_at`` on; False if it is no longer ours."""
        values = {"state": JobState.QUEUED, "owner": None, "lease_until": None, "due_at": due_at}
        return await self._change(update(jobs).where(self._held([claim])).values(values))

    async def find(self, job_id: str, key_id: str, *, now: float) -> JobStanding | None:
        """A key's background response, unless its time is over."""
        statement = select(jobs).where(*_response(job_id, key_id), or_(_IS_OPEN, jobs.c.kept_until > now))
        async with self._connections.reading() as connection:
            row = (await connection.execute(statement)).mappings().first()
        return None if row is None else standing(row)

    async def cancel(self, job_id: str, key_id: str, *, now: float, kept_until: float) -> bool:
        """End a background response that has not ended; whoever works on it loses it."""
        values = {"state": JobState.CANCELLED, **ended(now, kept_until)}
        return await self._change(update(jobs).where(*_response(job_id, key_id), _IS_OPEN).values(values))

    async def expire(self, *, now: float, kept_until: float) -> int:
        """End the background responses that nobody could answer in time; how many they were."""
        late = (jobs.c.state == JobState.QUEUED, ~jobs.c.is_line, jobs.c.deadline_at <= now, _IS_OPEN)
        values = {"state": JobState.EXPIRED, **ended(now, kept_until)}
        async with self._connections.reading() as connection:
            found = (await connection.execute(select(jobs.c.id).where(*late).limit(_DELETED_AT_ONCE))).scalars().all()
        if not found:
            return 0
        async with self._connections.writing() as connection:
            done = await connection.execute(update(jobs).where(jobs.c.id.in_(found), *late).values(values))
        return done.rowcount

    async def delete(self, job_id: str, key_id: str) -> bool:
        """Forget a background response, ended or not; False if there is none."""
        async with self._connections.writing() as connection:
            done = await connection.execute(delete(jobs).where(*_response(job_id, key_id)))
        return done.rowcount > 0

    async def delete_ended(self, *, now: float) -> int:
        """Forget jobs whose time is over, some hundred at most; how many they were."""
        over = select(jobs.c.id).where(jobs.c.kept_until <= now).limit(_DELETED_AT_ONCE)
        async with self._connections.writing() as connection:
            done = await connection.execute(delete(jobs).where(jobs.c.id.in_(over)))
        return done.rowcount

    async def answer_id(self, job_id: str, key_id: str) -> str | None:
        """The provider's id of the answer to a background response."""
        async with self._connections.reading() as connection:
            found: str | None = await connection.scalar(select(jobs.c.answer_id).where(*_response(job_id, key_id)))
        return found

    def _held(self, claims: Sequence[Claim]) -> ColumnElement[bool]:
        numbers = [(claim.job.id, claim.number) for claim in claims]
        return and_(tuple_(jobs.c.id, jobs.c.attempts).in_(numbers), jobs.c.owner == self._owner, _IS_OPEN)

    async def _change(self, statement: Update) -> bool:
        async with self._connections.writing() as connection:
            return (await connection.execute(statement)).rowcount == 1


def ended(now: float, kept_until: float | None) -> dict[str, Any]:
    """The columns of a job that has ended: without its request, held by nobody."""
    return {"request": None, "owner": None, "lease_until": None, "finished_at": now, "kept_until": kept_until}


def job_row(job: Job) -> dict[str, Any]:
    """The columns of a job that nobody has taken yet."""
    return {
        "id": job.id,
        "key_id": job.key_id,
        "is_line": job.batch_id is not None,
        "batch_id": job.batch_id,
        "line": job.line,
        "custom_id": job.custom_id,
        "endpoint": job.endpoint,
        "model": job.model,
        "headers": dict(job.headers),
        "request": job.body,
        "state": JobState.QUEUED,
        "attempts": 0,
        "losses": 0,
        "created_at": job.created_at,
        "due_at": job.created_at,
        "deadline_at": job.deadline_at,
    }


def standing(row: RowMapping) -> JobStanding:
    """How the job of this row stands."""
    return JobStanding(
        job=_to_job(row),
        state=JobState(row["state"]),
        finished_at=row["finished_at"],
        request_id=row["request_id"],
        status=row["status"],
        result=row["result"],
    )


def _to_job(row: RowMapping) -> Job:
    return Job(
        id=row["id"],
        key_id=row["key_id"],
        endpoint=row["endpoint"],
        model=row["model"],
        body=row["request"] or b"",
        created_at=row["created_at"],
        deadline_at=row["deadline_at"],
        headers=row["headers"],
        batch_id=row["batch_id"],
        line=row["line"],
        custom_id=row["custom_id"],
    )


def _free(now: float) -> tuple[ColumnElement[bool], ...]:
    return _IS_OPEN, or_(jobs.c.lease_until.is_(None), jobs.c.lease_until <= now)


def _response(job_id: str, key_id: str) -> tuple[ColumnElement[bool], ...]:
    return jobs.c.id == job_id, jobs.c.key_id == key_id, ~jobs.c.is_line
