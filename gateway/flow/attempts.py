"""Calling an upstream, with retries before the first byte and none after it."""

from __future__ import annotations

import asyncio

from gateway.domain.record import Result
from gateway.errors import BudgetExhausted, Unavailable, UpstreamError, UpstreamRefused, UpstreamTimedOut
from gateway.flow.exchange import Exchange
from gateway.flow.hold import hold_again
from gateway.flow.route import Route
from gateway.ports import UpstreamCall

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 2.0
_NEVER_S = 0.001


def upstream_call(exchange: Exchange, route: Route) -> UpstreamCall:
    """The call as it goes out, with the time that is left to it.

    Raises :class:`UpstreamTimedOut` when the plan's deadline has passed.
    """
    ask, model = exchange.ask, exchange.model
    assert model is not None  # noqa: S101  a route exists only after one is chosen
    left_s = exchange.left_s
    if left_s < _NEVER_S:
        raise UpstreamTimedOut("the request's deadline passed before its model could be called", is_unbilled=True)
    terms = exchange.catalog.terms[model.upstream]
    return UpstreamCall(
        dialect=route.dialect,
        path=route.path,
        body=route.body,
        is_stream=ask.is_stream,
        request_id=ask.request_id,
        deadline_s=left_s,
        first_byte_s=terms.first_byte_s,
        idle_s=terms.idle_s,
        headers=ask.headers,
    )


def result_of(error: UpstreamError) -> Result:
    """How a call that raised ``error`` ended."""
    if isinstance(error, UpstreamRefused):
        return Result.REFUSED
    return Result.TIMED_OUT if isinstance(error, UpstreamTimedOut) else Result.FAILED


async def pause_or_raise(exchange: Exchange, error: UpstreamError) -> None:
    """Wait before the next attempt, or raise ``error`` when there is none, or no money for it.

    An upstream's Retry-After is kept if it is short; a longer one is the client's to wait out.
    """
    model = exchange.model
    attempts = len(exchange.calls)
    retries = exchange.catalog.terms[model.upstream].retries if model else 0
    if not error.is_retryable or attempts > retries:
        raise error
    pause_s = min(_FIRST_PAUSE_S * 2 ** (attempts - 1), _LONGEST_PAUSE_S)
    if error.retry_after_s is not None:
        if error.retry_after_s > _LONGEST_PAUSE_S:
            raise error
        pause_s = max(pause_s, error.retry_after_s)
    try:
        await hold_again(exchange)
    except (BudgetExhausted, Unavailable) as refusal:
        raise error from refusal
    await asyncio.sleep(pause_s)
    exchange.degraded.append(f"retried after {error.code}")
