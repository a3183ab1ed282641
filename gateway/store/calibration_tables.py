"""The tables of calibrating: what was found right, what is measured, and what is published of it.

A change here needs a migration. Outcomes begin their key with the start of their request, as all tables of
requests do; theirs is read from the request's id, so that an outcome can be kept before its request is.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
)

from gateway.store.base import metadata
from gateway.store.columns import Document, UtcTime

outcomes = Table(
    "outcomes",
    metadata,
    Column("started_at", UtcTime, primary_key=True),
    Column("request_id", Uuid(as_uuid=False), primary_key=True),
    Column("source", Text, primary_key=True),
    Column("key_id", Text, primary_key=True),
    Column("is_vouched", Boolean, nullable=False),
    Column("score", Double, nullable=False),
    Column("weight", Double, nullable=False),
    Column("probability", Double),
    Column("comment", Text),
    Column("at", UtcTime, nullable=False),
)
"""How good an answer was, by each source that said so. ``key_id`` is who gave it, and ``is_vouched`` that it may speak
of anybody's requests; without that an outcome counts for requests of its own key alone."""

Index(None, outcomes.c.at)
Index(
    "ix_outcomes_comment_started_at",
    outcomes.c.started_at,
    sqlite_where=outcomes.c.comment.is_not(None),
    postgresql_where=outcomes.c.comment.is_not(None),
)

