"""The tables of what is answered later: jobs, files and batches. A change here needs a migration.

A row is open until ``finished_at`` is set. Whoever works on an open one holds its lease (``owner``
until ``lease_until``), and ``attempts`` numbers the holders: one that lost its lease changes nothing.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, LargeBinary, Table, Text

from gateway.store.base import metadata
from gateway.store.columns import Document, UtcTime

jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("key_id", Text, nullable=False),
    Column("is_line", Boolean, nullable=False),
    Column("batch_id", Text),
    Column("line", Integer),
    Column("custom_id", Text),
    Column("endpoint", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("headers", Document, nullable=False),
    Column("request", LargeBinary),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("losses", Integer, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("due_at", UtcTime, nullable=False),
    Column("deadline_at", UtcTime, nullable=False),
    Column("owner", Text),
    Column("lease_until", UtcTime),
    Column("finished_at", UtcTime),
    Column("kept_until", UtcTime),
    Column("request_id", Text),
    Column("status", Integer),
    Column("result", LargeBinary),
    Column("answer_id", Text),
)
"""One row per background response and per line of a batch. The request goes when the job has ended."""

_is_open = jobs.c.finished_at.is_(None)
# Background responses before lines, each by the time that they are due: the order in which a key's jobs are taken.
Index(None, jobs.c.key_id, jobs.c.is_line, jobs.c.due_at, sqlite_where=_is_open, postgresql_where=_is_open)
Index("ix_jobs_open_batch_id", jobs.c.batch_id, sqlite_where=_is_open, postgresql_where=_is_open)
Index(None, jobs.c.batch_id, jobs.c.line)
Index(None, jobs.c.kept_until)

files = Table(
    "files",
    metadata,
    Column("id", Text, primary_key=True),
    Column("key_id", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("is_complete", Boolean, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("kept_until", UtcTime, nullable=False),
)
"""One row per file; one that is not complete is nobody's to see."""

Index(None, files.c.key_id, files.c.id)
Index(None, files.c.kept_until)

file_chunks = Table(
    "file_chunks",
    metadata,
    Column("file_id", Text, ForeignKey(files.c.id), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
)
"""The bytes of files, in order."""

batches = Table(
    "batches",
    metadata,
    Column("id", Text, primary_key=True),
    Column("key_id", Text, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("input_file_id", Text, nullable=False),
    Column("metadata", Document, nullable=False),
    Column("state", Text, nullable=False),
    Column("stamps", Document, nullable=False),
    Column("faults", Document, nullable=False),
    Column("total", Integer, nullable=False),
    Column("completed", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("output_file_id", Text),
    Column("error_file_id", Text),
    Column("created_at", UtcTime, nullable=False),
    Column("deadline_at", UtcTime, nullable=False),
    Column("upstream", Text),
    Column("upstream_file_id", Text),
    Column("upstream_batch_id", Text),
    Column("attempts", Integer, nullable=False),
    Column("due_at", UtcTime, nullable=False),
    Column("owner", Text),
    Column("lease_until", UtcTime),
    Column("finished_at", UtcTime),
    Column("kept_until", UtcTime),
)
"""One row per batch. ``upstream…`` say where it runs at its provider, if it does."""

Index(None, batches.c.key_id, batches.c.id)
Index(
    None,
    batches.c.created_at,
    sqlite_where=batches.c.finished_at.is_(None),
    postgresql_where=batches.c.finished_at.is_(None),
)
Index(None, batches.c.kept_until)
