"""Rows of Anthropic's exports: the console's CSV files and the Admin API's reports."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from gateway.adapters.cost_exports.fields import (
    Malformed,
    Row,
    check_dollars,
    count,
    day_of_text,
    names,
    number,
    text_of,
)
from gateway.domain.reconciliation import Charge, Tokens

_CENT = Decimal(1).scaleb(-2)
_HALF_A_CENT = Decimal("0.005")
_KEYS = ("api_key", "api_key_id", "workspace", "workspace_id")


def console_cost(row: Row) -> Charge | None:
    """A row of the console's cost export; one without a model is for searches, code execution or the like."""
    amount = number("cost_usd", row.get("cost_usd"))
    model = text_of(row, "model")
    exponent = amount.as_tuple().exponent
    is_in_cents = isinstance(exponent, int) and exponent >= -2  # noqa: PLR2004  printed with two decimals
    return Charge(
        day=day_of_text(text_of(row, "usage_date_utc")),
        model=model or None,
        item=text_of(row, "cost_type") or text_of(row, "usage_type"),
        api_keys=names(row, *_KEYS),
        cost=amount,
        rounding=_HALF_A_CENT if is_in_cents else Decimal(0),
    )


def console_usage(row: Row) -> Charge | None:
    """A row of the console's usage export: tokens in classes as ours are."""
    return Charge(
        day=day_of_text(text_of(row, "usage_date_utc")),
        model=text_of(row, "model_version") or None,
        item="",
        api_keys=names(row, *_KEYS),
        tokens=Tokens(
            input=count(row, "usage_input_tokens_no_cache"),
            cached=count(row, "usage_input_tokens_cache_read"),
            cache_write=sum(
                count(row, name)
                for name in (
                    "usage_input_tokens_cache_write",  # exports of 2025, before the two lifetimes were told apart
                    "usage_input_tokens_cache_write_5m",
                    "usage_input_tokens_cache_write_1h",
                )
            ),
            output=count(row, "usage_output_tokens"),
        ),
    )


def reported_cost(row: Row) -> Charge | None:
    """A result of ``/v1/organizations/cost_report``; its amounts are in cents."""
    check_dollars(text_of(row, "currency"))
    return Charge(
        day=day_of_text(text_of(row, "starting_at")),
        model=text_of(row, "model") or None,
        item=text_of(row, "cost_type") or text_of(row, "description"),
        api_keys=names(row, *_KEYS),
        cost=number("amount", row.get("amount")) * _CENT,
    )


def reported_usage(row: Row) -> Charge | None:
    """A result of ``/v1/organizations/usage_report/messages``."""
    writes = row.get("cache_creation") or {}
    if not isinstance(writes, Mapping):
        raise Malformed("cache_creation is no object")
    return Charge(
        day=day_of_text(text_of(row, "starting_at")),
        model=text_of(row, "model") or None,
        item="",
        api_keys=names(row, *_KEYS),
        tokens=Tokens(
            input=count(row, "uncached_input_tokens"),
            cached=count(row, "cache_read_input_tokens"),
            cache_write=count(writes, "ephemeral_5m_input_tokens") + count(writes, "ephemeral_1h_input_tokens"),
            output=count(row, "output_tokens"),
        ),
    )
