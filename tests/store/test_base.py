"""Tests of gateway/store/base.py."""

from __future__ import annotations

import sqlite3
import traceback
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.errors import ConfigurationError, PonderError, Unavailable
from gateway.store.base import Database, Unstorable, locate, open_async, translating


@pytest.fixture
async def engine(database: Database) -> AsyncIterator[AsyncEngine]:
    """A way to the database."""
    engine = open_async(database, connections=1)
    yield engine
    await engine.dispose()


async def _ask(url: str) -> None:
    database = locate(url)
    engine = open_async(database, connections=1)
    try:
        with translating(database):
            async with engine.connect() as connection:
                await connection.execute(text("SELECT count(*) FROM requests"))
    finally:
        await engine.dispose()


@pytest.mark.parametrize(
    ("url", "label"),
    [
        ("sqlite:////tmp/ponder.db", "sqlite:////tmp/ponder.db"),
        ("sqlite+aiosqlite:////tmp/ponder.db", "sqlite:////tmp/ponder.db"),
        ("postgres://me:secret@db/ponder", "postgresql://db/ponder"),
        ("postgresql://me:secret@db:5433/ponder?sslmode=require", "postgresql://db:5433/ponder"),
        ("postgresql+asyncpg://me:secret@/ponder?host=/run/pg", "postgresql:///run/pg/ponder"),
    ],
)
def test_the_label_of_an_accepted_address_holds_no_secret(url: str, label: str) -> None:
    """What messages show of an address is where it leads, without user, password and options."""
    assert locate(url).label == label


def test_the_ssl_mode_of_libpq_is_understood() -> None:
    """``sslmode``, as hosting services print it, becomes the driver's ``ssl``."""
    assert dict(locate("postgresql://db/ponder?sslmode=verify-full").url.query) == {"ssl": "verify-full"}


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://me:secret@db/ponder", "mysql://; accepted are sqlite:///"),
        ("secret", "cannot be read; accepted are sqlite:///"),
        ("postgresql://me:secret@db:port/ponder", "cannot be read"),
        ("postgresql://me:secret@db/ponder?pool=5", "option 'pool'; accepted are application_name"),
        ("sqlite://", "would lose every request"),
        ("sqlite:///:memory:", "would lose every request"),
        ("sqlite:////tmp/ponder.db?mode=ro", "file without options"),
        ("sqlite:////nowhere/ponder.db", "folder /nowhere of the SQLite database does not exist"),
    ],
)
def test_an_address_that_cannot_serve_is_refused(url: str, words: str) -> None:
    """The refusal says what would be accepted, and not the password, in its trace either."""
    with pytest.raises(ConfigurationError) as refusal:
        locate(url)
    assert words in refusal.value.message
    assert "secret" not in "".join(traceback.format_exception_only(refusal.value))
    assert refusal.value.__cause__ is None


async def test_sqlite_is_tuned(tmp_path: Path) -> None:
    """Every connection to SQLite writes ahead, syncs at checkpoints, waits for locks and keeps references."""
    engine = open_async(locate(f"sqlite:///{tmp_path}/ponder.db"), connections=1)
    async with engine.connect() as connection:
        found = {
            name: await connection.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        }
    await engine.dispose()
    assert found == {"journal_mode": "wal", "synchronous": 1, "busy_timeout": 1000, "foreign_keys": 1}


@pytest.mark.parametrize("kind", ["postgresql"], indirect=True)
async def test_postgres_is_bounded(url: str) -> None:
    """Every connection to PostgreSQL names its program and gives up on statements and locks."""
    engine = open_async(locate(url + "&application_name=ponder-test"), connections=1)
    async with engine.connect() as connection:
        found = {
            name: await connection.scalar(text(f"SHOW {name}"))
            for name in ("application_name", "statement_timeout", "lock_timeout")
        }
    await engine.dispose()
    assert found == {"application_name": "ponder-test", "statement_timeout": "10s", "lock_timeout": "5s"}


async def test_missing_tables_name_the_remedy(empty_url: str) -> None:
    """A database without our tables is the operator's to upgrade."""
    with pytest.raises(ConfigurationError, match="run `ponder db upgrade`"):
        await _ask(empty_url)


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    """A file that SQLite cannot read is the operator's to replace."""
    (tmp_path / "ponder.db").write_bytes(b"something else entirely" * 100)
    with pytest.raises(ConfigurationError, match="is not an SQLite file"):
        await _ask(f"sqlite:///{tmp_path}/ponder.db")


async def test_a_folder_is_no_database(tmp_path: Path) -> None:
    """A path that cannot be opened as a file is the operator's to correct."""
    (tmp_path / "ponder.db").mkdir()
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        await _ask(f"sqlite:///{tmp_path}/ponder.db")


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
async def test_a_locked_file_may_be_free_later(url: str, engine: AsyncEngine, database: Database) -> None:
    """Another process's lock makes the database unavailable, for now."""
    holder = sqlite3.connect(str(database.url.database))
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="is locked by another process"), translating(database):
        async with engine.begin() as connection:
            await connection.execute(text("DELETE FROM requests"))
    holder.close()


async def test_a_server_that_is_not_there_may_come_back(tmp_path: Path) -> None:
    """A PostgreSQL that cannot be reached is unavailable, for now."""
    with pytest.raises(Unavailable, match="cannot be reached"):
        await _ask(f"postgresql://me:secret@/ponder?host={tmp_path}")


@pytest.mark.parametrize("kind", ["postgresql"], indirect=True)
async def test_a_database_or_user_that_does_not_exist_is_named(url: str) -> None:
    """A missing database and a missing user are the operator's to correct, and no password is shown."""
    with pytest.raises(ConfigurationError, match="does not exist; create it"):
        await _ask(url.replace("@/ponder", "@/nothing"))
    password = "".join(("hid", "den"))
    with pytest.raises(ConfigurationError, match="refuses our user or password") as refusal:
        await _ask(url.replace("postgres@/", f"nobody:{password}@/"))
    assert password not in "".join(traceback.format_exception(refusal.value))


async def test_values_that_no_database_holds_are_told_apart(engine: AsyncEngine, database: Database) -> None:
    """A number or text at fault is Unstorable, whatever driver refused it and in whatever words."""
    insert = "INSERT INTO draws (number, model) VALUES (:number, :model)"
    for values in ({"number": 2**70, "model": "m"}, {"number": 1, "model": "\ud800"}, {"number": 1, "model": None}):
        with pytest.raises(Unstorable), translating(database):
            async with engine.begin() as connection:
                await connection.execute(text(insert), values)


async def test_faults_do_not_show_values(engine: AsyncEngine, database: Database) -> None:
    """What a statement was to store does not appear in the fault or its causes."""
    prompt = "".join(("a", "prompt"))
    with pytest.raises(PonderError) as fault, translating(database):
        async with engine.begin() as connection:
            await connection.execute(text("INSERT INTO nothing VALUES (:text)"), {"text": prompt})
    assert prompt not in "".join(traceback.format_exception(fault.value))
