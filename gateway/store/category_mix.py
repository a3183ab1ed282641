"""How many of a policy's requests are of each category, told from a sample that is spread over a period."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from sqlalchemy import func, select

from gateway.store.connections import Connections
from gateway.store.tables import requests

_SLICES: Final = 28
"""Of a period: a quarter of a day each, where that is a week."""
_EACH: Final = 500
_ARMS: Final = "arm:%"


async def category_mix(connections: Connections, policy: str, *, since: float, until: float) -> Mapping[str, int]:
    """The counts by category among the first few hundred requests of each of 28 slices of a period.

    Requests that name their arm are no traffic of the policy, and are left out. ``until`` is exclusive.
    """
    columns, length = requests.c, (until - since) / _SLICES
    counts: Counter[str] = Counter()
    for number in range(_SLICES):
        first = since + number * length
        sample = (
            select(columns.category)
            .where(columns.started_at >= first, columns.started_at < first + length)
            .where(columns.policy == policy, columns.category.is_not(None), columns.model_asked.not_like(_ARMS))
            .order_by(columns.started_at)
            .limit(_EACH)
            .subquery()
        )
        statement = select(sample.c.category, func.count()).group_by(sample.c.category)
        async with connections.reading() as connection:
            for category, count in await connection.execute(statement):
                counts[category] += count
    return dict(counts)
