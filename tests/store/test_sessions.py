"""Sessions of the dashboard in the database: found until they end, and forgotten after."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gateway.store.base import Database
from gateway.store.connections import Connections
from gateway.store.sessions import StoredSession, StoredSessions
from tests.store.records import NOON


@pytest.fixture
async def sessions(database: Database) -> AsyncIterator[StoredSessions]:
    """The sessions."""
    connections = Connections(database, most=1)
    yield StoredSessions(connections)
    await connections.close()


async def test_a_session_is_found_until_it_ends(sessions: StoredSessions) -> None:
    """What was kept comes back whole, by its own digest alone, and not after its end."""
    session = StoredSession(b"secret", NOON, NOON + 60)
    await sessions.begin(b"one", session)
    assert await sessions.find(b"one") == session
    assert await sessions.find(b"two") is None
    await sessions.end(b"one")
    await sessions.end(b"one")
    assert await sessions.find(b"one") is None


async def test_sessions_that_are_over_are_forgotten(sessions: StoredSessions) -> None:
    """Each new session takes those with it whose time is over, so that the table stays small."""
    await sessions.begin(b"old", StoredSession(b"s", NOON, NOON + 60))
    await sessions.begin(b"living", StoredSession(b"s", NOON, NOON + 120))
    await sessions.begin(b"new", StoredSession(b"s", NOON + 60, NOON + 180))
    assert await sessions.find(b"old") is None
    assert await sessions.find(b"living") is not None


def test_a_session_does_not_show_its_secret() -> None:
    """A session that is printed tells no digest."""
    assert "digest-of-secret" not in repr(StoredSession(b"digest-of-secret", NOON, NOON))
