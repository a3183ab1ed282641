"""The hold: money, rate and a place are set aside before a model is called, for the most it may cost."""

from __future__ import annotations

from gateway.dialects.estimate import BYTES_PER_TOKEN
from gateway.domain.ask import Ask, Operation
from gateway.domain.bound import as_usd
from gateway.domain.model import Model
from gateway.domain.money import ZERO, Usd, show
from gateway.domain.pricing import ceiling
from gateway.domain.record import RaisedCeiling
from gateway.errors import BudgetExhausted, Unpriced
from gateway.flow.balance import budget_left
from gateway.flow.demand import prompt_bound, searches_bound
from gateway.flow.exchange import Exchange
from gateway.flow.route import Route, with_output_limit
from gateway.ports import Claim

LEASE_S = 60.0
"""How long a hold outlives its last renewal; ``settlements.py`` renews those of living calls."""

_SAMPLE_TOKENS = 1_000_000
_LEAST_OUTPUT_TOKENS = 256
"""A shorter answer than this would be cut off before it helps anyone; the budget is then exhausted."""


async def hold(exchange: Exchange, route: Route) -> Route:
    """Take the exchange's hold; the route, capped where money is short.

    Raises RateLimited, BudgetExhausted or Unavailable, and then nothing is held.
    """
    bound = output_bound(exchange)
    try:
        await _take(exchange, bound)
    except BudgetExhausted:
        # Where a policy decides, it may find an arm that fits; a named model's answer can only be made shorter.
        affordable = None if exchange.is_decided else await _affordable_output(exchange, bound)
        if affordable is None:
            raise
        await _take(exchange, affordable * exchange.demand.candidates)
        exchange.degraded.append(f"capped: {affordable} output tokens are what the budget leaves")
        route = with_output_limit(route, exchange.catalog.terms, affordable)
    else:
        assumed = _assumed_limit(exchange)
        if assumed is not None:
            exchange.degraded.append(f"capped: {assumed} output tokens are assumed where nobody states a limit")
            route = with_output_limit(route, exchange.catalog.terms, assumed)
    return route


async def _take(exchange: Exchange, output_tokens: int) -> None:
    ask, model = exchange.ask, exchange.model
    assert model is not None  # noqa: S101  a route is planned before it is paid for
    house = exchange.house
    is_open = _is_open(exchange)
    # Where nobody asks what a request may cost, it is not worked out.
    exchange.call_ceiling = ZERO
    if not is_open or _ceiling(exchange) is not None:
        exchange.call_ceiling = search_bound(exchange) if exchange.is_search else cost_bound(ask, model, output_tokens)
    exchange.hold = await house.purse.hold(
        Claim(
            request_id=ask.request_id,
            accounts=exchange.key.accounts,
            ceiling=exchange.call_ceiling,
            tokens=0 if is_open else len(ask.raw) // BYTES_PER_TOKEN + output_tokens,
            now=house.clock.now(),
            lease_s=LEASE_S,
        )
    )
    if exchange.hold.warnings:
        house.crossings.near(exchange.key.accounts)
    house.settlements.watch(exchange.hold)


def _ceiling(exchange: Exchange) -> Usd | None:
    """The most that the whole request may cost, by its plan."""
    return exchange.plan.ceilings.cost if exchange.plan is not None else None


def _is_open(exchange: Exchange) -> bool:
    return all(account.limits.is_open for account in exchange.key.accounts)


async def hold_for_next_arm(exchange: Exchange) -> None:
    """Set aside the money for the exchange's new model, beside what the calls before may have cost.

    Raises as :func:`hold_again`.
    """
    assert exchange.model is not None  # noqa: S101  the next arm has been chosen
    if not _is_open(exchange) or _ceiling(exchange) is not None:
        exchange.call_ceiling = cost_bound(exchange.ask, exchange.model, output_bound(exchange))
    await hold_again(exchange)


