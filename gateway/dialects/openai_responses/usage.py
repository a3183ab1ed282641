"""Usage in the Responses API: cached and written tokens count inside ``input_tokens``."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from gateway.domain.usage import Usage

_LARGEST_COST_USD = 10**9
"""A reported cost beyond this is nonsense."""


def _count(source: object, key: str) -> int:
    value = source.get(key) if isinstance(source, Mapping) else None
    if isinstance(value, float) and value.is_integer():
        return max(0, int(value))
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _cost(raw: Mapping[str, Any]) -> str | None:
    """OpenRouter adds ``cost``, in US dollars."""
    cost = raw.get("cost")
    if not isinstance(cost, int | float) or isinstance(cost, bool) or not 0 <= cost < _LARGEST_COST_USD:
        return None
    return f"{Decimal(str(cost)):f}"


def read_usage(raw: Mapping[str, Any]) -> Usage:
    """Disjoint token classes from a ``usage`` object; missing, null and odd members count as zero.

    OpenAI bills cache writes at one price and names no lifetime (its caches live 30 minutes), so
    they stand in the class of short-lived writes.
    """
    input_details = raw.get("input_tokens_details")
    output_details = raw.get("output_tokens_details")
    every_input = _count(raw, "input_tokens")
    cached = min(every_input, _count(input_details, "cached_tokens"))
    written = min(every_input - cached, _count(input_details, "cache_write_tokens"))
    return Usage(
        input_tokens=every_input - cached - written,
        cached_tokens=cached,
        cache_write_5m_tokens=written,
        output_tokens=_count(raw, "output_tokens"),
        thinking_tokens=_count(output_details, "reasoning_tokens"),
        audio_input_tokens=_count(input_details, "audio_tokens"),
        audio_output_tokens=_count(output_details, "audio_tokens"),
        reported_cost_usd=_cost(raw),
        raw=dict(raw),
    )


def render_usage(usage: Usage) -> dict[str, Any]:
    """The ``usage`` object that a Responses client expects."""
    input_tokens = usage.prompt_tokens
    return {
        "input_tokens": input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_5m_tokens + usage.cache_write_1h_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.thinking_tokens},
        "total_tokens": input_tokens + usage.output_tokens,
    }
