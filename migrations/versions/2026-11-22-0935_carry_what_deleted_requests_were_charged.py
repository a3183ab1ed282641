"""Create spent_before.

Gives up after five seconds waiting for a lock (env.py).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261122_0935"
down_revision = "20261122_0857"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make room for what deleted requests were charged."""
    op.create_table(
        "spent_before",
        sa.Column("day", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("nanos", sa.BigInteger, nullable=False),
        sa.Column("overnight_nanos", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("day", "key_id", name="pk_spent_before"),
    )


def downgrade() -> None:
    """Forget what deleted requests were charged: totals begin with the oldest request that is kept."""
    op.drop_table("spent_before")
