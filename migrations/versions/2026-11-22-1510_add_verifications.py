"""Create verifications: how far each policy's traffic was scored off the request's path, and for how much.

Gives up after five seconds waiting for a lock (env.py).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261122_1510"
down_revision = "20261122_1300"
branch_labels = None
depends_on = None

_time = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make room for it."""
    op.create_table(
        "verifications",
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("lease_until", _time),
        sa.Column("read_to", _time),
        sa.Column("day", sa.Text, nullable=False),
        sa.Column("spent_nanos", sa.BigInteger, nullable=False),
        sa.Column("held_nanos", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("policy", name="pk_verifications"),
    )


def downgrade() -> None:
    """Forget it: the next release begins anew."""
    op.drop_table("verifications")
