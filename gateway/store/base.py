"""Connections to the database: which are accepted, how they are tuned, what their faults mean.

SQLite (one machine) and PostgreSQL (many replicas) run the same statements. What differs between
them is decided here and nowhere else. No message made here holds a password or a stored value.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import URL, Engine, MetaData, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from gateway.errors import ConfigurationError, PonderError, Unavailable

ACCEPTED_URLS = "sqlite:///FOLDER/ponder.db or postgresql://USER:PASSWORD@HOST:5432/DATABASE"

CONNECT_TIMEOUT_S = 5
COMMAND_TIMEOUT_S = 15
"""Waited for by the client, for a server that vanished; the server itself gives up earlier."""
STATEMENT_TIMEOUT_S = 10
LOCK_TIMEOUT_S = 5
BUSY_TIMEOUT_S = 1.0
"""SQLite's wait for another writer. Short, since it also bounds how long a shutdown can be held up."""

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)
"""All tables. Constraints are named, so that a migration can name the one it drops."""


class Unstorable(ValueError):
    """A value that the database cannot hold; never leaves the store."""


@dataclass(frozen=True, slots=True)
class Database:
    """A database by its normalised address."""

    url: URL

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @property
    def label(self) -> str:
        """The address without user, password and options: what messages and logs may show."""
        if self.is_sqlite:
            return f"sqlite:///{self.url.database}"
        host = self.url.host or self.url.query.get("host", "localhost")
        port = f":{self.url.port}" if self.url.port else ""
        return f"postgresql://{host}{port}/{self.url.database or ''}"


_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}
_POSTGRES_OPTIONS = {"host", "port", "ssl", "application_name", "prepared_statement_cache_size", "statement_cache_size"}


