"""Anthropic's exports: what their rows say."""

from __future__ import annotations

from decimal import Decimal

from gateway.domain.reconciliation import Charge, Tokens
from tests.adapters.cost_exports.samples import (
    ANTHROPIC_COST,
    ANTHROPIC_COST_REPORT,
    ANTHROPIC_USAGE,
    ANTHROPIC_USAGE_REPORT,
    opened,
)


def test_the_consoles_cost_export_is_read() -> None:
    """Amounts are dollars printed in cents; a row without a model says for what it is."""
    half_a_cent = Decimal("0.005")
    keys = ("prod-key", "apikey_01A", "Default")
    assert list(opened(ANTHROPIC_COST).charges) == [
        Charge("2026-11-20", "Claude Haiku 4.5", "token", keys, Decimal("0.05"), rounding=half_a_cent),
        Charge("2026-11-20", "Claude Haiku 4.5", "token", keys, Decimal("1.20"), rounding=half_a_cent),
        Charge(
            "2026-11-21",
            None,
            "web_search",
            ("dev-key", "apikey_01B", "Default"),
            Decimal("0.01"),
            rounding=half_a_cent,
        ),
    ]


def test_an_amount_with_more_digits_is_taken_as_exact() -> None:
    """Only what is printed in whole cents may have been rounded to them."""
    exact = ANTHROPIC_COST.replace(",0.05,0.05,", ",0.051234,0.05,")
    assert next(opened(exact).charges).rounding == 0


def test_the_consoles_usage_export_is_read() -> None:
    """Both lifetimes of cache writes are one class; a narrower span than a day belongs to its day."""
    (only,) = opened(ANTHROPIC_USAGE).charges
    tokens = Tokens(input=100, cached=400, cache_write=23, output=50)
    assert only == Charge("2026-11-20", "claude-haiku-4-5-20251001", "", ("prod-key", "Default"), tokens=tokens)


def test_the_cost_report_is_in_cents() -> None:
    """The Admin API's amounts are decimal text in cents, and exact."""
    (only,) = opened(ANTHROPIC_COST_REPORT).charges
    assert (only.cost, only.rounding, only.day) == (Decimal("1.2345"), Decimal(0), "2026-11-20")
    assert (only.model, only.api_keys) == ("claude-sonnet-4-20250514", ("wrkspc_1",))


def test_the_usage_report_is_read() -> None:
    """The Admin API's token classes are those of the ledger."""
    (only,) = opened(ANTHROPIC_USAGE_REPORT).charges
    assert only.tokens == Tokens(input=1500, cached=200, cache_write=1500, output=500)
    assert only.api_keys == ("apikey_01A",)
