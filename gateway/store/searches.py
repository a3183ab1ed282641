"""Reading searches back with what their draws wrote, where texts were kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select

from gateway.domain.search_record import SearchRecord
from gateway.store.connections import Connections
from gateway.store.located import TEXT_OF_REQUEST, near
from gateway.store.rows import to_search
from gateway.store.tables import request_texts, requests

_READ_AT_ONCE: Final = 100
"""The texts of a search's draws may be megabytes long together."""


@dataclass(frozen=True, slots=True)
class StoredSearch:
    """The search that was made for a request. ``texts`` are what its draws wrote, by their numbers."""

    request_id: str
    record: SearchRecord
    parameters: Mapping[str, Any]
    """Those of the arm's strategy."""
    texts: Mapping[str, str]


class StoredSearches:
    """The searches in a database."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def parts(self, ids: Sequence[str]) -> AsyncIterator[Sequence[StoredSearch]]:
        """The searches of these requests, some at a time; those whose texts were not kept are left out."""
        columns = requests.c
        for start in range(0, len(ids), _READ_AT_ONCE):
            wanted = ids[start : start + _READ_AT_ONCE]
            statement = (
                select(columns.id, columns.search, columns.plan["arm"]["parameters"], request_texts.c.draws)
                .join(request_texts, TEXT_OF_REQUEST)
                .where(columns.id.in_(wanted), columns.search.is_not(None), *near(wanted))
            )
            async with self._connections.reading() as connection:
                rows = (await connection.execute(statement)).all()
            yield [StoredSearch(row[0], to_search(row[1]), row[2] or {}, row[3] or {}) for row in rows]

    async def missing(self, ids: Sequence[str]) -> int:
        """How many of these requests are not in the database yet: the journal brings them."""
        found = 0
        for start in range(0, len(ids), _READ_AT_ONCE):
            wanted = ids[start : start + _READ_AT_ONCE]
            statement = select(requests.c.id).where(requests.c.id.in_(wanted), *near(wanted))
            async with self._connections.reading() as connection:
                found += len((await connection.execute(statement)).all())
        return len(ids) - found
