"""Reading requests whose texts were kept, with what was found of their answers: a few at a time, the oldest first.

Texts are there only where an operator opted in, for all requests or in a policy.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, func, select

from gateway.domain.chat import Dialect
from gateway.domain.record import Result, StoredText
from gateway.domain.search_record import SearchRecord
from gateway.store.connections import Connections
from gateway.store.located import TEXT_OF_REQUEST
from gateway.store.logged import Label, LoggedPeriod, read_labels
from gateway.store.pages import pages
from gateway.store.rows import to_search
from gateway.store.tables import request_texts, requests

_READ_AT_ONCE: Final = 200
"""A text may be megabytes long."""


@dataclass(frozen=True, slots=True)
class StoredTrace:
    """An answered request with its texts."""

    id: str
    key_id: str
    dialect: Dialect
    is_stream: bool
    category: str | None
    difficulty: str | None
    arm: str | None
    text: StoredText
    search: SearchRecord | None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Those of the arm's strategy."""
    labels: Sequence[Label] = ()


class Traces:
    """The texts in a database."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def count(self, period: LoggedPeriod) -> int:
        """How many there are."""
        statement = select(func.count()).select_from(requests.join(request_texts, TEXT_OF_REQUEST)).where(*_of(period))
        async with self._connections.reading() as connection:
            return int(await connection.scalar(statement) or 0)

    async def parts(self, period: LoggedPeriod, *, size: int = _READ_AT_ONCE) -> AsyncIterator[Sequence[StoredTrace]]:
        """The traces of a period, so many at a time."""
        order = (requests.c.started_at, requests.c.id)
        async for rows in pages(self._connections, _traces(period), order, size=size):
            async with self._connections.reading() as connection:
                labels = await read_labels(connection, {row.id: row.key_id for row in rows})
            yield [_trace(row, [label for label in labels if label.request_id == row.id]) for row in rows]


def _of(period: LoggedPeriod) -> list[ColumnElement[bool]]:
    columns = requests.c
    conditions: list[ColumnElement[bool]] = [
        columns.started_at >= period.since,
        columns.started_at < period.until,
        columns.result == Result.ANSWERED.value,
    ]
    return conditions if period.policy is None else [*conditions, columns.policy == period.policy]


def _traces(period: LoggedPeriod) -> Select[*tuple[Any, ...]]:
    columns, texts = requests.c, request_texts.c
    return (
        select(
            columns.started_at,
            columns.id,
            columns.key_id,
            columns.dialect,
            columns.is_stream,
            columns.category,
            columns.difficulty,
            columns.arm,
            columns.search,
            columns.plan,
            texts.request,
            texts.answer,
            texts.draws,
        )
        .join(request_texts, TEXT_OF_REQUEST)
        .where(*_of(period))
    )


def _trace(row: Any, labels: Sequence[Label]) -> StoredTrace:
    return StoredTrace(
        id=row.id,
        key_id=row.key_id,
        dialect=Dialect(row.dialect),
        is_stream=row.is_stream,
        category=row.category,
        difficulty=row.difficulty,
        arm=row.arm,
        text=StoredText(row.request, row.answer, row.draws or {}),
        search=None if row.search is None else to_search(row.search),
        parameters={} if row.plan is None else row.plan["arm"].get("parameters") or {},
        labels=labels,
    )
