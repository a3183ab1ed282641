"""Create canary_evidence and canary_conversations: what was seen of canaries, and whose conversations were counted.

Gives up after five seconds waiting for a lock (env.py).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gateway.store.columns import Document

revision = "20261122_1520"
down_revision = "20261122_1510"
branch_labels = None
depends_on = None

_time = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make room for them."""
    op.create_table(
        "canary_evidence",
        sa.Column("canary_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("turn", sa.BigInteger, nullable=False),
        sa.Column("document", Document),
        sa.Column("verdict", sa.Text),
        sa.Column("judged_at", _time),
        sa.Column("outcomes_to", _time, nullable=False),
        sa.Column("requests_to", _time, nullable=False),
        sa.PrimaryKeyConstraint("canary_id", name="pk_canary_evidence"),
    )
    op.create_table(
        "canary_conversations",
        sa.Column("canary_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("aspect", sa.Text, nullable=False),
        sa.Column("point", sa.BigInteger, nullable=False, autoincrement=False),
        sa.PrimaryKeyConstraint("canary_id", "aspect", "point", name="pk_canary_conversations"),
    )


def downgrade() -> None:
    """Forget them: a canary that runs is judged anew from then on."""
    op.drop_table("canary_conversations")
    op.drop_table("canary_evidence")
