"""Index the requests that were not answered by how they ended, as whoever is on call looks for them.

On PostgreSQL each partition is read once, in which no request is written: records wait in the journals meanwhile. Gives
up after five seconds waiting for a lock (env.py).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261123_0549"
down_revision = "20261122_1920"
branch_labels = None
depends_on = None

_NAME = "ix_requests_result_started_at_id"


def upgrade() -> None:
    """Make the index."""
    chosen = sa.text("result != 'answered'")
    op.create_index(_NAME, "requests", ["result", "started_at", "id"], sqlite_where=chosen, postgresql_where=chosen)


def downgrade() -> None:
    """Look for them in the log as a whole."""
    op.drop_index(_NAME, "requests")
