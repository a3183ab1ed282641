"""Add what each policy's choices saved, as the calibrator estimates it.

Gives up after five seconds waiting for a lock (env.py).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gateway.store.columns import Document

revision = "20261122_1850"
down_revision = "20261122_1840"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make room for the estimates; the calibrator's next tick makes them."""
    op.create_table(
        "traffic_savings",
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("document", Document, nullable=False),
        sa.PrimaryKeyConstraint("policy", name="pk_traffic_savings"),
    )


def downgrade() -> None:
    """Forget them: they can be made again."""
    op.drop_table("traffic_savings")
