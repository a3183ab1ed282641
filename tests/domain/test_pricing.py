"""What a call costs: each class of tokens, the rules for what a price leaves out, and its bounds."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.domain.money import QUANTUM, ZERO
from gateway.domain.pricing import (
    FREE,
    LongContext,
    OffPeak,
    Price,
    Rates,
    Schedule,
    TokenClass,
    Window,
    ceiling,
    complete,
    cost,
    per_gpu_hour,
    per_mtok,
    scaled,
)
from gateway.domain.usage import Usage
from gateway.errors import Unpriced

DEAR = Price(
    Schedule(
        complete({TokenClass.INPUT: Decimal("3e-6"), TokenClass.OUTPUT: Decimal("15e-6")}),
        (LongContext(201, complete({TokenClass.INPUT: Decimal("6e-6"), TokenClass.OUTPUT: Decimal("20e-6")})),),
    ),
    tiers={"priority": Schedule(complete({TokenClass.INPUT: Decimal("9e-6"), TokenClass.OUTPUT: Decimal("40e-6")}))},
)
NOON = 12 * 3600.0


def stated(**prices: str) -> Price:
    """A price from ponder.yaml's keys."""
    return per_mtok(**{"input_per_mtok": Decimal(1), "output_per_mtok": Decimal(10)} | {
        key: Decimal(value) for key, value in prices.items()
    })  # fmt: skip


@pytest.mark.parametrize(
    ("usage", "dollars"),
    [
        (Usage(), "0"),
        (Usage(input_tokens=1), "0.000001"),
        (Usage(cached_tokens=1), "0.0000001"),
        (Usage(cache_write_5m_tokens=1), "0.00000125"),
        (Usage(cache_write_1h_tokens=1), "0.000002"),
        (Usage(output_tokens=1), "0.00001"),
        (Usage(output_tokens=5, thinking_tokens=2), "0.00005"),
        (Usage(output_tokens=2, thinking_tokens=5), "0.00005"),
        (Usage(input_tokens=5, audio_input_tokens=2), "0.000011"),
        (Usage(output_tokens=5, audio_output_tokens=2), "0.00009"),
        (Usage(web_searches=3), "0.03"),
        (Usage(input_tokens=7, cached_tokens=11, output_tokens=13, web_searches=1), "0.0101381"),
    ],
)
def test_each_class_has_its_price(usage: Usage, dollars: str) -> None:
    """Every class of tokens, and every search, is charged at its own rate."""
    price = stated(
        cached_input_per_mtok="0.1",
        cache_write_5m_per_mtok="1.25",
        cache_write_1h_per_mtok="2",
        audio_input_per_mtok="4",
        audio_output_per_mtok="30",
        web_search_usd="0.01",
    )
    assert cost(usage, price, at=NOON) == Decimal(dollars)


@pytest.mark.parametrize(
    ("usage", "dollars"),
    [
        (Usage(cached_tokens=1), "0.000001"),
        (Usage(cache_write_5m_tokens=1), "0.000001"),
        (Usage(cache_write_1h_tokens=1), "0.000001"),
        (Usage(input_tokens=1, audio_input_tokens=1), "0.000001"),
        (Usage(output_tokens=1, thinking_tokens=1), "0.00001"),
        (Usage(output_tokens=1, audio_output_tokens=1), "0.00001"),
    ],
)
def test_a_class_left_out_is_not_cheaper(usage: Usage, dollars: str) -> None:
    """A class without a price of its own costs as much as plain input or output."""
    assert cost(usage, stated(), at=NOON) == Decimal(dollars)


def test_an_hour_of_cache_costs_no_less_than_five_minutes() -> None:
    """Where only short cache writes have a price, long ones cost as much."""
    price = stated(cache_write_5m_per_mtok="1.25")
    assert cost(Usage(cache_write_1h_tokens=4), price, at=NOON) == Decimal("0.000005")


def test_searches_without_a_fee_are_not_free() -> None:
    """A search that the price has no fee for is an error that says what to set."""
    with pytest.raises(Unpriced, match="web_search_usd"):
        cost(Usage(web_searches=1), stated(), at=NOON)
    with pytest.raises(Unpriced, match="web_search_usd"):
        ceiling(stated(), 1, 1, 1, web_searches=1)


