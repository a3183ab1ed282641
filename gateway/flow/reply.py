"""What ``serve`` gives back: an answer in the client's dialect, whole or as it streams."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final, TypeAlias

from gateway.dialects.sse import comment
from gateway.domain.ask import Ask
from gateway.domain.money import show
from gateway.flow.exchange import Exchange

_MAX_DEGRADED_CHARACTERS = 1000

STREAM_HEADERS: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)


@dataclass(frozen=True, slots=True)
class Whole:
    """An unstreamed answer, already settled."""

    headers: list[tuple[bytes, bytes]]
    body: bytes


@dataclass(frozen=True, slots=True)
class Streamed:
    """A streamed answer whose first bytes are here; closing ``rest`` early settles it as disconnected.

    ``rest`` ends by itself at the request's deadline, unless whoever reads it stands still:
    ``left_s`` is how long from now that is.
    """

    headers: list[tuple[bytes, bytes]]
    first: bytes
    rest: AsyncGenerator[bytes, None]
    left_s: float


Reply: TypeAlias = Whole | Streamed


def decision_headers(exchange: Exchange) -> list[tuple[bytes, bytes]]:
    """The ``x-ponder-*`` headers of a decided request, cost excluded."""
    ask, plan = exchange.ask, exchange.plan
    headers = [(b"x-ponder-request-id", ask.request_id.encode())]
    if plan is not None:
        arm = exchange.answered_by or plan.arm
        headers.append((b"x-ponder-arm", _header_value(arm.name)))
        for name, value in (
            (b"x-ponder-policy", plan.policy),
            (b"x-ponder-category", plan.category),
            (b"x-ponder-difficulty", plan.difficulty),
        ):
            if value is not None:
                headers.append((name, _header_value(value)))
    if exchange.hold is not None and exchange.hold.warnings:
        headers.append((b"x-ponder-budget-warning", _header_value("; ".join(exchange.hold.warnings))))
    if exchange.degraded:
        headers.append((b"x-ponder-degraded", _header_value("; ".join(exchange.degraded)[:_MAX_DEGRADED_CHARACTERS])))
    return headers


def cost_header(exchange: Exchange) -> list[tuple[bytes, bytes]]:
    """``x-ponder-cost-usd``, absent when the cost is not known in full."""
    return [(b"x-ponder-cost-usd", show(exchange.cost).encode())] if exchange.is_cost_complete else []


def cost_comment(exchange: Exchange) -> bytes:
    """The cost of a stream as an SSE comment, which clients ignore by the grammar."""
    return comment(f"x-ponder-cost-usd {show(exchange.cost) if exchange.is_cost_complete else 'unknown'}")


def request_id_headers(ask: Ask) -> list[tuple[bytes, bytes]]:
    """Our id under the names that official clients read (``_request_id``)."""
    return [(b"x-request-id", ask.request_id.encode()), (b"request-id", ask.request_id.encode())]


def _header_value(text: str) -> bytes:
    """Printable ASCII only: model and field names may hold anything, a header may not."""
    if not (text.isascii() and text.isprintable()):
        text = "".join(letter if " " <= letter <= "~" else "?" for letter in text)
    return text.encode("ascii")
