"""Add the sums of traffic by the hour, what says which are out of date, and sessions of the dashboard.

Gives up after five seconds waiting for a lock (env.py).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gateway.store.columns import Document

revision = "20261122_1540"
down_revision = "20261122_1520"
branch_labels = None
depends_on = None

_time = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make room for them; what is logged already is summed up by the next ticks."""
    op.create_table(
        "traffic_hours",
        sa.Column("facet", sa.Text, nullable=False),
        sa.Column("hour", _time, nullable=False),
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
        sa.PrimaryKeyConstraint("facet", "hour", "place", "name", "result", name="pk_traffic_hours"),
    )
    op.create_table(
        "traffic_marks",
        sa.Column("hour", _time, nullable=False),
        sa.Column("batch", sa.Uuid(as_uuid=False), nullable=False),
        sa.PrimaryKeyConstraint("hour", "batch", name="pk_traffic_marks"),
    )
    state = op.create_table(
        "traffic_state",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("turn", sa.BigInteger, nullable=False),
        sa.Column("closed_to", _time),
        sa.Column("summed_at", _time),
        sa.PrimaryKeyConstraint("id", name="pk_traffic_state"),
    )
    op.bulk_insert(state, [{"id": 1, "turn": 0, "closed_to": None, "summed_at": None}])
    op.create_table(
        "dashboard_sessions",
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("secret", sa.LargeBinary, nullable=False),
        sa.Column("created_at", _time, nullable=False),
        sa.Column("expires_at", _time, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_dashboard_sessions"),
    )


def downgrade() -> None:
    """Forget them: the sums can be made again for the requests that are kept, and people sign in again."""
    op.drop_table("dashboard_sessions")
    op.drop_table("traffic_state")
    op.drop_table("traffic_marks")
    op.drop_table("traffic_hours")
