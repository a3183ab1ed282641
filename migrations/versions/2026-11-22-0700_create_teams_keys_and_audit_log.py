"""Create changes, teams, keys, key_secrets, budgets and audit_log.

Gives up after five seconds waiting for a lock (env.py).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261122_0700"
down_revision = "20261122_0600"
branch_labels = None
depends_on = None

_time = sa.DateTime(timezone=True)
_document = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    """Make room for who may call, what they may spend, and who decided so."""
    op.create_table(
        "changes",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("pepper", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_changes"),
    )
    op.execute("INSERT INTO changes (id, number) VALUES (1, 0)")
    _create_teams()
    _create_keys()
    op.create_table(
        "budgets",
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("period", sa.Text, nullable=False),
        sa.Column("amount_nanos", sa.BigInteger, nullable=False),
        sa.Column("soft_share", sa.Text),
        sa.PrimaryKeyConstraint("account", "period", name="pk_budgets"),
    )
    _create_audit_log()


def _create_teams() -> None:
    op.create_table(
        "teams",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("models", _document),
        sa.Column("arms", _document),
        sa.Column("policies", _document),
        sa.Column("requests_per_minute", sa.BigInteger),
        sa.Column("tokens_per_minute", sa.BigInteger),
        sa.Column("concurrency", sa.BigInteger),
        sa.Column("created_at", _time, nullable=False),
        sa.Column("deleted_at", _time),
        sa.Column("changed", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_teams"),
    )
    op.create_index("ix_teams_changed", "teams", ["changed"])
    is_there = sa.text("deleted_at IS NULL")
    op.create_index("ix_teams_name", "teams", ["name"], unique=True, sqlite_where=is_there, postgresql_where=is_there)


def _create_keys() -> None:
    op.create_table(
        "keys",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("team_id", sa.Text),
        sa.Column("role", sa.Text),
        sa.Column("priority", sa.Text, nullable=False),
        sa.Column("may_override", sa.Boolean, nullable=False),
        sa.Column("models", _document),
        sa.Column("arms", _document),
        sa.Column("policies", _document),
        sa.Column("requests_per_minute", sa.BigInteger),
        sa.Column("tokens_per_minute", sa.BigInteger),
        sa.Column("concurrency", sa.BigInteger),
        sa.Column("created_at", _time, nullable=False),
        sa.Column("expires_at", _time),
        sa.Column("revoked_at", _time),
        sa.Column("changed", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_keys"),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name="fk_keys_team_id"),
    )
    op.create_index("ix_keys_changed", "keys", ["changed"])
    op.create_index("ix_keys_team_id", "keys", ["team_id"])
    is_valid = sa.text("revoked_at IS NULL")
    op.create_index("ix_keys_name", "keys", ["name"], unique=True, sqlite_where=is_valid, postgresql_where=is_valid)
    op.create_table(
        "key_secrets",
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("hint", sa.Text, nullable=False),
        sa.Column("created_at", _time, nullable=False),
        sa.Column("expires_at", _time),
        sa.PrimaryKeyConstraint("digest", name="pk_key_secrets"),
        sa.ForeignKeyConstraint(["key_id"], ["keys.id"], name="fk_key_secrets_key_id"),
    )
    op.create_index("ix_key_secrets_key_id", "key_secrets", ["key_id"])


def _create_audit_log() -> None:
    op.create_table(
        "audit_log",
        sa.Column("number", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("at", _time, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("before", _document),
        sa.Column("after", _document),
        sa.PrimaryKeyConstraint("number", name="pk_audit_log"),
    )
    op.create_index("ix_audit_log_target_number", "audit_log", ["target", "number"])
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'the audit log only grows'; END $$"
        )
        op.execute(
            "CREATE TRIGGER audit_log_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change()"
        )
        return
    for event in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER audit_log_refuses_{event.lower()} BEFORE {event} ON audit_log "
            "BEGIN SELECT RAISE(ABORT, 'the audit log only grows'); END"
        )


def downgrade() -> None:
    """Drop every key and team, and the record of who made them."""
    for table in ("audit_log", "budgets", "key_secrets", "keys", "teams", "changes"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_audit_change()")
