"""What a model costs per token, what a call cost, and the most that a call can cost.

A price is complete before it is used: where a list or an operator leaves a class of tokens out,
:func:`complete` fills it, always on the dear side, so that nothing is ever cheaper by silence:

===================== ============================================================
left out              costs as much as
===================== ============================================================
cached input          input (no discount is assumed)
cache write, 5 min    input
cache write, 1 hour   a five-minute write
audio input           input
thinking, audio out   output
a tier's own class    the dearer of the above at that tier and the standard price
a tier's long context the long-context rate × tier ÷ standard
web search            nothing: :func:`cost` raises ``Unpriced`` if one was made
input or output       nothing: there is no price, and the model is refused
===================== ============================================================

All arithmetic is Decimal on dollars per token, and is rounded once, at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from enum import StrEnum

from gateway.domain.money import QUANTUM, ZERO, Usd, usd
from gateway.domain.usage import Usage
from gateway.errors import Unpriced

_NOTHING = Decimal(0)
_RATE_QUANTUM = Decimal("1e-18")
"""Quotients are rounded to this many dollars per token: with it, 10¹⁰ tokens still multiply exactly
in the 28 digits of Decimal's default context."""

_STANDARD_TIERS = frozenset({"default", "standard", "standard_only", "on_demand"})
"""Names by which a request asks for no special service tier."""


class TokenClass(StrEnum):
    """The classes of tokens that have a price of their own; the values are the fields of Rates."""

    INPUT = "input"
    CACHED = "cached"
    CACHE_WRITE_5M = "cache_write_5m"
    CACHE_WRITE_1H = "cache_write_1h"
    AUDIO_INPUT = "audio_input"
    OUTPUT = "output"
    THINKING = "thinking"
    AUDIO_OUTPUT = "audio_output"


_STANDS_IN = {
    TokenClass.CACHED: TokenClass.INPUT,
    TokenClass.CACHE_WRITE_5M: TokenClass.INPUT,
    TokenClass.CACHE_WRITE_1H: TokenClass.CACHE_WRITE_5M,
    TokenClass.AUDIO_INPUT: TokenClass.INPUT,
    TokenClass.THINKING: TokenClass.OUTPUT,
    TokenClass.AUDIO_OUTPUT: TokenClass.OUTPUT,
}


@dataclass(frozen=True, slots=True)
class Rates:
    """Dollars per token of each class, none missing; made by :func:`complete`."""

    input: Decimal
    cached: Decimal
    cache_write_5m: Decimal
    cache_write_1h: Decimal
    audio_input: Decimal
    output: Decimal
    thinking: Decimal
    audio_output: Decimal

    def times(self, factor: Decimal) -> Rates:
        """Every rate multiplied by ``factor``."""
        return Rates(**{name: getattr(self, name) * factor for name in TokenClass})

    @property
    def dearest_input(self) -> Decimal:
        """The most that one prompt token can cost."""
        return max(self.input, self.cached, self.cache_write_5m, self.cache_write_1h, self.audio_input)

    @property
    def dearest_output(self) -> Decimal:
        """The most that one answer token can cost."""
        return max(self.output, self.thinking, self.audio_output)


@dataclass(frozen=True, slots=True)
class LongContext:
    """Rates of a whole request, all its tokens, once its prompt has ``from_tokens``."""

    from_tokens: int
    rates: Rates


@dataclass(frozen=True, slots=True)
class Schedule:
    """Rates by length of prompt; ``long_context`` ascends by ``from_tokens``."""

    rates: Rates
    long_context: tuple[LongContext, ...] = ()

    def at(self, prompt_tokens: int) -> Rates:
        """The rates of a request whose prompt has this many tokens, cached ones included."""
        rates = self.rates
        for step in self.long_context:
            if prompt_tokens < step.from_tokens:
                break
            rates = step.rates
        return rates

    def up_to(self, prompt_tokens: int) -> tuple[Rates, ...]:
        """All rates that a prompt of at most this many tokens can meet."""
        return (self.rates, *(step.rates for step in self.long_context if step.from_tokens <= prompt_tokens))

    def times(self, factor: Decimal) -> Schedule:
        """Every rate multiplied by ``factor``."""
        steps = tuple(LongContext(step.from_tokens, step.rates.times(factor)) for step in self.long_context)
        return Schedule(self.rates.times(factor), steps)


@dataclass(frozen=True, slots=True)
class Window:
    """Hours of the day, UTC, on ISO weekdays (Monday is 1): from ``start_s`` up to ``end_s``."""

    weekdays: frozenset[int]
    start_s: int
    end_s: int