experiments = Table(
    "experiments",
    metadata,
    Column("id", Text, primary_key=True),
    Column("policy", Text, nullable=False),
    Column("policy_digest", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("target", Document, nullable=False),
    Column("cap_nanos", BigInteger, nullable=False),
    Column("spent_nanos", BigInteger, nullable=False),
    Column("held_nanos", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("note", Text),
    Column("created_at", UtcTime, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("owner", Text),
    Column("lease_until", UtcTime),
    Column("finished_at", UtcTime),
)
"""One row per calibration run. ``held_nanos`` is the sum of its rows in ``measurement_holds``; with ``spent_nanos`` it
never exceeds ``cap_nanos``. ``attempts`` numbers the holders of its lease."""

_is_open = experiments.c.finished_at.is_(None)
# One run per policy at a time.
Index("uq_experiments_open_policy", experiments.c.policy, unique=True, sqlite_where=_is_open, postgresql_where=_is_open)
Index(None, experiments.c.policy, experiments.c.created_at)

measurements = Table(
    "measurements",
    metadata,
    Column("experiment_id", Text, ForeignKey(experiments.c.id), primary_key=True),
    Column("item", Text, primary_key=True),
    Column("arm", Text, primary_key=True),
    Column("category", Text, nullable=False),
    Column("difficulty", Text),
    Column("score", Double, nullable=False),
    Column("cost_nanos", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("latency_s", Double, nullable=False),
    Column("observed_at", UtcTime, nullable=False),
    Column("request_id", Uuid(as_uuid=False)),
    Column("answer", Text),
)
"""How an arm did on an item, each pair once per experiment. ``answer`` is kept of draws for a majority, until the
experiment ends."""

measurement_holds = Table(
    "measurement_holds",
    metadata,
    Column("experiment_id", Text, ForeignKey(experiments.c.id), primary_key=True),
    Column("item", Text, primary_key=True),
    Column("arm", Text, primary_key=True),
    Column("id", Text, nullable=False),
    Column("nanos", BigInteger, nullable=False),
    Column("until", UtcTime, nullable=False),
)
"""Pairs that somebody is measuring, and the money set aside for each."""

Index(None, measurement_holds.c.until)

measurement_batches = Table(
    "measurement_batches",
    metadata,
    Column("id", Text, primary_key=True),
    Column("experiment_id", Text, ForeignKey(experiments.c.id), nullable=False),
    Column("batch_id", Text),
    Column("created_at", UtcTime, nullable=False),
    Column("ended_at", UtcTime),
    Column("unanswered", Integer, nullable=False),
)
"""Batches of pairs that a run waits for. ``id`` is that of the holds of its pairs; ``batch_id`` the gateway's, once it
is known; ``unanswered`` how many pairs it left when it ended."""

Index(None, measurement_batches.c.experiment_id)

profiles = Table(
    "profiles",
    metadata,
    Column("policy", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("document", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("policy_digest", Text, nullable=False),
    Column("experiment_id", Text),
    Column("report", Text),
    Column("created_at", UtcTime, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
)
"""Every published version of a policy's profile, never changed. ``document`` is text, so that the same calibration is
the same bytes; ``report`` is where its report lies, if there is one."""

certificates = Table(
    "certificates",
    metadata,
    Column("policy", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("rule", Text, primary_key=True),
    Column("rule_digest", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("loss_at_most", Double, nullable=False),
    Column("bound", Double, nullable=False),
    Column("confidence", Double, nullable=False),
    Column("labels", BigInteger, nullable=False),
    ForeignKeyConstraint(["policy", "number"], ["profiles.policy", "profiles.number"]),
)
"""What each version certifies, by rule: the columns that are asked for; the document holds them and the rest."""

profile_activations = Table(
    "profile_activations",
    metadata,
    Column("change", BigInteger, primary_key=True, autoincrement=False),
    Column("policy", Text, nullable=False),
    Column("number", Integer),
    Column("reason", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("actor", Text, nullable=False),
)
"""Which version was in force since when; a policy's newest row is its present. Without a number it is none."""

Index(None, profile_activations.c.policy, profile_activations.c.change)

canaries = Table(
    "canaries",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("policy", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("over", Integer),
    Column("stage", Integer, nullable=False),
    Column("share", Double, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("began_at", UtcTime, nullable=False),
    Column("stage_began_at", UtcTime, nullable=False),
    Column("ended_at", UtcTime),
)
"""Versions that are or were tried on a share of conversations. ``over`` is the version that the others had."""

Index(
    "uq_canaries_running_policy",
    canaries.c.policy,
    unique=True,
    sqlite_where=canaries.c.ended_at.is_(None),
    postgresql_where=canaries.c.ended_at.is_(None),
)
Index(None, canaries.c.policy, canaries.c.id)

verifications = Table(
    "verifications",
    metadata,
    Column("policy", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("lease_until", UtcTime),
    Column("read_to", UtcTime),
    Column("day", Text, nullable=False),
    Column("spent_nanos", BigInteger, nullable=False),
    Column("held_nanos", BigInteger, nullable=False),
)
"""How far each policy's traffic was looked at for answers to verify, who has it, and what a UTC day cost.
``number`` counts the holders of the lease."""

canary_evidence = Table(
    "canary_evidence",
    metadata,
    Column("canary_id", BigInteger, primary_key=True, autoincrement=False),
    Column("turn", BigInteger, nullable=False),
    Column("document", Document),
    Column("verdict", Text),
    Column("judged_at", UtcTime),
    Column("outcomes_to", UtcTime, nullable=False),
    Column("requests_to", UtcTime, nullable=False),
)
"""What was seen of each canary, up to which outcomes and which requests, and what was made of it last. Every change
counts ``turn`` up."""

canary_conversations = Table(
    "canary_conversations",
    metadata,
    Column("canary_id", BigInteger, primary_key=True, autoincrement=False),
    Column("aspect", Text, primary_key=True),
    Column("point", BigInteger, primary_key=True, autoincrement=False),
)
"""Which conversations were counted for a canary, by their place among all: each counts once. Kept while it runs."""

traffic_savings = Table(
    "traffic_savings",
    metadata,
    Column("policy", Text, primary_key=True),
    Column("until", UtcTime, nullable=False),
    Column("document", Document, nullable=False),
)
"""What each policy's choices saved on its traffic up to a moment, as :mod:`gateway.domain.savings` has it."""

verifier_looks = Table(
    "verifier_looks",
    metadata,
    Column("change", BigInteger, primary_key=True, autoincrement=False),
    Column("verifier", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("source", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("document", Document, nullable=False),
    Column("cap", Integer),
    Column("at", UtcTime, nullable=False),
    Column("actor", Text, nullable=False),
    Column("lifted_at", UtcTime),
    Column("lifted_by", Text),
)
"""Each look at a verifier, and the cap on samples that was in force after it, until it was lifted. ``digest`` is that
of the samples that were looked at."""

Index("uq_verifier_looks_verifier_number", verifier_looks.c.verifier, verifier_looks.c.number, unique=True)
