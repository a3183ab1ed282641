"""Partition requests, draws, request_texts and outcomes by day, on PostgreSQL; SQLite stays as it is.

What is logged already becomes one partition, up to the end of today: nothing is copied, but each table is read
through once to see that it lies before that, and one index is made anew, under a lock. Requests are served meanwhile,
and their records wait in the journal. Going back copies every row.

Gives up after five seconds waiting for a lock (env.py).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

revision = "20261122_1840"
down_revision = "20261122_1540"
branch_labels = None
depends_on = None

_AHEAD_DAYS = 7
_KEYS = {
    "requests": ("started_at", "id"),
    "draws": ("started_at", "request_id", "number"),
    "request_texts": ("started_at", "request_id"),
    "outcomes": ("started_at", "request_id", "source", "key_id"),
}
"""The tables in the order in which they are written and locked, and their keys."""
_SUMMED = " INCLUDE (total_s, cost_nanos, charged_nanos)"
"""What budgets are summed from, in the index of keys: so that a start reads that, and not the whole log."""
_INDEXES = {
    "requests": {
        "ix_requests_id": "(id)",
        "ix_requests_key_id_started_at": "(key_id, started_at)",
        "ix_requests_answer_id": "(answer_id) WHERE answer_id IS NOT NULL",
    },
    "draws": {},
    "request_texts": {},
    "outcomes": {
        "ix_outcomes_at": "(at)",
        "ix_outcomes_comment_started_at": "(started_at) WHERE comment IS NOT NULL",
    },
}


def upgrade() -> None:
    """Put a partitioned table around each of the four."""
    if op.get_bind().dialect.name != "postgresql":
        return
    op.execute(f"LOCK TABLE {', '.join(_KEYS)} IN ACCESS EXCLUSIVE MODE")
    first = _first_day()
    for table in _KEYS:
        _partition(table, first)


def _first_day() -> datetime:
    """The first day that gets a partition of its own: tomorrow, or later where a clock was ahead of ours."""
    newest = [
        moment
        for table in _KEYS
        if (moment := op.get_bind().scalar(sa.text(f"SELECT max(started_at) FROM {table}"))) is not None  # noqa: S608
    ]
    last = max([datetime.now(UTC), *newest]).astimezone(UTC)
    return last.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def _partition(table: str, first: datetime) -> None:
    old = f"{table}_until_{first:%Y%m%d}"
    op.execute(f"ALTER TABLE {table} RENAME TO {old}")
    op.execute(f"ALTER TABLE {old} RENAME CONSTRAINT pk_{table} TO pk_{old}")
    for name in _INDEXES[table]:
        op.execute(f"ALTER INDEX {name} RENAME TO {name.replace(table, old, 1)}")
    if table == "requests":
        op.execute(f"DROP INDEX ix_{old}_key_id_started_at")
    op.execute(f"CREATE TABLE {table} (LIKE {old} INCLUDING ALL EXCLUDING INDEXES) PARTITION BY RANGE (started_at)")
    _index(table, summed=_SUMMED)
    op.execute(f"ALTER TABLE {table} ATTACH PARTITION {old} FOR VALUES FROM (MINVALUE) TO ('{first.isoformat()}')")
    op.execute(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")
    for number in range(_AHEAD_DAYS):
        day = first + timedelta(days=number)
        bounds = f"FROM ('{day.isoformat()}') TO ('{(day + timedelta(days=1)).isoformat()}')"
        op.execute(f"CREATE TABLE {table}_day_{day:%Y%m%d} PARTITION OF {table} FOR VALUES {bounds}")


def _index(table: str, *, summed: str) -> None:
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT pk_{table} PRIMARY KEY ({', '.join(_KEYS[table])})")
    for name, columns in _INDEXES[table].items():
        more = summed if name == "ix_requests_key_id_started_at" else ""
        op.execute(f"CREATE INDEX {name} ON {table} {columns}{more}")


def downgrade() -> None:
    """Copy every row into a table without partitions."""
    if op.get_bind().dialect.name != "postgresql":
        return
    op.execute(f"LOCK TABLE {', '.join(_KEYS)} IN ACCESS EXCLUSIVE MODE")
    for table in _KEYS:
        op.execute(f"CREATE TABLE {table}_whole (LIKE {table} INCLUDING ALL EXCLUDING INDEXES)")
        op.execute(f"INSERT INTO {table}_whole SELECT * FROM {table}")  # noqa: S608  the names are those above
        op.execute(f"DROP TABLE {table}")
        op.execute(f"ALTER TABLE {table}_whole RENAME TO {table}")
        _index(table, summed="")
