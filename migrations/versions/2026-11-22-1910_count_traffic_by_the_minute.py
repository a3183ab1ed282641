"""Add the sums of traffic by the minute, and what says which are out of date.

Gives up after five seconds waiting for a lock (env.py).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gateway.store.columns import Document

revision = "20261122_1910"
down_revision = "20261122_1900"
branch_labels = None
depends_on = None

_time = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make room for them; hours that have sums keep these, and are counted anew when something comes for them."""
    op.create_table(
        "traffic_minutes",
        sa.Column("minute", _time, nullable=False),
        sa.Column("facet", sa.Text, nullable=False),
        sa.Column("place", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("unpriced", sa.BigInteger, nullable=False),
        sa.Column("cost_nanos", sa.BigInteger, nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("total_s", Document, nullable=False),
        sa.Column("first_byte_s", Document, nullable=False),
        sa.PrimaryKeyConstraint("minute", "facet", "place", "name", "result", name="pk_traffic_minutes"),
    )
    op.create_table(
        "traffic_open_hours",
        sa.Column("hour", _time, nullable=False),
        sa.Column("counted_to", _time, nullable=False),
        sa.Column("marked_at", _time, nullable=False),
        sa.PrimaryKeyConstraint("hour", name="pk_traffic_open_hours"),
    )
    op.create_table(
        "traffic_minute_marks",
        sa.Column("minute", _time, nullable=False),
        sa.Column("batch", sa.Uuid(as_uuid=False), nullable=False),
        sa.PrimaryKeyConstraint("minute", "batch", name="pk_traffic_minute_marks"),
    )


def downgrade() -> None:
    """Forget them: the release before counts whole hours, half an hour after their end where they have no marks."""
    op.drop_table("traffic_minute_marks")
    op.drop_table("traffic_open_hours")
    op.drop_table("traffic_minutes")
