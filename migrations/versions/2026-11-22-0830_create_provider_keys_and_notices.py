"""Create provider_keys and notices.

Gives up after five seconds waiting for a lock (env.py).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261122_0830"
down_revision = "20261122_0700"
branch_labels = None
depends_on = None

_time = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make room for encrypted keys of providers, and for what webhooks are told."""
    op.create_table(
        "provider_keys",
        sa.Column("upstream", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("nonce", sa.LargeBinary, nullable=False),
        sa.Column("ciphertext", sa.LargeBinary, nullable=False),
        sa.Column("encrypted_with", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("hint", sa.Text, nullable=False),
        sa.Column("set_at", _time, nullable=False),
        sa.PrimaryKeyConstraint("upstream", name="pk_provider_keys"),
    )
    op.create_table(
        "notices",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("period", sa.Text, nullable=False),
        sa.Column("window_start", _time, nullable=False),
        sa.Column("amount_nanos", sa.BigInteger, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("webhook", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_at", _time, nullable=False),
        sa.Column("created_at", _time, nullable=False),
        sa.Column("ended_at", _time),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_notices"),
        sa.UniqueConstraint(
            "account", "period", "window_start", "amount_nanos", "event", "webhook", name="uq_notices_once"
        ),
    )
    is_waiting = sa.text("state = 'pending'")
    op.create_index("ix_notices_next_at", "notices", ["next_at"], sqlite_where=is_waiting, postgresql_where=is_waiting)


def downgrade() -> None:
    """Drop the stored keys, and what waits to be told."""
    op.drop_table("notices")
    op.drop_table("provider_keys")
