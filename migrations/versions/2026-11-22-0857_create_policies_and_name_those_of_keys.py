"""Create policies and policy_activations; keys and teams name their policy.

Gives up after five seconds waiting for a lock (env.py).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261122_0857"
down_revision = "20261122_0852"
branch_labels = None
depends_on = None

_time = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make room for versions of policies, and for the policy of a key and of a team."""
    op.create_table(
        "policies",
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("first_seen_at", _time, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_policies"),
    )
    op.create_table(
        "policy_activations",
        sa.Column("number", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("over", sa.Text),
        sa.Column("at", _time, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_policy_activations"),
        sa.ForeignKeyConstraint(["digest"], ["policies.digest"], name="fk_policy_activations_digest"),
    )
    op.create_index("ix_policy_activations_name_number", "policy_activations", ["name", "number"])
    op.add_column("teams", sa.Column("policy", sa.Text))
    op.add_column("keys", sa.Column("policy", sa.Text))


def downgrade() -> None:
    """Forget which policies there were, and whose."""
    op.drop_column("keys", "policy")
    op.drop_column("teams", "policy")
    op.drop_table("policy_activations")
    op.drop_table("policies")
