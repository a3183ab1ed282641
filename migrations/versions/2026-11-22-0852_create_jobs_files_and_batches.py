"""Create jobs, files, file_chunks and batches.

Gives up after five seconds waiting for a lock (env.py).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261122_0852"
down_revision = "20261122_0845"
branch_labels = None
depends_on = None

_time = sa.DateTime(timezone=True)
_document = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_is_open = sa.text("finished_at IS NULL")


def upgrade() -> None:
    """Make room for requests that are answered later, and for the files and batches that bring them."""
    _create_jobs()
    _create_files()
    _create_batches()


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("is_line", sa.Boolean, nullable=False),
        sa.Column("batch_id", sa.Text),
        sa.Column("line", sa.Integer),
        sa.Column("custom_id", sa.Text),
        sa.Column("endpoint", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("headers", _document, nullable=False),
        sa.Column("request", sa.LargeBinary),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("losses", sa.Integer, nullable=False),
        sa.Column("created_at", _time, nullable=False),
        sa.Column("due_at", _time, nullable=False),
        sa.Column("deadline_at", _time, nullable=False),
        sa.Column("owner", sa.Text),
        sa.Column("lease_until", _time),
        sa.Column("finished_at", _time),
        sa.Column("kept_until", _time),
        sa.Column("request_id", sa.Text),
        sa.Column("status", sa.Integer),
        sa.Column("result", sa.LargeBinary),
        sa.Column("answer_id", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index(
        "ix_jobs_key_id_is_line_due_at",
        "jobs",
        ["key_id", "is_line", "due_at"],
        sqlite_where=_is_open,
        postgresql_where=_is_open,
    )
    op.create_index("ix_jobs_open_batch_id", "jobs", ["batch_id"], sqlite_where=_is_open, postgresql_where=_is_open)
    op.create_index("ix_jobs_batch_id_line", "jobs", ["batch_id", "line"])
    op.create_index("ix_jobs_kept_until", "jobs", ["kept_until"])


def _create_files() -> None:
    op.create_table(
        "files",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("is_complete", sa.Boolean, nullable=False),
        sa.Column("created_at", _time, nullable=False),
        sa.Column("kept_until", _time, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_files"),
    )
    op.create_index("ix_files_key_id_id", "files", ["key_id", "id"])
    op.create_index("ix_files_kept_until", "files", ["kept_until"])
    op.create_table(
        "file_chunks",
        sa.Column("file_id", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("file_id", "number", name="pk_file_chunks"),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], name="fk_file_chunks_file_id"),
    )


def _create_batches() -> None:
    op.create_table(
        "batches",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("endpoint", sa.Text, nullable=False),
        sa.Column("input_file_id", sa.Text, nullable=False),
        sa.Column("metadata", _document, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("stamps", _document, nullable=False),
        sa.Column("faults", _document, nullable=False),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("completed", sa.Integer, nullable=False),
        sa.Column("failed", sa.Integer, nullable=False),
        sa.Column("output_file_id", sa.Text),
        sa.Column("error_file_id", sa.Text),
        sa.Column("created_at", _time, nullable=False),
        sa.Column("deadline_at", _time, nullable=False),
        sa.Column("upstream", sa.Text),
        sa.Column("upstream_file_id", sa.Text),
        sa.Column("upstream_batch_id", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_at", _time, nullable=False),
        sa.Column("owner", sa.Text),
        sa.Column("lease_until", _time),
        sa.Column("finished_at", _time),
        sa.Column("kept_until", _time),
        sa.PrimaryKeyConstraint("id", name="pk_batches"),
    )
    op.create_index("ix_batches_key_id_id", "batches", ["key_id", "id"])
    op.create_index(
        "ix_batches_created_at", "batches", ["created_at"], sqlite_where=_is_open, postgresql_where=_is_open
    )
    op.create_index("ix_batches_kept_until", "batches", ["kept_until"])


def downgrade() -> None:
    """Forget every stored request, its result, every file and every batch."""
    for table in ("batches", "file_chunks", "files", "jobs"):
        op.drop_table(table)
