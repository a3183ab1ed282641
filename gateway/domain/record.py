"""What is kept of a request and of each upstream call it made. Values only; no prompt by default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gateway.domain.chat import Dialect
from gateway.domain.construction import quick_value
from gateway.domain.money import ZERO, Usd
from gateway.domain.plan import Plan
from gateway.domain.search_record import SearchRecord
from gateway.domain.usage import Usage


class Result(StrEnum):
    """How a request or a call ended."""

    ANSWERED = "answered"
    REFUSED = "refused"
    """The upstream's own 4xx."""
    FAILED = "failed"
    """Connection trouble, a 5xx, or an answer that is not one."""
    TIMED_OUT = "timed_out"
    TRUNCATED = "truncated"
    """A stream that ended without its terminal event; never reported as success."""
    DISCONNECTED = "disconnected"
    """The client went away first."""
    CANCELLED = "cancelled"
    """We stopped it: a losing draw, or a shutdown."""
    INTERRUPTED = "interrupted"
    """The gateway stopped before the answer was complete, or its process ended: then what was spent is unknown."""


@quick_value
class CallRecord:
    """One upstream call (a draw, an attempt): what was asked for, sent, spent and got.

    ``cost`` is None when the spending is unknown (no usage came), never zero. Times are seconds
    from the call's start; ``first_byte_s`` is the first answer event of a stream, or the headers of
    a whole answer.
    """

    attempt: int
    upstream: str
    model: str
    requested: Mapping[str, Any]
    sent: Mapping[str, Any]
    result: Result
    started_at: float
    """Unix seconds."""
    total_s: float
    first_byte_s: float | None = None
    status: int | None = None
    usage: Usage | None = None
    cost: Usd | None = None
    error: str | None = None
    """An error code of ``errors.py`` and a message without prompt or secret."""
    upstream_request_id: str | None = None


@dataclass(frozen=True, slots=True)
class StoredText:
    """The bytes of a request and its answer, kept only where the operator opted in.

    ``draws`` are the texts of a search's draws, by their numbers.
    """

    request: bytes
    answer: bytes
    draws: Mapping[str, str] = field(default_factory=dict)


@quick_value
class RequestRecord:
    """One request from its first byte to its last; written exactly once, by request id.

    ``cost`` is the sum over calls with a known cost; ``is_cost_complete`` is False when some call's
    spending is unknown. Budgets are charged the ceiling of such a call: ``charged`` is what they were
    charged where that differs from ``cost``, and None where it does not.
    """

    id: str
    """UUIDv7 in its 36-character form; sorts by time."""
    started_at: float
    """Unix seconds."""
    key_id: str
    dialect: Dialect
    endpoint: str
    model_asked: str
    stream: bool
    result: Result
    status: int
    cost: Usd
    is_cost_complete: bool
    total_s: float
    first_byte_s: float | None
    plan: Plan | None
    calls: tuple[CallRecord, ...]
    degraded: tuple[str, ...] = ()
    answer_id: str | None = None
    """The provider's id of the answer; a stored response is pinned to its upstream by it."""
    finish: str | None = None
    error: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    text: StoredText | None = None
    charged: Usd | None = None
    search: SearchRecord | None = None
    """The search that the answer came from; None for a single call."""

    @property
    def charge(self) -> Usd:
        """What the budgets were charged: the same in the purse and, after a restart, from the log."""
        return self.cost if self.charged is None else self.charged


@quick_value
class Opening:
    """A request about to call its first upstream: all that will be known of it should the process end now.

    ``accounts`` are those that its hold stands on, and ``ceiling`` what it holds of each: should the
    process end, that is what they are charged, as nobody knows the cost.
    """

    id: str
    """The request's, as in :class:`RequestRecord`."""
    started_at: float
    """Unix seconds."""
    key_id: str
    dialect: Dialect
    endpoint: str
    model_asked: str
    stream: bool
    plan: Plan | None
    accounts: tuple[str, ...] = ()
    ceiling: Usd = ZERO


@dataclass(frozen=True, slots=True)
class RaisedCeiling:
    """More was set aside for an open request, for a retry or another arm: ``ceiling`` is what it holds from now on."""

    id: str
    """The request's."""
    ceiling: Usd


_INTERRUPTED_STATUS = 500


def interrupted(opening: Opening) -> RequestRecord:
    """The record of a request that was opened and never settled: its cost, its calls and its end are unknown."""
    return RequestRecord(
        id=opening.id,
        started_at=opening.started_at,
        key_id=opening.key_id,
        dialect=opening.dialect,
        endpoint=opening.endpoint,
        model_asked=opening.model_asked,
        stream=opening.stream,
        result=Result.INTERRUPTED,
        status=_INTERRUPTED_STATUS,
        cost=ZERO,
        is_cost_complete=False,
        total_s=0.0,
        first_byte_s=None,
        plan=opening.plan,
        calls=(),
        error="interrupted: the gateway's process ended before the request was settled",
        charged=opening.ceiling or None,
    )
