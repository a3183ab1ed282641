"""The tables. A change here needs a migration; ``tests/store/test_schema.py`` compares the two.

Money is a whole number of nano-dollars, so that sums are exact. Every table of requests begins its
key with the request's start, so that PostgreSQL can partition all of them by day and drop a day at
once. That is also why no foreign key joins them: a day could not be dropped under one. They are
written in one transaction and deleted in one.

What the gateway is told to do (teams, keys, budgets) changes in numbered steps, one at a time: each
takes the next number of ``changes``, marks the rows it touched with it, and leaves one row under it
in ``audit_log``. So a process that remembers a number can ask for what came after it.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    literal_column,
)

from gateway.store.base import metadata
from gateway.store.columns import Document, UtcTime

requests = Table(
    "requests",
    metadata,
    Column("started_at", UtcTime, primary_key=True),
    Column("id", Uuid(as_uuid=False), primary_key=True),
    Column("key_id", Text, nullable=False),
    Column("dialect", Text, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("model_asked", Text, nullable=False),
    Column("is_stream", Boolean, nullable=False),
    Column("result", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("cost_nanos", BigInteger, nullable=False),
    Column("is_cost_complete", Boolean, nullable=False),
    Column("total_s", Double, nullable=False),
    Column("first_byte_s", Double),
    # The four that requests are looked for by; the plan holds them too, and everything else.
    Column("policy", Text),
    Column("arm", Text),
    Column("category", Text),
    Column("difficulty", Text),
    Column("plan", Document),
    Column("degraded", Document, nullable=False),
    Column("answer_id", Text),
    Column("finish", Text),
    Column("error", Text),
    Column("tags", Document, nullable=False),
    Column("charged_nanos", BigInteger),
    Column("search", Document),
)
"""One row per request: the decision, its spending and its latency. ``charged_nanos`` is what budgets were
charged, where that is not the cost: a call whose cost nobody knows is charged at its ceiling."""

Index(None, requests.c.id)
Index(
    None,
    requests.c.key_id,
    requests.c.started_at,
    # What budgets are summed from: a start then reads the index, and not the log.
    postgresql_include=["total_s", "cost_nanos", "charged_nanos"],
)
Index(
    None,
    requests.c.answer_id,
    sqlite_where=requests.c.answer_id.is_not(None),
    postgresql_where=requests.c.answer_id.is_not(None),
)
NOT_ANSWERED = requests.c.result != literal_column("'answered'")
"""Which requests the index by result has: a look for what went wrong passes over all that went well."""
Index(
    None,
    requests.c.result,
    requests.c.started_at,
    requests.c.id,
    sqlite_where=NOT_ANSWERED,
    postgresql_where=NOT_ANSWERED,
)

draws = Table(
    "draws",
    metadata,
    Column("started_at", UtcTime, primary_key=True),
    Column("request_id", Uuid(as_uuid=False), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("key_id", Text, nullable=False),
    Column("called_at", UtcTime, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("upstream", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("result", Text, nullable=False),
    Column("status", Integer),
    Column("total_s", Double, nullable=False),
    Column("first_byte_s", Double),
    Column("cost_nanos", BigInteger),
    Column("usage_source", Text),
    Column("input_tokens", BigInteger),
    Column("cached_tokens", BigInteger),
    Column("cache_write_5m_tokens", BigInteger),
    Column("cache_write_1h_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("thinking_tokens", BigInteger),
    Column("audio_input_tokens", BigInteger),
    Column("audio_output_tokens", BigInteger),
    Column("web_searches", BigInteger),
    Column("service_tier", Text),
    Column("reported_cost_usd", Text),
    Column("raw_usage", Document),
    Column("requested", Document, nullable=False),
    Column("sent", Document, nullable=False),
    Column("error", Text),
    Column("upstream_request_id", Text),
)
"""One row per upstream call: requested, sent, spent. ``started_at`` is the request's, ``number`` the
call's place in it; so a call replayed meets its own key."""

spent_before = Table(
    "spent_before",
    metadata,
    Column("day", Text, primary_key=True),
    Column("key_id", Text, primary_key=True),
    Column("nanos", BigInteger, nullable=False),
    Column("overnight_nanos", BigInteger, nullable=False),
)
"""What requests that were deleted had been charged, by the UTC day they began on and by key; days of earlier months
are summed up under the last of them. ``overnight_nanos`` is the part of the day's requests that ended after it."""

