"""The most that calls can cost, worked out ahead for one price so that a decision among many arms takes microseconds.

The figures are those of :func:`gateway.domain.pricing.ceiling`, in whole atto-dollars (10⁻¹⁸), to
which a price's rates are rounded up: integers are exact, and ten times faster than Decimal.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache
from typing import Final, NamedTuple

from gateway.domain.money import Usd, from_nanos
from gateway.domain.pricing import Price, schedules

_ATTOS_PER_NANO: Final = 10**9


class DearestRates(NamedTuple):
    """Atto-dollars that a token can cost at most."""

    input: int
    output: int


@dataclass(frozen=True, slots=True)
class CostBound:
    """The dearest rates of a price, by the most tokens that the prompt can have."""

    from_tokens: tuple[int, ...]
    """Where the rates of the same place begin; ascends from 0."""
    rates: tuple[DearestRates, ...]
    search: int | None
    """The fee of one web search; None where the price has none."""

    def at(self, prompt_tokens: int) -> DearestRates:
        """The dearest rates that a prompt of at most this many tokens can meet."""
        if len(self.rates) == 1:
            return self.rates[0]
        return self.rates[bisect_right(self.from_tokens, prompt_tokens) - 1]


def cost_bound(price: Price, service_tier: str | None) -> CostBound:
    """The bound for a price at a tier, which is chosen as by :func:`gateway.domain.pricing.ceiling`."""
    chosen = schedules(price, service_tier)
    starts = sorted({0, *(step.from_tokens for schedule in chosen for step in schedule.long_context)})
    rates = tuple(
        DearestRates(
            max(_attos(rate.dearest_input) for schedule in chosen for rate in schedule.up_to(start)),
            max(_attos(rate.dearest_output) for schedule in chosen for rate in schedule.up_to(start)),
        )
        for start in starts
    )
    search = None if price.web_search_usd is None else _attos(price.web_search_usd)
    return CostBound(tuple(starts), rates, search)


def attos(amount: Decimal) -> int:
    """An amount of dollars as a limit, rounded down to whole nano-dollars, which is what money is kept in."""
    return int(amount.scaleb(9)) * _ATTOS_PER_NANO


@lru_cache(maxsize=256)
def as_usd(amount: int) -> Usd:
    """Atto-dollars as money, rounded up to the quantum."""
    return from_nanos(-(-amount // _ATTOS_PER_NANO))


def _attos(rate: Decimal) -> int:
    return int(rate.scaleb(18).to_integral_value(rounding=ROUND_CEILING))