def locate(url: str) -> Database:
    """Read a database address; raises :class:`ConfigurationError` for one we cannot serve from."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # Without the cause: it quotes the address, password included.
        raise ConfigurationError(f"the database address cannot be read; accepted are {ACCEPTED_URLS}") from None
    driver = _DRIVERS.get(parsed.drivername)
    if driver is None:
        raise ConfigurationError(
            f"the database address begins with {parsed.drivername}://; accepted are {ACCEPTED_URLS}"
        )
    parsed = parsed.set(drivername=driver)
    if driver.startswith("sqlite"):
        return _locate_file(parsed)
    if "sslmode" in parsed.query:  # libpq's name, as hosting services print it; asyncpg calls it ssl
        parsed = parsed.update_query_pairs([("ssl", str(parsed.query["sslmode"]))]).difference_update_query(["sslmode"])
    unknown = sorted(set(parsed.query) - _POSTGRES_OPTIONS)
    if unknown:
        raise ConfigurationError(
            f"the database address has the option {unknown[0]!r}; accepted are {', '.join(sorted(_POSTGRES_OPTIONS))}"
        )
    return Database(parsed)


def _locate_file(url: URL) -> Database:
    if url.database in (None, "", ":memory:") or url.query:
        raise ConfigurationError(
            "an SQLite database is a file without options, such as sqlite:///FOLDER/ponder.db; "
            "one in memory would lose every request"
        )
    folder = Path(str(url.database)).absolute().parent
    if not folder.is_dir():
        raise ConfigurationError(f"the folder {folder} of the SQLite database does not exist; create it first")
    return Database(url)


def open_async(database: Database, *, connections: int, patience_s: float | None = None) -> AsyncEngine:
    """Connections for the event loop; none is opened before its first use.

    ``patience_s`` replaces the waits for a lock and for an answer, as a migration needs it.
    """
    engine = create_async_engine(
        database.url.difference_update_query(["application_name", "statement_cache_size"]),
        connect_args=_connect_arguments(database, patience_s),
        pool_size=connections,
        max_overflow=0,
        pool_timeout=CONNECT_TIMEOUT_S,
        pool_pre_ping=not database.is_sqlite,
        hide_parameters=True,
        json_serializer=_to_json,
        json_deserializer=orjson.loads,
    )
    if database.is_sqlite:
        event.listen(engine.sync_engine, "connect", _tune_sqlite)
    return engine


def open_sqlite(database: Database) -> Engine:
    """One blocking connection to SQLite, for a thread of its own."""
    engine = create_engine(
        database.url.set(drivername="sqlite"),
        connect_args=_connect_arguments(database, None),
        pool_size=1,
        max_overflow=0,
        hide_parameters=True,
    )
    event.listen(engine, "connect", _tune_sqlite)
    return engine


def _to_json(value: object) -> str:
    return orjson.dumps(value).decode()


def _connect_arguments(database: Database, patience_s: float | None) -> dict[str, Any]:
    if database.is_sqlite:
        return {"timeout": patience_s or BUSY_TIMEOUT_S}
    arguments: dict[str, Any] = {
        "timeout": CONNECT_TIMEOUT_S,
        "command_timeout": patience_s or COMMAND_TIMEOUT_S,
        "server_settings": {
            "application_name": str(database.url.query.get("application_name", "ponder")),
            "statement_timeout": f"{STATEMENT_TIMEOUT_S}s",
            "lock_timeout": f"{LOCK_TIMEOUT_S}s",
            "idle_in_transaction_session_timeout": "30s",
        },
    }
    if "statement_cache_size" in database.url.query:
        arguments["statement_cache_size"] = int(str(database.url.query["statement_cache_size"]))
    return arguments


def _tune_sqlite(connection: Any, _record: object) -> None:
    """WAL lets readers and the writer pass each other; NORMAL syncs at checkpoints, not at each commit.

    A power cut may then take the last transactions, never the file's integrity; a crash of the
    process takes nothing.
    """
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA journal_size_limit=67108864")
    cursor.close()


@contextmanager
def translating(database: Database) -> Iterator[None]:
    """Turn the faults of database and drivers into ours.

    Raises :class:`Unavailable` where waiting can help, :class:`ConfigurationError` where the
    operator must act, :class:`Unstorable` where a value is at fault.
    """
    try:
        yield
    except (SQLAlchemyError, OSError) as fault:
        explained = _explain(fault, database)
        # Drivers quote the value that they refuse; it may be a prompt.
        raise explained from (None if isinstance(explained, Unstorable) else fault)
    except (OverflowError, UnicodeError) as fault:
        # The drivers' own words for a number or a text that their database cannot hold.
        raise Unstorable(f"{type(fault).__name__} while writing to {database.label}") from None


def _explain(fault: SQLAlchemyError | OSError, database: Database) -> PonderError | Unstorable:
    cause = fault.orig if isinstance(fault, DBAPIError) else None
    if isinstance(fault, DataError | IntegrityError):
        return Unstorable(f"{type(fault).__name__} while writing to {database.label}")
    if isinstance(cause, sqlite3.Error):
        return _explain_sqlite(cause, database)
    if cause is not None:
        return _explain_postgres(cause, database)
    return Unavailable(f"the database {database.label} cannot be reached ({type(fault).__name__})")


_SQLITE_WAITS = {
    sqlite3.SQLITE_BUSY: "is locked by another process",
    sqlite3.SQLITE_LOCKED: "is locked by another process",
    sqlite3.SQLITE_FULL: "has no disk space left",
    sqlite3.SQLITE_IOERR: "cannot be read or written",
}
_SQLITE_NEEDS = {
    sqlite3.SQLITE_ERROR: "does not have the tables of this release; run `ponder db upgrade`",
    sqlite3.SQLITE_READONLY: "is read-only; make the file and its folder writable",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; make the file and its folder readable and writable",
    sqlite3.SQLITE_PERM: "cannot be opened; make the file and its folder readable and writable",
    sqlite3.SQLITE_NOTADB: "is not an SQLite file; name another",
    sqlite3.SQLITE_CORRUPT: "is damaged; restore it from a back-up",
}


def _explain_sqlite(cause: sqlite3.Error, database: Database) -> PonderError | Unstorable:
    code = getattr(cause, "sqlite_errorcode", None)
    if code is None or code == sqlite3.SQLITE_TOOBIG:
        # Without a code it is the Python module that refused, before SQLite: a value it cannot bind.
        return Unstorable(f"{type(cause).__name__} while writing to {database.label}")
    primary = code & 0xFF
    if primary in _SQLITE_NEEDS:
        return ConfigurationError(f"the database {database.label} {_SQLITE_NEEDS[primary]}")
    reason = _SQLITE_WAITS.get(primary, f"failed ({cause.sqlite_errorname})")
    return Unavailable(f"the database {database.label} {reason}")


_POSTGRES_NEEDS = {
    "28": "refuses our user or password; correct the address",
    "3D": "does not exist; create it, or correct the address",
    "42": "does not have the tables of this release, or not for our user; run `ponder db upgrade`",
}
_POSTGRES_REFUSES_VALUES = ("22", "23", "54")


def _explain_postgres(cause: BaseException, database: Database) -> PonderError | Unstorable:
    state = getattr(cause, "sqlstate", None) or ""
    # asyncpg refuses a value that it cannot encode with a ValueError of its own, without a state.
    if state[:2] in _POSTGRES_REFUSES_VALUES or isinstance(cause.__cause__, ValueError):
        return Unstorable(f"{type(cause).__name__} {state} while writing to {database.label}")
    if state[:2] in _POSTGRES_NEEDS:
        return ConfigurationError(f"the database {database.label} {_POSTGRES_NEEDS[state[:2]]}")
    return Unavailable(f"the database {database.label} failed ({type(cause).__name__} {state or 'without a code'})")