@dataclass(frozen=True, slots=True)
class OffPeak:
    """Cheaper rates at quiet hours, as DeepSeek has them; they replace the standard schedule."""

    windows: tuple[Window, ...]
    schedule: Schedule

    def covers(self, at: float) -> bool:
        """Whether the quiet rates hold at ``at`` (Unix seconds)."""
        weekday = datetime.fromtimestamp(at, UTC).isoweekday()
        second = int(at % 86400)
        return any(weekday in each.weekdays and each.start_s <= second < each.end_s for each in self.windows)


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs: a standard schedule, and one for each service tier with rates of its own.

    A tier that is not in ``tiers`` is charged at the standard schedule. ``web_search_usd`` is the
    fee of one search made by the provider, None where nobody has said.
    """

    standard: Schedule
    tiers: Mapping[str, Schedule] = field(default_factory=dict)
    off_peak: OffPeak | None = None
    web_search_usd: Decimal | None = None


def complete(given: Mapping[TokenClass, Decimal], *standard: Mapping[TokenClass, Decimal]) -> Rates:
    """Rates of every class from those ``given``, filled by the table above.

    ``given`` holds input and output, or a tier's part of them; ``standard`` are then the prices
    given for the same model without the tier.
    """
    known = dict(given)
    for needed in (TokenClass.INPUT, TokenClass.OUTPUT):
        if needed not in known:
            known[needed] = max(prices[needed] for prices in standard if needed in prices)
    for name, stand_in in _STANDS_IN.items():
        if name not in known:
            known[name] = max(known[stand_in], *(prices[name] for prices in standard if name in prices), _NOTHING)
    return Rates(**known)


def scaled(rates: Rates, tier: Rates, standard: Rates) -> Rates:
    """``rates`` × ``tier`` ÷ ``standard``, class by class: a tier's share of a long-context rate.

    Of the 449 rates that litellm 1.106.2 lists for a tier at a long context, 430 are exactly this
    product and the other 19 are less.
    """

    def share(name: TokenClass) -> Decimal:
        whole: Decimal = getattr(standard, name)
        part: Decimal = getattr(tier, name)
        return (getattr(rates, name) * part / whole).quantize(_RATE_QUANTUM) if whole else part

    return Rates(**{name: share(name) for name in TokenClass})


def cost(usage: Usage, price: Price, *, at: float) -> Usd:
    """What a call cost that began at ``at`` (Unix seconds), in whole nano-dollars.

    A cost that the provider itself reports wins. Audio tokens are part of the input and output
    counts, thinking tokens part of the output count; thinking beyond that count is charged too.
    Raises :class:`Unpriced` when the provider made web searches and the price has no fee for them.
    """
    if usage.reported_cost_usd is not None:
        reported = _believed(usage.reported_cost_usd)
        if reported is not None:
            return reported
    rates = _schedule(price, usage.service_tier, at).at(usage.prompt_tokens)
    text_input = max(usage.input_tokens - usage.audio_input_tokens, 0)
    text_output = max(usage.output_tokens - usage.thinking_tokens - usage.audio_output_tokens, 0)
    total = text_input * rates.input + text_output * rates.output
    if usage.cached_tokens:
        total += usage.cached_tokens * rates.cached
    if usage.cache_write_5m_tokens:
        total += usage.cache_write_5m_tokens * rates.cache_write_5m
    if usage.cache_write_1h_tokens:
        total += usage.cache_write_1h_tokens * rates.cache_write_1h
    if usage.thinking_tokens:
        total += usage.thinking_tokens * rates.thinking
    if usage.audio_input_tokens or usage.audio_output_tokens:
        total += usage.audio_input_tokens * rates.audio_input + usage.audio_output_tokens * rates.audio_output
    if usage.web_searches:
        total += _search_fee(price, usage.web_searches)
    return usd(total)


def ceiling(
    price: Price,
    prompt_tokens: int,
    max_output_tokens: int,
    candidates: int,
    *,
    service_tier: str | None = None,
    web_searches: int = 0,
) -> Usd:
    """The most that one request can cost: at least :func:`cost` of any usage within these bounds.

    Each bound is an upper one: tokens of the prompt, tokens of each of ``candidates`` answers,
    searches. Every prompt token counts as its dearest class, at the dearest length up to the bound.
    ``service_tier`` is the tier that the request names; if it names none, or leaves the choice to
    the provider, or names one that the price does not know, any may serve it.
    Raises :class:`Unpriced` for web searches that the price has no fee for.
    """
    output_tokens = max_output_tokens * candidates
    worst = max(
        prompt_tokens * rates.dearest_input + output_tokens * rates.dearest_output
        for schedule in schedules(price, service_tier)
        for rates in schedule.up_to(prompt_tokens)
    )
    if web_searches:
        worst += _search_fee(price, web_searches)
    return Usd(worst.quantize(QUANTUM, rounding=ROUND_CEILING))


def per_mtok(
    *,
    input_per_mtok: Decimal,
    output_per_mtok: Decimal,
    cached_input_per_mtok: Decimal | None = None,
    cache_write_5m_per_mtok: Decimal | None = None,
    cache_write_1h_per_mtok: Decimal | None = None,
    thinking_per_mtok: Decimal | None = None,
    audio_input_per_mtok: Decimal | None = None,
    audio_output_per_mtok: Decimal | None = None,
    web_search_usd: Decimal | None = None,
) -> Price:
    """A price stated by the operator, in dollars per million tokens; the keys are those of ponder.yaml.

    It replaces a listed price whole: one schedule, for prompts of any length and for every tier.
    Zero means free of charge here, since the operator wrote it; None means left out.
    """
    stated = {
        TokenClass.INPUT: input_per_mtok,
        TokenClass.CACHED: cached_input_per_mtok,
        TokenClass.CACHE_WRITE_5M: cache_write_5m_per_mtok,
        TokenClass.CACHE_WRITE_1H: cache_write_1h_per_mtok,
        TokenClass.AUDIO_INPUT: audio_input_per_mtok,
        TokenClass.OUTPUT: output_per_mtok,
        TokenClass.THINKING: thinking_per_mtok,
        TokenClass.AUDIO_OUTPUT: audio_output_per_mtok,
    }
    given = {name: dollars.scaleb(-6) for name, dollars in stated.items() if dollars is not None}
    return Price(Schedule(complete(given)), web_search_usd=web_search_usd)


def per_gpu_hour(
    *,
    gpu_hour_usd: Decimal,
    gpus: int,
    output_tokens_per_s: Decimal,
    input_tokens_per_s: Decimal | None = None,
) -> Price:
    """The price of a model on own hardware, from what the hardware costs and what it was measured to do.

    Dollars per token = ``gpu_hour_usd`` [$/GPU/h] × ``gpus`` ÷ 3600 [s/h] ÷ throughput [tokens/s],
    where a throughput is that of all ``gpus`` together under the load they will carry:
    ``output_tokens_per_s`` generated, ``input_tokens_per_s`` read while nothing is generated. Left
    out, the latter counts as equal to the former, which makes a prompt dearer than it is: reading
    is commonly ten times faster than writing, so measure it. Idle hours are not in this price.
    """
    dollars_per_s = gpu_hour_usd * gpus / 3600

    def rate(tokens_per_s: Decimal) -> Decimal:
        return (dollars_per_s / tokens_per_s).quantize(_RATE_QUANTUM)

    written = rate(output_tokens_per_s)
    read = written if input_tokens_per_s is None else rate(input_tokens_per_s)
    return Price(Schedule(complete({TokenClass.INPUT: read, TokenClass.OUTPUT: written})))


FREE = Price(
    Schedule(complete({TokenClass.INPUT: _NOTHING, TokenClass.OUTPUT: _NOTHING})),
    web_search_usd=_NOTHING,
)
"""The price of a model whose operator wrote ``price: free``; no list can make a model free."""


def _schedule(price: Price, service_tier: str | None, at: float) -> Schedule:
    if service_tier is not None:
        tier = price.tiers.get(service_tier)
        if tier is not None:
            return tier
    if price.off_peak is not None and price.off_peak.covers(at):
        return price.off_peak.schedule
    return price.standard


def schedules(price: Price, service_tier: str | None) -> tuple[Schedule, ...]:
    """Every schedule that may apply: a provider may serve a request below the tier it names."""
    tiers = tuple(price.tiers.values())
    if service_tier is not None and service_tier in price.tiers:
        tiers = (price.tiers[service_tier],)
    elif service_tier in _STANDARD_TIERS:
        tiers = ()
    quiet = () if price.off_peak is None else (price.off_peak.schedule,)
    return (price.standard, *quiet, *tiers)


def _search_fee(price: Price, searches: int) -> Decimal:
    if price.web_search_usd is None:
        raise Unpriced(
            "this model's price has no fee for web searches made by the provider; "
            "set web_search_usd in its price in ponder.yaml, or send the request without that tool"
        )
    return searches * price.web_search_usd


def _believed(reported: str) -> Usd | None:
    """A cost reported by a provider, unless it is no amount of money at all."""
    try:
        amount = usd(reported)
        is_money = amount >= ZERO  # comparing a NaN raises
    except InvalidOperation:
        return None
    return amount if is_money else None
