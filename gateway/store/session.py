"""Both ways into a database for a while: changes that are numbered and audited, and connections for the rest."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.store.base import Database
from gateway.store.changes import Changes
from gateway.store.connections import Connections


@asynccontextmanager
async def session(database: Database, *, most: int) -> AsyncIterator[tuple[Changes, Connections]]:
    """Changes, and at most so many connections; closed at the end."""
    changes, connections = Changes(database), Connections(database, most=most)
    try:
        yield changes, connections
    finally:
        await connections.close()
        await changes.close()
