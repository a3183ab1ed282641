"""Calling an upstream, with retries and fallbacks before the first byte and none after it."""

from __future__ import annotations

import asyncio

from gateway.domain.record import Result
from gateway.errors import (
    BudgetExhausted,
    InvalidRequest,
    PonderError,
    UpstreamError,
    UpstreamRefused,
    UpstreamTimedOut,
)
from gateway.flow.deciding import model_of
from gateway.flow.exchange import Exchange, OpenCall
from gateway.flow.hold import hold_again, hold_for_next_arm
from gateway.flow.places import take_place
from gateway.flow.route import Route, route_to
from gateway.ports import UpstreamCall

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 2.0
_NEVER_S = 0.001
_WORTH_A_FALLBACK_S = 0.25
"""With less time left than this, another model would only be late as well."""


def upstream_call(exchange: Exchange, route: Route, call: OpenCall) -> UpstreamCall:
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
        headers=call.headers_over(ask.headers),
    )


def result_of(error: UpstreamError) -> Result:
    """How a call that raised ``error`` ended."""
    if isinstance(error, UpstreamRefused):
        return Result.REFUSED
    return Result.TIMED_OUT if isinstance(error, UpstreamTimedOut) else Result.FAILED


async def next_attempt(exchange: Exchange, route: Route, error: UpstreamError) -> Route:
    """The next call to make: the same again after a pause, or that of the next arm.

    Raises ``error`` when there is none, or no money, time or place for it.
    """
    retries = exchange.catalog.terms[exchange.model.upstream].retries if exchange.model else 0
    pause_s = pause_before_retry(error, tries=exchange.tries, retries=retries, left_s=exchange.left_s)
    if pause_s is None:
        return await fall_back(exchange, error)
    try:
        await hold_again(exchange)
    except PonderError as refusal:
        raise error from refusal
    await asyncio.sleep(pause_s)
    exchange.degraded.append(f"retried after {error.code}")
    return route


def pause_before_retry(error: UpstreamError, *, tries: int, retries: int, left_s: float) -> float | None:
    """Seconds before a call that was made ``tries`` times is made again; None when it is not to be.

    An upstream's Retry-After is kept if it is short; a longer one is the client's to wait out.
    """
    if not error.is_retryable or tries > retries:
        return None
    pause_s = min(_FIRST_PAUSE_S * 2 ** (tries - 1), _LONGEST_PAUSE_S)
    if error.retry_after_s is not None:
        if error.retry_after_s > _LONGEST_PAUSE_S:
            return None
        pause_s = max(pause_s, error.retry_after_s)
    return pause_s if pause_s < left_s else None


async def fall_back(exchange: Exchange, error: UpstreamError) -> Route:
    """The call to the next arm of the plan. Raises ``error`` where there is none.

    What an upstream refused as the client's own fault is not tried elsewhere.
    """
    while exchange.fallbacks and not isinstance(error, UpstreamRefused) and exchange.left_s > _WORTH_A_FALLBACK_S:
        arm = exchange.fallbacks.pop(0)
        assert exchange.plan is not None  # noqa: S101  its fallbacks are being tried
        failed, plan, degraded = exchange.model, exchange.plan, list(exchange.degraded)
        exchange.plan = plan.falling_back_to(arm)
        try:
            route = await route_to(exchange, model_of(exchange, arm), arm)
            await hold_for_next_arm(exchange)
            await take_place(exchange)
        except PonderError as refusal:
            # It was not called: the record is to be that of the arm which was.
            exchange.model, exchange.plan, exchange.degraded = failed, plan, degraded
            if isinstance(refusal, InvalidRequest | BudgetExhausted):
                continue  # its provider cannot be told what this ask says, or it is too dear
            raise error from refusal
        exchange.tries = 0
        exchange.answered_by = arm
        exchange.degraded.append(f"fell back to {arm.name} after {error.code}")
        return route
    raise error
