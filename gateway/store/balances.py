"""What each key and team has spent in its current periods: what budgets are restored from at start."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import func, select

from gateway.domain.limits import Period, period_start
from gateway.domain.money import Usd, from_nanos
from gateway.domain.tenancy import key_account, team_account
from gateway.store.base import Database, open_async, translating
from gateway.store.tables import keys, requests


CHARGED_NANOS = func.coalesce(requests.c.charged_nanos, requests.c.cost_nanos)
"""What a request took from its budgets."""


class Balances:
    """Sums over the log of requests, by account."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def spent(self, now: float) -> Mapping[str, Mapping[Period, Usd]]:
        """Account id → period → spent in the period that holds ``now``.

        Raises Unavailable or ConfigurationError when the database cannot be read. Requests of keys
        that no longer exist count for nobody.
        """
        engine = open_async(self._database, connections=1)
        found: dict[str, dict[Period, int]] = {}
        try:
            with translating(self._database):
                async with engine.connect() as connection:
                    for period in Period:
                        statement = (
                            select(keys.c.id, keys.c.team_id, func.sum(CHARGED_NANOS))
                            .join(keys, keys.c.id == requests.c.key_id)
                            .where(requests.c.started_at >= period_start(period, now))
                            .group_by(keys.c.id, keys.c.team_id)
                        )
                        for key_id, team_id, nanos in await connection.execute(statement):
                            accounts = [key_account(key_id)] + ([team_account(team_id)] if team_id else [])
                            for account in accounts:
                                periods = found.setdefault(account, dict.fromkeys(Period, 0))
                                periods[period] += int(nanos)
        finally:
            await engine.dispose()
        return {
            account: {period: from_nanos(nanos) for period, nanos in periods.items()}
            for account, periods in found.items()
        }
