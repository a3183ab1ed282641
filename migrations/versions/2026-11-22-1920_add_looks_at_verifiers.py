"""Add looks at the health of verifiers, with the caps that they put in force.

Gives up after five seconds waiting for a lock (env.py).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gateway.store.columns import Document

revision = "20261122_1920"
down_revision = "20261122_1910"
branch_labels = None
depends_on = None

_time = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make room for them; no verifier has been looked at yet."""
    op.create_table(
        "verifier_looks",
        sa.Column("change", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("verifier", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("document", Document, nullable=False),
        sa.Column("cap", sa.Integer),
        sa.Column("at", _time, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("lifted_at", _time),
        sa.Column("lifted_by", sa.Text),
        sa.PrimaryKeyConstraint("change", name="pk_verifier_looks"),
    )
    op.create_index("uq_verifier_looks_verifier_number", "verifier_looks", ["verifier", "number"], unique=True)


def downgrade() -> None:
    """Forget them: no search is capped any more."""
    op.drop_table("verifier_looks")
