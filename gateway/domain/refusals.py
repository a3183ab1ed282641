"""How a limit is refused or announced, in words: which limit of whom, what was asked, what is left, until when.

The stores of limits decide; here their numbers become errors and warnings, so that a key reads the
same sentence whether its limits live in memory or in Redis. Amounts are whole nano-dollars.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

from gateway.domain.limits import Budget, Period, window
from gateway.domain.money import from_nanos, show, to_nanos
from gateway.errors import BudgetExhausted, PonderError, RateLimited, TooLarge, Unavailable

PLACE_RETRY_S = 1.0
"""When to come back for a place: it frees when some request ends, and nobody knows when that is."""


def budget_exhausted(account: str, budget: Budget, *, asked: int, spent: int, held: int, now: float) -> BudgetExhausted:
    """The refusal of a request whose ceiling does not fit into a budget."""
    left = max(0, to_nanos(budget.amount) - spent - held)
    in_flight = f", ${_dollars(held)} held by requests under way" if held else ""
    renews, wait_s = _renewal(budget.period, now)
    return BudgetExhausted(
        f"{account} has ${_dollars(left)} left of its {_name(budget)} (${_dollars(spent)} spent{in_flight}); "
        f"this request may cost up to ${_dollars(asked)}; {renews}; "
        "a lower output limit or a cheaper model may fit before",
        retry_after_s=wait_s,
        account=account,
        period=budget.period,
    )


def request_rate_exceeded(account: str, limit: int, *, wait_ms: int) -> RateLimited:
    """The refusal of a request that comes too soon after the others."""
    return RateLimited(
        f"{account} may make {limit} requests per minute and has made them; "
        f"the next one is accepted in {wait_ms / 1000:g} s",
        retry_after_s=wait_ms / 1000,
    )


def token_rate_exceeded(account: str, limit: int, *, asked: int, left: int, wait_ms: int) -> RateLimited:
    """The refusal of a request whose tokens are not there yet."""
    return RateLimited(
        f"{account} may use {limit} tokens per minute and has {left} left; this request may use {asked} "
        f"(its prompt and its output limit); that many are free in {wait_ms / 1000:g} s",
        retry_after_s=wait_ms / 1000,
    )


def tokens_never_fit(account: str, limit: int, *, asked: int) -> TooLarge:
    """The refusal of a request that asks for more than a whole minute's tokens: waiting would not help."""
    return TooLarge(
        f"{account} may use {limit} tokens per minute and this request alone may use {asked} "
        f"(its prompt and its output limit); set an output limit with which both are at most {limit}"
    )


def places_taken(account: str, limit: int) -> RateLimited:
    """The refusal of a request that would be one too many at once."""
    return RateLimited(
        f"{account} may have {limit} requests under way at once and has them; one more is accepted when one ends",
        retry_after_s=PLACE_RETRY_S,
    )


def hold_has_ended(request_id: str) -> Unavailable:
    """The refusal of more money for a request whose hold is settled, released or lapsed."""
    return Unavailable(f"the hold of request {request_id} has ended; nothing can be added to it")


def foremost(refusals: list[PonderError]) -> PonderError:
    """The refusal to tell of several: what waiting does not mend before what it does, then the longest wait."""

    def weight(refusal: PonderError) -> tuple[bool, float]:
        wait_s = refusal.retry_after_s
        return not isinstance(refusal, RateLimited), math.inf if wait_s is None else wait_s

    return max(refusals, key=weight)


def soft_limit_passed(account: str, budget: Budget, *, used: int, now: float) -> str:
    """The warning of a budget whose soft share is used up."""
    share = f"{(budget.soft_share or 0) * 100:.0f}%"
    renews, _ = _renewal(budget.period, now)
    return f"{account} has used ${_dollars(used)} of its {_name(budget)}, past the soft limit of {share}; {renews}"


def _name(budget: Budget) -> str:
    amount = _dollars(to_nanos(budget.amount))
    return f"total budget of ${amount}" if budget.period is Period.TOTAL else f"budget of ${amount} per {budget.period}"


def _renewal(period: Period, now: float) -> tuple[str, float | None]:
    if period is Period.TOTAL:
        return "this budget does not renew", None
    end = window(period, now).end
    return f"the budget renews at {datetime.fromtimestamp(end, UTC):%Y-%m-%d %H:%M} UTC", end - now


def _dollars(nanos: int) -> str:
    return show(from_nanos(nanos))
