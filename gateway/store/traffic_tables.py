"""The tables of the dashboard: sums of the traffic by the hour, and who has signed in.

A change here needs a migration. The sums are small where the log is large: an hour has one row for each key, arm,
category or model that was in it, and never one for each combination of them.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, Table, Text, Uuid

from gateway.store.base import metadata
from gateway.store.columns import Document, UtcTime


def _sums() -> list[Column[Any]]:
    """What is summed of an hour or a minute; the last two are histograms, as in ``gateway/domain/spread.py``."""
    names = ("count", "unpriced", "cost_nanos", "prompt_tokens", "output_tokens")
    sums: list[Column[Any]] = [Column(name, BigInteger, nullable=False) for name in names]
    return [*sums, *(Column(name, Document, nullable=False) for name in ("total_s", "first_byte_s"))]


traffic_hours = Table(
    "traffic_hours",
    metadata,
    Column("facet", Text, primary_key=True),
    Column("hour", UtcTime, primary_key=True),
    Column("place", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("result", Text, primary_key=True),
    *_sums(),
)
"""What began in an hour, counted once by each facet (``gateway/store/rollups.py`` lists them) and by how it ended.
``place`` is the policy of an arm and the upstream of a model."""

traffic_minutes = Table(
    "traffic_minutes",
    metadata,
    Column("minute", UtcTime, primary_key=True),
    Column("facet", Text, primary_key=True),
    Column("place", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("result", Text, primary_key=True),
    *_sums(),
)
"""The same of each minute of the hours in ``traffic_open_hours``: what is taken away from an hour when one of its
minutes is counted anew."""

traffic_open_hours = Table(
    "traffic_open_hours",
    metadata,
    Column("hour", UtcTime, primary_key=True),
    Column("counted_to", UtcTime, nullable=False),
    Column("marked_at", UtcTime, nullable=False),
)
"""Hours that are counted by the minute. Once ``counted_to`` is the hour's end, its sums are those of its minutes;
before that its minutes are being counted, and its sums are as they were. ``marked_at`` is when there last were new
requests in it; for an hour that was counted without any, the hour itself."""

traffic_minute_marks = Table(
    "traffic_minute_marks",
    metadata,
    Column("minute", UtcTime, primary_key=True),
    Column("batch", Uuid(as_uuid=False), primary_key=True),
)
"""Minutes whose sums are out of date. Each batch of records leaves one per minute, in its own transaction: whoever
sees the mark sees the records, so a mark can be taken away by those who read it before they counted."""

traffic_marks = Table(
    "traffic_marks",
    metadata,
    Column("hour", UtcTime, primary_key=True),
    Column("batch", Uuid(as_uuid=False), primary_key=True),
)
"""The same by the hour: left by the release before, and heeded while it may still run."""

traffic_state = Table(
    "traffic_state",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("turn", BigInteger, nullable=False),
    Column("closed_to", UtcTime),
    Column("summed_at", UtcTime),
)
"""One row. ``turn`` counts the changes of the sums, so that two that count at once do not undo each other.
Every hour before ``closed_to`` was counted after its end; what was there at ``summed_at`` is counted."""

dashboard_sessions = Table(
    "dashboard_sessions",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("secret", LargeBinary, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
)
"""Who has signed in to the dashboard. ``digest`` is of what the browser holds, ``secret`` that of the key: a key that
is revoked, or rotated, ends the sessions that were begun with it."""
