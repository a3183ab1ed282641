"""How long the latest requests took: what a gateway knows of its arms' speed before its own first call."""

from __future__ import annotations

from sqlalchemy import and_, func, select

from gateway.domain.latency import Timing, measured_as
from gateway.domain.record import Result
from gateway.store.base import Database, open_async, translating
from gateway.store.tables import draws, requests

_TELLING = (Result.ANSWERED.value, Result.TIMED_OUT.value)
"""A request that was given up took at least as long as it had; to leave it out would make slow arms look fast."""


class Timings:
    """The log of requests, as far as it tells of time and tokens."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def latest(self, limit: int) -> list[Timing]:
        """The latest requests that an arm answered or ran out of time with, the oldest first.

        Raises Unavailable or ConfigurationError when the database cannot be read.
        """
        engine = open_async(self._database, connections=1)
        newest = (
            select(requests)
            .where(requests.c.arm.is_not(None), requests.c.result.in_(_TELLING))
            .order_by(requests.c.started_at.desc())
            .limit(limit)
            .subquery()
        )
        calls = draws.c
        prompt = calls.input_tokens + calls.cached_tokens + calls.cache_write_5m_tokens + calls.cache_write_1h_tokens
        chosen = newest.c.policy, newest.c.arm, newest.c.first_byte_s, newest.c.total_s
        statement = (
            select(
                *chosen,
                # Of several draws or attempts, each has the whole prompt, and their answers add up.
                func.coalesce(func.max(prompt), 0).label("prompt_tokens"),
                func.coalesce(func.sum(calls.output_tokens), 0).label("output_tokens"),
                func.coalesce(func.sum(calls.thinking_tokens), 0).label("thinking_tokens"),
            )
            .join(draws, and_(calls.started_at == newest.c.started_at, calls.request_id == newest.c.id))
            .group_by(newest.c.started_at, newest.c.id, *chosen)
            .order_by(newest.c.started_at)
        )
        try:
            with translating(self._database):
                async with engine.connect() as connection:
                    rows = (await connection.execute(statement)).mappings().all()
        finally:
            await engine.dispose()
        return [
            Timing(
                arm=measured_as(row["policy"], row["arm"]),
                prompt_tokens=int(row["prompt_tokens"]),
                output_tokens=int(row["output_tokens"]),
                thinking_tokens=int(row["thinking_tokens"]),
                first_byte_s=row["first_byte_s"],
                total_s=row["total_s"],
            )
            for row in rows
        ]
