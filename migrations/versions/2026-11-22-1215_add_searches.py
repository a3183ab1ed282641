"""Add requests.search and request_texts.draws.

Gives up after five seconds waiting for a lock (env.py).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gateway.store.columns import Document

revision = "20261122_1215"
down_revision = "20261122_0935"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make room for the tree of a search, and for the texts of its draws."""
    op.add_column("requests", sa.Column("search", Document))
    op.add_column("request_texts", sa.Column("draws", Document))


def downgrade() -> None:
    """Forget how answers were searched for."""
    op.drop_column("request_texts", "draws")
    op.drop_column("requests", "search")
