"""Amounts of money."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.money import Usd, from_nanos, show, to_nanos, usd


@given(st.integers(min_value=-(10**18), max_value=10**18))
def test_stored_amounts_come_back_exact(nanos: int) -> None:
    """Nano-dollars survive the way to the database and back, and are shown without loss."""
    amount = from_nanos(nanos)
    assert to_nanos(amount) == nanos
    assert Decimal(show(amount)) == amount


@pytest.mark.parametrize(
    ("amount", "text"),
    [("100", "100"), ("0", "0"), ("0.000000001", "0.000000001"), ("1.50", "1.5"), ("1E+2", "100"), ("-0.10", "-0.1")],
)
def test_amounts_are_shown_plainly(amount: str, text: str) -> None:
    """No exponent and no trailing zeros, also for amounts that are not multiples of the quantum."""
    assert show(Usd(Decimal(amount))) == text


def test_rounding_is_half_to_even_at_the_nano_dollar() -> None:
    """Half a nano-dollar goes to the even neighbour, so that sums do not drift."""
    assert usd("0.0000000005") == Decimal(0)
    assert usd("0.0000000015") == Decimal("0.000000002")