@pytest.mark.parametrize(("reported", "dollars"), [("0.00014", "0.00014"), ("0", "0"), ("1.23E-5", "0.0000123")])
def test_a_reported_cost_wins(reported: str, dollars: str) -> None:
    """The provider's own figure is the cost, whatever the tokens would come to."""
    usage = Usage(input_tokens=1000, output_tokens=1000, reported_cost_usd=reported)
    assert cost(usage, stated(), at=NOON) == Decimal(dollars)


@pytest.mark.parametrize("reported", ["NaN", "-0.01", "Infinity", "1e400", "a few cents", ""])
def test_a_reported_cost_that_is_none(reported: str) -> None:
    """A reported figure that is no amount of money is passed over for the price."""
    usage = Usage(input_tokens=1000, output_tokens=100, reported_cost_usd=reported)
    assert cost(usage, stated(), at=NOON) == Decimal("0.002")


@pytest.mark.parametrize(
    ("usage", "dollars"),
    [
        (Usage(input_tokens=200, output_tokens=10), "0.00075"),
        (Usage(input_tokens=201, output_tokens=10), "0.001406"),
        (Usage(input_tokens=1, cached_tokens=100, cache_write_5m_tokens=60, cache_write_1h_tokens=39), "0.0006"),
        (Usage(input_tokens=1, cached_tokens=100, cache_write_5m_tokens=60, cache_write_1h_tokens=40), "0.001206"),
    ],
)
def test_a_long_prompt_makes_the_whole_request_dearer(usage: Usage, dollars: str) -> None:
    """From the threshold on, counting cached tokens, all tokens are charged at the long-context rates."""
    assert cost(usage, DEAR, at=NOON) == Decimal(dollars)


@pytest.mark.parametrize(
    ("tier", "dollars"),
    [(None, "0.018"), ("default", "0.018"), ("scale", "0.018"), ("priority", "0.049")],
)
def test_service_tiers(tier: str | None, dollars: str) -> None:
    """A tier with rates of its own is charged at them, any other at the standard ones."""
    usage = Usage(input_tokens=1000, output_tokens=1000, service_tier=tier)
    short = replace(DEAR, standard=Schedule(DEAR.standard.rates))
    assert cost(usage, short, at=NOON) == Decimal(dollars)


def test_quiet_hours_apply_to_the_standard_tier_only() -> None:
    """Off-peak rates replace the standard ones while they hold, not those of a tier that was bought."""
    cheap = Schedule(complete({TokenClass.INPUT: Decimal("1e-6"), TokenClass.OUTPUT: Decimal("1e-6")}))
    thursdays = OffPeak((Window(frozenset({4}), 3600, 7200),), cheap)
    price = replace(DEAR, off_peak=thursdays)
    usage = Usage(input_tokens=100)
    assert cost(usage, price, at=3599.9) == Decimal("0.0003")
    assert cost(usage, price, at=3600) == Decimal("0.0001"), "1 January 1970 was a Thursday"
    assert cost(usage, price, at=7200) == Decimal("0.0003")
    assert cost(usage, price, at=3600 + 86400) == Decimal("0.0003")
    assert cost(replace(usage, service_tier="priority"), price, at=3600) == Decimal("0.0009")


def test_a_tier_falls_back_on_the_dear_side() -> None:
    """A class that a tier leaves out costs the dearer of the tier's input and the standard price."""
    standard = {
        TokenClass.INPUT: Decimal(4),
        TokenClass.CACHED: Decimal(1),
        TokenClass.CACHE_WRITE_5M: Decimal(5),
        TokenClass.OUTPUT: Decimal(20),
    }
    batch = complete({TokenClass.INPUT: Decimal(2), TokenClass.OUTPUT: Decimal(10)}, standard)
    assert [batch.input, batch.cached, batch.cache_write_5m, batch.cache_write_1h] == [2, 2, 5, 5]
    assert [batch.output, batch.thinking] == [10, 10]
    assert complete({TokenClass.INPUT: Decimal(2)}, standard).output == 20


