"""Add what draws of a reference say while their run is open, and the batches that a run waits for.

Gives up after five seconds waiting for a lock (env.py).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261122_1900"
down_revision = "20261122_1850"
branch_labels = None
depends_on = None

_time = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make room for them; no run has any yet."""
    op.add_column("measurements", sa.Column("answer", sa.Text))
    op.create_table(
        "measurement_batches",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("experiment_id", sa.Text, nullable=False),
        sa.Column("batch_id", sa.Text),
        sa.Column("created_at", _time, nullable=False),
        sa.Column("ended_at", _time),
        sa.Column("unanswered", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_measurement_batches"),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], name="fk_measurement_batches_experiment_id"),
    )
    op.create_index("ix_measurement_batches_experiment_id", "measurement_batches", ["experiment_id"])


def downgrade() -> None:
    """Forget them; a run that waits for a batch asks its items anew."""
    op.drop_table("measurement_batches")
    op.drop_column("measurements", "answer")
