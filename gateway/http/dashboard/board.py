"""What the pages of the dashboard share: where they look things up, and where they change them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.domain.outcome import Outcome
from gateway.domain.record import RequestRecord
from gateway.flow.house import House
from gateway.http.admin.desk import Desk
from gateway.http.dashboard.reader import Reader
from gateway.http.dashboard.visitors import Visitors
from gateway.store.savings import StoredSavings
from gateway.store.traffic import Traffic


class RequestLog(Protocol):
    """Where finished requests can be read."""

    async def find(self, request_id: str) -> RequestRecord | None: ...


class OutcomeLog(Protocol):
    """Where outcomes can be read."""

    async def of_request(self, request_id: str, begun_at: float, *, key_id: str) -> Sequence[Outcome]: ...


@dataclass(frozen=True, slots=True)
class Board:
    """Where the dashboard stands. ``desk`` is where administration is done; every change goes through its functions."""

    house: House
    desk: Desk
    visitors: Visitors
    reader: Reader
    traffic: Traffic
    savings: StoredSavings
    log: RequestLog
    outcomes: OutcomeLog
