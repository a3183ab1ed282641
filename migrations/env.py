"""What Alembic runs around every migration: one migrator at a time, and no long wait for a lock.

The connection comes from :func:`gateway.store.schema.upgrade`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import context
from sqlalchemy import Connection, text

from gateway.store import background_tables, calibration_tables, tables, traffic_tables
from gateway.store.schema import MIGRATION_LOCK

DECLARED = (tables, background_tables, calibration_tables, traffic_tables)
"""All tables: the modules that declare them share one collection, and are imported for it."""
OTHERS_TIMEOUT_S = 330
LOCK_TIMEOUT_S = 5
"""A migration that waits for a lock makes every later query wait behind it; so it gives up."""
STATEMENT_TIMEOUT_S = 300


@contextmanager
def alone(connection: Connection) -> Iterator[None]:
    """Hold the migrators' lock. On SQLite the transaction itself is one: it begins with the write lock."""
    if connection.dialect.name != "postgresql":
        yield
        return
    _limit(connection, lock_s=OTHERS_TIMEOUT_S, statement_s=OTHERS_TIMEOUT_S)
    connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": MIGRATION_LOCK})
    _limit(connection, lock_s=LOCK_TIMEOUT_S, statement_s=STATEMENT_TIMEOUT_S)
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": MIGRATION_LOCK})
        connection.commit()


def _limit(connection: Connection, *, lock_s: int, statement_s: int) -> None:
    connection.exec_driver_sql(f"SET lock_timeout = '{lock_s}s'")
    connection.exec_driver_sql(f"SET statement_timeout = '{statement_s}s'")


def partitions(connection: Connection) -> frozenset[str]:
    """The tables that are parts of others: made and dropped by the day, so no difference to what is declared."""
    if connection.dialect.name != "postgresql":
        return frozenset()
    found = "SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r'"
    return frozenset(connection.scalars(text(found)))


def run() -> None:
    """Run the migrations that Alembic was asked for, all in one transaction."""
    connection: Connection = context.config.attributes["connection"]
    with alone(connection):
        parts = partitions(connection)
        connection.rollback()
        context.configure(
            connection=connection,
            target_metadata=DECLARED[0].metadata,
            transactional_ddl=True,
            render_as_batch=connection.dialect.name == "sqlite",
            include_name=lambda name, kind, _parents: kind != "table" or name not in parts,
        )
        with context.begin_transaction():
            context.run_migrations()


run()