async def hold_again(exchange: Exchange) -> None:
    """Set aside the money for one more call, if the one before may have been billed.

    The journal is told after the purse and before the call: a crash in between charges what may have been
    spent by then. Raises BudgetExhausted or Unavailable, and then the call must not be made.
    """
    held, house, most = exchange.hold, exchange.house, _ceiling(exchange)
    if held is None or not exchange.call_ceiling:
        return
    if most is not None and exchange.charge + exchange.call_ceiling > most:
        raise BudgetExhausted(
            f"another call may cost up to ${show(exchange.call_ceiling)}, and of this request's ceiling of "
            f"${show(most)} the calls before may have used ${show(exchange.charge)}"
        )
    more = Usd(exchange.charge + exchange.call_ceiling - held.ceiling)
    if more > ZERO:
        exchange.hold = await house.purse.extend(held, more, now=house.clock.now())
        house.settlements.watch(exchange.hold)
        house.journal.raise_ceiling(RaisedCeiling(exchange.ask.request_id, exchange.hold.ceiling))


async def _affordable_output(exchange: Exchange, bound: int) -> int | None:
    """The output tokens per candidate that the budgets leave money for, and no more than the ``bound`` for all.

    None if the client set a limit, or they are too few.
    """
    ask, model, plan = exchange.ask, exchange.model, exchange.plan
    if plan is None or model is None or plan.ceilings.output_tokens is not None:
        return None
    left = await budget_left(exchange.key, exchange.house.purse, now=exchange.house.clock.now())
    fixed = cost_bound(ask, model, 0)
    per_token = (cost_bound(ask, model, _SAMPLE_TOKENS) - fixed) / _SAMPLE_TOKENS
    if left is None or per_token <= 0:
        return None
    # Meanwhile others may have settled, and left money for more than the model can write.
    affordable = min(int((left - fixed) / per_token), bound) // exchange.demand.candidates
    return affordable if affordable >= _LEAST_OUTPUT_TOKENS else None


def _assumed_limit(exchange: Exchange) -> int | None:
    """The output limit that was held for although nobody stated it; None where no budget relies on it."""
    plan, model = exchange.plan, exchange.model
    if plan is None or model is None or exchange.ask.endpoint.operation is not Operation.CHAT:
        return None
    if plan.ceilings.output_tokens is not None or model.max_output_tokens is not None:
        return None
    has_budget = any(account.limits.budgets for account in exchange.key.accounts)
    return exchange.catalog.defaults.default_output_tokens if has_budget else None


def output_bound(exchange: Exchange) -> int:
    """The most output tokens, over all candidates, that the request can lead to."""
    ask, model = exchange.ask, exchange.model
    if ask.endpoint.operation is not Operation.CHAT or model is None or exchange.plan is None:
        return 0
    each = exchange.plan.ceilings.output_tokens
    if each is None:
        each = model.max_output_tokens or exchange.catalog.defaults.default_output_tokens
    return each * exchange.demand.candidates


def search_bound(exchange: Exchange) -> Usd:
    """The most that a search can cost: all the calls of its arm, and no more than the plan's ceiling."""
    plan, policy = exchange.plan, exchange.policy
    assert plan is not None and policy is not None  # noqa: S101, PT018  only a policy's arm searches
    prompt_tokens = prompt_bound(exchange.ask.raw, None)
    arm = policy.ready.arms[plan.arm.name]
    total = longest = 0
    for leg in arm.legs:
        written = leg.max_output_tokens if plan.ceilings.output_tokens is None else plan.ceilings.output_tokens
        longest = max(longest, written)
        if leg.any_tier is not None:
            rates = leg.any_tier.at(prompt_tokens)
            total += leg.calls * (prompt_tokens * rates.input + written * rates.output)
    for reader in arm.readers:
        if reader.any_tier is not None:
            read = prompt_tokens + longest
            total += reader.calls * read * reader.any_tier.at(read).input
    bound = as_usd(total)
    return bound if plan.ceilings.cost is None else min(bound, plan.ceilings.cost)


def cost_bound(ask: Ask, model: Model, output_tokens: int) -> Usd:
    """The most that one call for this ask can cost; zero where the operator lets an unpriced model be used."""
    if model.price is None or ask.endpoint.operation is Operation.COUNT_TOKENS:
        return ZERO
    tier = ask.body.get("service_tier")
    tier = tier if isinstance(tier, str) else "default"
    prompt_tokens = prompt_bound(ask.raw, model.context_tokens)
    searches = searches_bound(ask.raw)
    try:
        return ceiling(model.price, prompt_tokens, output_tokens, 1, service_tier=tier, web_searches=searches)
    except Unpriced:
        return ceiling(model.price, prompt_tokens, output_tokens, 1, service_tier=tier)
