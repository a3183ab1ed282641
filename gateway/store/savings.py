"""What policies saved, as it was estimated last: a row per policy; and how much traffic each had.

The traffic is read from the hourly sums, so that nobody counts the log to know how much of it to read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy import delete, func, select

from gateway.domain.savings import PolicySavings, read_savings
from gateway.store.calibration_tables import traffic_savings
from gateway.store.conflicts import ReplacingInsert
from gateway.store.connections import Connections
from gateway.store.traffic_counts import Facet
from gateway.store.traffic_tables import traffic_hours

KEPT_S: Final = 14 * 86_400.0
"""An estimate that is older speaks of traffic that is gone, of a policy that has none now."""


class StoredSavings:
    """The estimates in a database."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def keep(self, found: PolicySavings) -> None:
        """Put an estimate in the place of the policy's last one; those that are too old go."""
        row = {"policy": found.policy, "until": found.until, "document": found.document()}
        async with self._connections.writing() as connection:
            await connection.execute(ReplacingInsert(traffic_savings).values(row))
            await connection.execute(delete(traffic_savings).where(traffic_savings.c.until < found.until - KEPT_S))

    async def all(self) -> tuple[PolicySavings, ...]:
        """The last estimate of each policy, by name; those that another release made are left out."""
        statement = select(traffic_savings.c.document).order_by(traffic_savings.c.policy)
        async with self._connections.reading() as connection:
            documents = (await connection.scalars(statement)).all()
        read = (read_savings(each) for each in documents)
        return tuple(each for each in read if each is not None)

    async def made_until(self) -> Mapping[str, float]:
        """Up to when the traffic of each policy was looked at last."""
        async with self._connections.reading() as connection:
            rows = await connection.execute(select(traffic_savings.c.policy, traffic_savings.c.until))
            return {row.policy: row.until for row in rows}

    async def traffic(self, since: float, until: float) -> Mapping[str, Mapping[float, int]]:
        """How many requests each policy had in each hour that begins in a period."""
        columns = traffic_hours.c
        statement = (
            select(columns.place, columns.hour, func.sum(columns.count))
            .where(columns.facet == Facet.ARM, columns.hour >= since, columns.hour < until, columns.place != "")
            .group_by(columns.place, columns.hour)
            .order_by(columns.place, columns.hour)
        )
        found: dict[str, dict[float, int]] = {}
        async with self._connections.reading() as connection:
            for policy, hour, count in await connection.execute(statement):
                found.setdefault(policy, {})[hour] = int(count)
        return found