request_texts = Table(
    "request_texts",
    metadata,
    Column("started_at", UtcTime, primary_key=True),
    Column("request_id", Uuid(as_uuid=False), primary_key=True),
    Column("request", LargeBinary, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("draws", Document),
)
"""Prompts, answers and the draws of searches, where the operator opted in; apart from ``requests`` since they are
kept for less long."""

changes = Table(
    "changes",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
    Column("pepper", Text),
)
"""One row: the number of the last change, and the fingerprint of the pepper that all digests are made with."""

teams = Table(
    "teams",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("models", Document),
    Column("arms", Document),
    Column("policies", Document),
    Column("policy", Text),
    Column("requests_per_minute", BigInteger),
    Column("tokens_per_minute", BigInteger),
    Column("concurrency", BigInteger),
    Column("created_at", UtcTime, nullable=False),
    Column("deleted_at", UtcTime),
    Column("changed", BigInteger, nullable=False),
)
"""Who shares limits. Deleted ones stay, for the records that name their keys."""

Index(None, teams.c.changed)
Index(
    None,
    teams.c.name,
    unique=True,
    sqlite_where=teams.c.deleted_at.is_(None),
    postgresql_where=teams.c.deleted_at.is_(None),
)

keys = Table(
    "keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("team_id", Text, ForeignKey(teams.c.id)),
    Column("role", Text),
    Column("priority", Text, nullable=False),
    Column("may_override", Boolean, nullable=False),
    Column("models", Document),
    Column("arms", Document),
    Column("policies", Document),
    Column("policy", Text),
    Column("requests_per_minute", BigInteger),
    Column("tokens_per_minute", BigInteger),
    Column("concurrency", BigInteger),
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime),
    Column("revoked_at", UtcTime),
    Column("changed", BigInteger, nullable=False),
)
"""Who may call. Revoked ones stay, for the records that name them, and to say that they are revoked."""

Index(None, keys.c.changed)
Index(None, keys.c.team_id)
Index(
    None,
    keys.c.name,
    unique=True,
    sqlite_where=keys.c.revoked_at.is_(None),
    postgresql_where=keys.c.revoked_at.is_(None),
)

key_secrets = Table(
    "key_secrets",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("key_id", Text, ForeignKey(keys.c.id), nullable=False),
    Column("hint", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime),
)
"""What proves to be a key: the keyed digest of a secret. A rotated key has two for a while."""

Index(None, key_secrets.c.key_id)

budgets = Table(
    "budgets",
    metadata,
    Column("account", Text, primary_key=True),
    Column("period", Text, primary_key=True),
    Column("amount_nanos", BigInteger, nullable=False),
    Column("soft_share", Text),
)
"""What a key (``key:ID``) or a team (``team:ID``) may spend per period. ``soft_share`` is a decimal as text."""

audit_log = Table(
    "audit_log",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at", UtcTime, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("before", Document),
    Column("after", Document),
)
"""One row per change, never altered or deleted: triggers refuse it."""

Index(None, audit_log.c.target, audit_log.c.number)

reconciliations = Table(
    "reconciliations",
    metadata,
    Column("day", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("started_at", UtcTime, nullable=False),
    Column("finished_at", UtcTime),
    Column("compared", BigInteger, nullable=False),
    Column("differing", BigInteger, nullable=False),
    Column("difference_nanos", BigInteger, nullable=False),
    Column("details", Document, nullable=False),
)
"""What the nightly checks of the books found, one row per day and kind of check. The row is written as its check
begins, so that one process does it; ``details`` holds the largest differences."""

provider_keys = Table(
    "provider_keys",
    metadata,
    Column("upstream", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("nonce", LargeBinary, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    Column("encrypted_with", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("hint", Text, nullable=False),
    Column("set_at", UtcTime, nullable=False),
)
"""Keys of model providers, encrypted. ``version`` is the number of the change that set the key, ``encrypted_with``
the fingerprint of the encryption key."""

notices = Table(
    "notices",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account", Text, nullable=False),
    Column("period", Text, nullable=False),
    Column("window_start", UtcTime, nullable=False),
    Column("amount_nanos", BigInteger, nullable=False),
    Column("event", Text, nullable=False),
    Column("webhook", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", UtcTime, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("ended_at", UtcTime),
    Column("error", Text),
    UniqueConstraint("account", "period", "window_start", "amount_nanos", "event", "webhook", name="uq_notices_once"),
)
"""What webhooks are told: each thing once, whichever process notices it first. ``webhook`` is the fingerprint of an
address, as an address may hold a secret. Of a profile, ``account`` names it, ``period`` is its version, and what it is
besides that makes the event one; ``window_start`` is when it happened, and ``amount_nanos`` 0."""

Index(
    None,
    notices.c.next_at,
    sqlite_where=notices.c.state == "pending",
    postgresql_where=notices.c.state == "pending",
)

policies = Table(
    "policies",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("first_seen_at", UtcTime, nullable=False),
)
"""Every version of a policy that was ever in force, so that each decision can be read with what it was made by."""

policy_activations = Table(
    "policy_activations",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("digest", Text, ForeignKey(policies.c.digest), nullable=False),
    Column("over", Text),
    Column("at", UtcTime, nullable=False),
    Column("actor", Text, nullable=False),
)
"""Which version was in force since when; a policy's newest row is its present. ``over`` is the digest of the file's
version that a rolled-back one stands in for, and ends with it."""

Index(None, policy_activations.c.name, policy_activations.c.number)
