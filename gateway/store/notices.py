"""Notices to webhooks: each written once, whoever notices it first, and sent by whoever claims it.

The unique constraint decides who writes, a conditional UPDATE who sends. A claim is a postponement:
if the process that holds it dies, the notice is due again when the claim's time is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import and_, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from gateway.domain.limits import Period
from gateway.domain.money import to_nanos
from gateway.domain.notice import Crossing, ProfileEvent, ProfileTurn, notice_document, turn_document
from gateway.domain.tenancy import key_account, team_account
from gateway.store.base import Database, open_async, translating
from gateway.store.tables import keys, notices, teams

_CONNECTIONS = 1
PENDING, SENT, FAILED = "pending", "sent", "failed"
_LASTING = (ProfileEvent.EXPIRED, ProfileEvent.LAPSED)


@dataclass(frozen=True, slots=True)
class DueNotice:
    """A notice to be sent now; ``attempts`` includes this one."""

    id: str
    webhook: str
    body: bytes
    attempts: int


class Notices:
    """The notices of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._engine = open_async(database, connections=_CONNECTIONS)

    async def close(self) -> None:
        """Close the connection."""
        await self._engine.dispose()

    async def names(self, accounts: Iterable[str]) -> Mapping[str, str]:
        """What keys and teams are called, by their accounts."""
        wanted = list(accounts)
        found: dict[str, str] = {}
        with translating(self._database):
            async with self._engine.connect() as connection:
                for table, account in ((keys, key_account), (teams, team_account)):
                    ids = [each.partition(":")[2] for each in wanted if each.startswith(account(""))]
                    if ids:
                        rows = await connection.execute(select(table.c.id, table.c.name).where(table.c.id.in_(ids)))
                        found |= {account(row.id): row.name for row in rows}
        return found

    async def add(self, notice_id: str, crossing: Crossing, name: str, webhook: str) -> bool:
        """Write a notice of a budget, due now; False, and nothing is written, when there is one of the same event."""
        occasion = {
            "account": crossing.account,
            "period": crossing.budget.period.value,
            "window_start": crossing.window_start,
            "amount_nanos": to_nanos(crossing.budget.amount),
            "event": crossing.event.value,
        }
        return await self._add(notice_id, occasion, notice_document(crossing, name), webhook, crossing.at)

    async def add_turn(self, notice_id: str, turn: ProfileTurn, webhook: str, *, now: float) -> bool:
        """Write a notice of a profile, due now; False, and nothing is written, when there is one of the same event."""
        occasion = {
            "account": turn.account,
            "period": turn.occasion,
            "window_start": turn.happened_at,
            "amount_nanos": 0,
            "event": turn.event.value,
        }
        return await self._add(notice_id, occasion, turn_document(turn), webhook, now)

    async def _add(
        self, notice_id: str, occasion: Mapping[str, Any], document: Mapping[str, Any], webhook: str, now: float
    ) -> bool:
        values = {
            **occasion,
            "id": notice_id,
            "webhook": webhook,
            # As it will be sent, every time: what is signed must not change between attempts.
            "body": orjson.dumps(document).decode(),
            "state": PENDING,
            "attempts": 0,
            "next_at": now,
            "created_at": now,
        }
        with translating(self._database):
            try:
                async with self._engine.begin() as connection:
                    await connection.execute(insert(notices).values(values))
            except IntegrityError:
                return False
        return True

    async def claim(self, *, now: float, for_s: float, limit: int) -> Sequence[DueNotice]:
        """Take notices that are due: nobody else gets them for this long."""
        is_due = and_(notices.c.state == PENDING, notices.c.next_at <= now)
        chosen = select(notices.c.id).where(is_due).order_by(notices.c.next_at).limit(limit)
        # Due is asked again of each row when it is locked: another process may have taken it meanwhile.
        taking = (
            update(notices)
            .where(notices.c.id.in_(chosen), is_due)
            .values(next_at=now + for_s, attempts=notices.c.attempts + 1)
            .returning(notices.c.id, notices.c.webhook, notices.c.body, notices.c.attempts)
        )
        with translating(self._database):
            async with self._engine.begin() as connection:
                # Asked before it is written: on SQLite a write, even of nothing, makes others wait.
                if (await connection.execute(chosen.limit(1))).first() is None:
                    return ()
                rows = (await connection.execute(taking)).all()
        return [DueNotice(row.id, row.webhook, row.body.encode(), row.attempts) for row in rows]

    async def end(self, notice_id: str, state: str, *, now: float, error: str | None = None) -> None:
        """Note that a notice was sent, or is given up."""
        await self._write(notice_id, {"state": state, "ended_at": now, "error": error})

    async def postpone(self, notice_id: str, *, until: float, error: str) -> None:
        """Note that a notice could not be sent, and when it is due again."""
        await self._write(notice_id, {"next_at": until, "error": error})

    async def forget(self, *, before: float) -> int:
        """Delete notices that ended before this moment, save those of what may last for ever: it is told once."""
        lasts = or_(notices.c.period == Period.TOTAL.value, notices.c.event.in_(_LASTING))
        old = and_(notices.c.state != PENDING, notices.c.ended_at < before, ~lasts)
        with translating(self._database):
            async with self._engine.begin() as connection:
                return (await connection.execute(delete(notices).where(old))).rowcount

    async def _write(self, notice_id: str, values: Mapping[str, object]) -> None:
        with translating(self._database):
            async with self._engine.begin() as connection:
                is_open = and_(notices.c.id == notice_id, notices.c.state == PENDING)
                await connection.execute(update(notices).where(is_open).values(dict(values)))
