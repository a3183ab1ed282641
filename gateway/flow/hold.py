"""The hold: money, rate and a place are set aside before a model is called, for the most it may cost."""

from __future__ import annotations

import re

from gateway.dialects.estimate import BYTES_PER_TOKEN
from gateway.domain.ask import Ask, Operation
from gateway.domain.model import Model
from gateway.domain.money import ZERO, Usd
from gateway.domain.pricing import ceiling
from gateway.errors import BudgetExhausted, Unpriced
from gateway.flow.exchange import Exchange
from gateway.flow.route import Route, with_output_limit
from gateway.ports import Claim

LEASE_S = 60.0
"""How long a hold outlives its last renewal; ``settlements.py`` renews those of living calls."""

_SAMPLE_TOKENS = 1_000_000
_LEAST_OUTPUT_TOKENS = 256
"""A shorter answer than this would be cut off before it helps anyone; the budget is then exhausted."""

_ENCODED_MATTERS = 4096
_ENCODED = re.compile(
    rb'(?<!\\)"(?:(?:url|image_url)"\s*:\s*"data:image/[a-z0-9.+-]{1,20};base64,|data"\s*:\s*")'
    rb'([A-Za-z0-9+/]{4096,}={0,2})"'
)
"""An image's bytes, as the value of a member that holds some. A quote inside text is escaped, so that
no prompt passes for an image: its letters count."""
_AUDIO = re.compile(rb'"(?:input_audio|audio)"')
"""Its length in tokens is not bounded by that of an image."""
_IMAGE_TOKENS = 8_192
"""More than any provider counts for one image sent as bytes (Anthropic at most 4,784, OpenAI less)."""
_UNSEEN = re.compile(
    rb'"(?:image_url|file_url|url)"\s*:\s*"(?!data:)|"(?:file_id|previous_response_id|conversation|container)"\s*:\s*["{]'
    rb'|"mcp_servers"\s*:|"file_data"\s*:|"application/pdf"'
)
"""Members that bring in content, or let the provider fetch some, whose length the request does not tell."""
_SERVER_TOOL = re.compile(
    rb'"type"\s*:\s*"(?:web_search|web_fetch|code_execution|code_interpreter|file_search|computer|mcp)'
)
_SEARCHES_AT_MOST = 10
_UNKNOWN_CONTEXT = 1_000_000
"""Assumed where neither the price list nor ponder.yaml knows the model's context window."""


async def hold(exchange: Exchange, route: Route) -> Route:
    """Take the exchange's hold; the route, capped where money is short.

    Raises RateLimited, BudgetExhausted or Unavailable, and then nothing is held.
    """
    bound = output_bound(exchange)
    try:
        await _take(exchange, bound)
    except BudgetExhausted:
        affordable = await _affordable_output(exchange, bound)
        if affordable is None:
            raise
        await _take(exchange, affordable * _candidates(exchange.ask))
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
    is_open = all(account.limits.is_open for account in exchange.key.accounts)
    # Nobody asks what a request without limits may cost, so it is not worked out.
    exchange.call_ceiling = ZERO if is_open else cost_bound(ask, model, output_tokens)
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
    house.settlements.watch(exchange.hold)


async def hold_again(exchange: Exchange) -> None:
    """Set aside the money for one more call, if the one before may have been billed.

    Raises BudgetExhausted or Unavailable, and then the hold is as it was.
    """
    held, house = exchange.hold, exchange.house
    if held is None or not exchange.call_ceiling:
        return
    more = Usd(exchange.call_ceiling * (exchange.unknown_costs + 1) - held.ceiling)
    if more > ZERO:
        exchange.hold = await house.purse.extend(held, more, now=house.clock.now())
        house.settlements.watch(exchange.hold)


async def _affordable_output(exchange: Exchange, bound: int) -> int | None:
    """The output tokens per candidate that the budgets leave money for, and no more than the ``bound`` for all.

    None if the client set a limit, or they are too few.
    """
    ask, model, plan = exchange.ask, exchange.model, exchange.plan
    if plan is None or model is None or plan.ceilings.output_tokens is not None:
        return None
    now = exchange.house.clock.now()
    left: list[Usd] = []
    for account in exchange.key.accounts:
        for budget in account.limits.budgets:
            spent, held = await exchange.house.purse.spent(account.id, budget.period, now=now)
            left.append(Usd(budget.amount - spent - held))
    fixed = cost_bound(ask, model, 0)
    per_token = (cost_bound(ask, model, _SAMPLE_TOKENS) - fixed) / _SAMPLE_TOKENS
    if not left or per_token <= 0:
        return None
    # Meanwhile others may have settled, and left money for more than the model can write.
    affordable = min(int((min(left) - fixed) / per_token), bound) // _candidates(ask)
    return affordable if affordable >= _LEAST_OUTPUT_TOKENS else None


def _assumed_limit(exchange: Exchange) -> int | None:
    """The output limit that was held for although nobody stated it; None where no budget relies on it."""
    plan, model = exchange.plan, exchange.model
    if plan is None or model is None or exchange.ask.endpoint.operation is not Operation.CHAT:
        return None
    if plan.ceilings.output_tokens is not None or model.max_output_tokens is not None:
        return None
    has_budget = any(account.limits.budgets for account in exchange.key.accounts)
    return exchange.catalog.snapshots.default_output_tokens if has_budget else None


def output_bound(exchange: Exchange) -> int:
    """The most output tokens, over all candidates, that the request can lead to."""
    ask, model = exchange.ask, exchange.model
    if ask.endpoint.operation is not Operation.CHAT or model is None or exchange.plan is None:
        return 0
    each = exchange.plan.ceilings.output_tokens
    if each is None:
        each = model.max_output_tokens or exchange.catalog.snapshots.default_output_tokens
    return each * _candidates(ask)


def _candidates(ask: Ask) -> int:
    asked = ask.body.get("n")
    return asked if isinstance(asked, int) and asked > 1 else 1


def cost_bound(ask: Ask, model: Model, output_tokens: int) -> Usd:
    """The most that one call for this ask can cost; zero where the operator lets an unpriced model be used."""
    if model.price is None or ask.endpoint.operation is Operation.COUNT_TOKENS:
        return ZERO
    tier = ask.body.get("service_tier")
    tier = tier if isinstance(tier, str) else "default"
    prompt_tokens = prompt_bound(ask.raw, model.context_tokens)
    searches = _SEARCHES_AT_MOST if _SERVER_TOOL.search(ask.raw) else 0
    try:
        return ceiling(model.price, prompt_tokens, output_tokens, 1, service_tier=tier, web_searches=searches)
    except Unpriced:
        return ceiling(model.price, prompt_tokens, output_tokens, 1, service_tier=tier)


def prompt_bound(raw: bytes, context_tokens: int | None) -> int:
    """The most prompt tokens a body can hold: a token is at least a byte, an image sent as bytes has a known most.

    What the body only points to counts as a full context window.
    """
    window = context_tokens or _UNKNOWN_CONTEXT
    if _UNSEEN.search(raw) or _SERVER_TOOL.search(raw):
        return window
    if len(raw) < _ENCODED_MATTERS:
        return min(len(raw), window)
    images = [] if _AUDIO.search(raw) else _ENCODED.findall(raw)
    return min(len(raw) - sum(map(len, images)) + _IMAGE_TOKENS * len(images), window)
