"""The database's schema: whether it is this release's, and bringing it there.

Migrations lie in ``migrations/`` beside this package in a checkout, and under the environment's
``share/ponder`` when installed from a wheel. Alembic is configured here and not by a file, and
imported only when a migration is due: it costs as much time as the rest of a start.
"""

from __future__ import annotations

import asyncio
import logging
import sysconfig
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from sqlalchemy import Connection, event, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.errors import ConfigurationError
from gateway.store.base import Database, locate, open_async, translating

HEAD = "20261123_0549"
"""The newest revision in ``migrations/versions``. Revisions are dates, so their order is that of text."""

_CHECKOUT = Path(__file__).parents[2] / "migrations"
MIGRATIONS = _CHECKOUT if _CHECKOUT.is_dir() else Path(sysconfig.get_path("data"), "share", "ponder", "migrations")

MIGRATION_LOCK = 7_665_776_982
"""The advisory lock of PostgreSQL that every migrator takes; a number that means nothing else to anyone."""

_FILE_NAME = "%%(year)d-%%(month).2d-%%(day).2d-%%(hour).2d%%(minute).2d_%%(slug)s"
_PATIENCE_S = 360.0
"""Longer than a migrator waits for another one (``migrations/env.py``)."""

_ALEMBIC = threading.Lock()
_log = logging.getLogger(__name__)


async def revision(url: str) -> str | None:
    """The schema revision of the database; None for one without our tables."""
    database = locate(url)
    engine = open_async(database, connections=1)
    try:
        with translating(database):
            async with engine.connect() as connection:
                return await connection.run_sync(_stored_revision)
    finally:
        await engine.dispose()


async def upgrade(url: str) -> bool:
    """Bring the schema to this release's; returns whether there was anything to do.

    Any number of processes may call this at once: one migrates, the others wait for it. A schema
    newer than this release is left alone: a schema change ships one release before the code that
    needs it, so the code of the release before runs on the schema of the one after.
    """
    stored = await revision(url)
    if stored is None or stored < HEAD:
        await run_alembic(url, lambda command, configuration: command.upgrade(configuration, "head"))
        return True
    if stored > HEAD:
        _log.warning("the database's schema is %s, newer than this release's %s", stored, HEAD)
    return False


async def draft(url: str, message: str, *, folder: Path = MIGRATIONS) -> None:
    """Write a new migration from the difference between the tables in the code and those in the database."""
    identity = datetime.now(UTC).strftime("%Y%m%d_%H%M")
    await run_alembic(
        url,
        lambda command, configuration: command.revision(configuration, message, autogenerate=True, rev_id=identity),
        folder=folder,
    )


async def run_alembic(url: str, act: Callable[[ModuleType, Any], object], *, folder: Path = MIGRATIONS) -> None:
    """Run one of ``alembic.command``'s commands on the database.

    In a thread, since Alembic blocks; and one at a time, since it keeps its context in globals.
    """

    def run() -> None:
        with _ALEMBIC:
            asyncio.run(_run_alembic(locate(url), act, folder))

    await asyncio.to_thread(run)


async def _run_alembic(database: Database, act: Callable[[ModuleType, Any], object], folder: Path) -> None:
    # Not at the top: a start with a current schema does without Alembic's 0.3 s and 14 MB.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    configuration = Config()
    configuration.set_main_option("script_location", str(folder).replace("%", "%%"))
    configuration.set_main_option("file_template", _FILE_NAME)
    configuration.set_main_option("timezone", "UTC")

    def run(connection: Connection) -> None:
        configuration.attributes["connection"] = connection
        act(command, configuration)

    engine = open_async(database, connections=1, patience_s=_PATIENCE_S)
    if database.is_sqlite:
        _begin_at_once(engine)
    try:
        with translating(database):
            async with engine.connect() as connection:
                await connection.run_sync(run)
    except CommandError as fault:
        raise ConfigurationError(f"the schema of {database.label} cannot be migrated: {fault}") from fault
    finally:
        await engine.dispose()


def _stored_revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    stored: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return stored


def _begin_at_once(engine: AsyncEngine) -> None:
    """Make each transaction of this SQLite engine take the write lock as it begins.

    Else Python begins one only at the first change of a row, and a migration would be neither
    alone nor whole.
    """

    @event.listens_for(engine.sync_engine, "connect")
    def _leave_transactions_to_us(connection: Any, _record: object) -> None:
        connection.isolation_level = None

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
