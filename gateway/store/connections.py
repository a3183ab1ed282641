"""Connections to the database for one group of tables: for looking, and for changes that are made whole or not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.store.base import Database, open_async, translating


class Connections:
    """A few connections; none is opened before its first use."""

    def __init__(self, database: Database, *, most: int) -> None:
        self._database = database
        self._engine: AsyncEngine = open_async(database, connections=most)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction, kept at the end and undone by an error.

        Raises Unavailable or ConfigurationError when the database cannot be written. Its first
        statement should be a change: SQLite refuses to turn a reader into a writer while another writes.
        """
        with translating(self._database):
            async with self._engine.begin() as connection:
                yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for looking at things. Raises Unavailable or ConfigurationError."""
        with translating(self._database):
            async with self._engine.connect() as connection:
                yield connection

    async def close(self) -> None:
        """Close them."""
        await self._engine.dispose()