def test_a_tier_shares_in_the_long_context() -> None:
    """A long-context rate that is only listed as standard is scaled by tier ÷ standard."""
    ones = DEAR.standard.rates
    tier = ones.times(Decimal("0.5"))
    assert scaled(DEAR.standard.long_context[0].rates, tier, ones).output == Decimal("10e-6")
    assert scaled(ones, ones, FREE.standard.rates) == ones, "nothing to divide by"


def test_own_hardware() -> None:
    """Two GPUs at $1.80 an hour that write 500 and read 10,000 tokens a second: $2 and $0.10 a million."""
    price = per_gpu_hour(
        gpu_hour_usd=Decimal("1.80"),
        gpus=2,
        output_tokens_per_s=Decimal(500),
        input_tokens_per_s=Decimal(10_000),
    )
    assert cost(Usage(output_tokens=1_000_000), price, at=NOON) == 2
    assert cost(Usage(input_tokens=500_000, cached_tokens=500_000), price, at=NOON) == Decimal("0.1")


def test_own_hardware_whose_reading_was_not_measured() -> None:
    """Without a measured reading speed a prompt token costs as much as a written one; a third is rounded."""
    price = per_gpu_hour(gpu_hour_usd=Decimal(1), gpus=1, output_tokens_per_s=Decimal(30))
    assert cost(Usage(input_tokens=1_000_000), price, at=NOON) == Decimal("9.259259259")


def test_free_is_free() -> None:
    """A model that its operator calls free costs nothing, searches included."""
    usage = Usage(input_tokens=10, cached_tokens=10, output_tokens=10, thinking_tokens=5, web_searches=1)
    assert cost(usage, FREE, at=NOON) == ZERO
    assert ceiling(FREE, 10**6, 10**6, 8, web_searches=9) == ZERO


@pytest.mark.parametrize(
    ("tier", "dollars"),
    [("default", "0.0236"), ("priority", "0.0409"), (None, "0.0409"), ("auto", "0.0409"), ("who knows", "0.0409")],
)
def test_a_ceiling_covers_every_tier_that_may_serve(tier: str | None, dollars: str) -> None:
    """Unless the request names its tier, the dearest one counts; a long prompt counts as long."""
    prompt = 600 if tier == "default" else 100
    assert ceiling(DEAR, prompt, 500, 2, service_tier=tier) == Decimal(dollars)


def test_a_ceiling_at_the_edges() -> None:
    """A prompt that may just be long counts as long, quiet hours may be dearer, and parts are rounded up."""
    assert ceiling(DEAR, 200, 0, 1, service_tier="default") == Decimal("0.0006")
    assert ceiling(DEAR, 201, 0, 1, service_tier="default") == Decimal("0.001206")
    odd = replace(DEAR, off_peak=OffPeak((), DEAR.tiers["priority"]))
    assert ceiling(odd, 100, 0, 1, service_tier="default") == Decimal("0.0009")
    assert ceiling(stated(input_per_mtok="0.0001"), 1, 0, 1) == QUANTUM


# Rates as multiples of $0.0001 per million tokens, which is finer than any list.
rate = st.integers(0, 2_000_000).map(lambda n: Decimal(n).scaleb(-10))
rates = st.builds(Rates, **{str(name): rate for name in TokenClass})
count = st.integers(0, 2_000_000)


