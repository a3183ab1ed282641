"""Add requests.charged_nanos, and create reconciliations.

Gives up after five seconds waiting for a lock (env.py).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261122_0845"
down_revision = "20261122_0830"
branch_labels = None
depends_on = None

_time = sa.DateTime(timezone=True)
_document = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    """Make room for what budgets were charged, and for what the nightly checks of the books find."""
    op.add_column("requests", sa.Column("charged_nanos", sa.BigInteger))
    op.create_table(
        "reconciliations",
        sa.Column("day", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("started_at", _time, nullable=False),
        sa.Column("finished_at", _time),
        sa.Column("compared", sa.BigInteger, nullable=False),
        sa.Column("differing", sa.BigInteger, nullable=False),
        sa.Column("difference_nanos", sa.BigInteger, nullable=False),
        sa.Column("details", _document, nullable=False),
        sa.PrimaryKeyConstraint("day", "kind", name="pk_reconciliations"),
    )


def downgrade() -> None:
    """Forget what budgets were charged beyond the cost, and every check of the books."""
    op.drop_table("reconciliations")
    op.drop_column("requests", "charged_nanos")
