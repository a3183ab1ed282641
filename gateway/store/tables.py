"""The tables. A change here needs a migration; ``tests/store/test_schema.py`` compares the two.

Money is a whole number of nano-dollars, so that sums are exact. Every table begins its key with
the request's start, so that PostgreSQL can partition all of them by day and drop a day at once.
That is also why no foreign key joins them: a day could not be dropped under one. They are written
in one transaction and deleted in one.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, LargeBinary, Table, Text, Uuid

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
)
"""One row per request: the decision, its spending and its latency."""

Index(None, requests.c.id)
Index(None, requests.c.key_id, requests.c.started_at)
Index(
    None,
    requests.c.answer_id,
    sqlite_where=requests.c.answer_id.is_not(None),
    postgresql_where=requests.c.answer_id.is_not(None),
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

request_texts = Table(
    "request_texts",
    metadata,
    Column("started_at", UtcTime, primary_key=True),
    Column("request_id", Uuid(as_uuid=False), primary_key=True),
    Column("request", LargeBinary, nullable=False),
    Column("answer", LargeBinary, nullable=False),
)
"""Prompts and answers, where the operator opted in; apart from ``requests`` since they are kept for less long."""
