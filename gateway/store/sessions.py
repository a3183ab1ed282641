"""Sessions of the dashboard: kept by a digest of what the browser holds, so that a copied table opens nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import delete, insert, select

from gateway.store.connections import Connections
from gateway.store.traffic_tables import dashboard_sessions


@dataclass(frozen=True, slots=True)
class StoredSession:
    """Somebody who has signed in. ``secret`` is the digest of the key's secret, times are Unix seconds."""

    secret: bytes = field(repr=False)
    created_at: float
    expires_at: float


class StoredSessions:
    """The sessions in a database."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def begin(self, digest: bytes, session: StoredSession) -> None:
        """Keep a new session; those that are over are forgotten on the way."""
        columns = dashboard_sessions.c
        async with self._connections.writing() as connection:
            await connection.execute(delete(dashboard_sessions).where(columns.expires_at <= session.created_at))
            values = {
                "digest": digest,
                "secret": session.secret,
                "created_at": session.created_at,
                "expires_at": session.expires_at,
            }
            await connection.execute(insert(dashboard_sessions).values(values))

    async def find(self, digest: bytes) -> StoredSession | None:
        """The session with this digest, be it over or not."""
        columns = dashboard_sessions.c
        chosen = columns.secret, columns.created_at, columns.expires_at
        async with self._connections.reading() as connection:
            row = (await connection.execute(select(*chosen).where(columns.digest == digest))).first()
        return None if row is None else StoredSession(*row)

    async def end(self, digest: bytes) -> None:
        """Forget the session."""
        async with self._connections.writing() as connection:
            await connection.execute(delete(dashboard_sessions).where(dashboard_sessions.c.digest == digest))
