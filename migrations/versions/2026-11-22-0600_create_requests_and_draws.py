"""Create requests, draws and request_texts.

Gives up after five seconds waiting for a lock (env.py).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261122_0600"
down_revision = None
branch_labels = None
depends_on = None

# Written out, not taken from gateway.store: a migration stays what it was when the code moves on.
_time = sa.DateTime(timezone=True)
_uuid = sa.Uuid(as_uuid=False)
_document = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    """Make room for requests, their upstream calls, and the text of those whose operator opted in."""
    _create_requests()
    _create_draws()
    op.create_table(
        "request_texts",
        sa.Column("started_at", _time, nullable=False),
        sa.Column("request_id", _uuid, nullable=False),
        sa.Column("request", sa.LargeBinary, nullable=False),
        sa.Column("answer", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("started_at", "request_id", name="pk_request_texts"),
    )


def _create_requests() -> None:
    op.create_table(
        "requests",
        sa.Column("started_at", _time, nullable=False),
        sa.Column("id", _uuid, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("dialect", sa.Text, nullable=False),
        sa.Column("endpoint", sa.Text, nullable=False),
        sa.Column("model_asked", sa.Text, nullable=False),
        sa.Column("is_stream", sa.Boolean, nullable=False),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("cost_nanos", sa.BigInteger, nullable=False),
        sa.Column("is_cost_complete", sa.Boolean, nullable=False),
        sa.Column("total_s", sa.Double, nullable=False),
        sa.Column("first_byte_s", sa.Double),
        sa.Column("policy", sa.Text),
        sa.Column("arm", sa.Text),
        sa.Column("category", sa.Text),
        sa.Column("difficulty", sa.Text),
        sa.Column("plan", _document),
        sa.Column("degraded", _document, nullable=False),
        sa.Column("answer_id", sa.Text),
        sa.Column("finish", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("tags", _document, nullable=False),
        sa.PrimaryKeyConstraint("started_at", "id", name="pk_requests"),
    )
    op.create_index("ix_requests_id", "requests", ["id"])
    op.create_index("ix_requests_key_id_started_at", "requests", ["key_id", "started_at"])
    has_answer = sa.text("answer_id IS NOT NULL")
    op.create_index(
        "ix_requests_answer_id", "requests", ["answer_id"], sqlite_where=has_answer, postgresql_where=has_answer
    )


def _create_draws() -> None:
    op.create_table(
        "draws",
        sa.Column("started_at", _time, nullable=False),
        sa.Column("request_id", _uuid, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("called_at", _time, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("upstream", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("total_s", sa.Double, nullable=False),
        sa.Column("first_byte_s", sa.Double),
        sa.Column("cost_nanos", sa.BigInteger),
        sa.Column("usage_source", sa.Text),
        sa.Column("input_tokens", sa.BigInteger),
        sa.Column("cached_tokens", sa.BigInteger),
        sa.Column("cache_write_5m_tokens", sa.BigInteger),
        sa.Column("cache_write_1h_tokens", sa.BigInteger),
        sa.Column("output_tokens", sa.BigInteger),
        sa.Column("thinking_tokens", sa.BigInteger),
        sa.Column("audio_input_tokens", sa.BigInteger),
        sa.Column("audio_output_tokens", sa.BigInteger),
        sa.Column("web_searches", sa.BigInteger),
        sa.Column("service_tier", sa.Text),
        sa.Column("reported_cost_usd", sa.Text),
        sa.Column("raw_usage", _document),
        sa.Column("requested", _document, nullable=False),
        sa.Column("sent", _document, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("upstream_request_id", sa.Text),
        sa.PrimaryKeyConstraint("started_at", "request_id", "number", name="pk_draws"),
    )


def downgrade() -> None:
    """Drop every recorded request."""
    op.drop_table("request_texts")
    op.drop_table("draws")
    op.drop_table("requests")