@st.composite
def prices(draw: st.DrawFn) -> Price:
    """Prices whose longer prompts are dearer, with a tier and a fee."""

    def schedule() -> Schedule:
        base = draw(rates)
        factors = sorted(draw(st.lists(st.integers(1, 4), max_size=2)))
        starts = sorted(draw(st.sets(st.integers(1, 4_000_000), min_size=len(factors), max_size=len(factors))))
        steps = zip(starts, factors, strict=True)
        return Schedule(base, tuple(LongContext(start, base.times(Decimal(factor))) for start, factor in steps))

    off_peak = OffPeak((Window(frozenset(range(1, 8)), 0, 43_200),), schedule())
    return Price(schedule(), {"flex": schedule()}, draw(st.sampled_from([None, off_peak])), draw(rate))


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Usage as codecs build it: audio within input and output, thinking within output."""
    spoken, thought, answered = draw(count), draw(count), draw(count)
    heard, read = draw(count), draw(count)
    return Usage(
        input_tokens=heard + read,
        cached_tokens=draw(count),
        cache_write_5m_tokens=draw(count),
        cache_write_1h_tokens=draw(count),
        output_tokens=spoken + thought + answered,
        thinking_tokens=thought,
        audio_input_tokens=heard,
        audio_output_tokens=spoken,
        web_searches=draw(st.integers(0, 50)),
        service_tier=draw(st.sampled_from([None, "default", "flex"])),
    )


moments = st.integers(0, 2_000_000_000)


@given(usages(), prices(), moments)
def test_cost_is_exact_to_the_nano_dollar(usage: Usage, price: Price, at: int) -> None:
    """The cost is the exact sum, rounded once to a whole nano-dollar, and never negative."""
    schedule = price.standard
    if usage.service_tier == "flex":
        schedule = price.tiers["flex"]
    elif price.off_peak is not None and at % 86400 < 43_200:
        schedule = price.off_peak.schedule
    paid = schedule.rates
    for step in schedule.long_context:
        paid = step.rates if usage.prompt_tokens >= step.from_tokens else paid
    heard, spoken, thought = usage.audio_input_tokens, usage.audio_output_tokens, usage.thinking_tokens
    exact = (
        (usage.input_tokens - heard) * Fraction(paid.input)
        + heard * Fraction(paid.audio_input)
        + usage.cached_tokens * Fraction(paid.cached)
        + usage.cache_write_5m_tokens * Fraction(paid.cache_write_5m)
        + usage.cache_write_1h_tokens * Fraction(paid.cache_write_1h)
        + (usage.output_tokens - thought - spoken) * Fraction(paid.output)
        + thought * Fraction(paid.thinking)
        + spoken * Fraction(paid.audio_output)
        + usage.web_searches * Fraction(price.web_search_usd or 0)
    )
    charged = cost(usage, price, at=at)
    assert charged >= ZERO
    assert charged == charged.quantize(QUANTUM)
    assert abs(Fraction(charged) - exact) <= Fraction(QUANTUM) / 2


MORE = [
    {"input_tokens": 1},
    {"cached_tokens": 1},
    {"cache_write_5m_tokens": 1},
    {"cache_write_1h_tokens": 1},
    {"input_tokens": 1, "audio_input_tokens": 1},
    {"output_tokens": 1},
    {"output_tokens": 1, "thinking_tokens": 1},
    {"output_tokens": 1, "audio_output_tokens": 1},
    {"web_searches": 1},
]


@given(usages(), prices(), st.sampled_from(MORE), st.integers(1, 10**6))
def test_more_never_costs_less(usage: Usage, price: Price, kind: dict[str, int], more: int) -> None:
    """The cost grows with each class of tokens, across every threshold."""
    grown = replace(usage, **{name: getattr(usage, name) + each * more for name, each in kind.items()})
    assert cost(grown, price, at=0) >= cost(usage, price, at=0)


@given(usages(), usages(), prices())
def test_calls_of_one_length_class_add_up(one: Usage, other: Usage, price: Price) -> None:
    """Within one tier and length class, the cost of two calls is the cost of their sum, to rounding."""
    flat = replace(price, standard=Schedule(price.standard.rates), tiers={}, off_peak=None)
    names = [name for name in Usage.__slots__ if isinstance(getattr(one, name), int)]
    together = replace(one, **{name: getattr(one, name) + getattr(other, name) for name in names})
    apart = cost(one, flat, at=0) + cost(other, flat, at=0)
    assert abs(cost(together, flat, at=0) - apart) <= QUANTUM + QUANTUM / 2


@given(usages(), prices(), moments, st.integers(1, 8), st.integers(0, 10**6))
def test_no_usage_within_bounds_exceeds_the_ceiling(
    usage: Usage, price: Price, at: int, candidates: int, slack: int
) -> None:
    """The ceiling covers every usage within its bounds, whatever its classes, tier and hour."""
    assume(usage.output_tokens > 0)
    limit = -(-usage.output_tokens // candidates)
    worst = ceiling(
        price,
        usage.prompt_tokens + slack,
        limit,
        candidates,
        service_tier=usage.service_tier,
        web_searches=usage.web_searches,
    )
    assert worst >= cost(usage, price, at=at)
    assert worst == worst.quantize(QUANTUM)
