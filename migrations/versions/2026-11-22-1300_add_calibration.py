"""Create outcomes, experiments, measurements, profiles and what belongs to them.

Gives up after five seconds waiting for a lock (env.py).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gateway.store.columns import Document

revision = "20261122_1300"
down_revision = "20261122_1215"
branch_labels = None
depends_on = None

_time = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make room for what was found right, what is measured, and what is published of it."""
    _create_outcomes()
    _create_experiments()
    _create_measurements()
    _create_profiles()
    _create_rollouts()


def _create_outcomes() -> None:
    op.create_table(
        "outcomes",
        sa.Column("started_at", _time, nullable=False),
        sa.Column("request_id", sa.Uuid, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("is_vouched", sa.Boolean, nullable=False),
        sa.Column("score", sa.Double, nullable=False),
        sa.Column("weight", sa.Double, nullable=False),
        sa.Column("probability", sa.Double),
        sa.Column("comment", sa.Text),
        sa.Column("at", _time, nullable=False),
        sa.PrimaryKeyConstraint("started_at", "request_id", "source", "key_id", name="pk_outcomes"),
    )
    op.create_index("ix_outcomes_at", "outcomes", ["at"])
    has_comment = sa.text("comment IS NOT NULL")
    op.create_index(
        "ix_outcomes_comment_started_at",
        "outcomes",
        ["started_at"],
        sqlite_where=has_comment,
        postgresql_where=has_comment,
    )


def _create_experiments() -> None:
    op.create_table(
        "experiments",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("policy_digest", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("target", Document, nullable=False),
        sa.Column("cap_nanos", sa.BigInteger, nullable=False),
        sa.Column("spent_nanos", sa.BigInteger, nullable=False),
        sa.Column("held_nanos", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("note", sa.Text),
        sa.Column("created_at", _time, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("owner", sa.Text),
        sa.Column("lease_until", _time),
        sa.Column("finished_at", _time),
        sa.PrimaryKeyConstraint("id", name="pk_experiments"),
    )
    is_open = sa.text("finished_at IS NULL")
    op.create_index(
        "uq_experiments_open_policy",
        "experiments",
        ["policy"],
        unique=True,
        sqlite_where=is_open,
        postgresql_where=is_open,
    )
    op.create_index("ix_experiments_policy_created_at", "experiments", ["policy", "created_at"])


def _create_measurements() -> None:
    op.create_table(
        "measurements",
        sa.Column("experiment_id", sa.Text, nullable=False),
        sa.Column("item", sa.Text, nullable=False),
        sa.Column("arm", sa.Text, nullable=False),
        sa.Column("category", sa.Text, nullable=False),
        sa.Column("difficulty", sa.Text),
        sa.Column("score", sa.Double, nullable=False),
        sa.Column("cost_nanos", sa.BigInteger, nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("latency_s", sa.Double, nullable=False),
        sa.Column("observed_at", _time, nullable=False),
        sa.Column("request_id", sa.Uuid),
        sa.PrimaryKeyConstraint("experiment_id", "item", "arm", name="pk_measurements"),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], name="fk_measurements_experiment_id"),
    )
    op.create_table(
        "measurement_holds",
        sa.Column("experiment_id", sa.Text, nullable=False),
        sa.Column("item", sa.Text, nullable=False),
        sa.Column("arm", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("nanos", sa.BigInteger, nullable=False),
        sa.Column("until", _time, nullable=False),
        sa.PrimaryKeyConstraint("experiment_id", "item", "arm", name="pk_measurement_holds"),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], name="fk_measurement_holds_experiment_id"),
    )
    op.create_index("ix_measurement_holds_until", "measurement_holds", ["until"])


def _create_profiles() -> None:
    op.create_table(
        "profiles",
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("policy_digest", sa.Text, nullable=False),
        sa.Column("experiment_id", sa.Text),
        sa.Column("report", sa.Text),
        sa.Column("created_at", _time, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("expires_at", _time, nullable=False),
        sa.PrimaryKeyConstraint("policy", "number", name="pk_profiles"),
    )
    op.create_table(
        "certificates",
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("rule_digest", sa.Text, nullable=False),
        sa.Column("reference", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("loss_at_most", sa.Double, nullable=False),
        sa.Column("bound", sa.Double, nullable=False),
        sa.Column("confidence", sa.Double, nullable=False),
        sa.Column("labels", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("policy", "number", "rule", name="pk_certificates"),
        sa.ForeignKeyConstraint(
            ["policy", "number"], ["profiles.policy", "profiles.number"], name="fk_certificates_policy_number"
        ),
    )


def _create_rollouts() -> None:
    op.create_table(
        "profile_activations",
        sa.Column("change", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("number", sa.Integer),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("at", _time, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("change", name="pk_profile_activations"),
    )
    op.create_index("ix_profile_activations_policy_change", "profile_activations", ["policy", "change"])
    op.create_table(
        "canaries",
        sa.Column("id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("over", sa.Integer),
        sa.Column("stage", sa.Integer, nullable=False),
        sa.Column("share", sa.Double, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("began_at", _time, nullable=False),
        sa.Column("stage_began_at", _time, nullable=False),
        sa.Column("ended_at", _time),
        sa.PrimaryKeyConstraint("id", name="pk_canaries"),
    )
    is_running = sa.text("ended_at IS NULL")
    op.create_index(
        "uq_canaries_running_policy",
        "canaries",
        ["policy"],
        unique=True,
        sqlite_where=is_running,
        postgresql_where=is_running,
    )
    op.create_index("ix_canaries_policy_id", "canaries", ["policy", "id"])


def downgrade() -> None:
    """Forget outcomes and everything that was calibrated."""
    for table in (
        "canaries",
        "profile_activations",
        "certificates",
        "profiles",
        "measurement_holds",
        "measurements",
        "experiments",
        "outcomes",
    ):
        op.drop_table(table)
