"""${message}

Gives up after five seconds waiting for a lock (env.py). Ships one release before the code that needs it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    """Describe what becomes possible."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Describe what is lost."""
    ${downgrades if downgrades else "pass"}
