"""Reading asks of a policy's traffic whose texts are kept, to be asked again: first what is known of them, then texts.

Only what a policy decided is its traffic: a request that names its arm, as every one of a calibration does, is not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, select

from gateway.domain.chat import Dialect
from gateway.domain.key import Key
from gateway.domain.record import Result
from gateway.store.connections import Connections
from gateway.store.located import TEXT_OF_REQUEST, near
from gateway.store.pages import pages
from gateway.store.tables import keys, request_texts, requests, teams
from gateway.store.tenancy_rows import read_keys, read_teams

_READ_AT_ONCE: Final = 10_000
_TEXTS_AT_ONCE: Final = 200
"""A text may be megabytes long."""
_ARMS: Final = "arm:%"


@dataclass(frozen=True, slots=True)
class KnownAsk:
    """An ask whose text is kept, without it. ``confidence`` is that of its category; None where nobody said."""

    id: str
    key_id: str
    category: str | None
    difficulty: str | None
    confidence: float | None
    is_plain: bool
    """Whether it has no tools, no images and no form that its answer must have."""


@dataclass(frozen=True, slots=True)
class AskText:
    """An ask's bytes, as its client sent them."""

    id: str
    dialect: Dialect
    category: str | None
    difficulty: str | None
    confidence: float | None
    request: bytes


class LoggedAsks:
    """The asks in a database."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def parts(
        self, policy: str, *, since: float, until: float, size: int = _READ_AT_ONCE
    ) -> AsyncIterator[Sequence[KnownAsk]]:
        """The answered asks of a policy begun in a period, ``until`` exclusive, oldest first, so many at a time."""
        columns = requests.c
        facts = columns.plan["facts"]
        order = (columns.started_at, columns.id)
        odd = tuple(facts[name].as_boolean() for name in ("tools", "images", "schema", "tool_turn"))
        statement = (
            select(*order, columns.key_id, columns.category, columns.difficulty, facts["confidence"].as_float(), *odd)
            .join(request_texts, TEXT_OF_REQUEST)
            .where(columns.started_at >= since, columns.started_at < until, columns.policy == policy)
            .where(columns.result == Result.ANSWERED.value, columns.model_asked.not_like(_ARMS))
        )
        async for rows in pages(self._connections, statement, order, size=size):
            yield [KnownAsk(row[1], row[2], row[3], row[4], row[5], is_plain=not any(row[6:])) for row in rows]

    async def texts(self, ids: Sequence[str]) -> AsyncIterator[Sequence[AskText]]:
        """The texts of these asks in this order, a few at a time; those that are deleted by now are left out."""
        columns = requests.c
        chosen = (columns.dialect, columns.category, columns.difficulty)
        confidence = columns.plan["facts"]["confidence"].as_float()
        for start in range(0, len(ids), _TEXTS_AT_ONCE):
            wanted = ids[start : start + _TEXTS_AT_ONCE]
            statement = (
                select(columns.id, *chosen, confidence, request_texts.c.request)
                .join(request_texts, TEXT_OF_REQUEST)
                .where(columns.id.in_(wanted), *near(wanted))
            )
            async with self._connections.reading() as connection:
                rows = {row.id: row for row in (await connection.execute(statement)).all()}
            found = [rows[each] for each in wanted if each in rows]
            yield [AskText(row[0], Dialect(row[1]), *row[2:]) for row in found]

    async def keys(self, ids: Collection[str]) -> Mapping[str, Key]:
        """What these keys may ask for today, by their ids; those that are gone are left out."""
        async with self._connections.reading() as connection:
            mine: ColumnElement[bool] = keys.c.id.in_(list(ids))
            issued = await read_keys(connection, select(keys.c.id).where(mine))
            theirs = select(keys.c.team_id).where(mine, keys.c.team_id.is_not(None))
            found = await read_teams(connection, select(teams.c.id).where(teams.c.id.in_(theirs)))
        shared = {team.id: team.terms.scope for team in found}
        return {
            each.id: Key(
                id=each.id,
                name=each.terms.name,
                scopes=tuple(
                    scope for scope in (each.terms.scope, shared.get(each.terms.team_id or "")) if scope is not None
                ),
            )
            for each in issued
        }
