"""The bound worked out ahead is the ceiling that pricing works out each time."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.bound import as_usd, attos, cost_bound
from gateway.domain.money import usd
from gateway.domain.pricing import FREE, LongContext, Price, Schedule, TokenClass, ceiling, complete, per_gpu_hour
from tests.domain.test_pricing import prices

TOKENS = st.integers(0, 2_000_000)


def _rates(dollars_in: str, dollars_out: str) -> Schedule:
    return Schedule(complete({TokenClass.INPUT: Decimal(dollars_in), TokenClass.OUTPUT: Decimal(dollars_out)}))


@given(prices(), TOKENS, TOKENS, st.sampled_from([None, "default", "flex"]))
def test_no_call_can_cost_more(price: Price, prompt: int, output: int, tier: str | None) -> None:
    """The bound is never below the ceiling, for any price, length and tier."""
    rates = cost_bound(price, tier).at(prompt)
    bound = as_usd(prompt * rates.input + output * rates.output)
    assert bound >= ceiling(price, prompt, output, 1, service_tier=tier)


@given(TOKENS, TOKENS, st.integers(1, 10_000))
def test_it_is_the_ceiling_to_the_nano_dollar(prompt: int, output: int, tokens_per_s: int) -> None:
    """Where no length or tier changes the rates, the bound is the ceiling itself."""
    price = per_gpu_hour(gpu_hour_usd=Decimal("2.1"), gpus=1, output_tokens_per_s=Decimal(tokens_per_s))
    rates = cost_bound(price, "default").at(prompt)
    assert as_usd(prompt * rates.input + output * rates.output) == ceiling(price, prompt, output, 1)


def test_long_prompts_meet_their_own_rates_from_their_first_token() -> None:
    """A step of the price holds from the length at which it begins, and not one token before."""
    dear = _rates("6e-6", "20e-6").rates
    bound = cost_bound(Price(Schedule(_rates("3e-6", "15e-6").rates, (LongContext(201, dear),))), "default")
    assert bound.at(200) == (3 * 10**12, 15 * 10**12)
    assert bound.at(201) == (6 * 10**12, 20 * 10**12)


def test_a_limit_is_rounded_down_and_a_cost_up() -> None:
    """So that neither is ever on the side of spending more."""
    assert as_usd(attos(Decimal("0.0000000019"))) == usd("0.000000001")
    assert as_usd(1) == usd("0.000000001")
    assert as_usd(0) == usd(0)


def test_a_free_model_costs_nothing() -> None:
    """What is free is free at any length, searches included."""
    bound = cost_bound(FREE, None)
    assert bound.at(10**9) == (0, 0)
    assert bound.search == 0
