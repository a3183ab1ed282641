"""Rows of OpenAI's exports: the dashboard's CSV files and the Admin API's pages, which have the same fields."""

from __future__ import annotations

import re

from gateway.adapters.cost_exports.fields import (
    Malformed,
    Row,
    check_dollars,
    count,
    day_of_bucket,
    names,
    number,
    text_of,
)
from gateway.domain.reconciliation import Charge, Tokens

_KEYS = ("api_key_id", "project_name", "project_id")
_LINE_ITEM = re.compile(r"(?:[a-z]+ \| )?(?P<model>[^,|]+?)(?: (?:audio|image|text))?, .+")
"""``gpt-5-2025-08-07, cached input``, ``priority | gpt-5.6-sol, output, long context``, ``gpt-audio audio, input``."""


def costs(row: Row) -> Charge | None:
    """A row of the costs. Days without any cost have rows without an amount."""
    amount = row.get("amount_value")
    if amount is None or amount == "":
        return None
    check_dollars(text_of(row, "amount_currency"))
    item = text_of(row, "line_item")
    found = _LINE_ITEM.fullmatch(item)
    return Charge(
        day=_day(row),
        model=found["model"] if found else None,
        item=item,
        api_keys=names(row, *_KEYS),
        cost=number("amount_value", amount),
    )


def completions(row: Row) -> Charge | None:
    """A row of the completions' usage. ``input_tokens`` includes cached and cache-write tokens, unlike ours."""
    requests = row.get("num_model_requests")
    if requests is None or requests == "":
        return None
    cached, written = count(row, "input_cached_tokens"), count(row, "input_cache_write_tokens")
    plain = count(row, "input_tokens") - cached - written
    if plain < 0:
        raise Malformed("input_tokens is less than the cached tokens that it includes")
    return Charge(
        day=_day(row),
        model=text_of(row, "model") or None,
        item="",
        api_keys=names(row, *_KEYS),
        tokens=Tokens(input=plain, cached=cached, cache_write=written, output=count(row, "output_tokens")),
    )


def _day(row: Row) -> str:
    return day_of_bucket(text_of(row, "start_time"), text_of(row, "end_time"))
