"""A log of requests that tests write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.domain.limits import Period
from gateway.domain.money import Usd
from gateway.errors import Unavailable


class SetLog:
    """Says what a test has set, with nothing spent to begin with.

    Satisfies :class:`gateway.adapters.limits_alone.SpendingLog`.
    """

    def __init__(self) -> None:
        self.sums: dict[str, dict[Period, Usd]] = {}
        self.charges: dict[str, Usd] = {}
        self.is_away = False
        self.readings = 0

    async def spent(self, now: float) -> Mapping[str, Mapping[Period, Usd]]:
        """The sums that were set."""
        self.readings += 1
        if self.is_away:
            raise Unavailable("the database is away")
        return self.sums

    async def charged(self, request_ids: Sequence[str]) -> Mapping[str, Usd]:
        """The charges that were set."""
        if self.is_away:
            raise Unavailable("the database is away")
        return {each: self.charges[each] for each in request_ids if each in self.charges}
